/** Debian's `vdens`: two namespaces of the kernel that talk through our switch. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { debian } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { command, startSwitch, waitForClients } from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces, type Skippable } from '../support/peers.js';
import { type Running, start } from '../support/proc.js';

function ready(t: Skippable, ...peers: string[]): boolean {
  return requirePeer(t, '/usr/bin/vdens', '/usr/bin/vde_switch', ...peers) && requireTun(t) && requireUserNamespaces(t);
}

/** A shell in a namespace whose vde0 is up with 10.0.0.N and fd00::N, and which runs the lines that it is given. */
async function station(t: Owner, dir: string, number: number): Promise<Running> {
  const setUp = [
    `ip link set vde0 up`,
    `ip address add 10.0.0.${number}/24 dev vde0`,
    `ip address add fd00::${number}/64 dev vde0 nodad`,
    'echo ready',
    'while read line; do eval "$line"; echo "<$?>"; done',
  ];
  const shell = start(t, debian('vdens'), [`vde://${dir}`, 'sh', '-c', setUp.join(' && ')]);
  await shell.expect('ready\n');
  return shell;
}

/** Runs a line in a station; returns its exit status, and its output to match. */
async function say(shell: Running, line: string): Promise<string> {
  shell.stdin.write(`${line}\n`);
  return (await shell.expect(/<(\d+)>\n/, { stream: 'stdout' }))[1];
}

const CHAINS = {
  'one switch of ours': ['ours'],
  'a switch of ours and one of Debian, joined by our vde_plug': ['ours', 'debian'],
} as const;

for (const [name, makes] of Object.entries(CHAINS)) {
  test(`two vdens reach each other through ${name}: IPv4, IPv6, full-sized packets, TCP`, async (t) => {
    if (!ready(t, 'ip', 'ping', 'iperf3')) return;
    leakCheck(t);
    const switches = [];
    for (const make of makes) switches.push(await startSwitch(t, make));
    const [first, last] = [switches[0], switches[switches.length - 1]];
    if (first !== last) {
      start(t, command('ours', 'vde_plug'), [first.dir, last.dir]);
      await Promise.all([waitForClients(first.dir, 1), waitForClients(last.dir, 1)]);
    }
    const a = await station(t, first.dir, 1);
    const b = await station(t, last.dir, 2);
    assert.equal(await say(a, 'ping -q -c 3 -i 0.05 -W 20 10.0.0.2'), '0', a.output);
    assert.equal(await say(b, 'ping -q -c 3 -i 0.05 -W 20 10.0.0.1'), '0', b.output);
    assert.equal(await say(a, 'ping -q -6 -c 3 -i 0.05 -W 20 fd00::2'), '0', a.output);
    assert.equal(await say(a, 'ping -q -c 2 -i 0.05 -W 20 -s 1472 -M do 10.0.0.2'), '0', a.output);
    b.stdin.write('timeout 30 iperf3 -s -1 --forceflush\n');
    await b.expect('Server listening');
    assert.equal(await say(a, 'timeout 25 iperf3 -c 10.0.0.2 -n 5M --connect-timeout 20000'), '0', a.output);
    const [, amount] = await a.waitFor(/([\d.]+ [KMG]?Bytes).*receiver/);
    assert.notEqual(Number.parseFloat(amount), 0);
    // Now and then Debian's vdens does not end with its command: then it is made to.
    for (const shell of [a, b]) await shell.end();
    // The ports of those that have left are free again.
    await waitForClients(last.dir, makes.length - 1);
  });
}

test('a namespace with two interfaces on two switches routes between them', async (t) => {
  if (!ready(t, 'ip', 'ping')) return;
  leakCheck(t);
  const [left, right] = [await startSwitch(t, 'ours'), await startSwitch(t, 'ours')];
  const script = [
    'ip link set vde0 up && ip address add 10.0.0.254/24 dev vde0',
    'ip link set vde1 up && ip address add 10.0.1.254/24 dev vde1',
    'echo 1 >/proc/sys/net/ipv4/ip_forward && echo ready && exec cat',
  ];
  const router = start(t, debian('vdens'), [
    ...['-m', `vde://${left.dir}`, `vde://${right.dir}`],
    ...['--', 'sh', '-c', script.join(' && ')],
  ]);
  await router.waitFor('ready\n');
  const a = await station(t, left.dir, 1);
  const b = await station(t, right.dir, 2);
  assert.equal(await say(a, 'ip route add 10.0.1.0/24 via 10.0.0.254'), '0', a.output);
  assert.equal(await say(b, 'ip address del 10.0.0.2/24 dev vde0 && ip address add 10.0.1.2/24 dev vde0'), '0');
  assert.equal(await say(b, 'ip route add 10.0.0.0/24 via 10.0.1.254'), '0', b.output);
  assert.equal(await say(a, 'ping -c 2 -i 0.05 -W 20 10.0.1.2'), '0', a.output);
  await a.waitFor('ttl=63');
});
