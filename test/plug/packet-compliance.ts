/** The compliance suite for packet sockets, for a process in a network namespace of its own: packet.test.ts runs it there. */

import { execFileSync } from 'node:child_process';
import { setImmediate as immediate } from 'node:timers/promises';
import { openPlug } from '../../src/plug/registry.js';
import { complianceSuite } from './compliance.js';

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

/** Until an interface has noticed its carrier, the kernel drops what is sent by it, and says nothing. */
async function running(name: string): Promise<void> {
  const shown = (): string => ip('-o', 'link', 'show', 'dev', name);
  while (!shown().includes('LOWER_UP') || shown().includes('qdisc noop ')) await immediate();
}

let serial = 0;

complianceSuite({
  name: 'packet sockets at both ends of a veth pair',
  openPair: async () => {
    const [one, other] = [`a${++serial}`, `b${serial}`];
    ip('link', 'add', one, 'type', 'veth', 'peer', 'name', other);
    for (const name of [one, other]) {
      // IPv6 sends frames of its own accord on every interface that is up.
      execFileSync('sh', ['-c', `echo 1 >/proc/sys/net/ipv6/conf/${name}/disable_ipv6`]);
      ip('link', 'set', name, 'up');
    }
    await Promise.all([running(one), running(other)]);
    const [a, b] = await Promise.all([openPlug(`packet://${one}`), openPlug(`packet://${other}`)]);
    return { a, b, lose: () => ip('link', 'delete', one) };
  },
  // The interface's MTU and its Ethernet header.
  maxFrame: 1514,
  // The kernel's queue takes what it can and drops the rest.
  supports: { backlog: false, counted: false },
});
