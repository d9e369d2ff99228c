/**
 * Two simulated hosts: network namespaces joined by a veth pair, as two machines are by a cable. Each end is called `eth`
 * and has an IPv4 and an IPv6 address; multicast goes out there.
 */

import type { Owner } from './cleanup.js';
import { Namespace, namespace } from './namespace.js';

export interface Host {
  net: Namespace;
  v4: string;
  v6: string;
}

/** The hosts have 10.77.0.1 and 10.77.0.2, fd77::1 and fd77::2. */
export async function twoHosts(t: Owner): Promise<[Host, Host]> {
  const first = await namespace(t);
  // In the same user namespace, so that an interface can be moved.
  const holder = first.start(t, 'unshare', ['--net', 'sh', '-c', 'ip link set lo up && echo ready && exec cat']);
  await holder.waitFor('ready\n', { stream: 'stdout' });
  const second = new Namespace(holder, process.geteuid?.() !== 0);
  await first.ip('link', 'add', 'eth', 'type', 'veth', 'peer', 'name', 'far');
  await first.ip('link', 'set', 'far', 'netns', String(holder.pid));
  await second.ip('link', 'set', 'far', 'name', 'eth');
  const hosts: Host[] = [];
  for (const [net, number] of [
    [first, 1],
    [second, 2],
  ] as const) {
    const [v4, v6] = [`10.77.0.${number}`, `fd77::${number}`];
    await net.configure('eth', { address: [`${v4}/24`, `${v6}/64`], ipv6: true });
    await net.ip('route', 'add', '224.0.0.0/4', 'dev', 'eth');
    hosts.push({ net, v4, v6 });
  }
  for (const { net } of hosts) await net.running('eth');
  return hosts as [Host, Host];
}
