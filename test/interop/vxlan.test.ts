/** `vxlan://` and the kernel's own vxlan device, each the other's peer. */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Owner } from '../support/cleanup.js';
import { type Host, twoHosts } from '../support/hosts.js';
import { leakCheck } from '../support/leaks.js';
import { command, eventually } from '../support/network.js';
import { need, requirePeer, requireTun, requireUserNamespaces, type Skippable, which } from '../support/peers.js';

function ready(t: Skippable, ...peers: string[]): boolean {
  return requirePeer(t, 'ip', 'nsenter', 'ping', 'ethtool', ...peers) && requireUserNamespaces(t) && requireTun(t);
}

/** What the tap and the kernel's device have: a VXLAN packet of theirs fits the cable without fragments. */
const MTU = 1430;

/** A tap with 10.0.0.N and fd00::N on our end point. */
async function ours(t: Owner, { net }: Host, number: number, locator: string): Promise<void> {
  await net.addTap('t0', { address: [`10.0.0.${number}/24`, `fd00::${number}/64`], mtu: MTU, ipv6: true });
  net.start(t, command('ours', 'vde_plug'), ['tap://t0', locator]);
}

/** The kernel's device with the same addresses; false if this kernel has none. */
async function kernels({ net }: Host, number: number, group: string): Promise<boolean> {
  const args = ['link', 'add', 'vx0', 'type', 'vxlan', 'id', '1', 'group', group, 'dstport', '4789', 'dev', 'eth'];
  if ((await net.exec('ip', [...args, 'ttl', '1'])).code !== 0) return false;
  // As on a cable of copper: between namespaces the kernel leaves the checksums and the cutting of what is inside a
  // tunnel to the receiver's kernel, which takes it for a program's own business.
  const { code, stderr } = await net.exec(which('ethtool') as string, ['-K', 'eth', 'tx', 'off', 'gso', 'off']);
  assert.equal(code, 0, stderr);
  await net.configure('vx0', { address: [`10.0.0.${number}/24`, `fd00::${number}/64`], mtu: MTU, ipv6: true });
  return true;
}

/** Pings until there is an answer, then a few times with big packets. */
async function ping({ net }: Host, address: string): Promise<void> {
  await eventually(`an answer from ${address}`, async () => {
    return (await net.exec('ping', ['-q', '-c', '1', '-W', '1', address])).code === 0;
  });
  const size = MTU - (address.includes(':') ? 48 : 28);
  const args = ['-q', '-c', '3', '-i', '0.05', '-W', '20', '-M', 'do', '-s', String(size), address];
  const { code, stdout } = await net.exec('ping', args);
  assert.equal(code, 0, stdout);
}

for (const [version, group, locator] of [
  ['IPv4', '239.0.0.1', 'vxlan://'],
  ['IPv6', 'ff05:56de::1', 'vxlan:///v6/if=eth'],
]) {
  test(`the kernel over ${version}: ping, and TCP both ways`, async (t) => {
    if (!ready(t, 'iperf3')) return;
    leakCheck(t);
    const [one, two] = await twoHosts(t);
    if (!need(t, await kernels(two, 2, group), 'vxlan devices of the kernel')) return;
    await ours(t, one, 1, locator);
    await ping(one, '10.0.0.2');
    await ping(two, '10.0.0.1');
    await ping(two, 'fd00::1');
    for (const args of [[], ['-R']]) {
      const server = two.net.start(t, 'timeout', ['60', 'iperf3', '-s', '-1', '--forceflush']);
      await server.waitFor('Server listening');
      const client = ['50', 'iperf3', '-c', '10.0.0.2', '-n', '5M', ...args];
      const { code, stdout, stderr } = await one.net.exec('timeout', client, { timeout: 60_000 });
      assert.equal(code, 0, stdout + stderr);
      const [, amount] = stdout.match(/([\d.]+ [MG]Bytes).*receiver/) ?? [];
      assert.ok(amount, `hardly anything has arrived: ${stdout}`);
      await server.exited;
    }
  });

  test(`two of ours on two hosts over ${version}`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const [one, two] = await twoHosts(t);
    await ours(t, one, 1, locator);
    await ours(t, two, 2, locator);
    await ping(one, '10.0.0.2');
    await ping(two, 'fd00::1');
  });
}

test('where the kernel has the port, it is said', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const [one] = await twoHosts(t);
  if (!need(t, await kernels(one, 1, '239.0.0.1'), 'vxlan devices of the kernel')) return;
  const { code, stderr } = await one.net.exec(command('ours', 'vde_plug'), ['vxlan://', 'null://']);
  assert.equal(code, 1);
  assert.match(stderr, /^vde_plug: vxlan:\/\/: .*Address already in use \(.*UDP port 4789/);
  assert.doesNotMatch(stderr, /\n./);
});
