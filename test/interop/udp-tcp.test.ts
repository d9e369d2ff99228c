/** TCP through `udp://` between vdens of either make: on one machine, and on two hosts with an Ethernet between them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { udpLocators } from '../plug/udp-pair.js';
import { root } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { type Namespace, namespace } from '../support/namespace.js';
import { command, type Make, PAIRS } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import type { Running } from '../support/proc.js';
import { requireVdens, startVdens } from '../support/vdens.js';

const TRANSFER = [
  process.execPath,
  '--import',
  'tsx',
  fileURLToPath(new URL('./fixtures/transfer.ts', import.meta.url)),
];

/** A command for a shell in a vdens: its interface gets that address, then it runs, and its status is told. */
function inside(address: string, ...line: string[]): string[] {
  const script = `ip addr add ${address}/24 dev vde0; ip link set vde0 up; "$@"; s=$?; echo "ended $s" >&2; exit $s`;
  return ['sh', '-c', script, 'sh', ...line];
}

/** Waits until the command in a vdens has ended well, and vdens with it. */
async function ended(make: Make, running: Running): Promise<void> {
  await running.waitFor('ended 0\n', { stream: 'stderr', timeout: 90_000 });
  // Now and then Debian's vdens does not end with its command: then it is made to.
  if (make === 'debian') await running.end();
  else assert.deepEqual(await running.exited, { code: 0, signal: null }, running.output);
}

type Start = (make: Make, args: string[]) => Running;

/** TCP from one vdens to the other, 24 MB; the client fails unless the server has got what it sent. */
async function transfer(
  first: Make,
  second: Make,
  left: string,
  right: string,
  starters: [Start, Start],
): Promise<void> {
  const server = starters[0](first, [left, ...inside('10.77.0.1', ...TRANSFER, 'tcp-server')]);
  const [, port] = await server.waitFor(/port (\d+)\n/);
  const ping = 'until ping -c 1 -W 1 10.77.0.1 >/dev/null; do :; done; exec "$@"';
  const client = starters[1](second, [
    right,
    ...inside('10.77.0.2', 'sh', '-c', ping, 'sh', ...TRANSFER, 'tcp-client', '10.77.0.1', port),
  ]);
  await ended(second, client);
  await ended(first, server);
}

for (const [first, second] of PAIRS) {
  test(`udp: TCP from vdens (${second}) to vdens (${first}) on one machine`, async (t) => {
    if (!requireVdens(t) || !requirePeer(t, '/usr/bin/vdens', 'ping')) return;
    leakCheck(t);
    const [left, right] = udpLocators();
    const local: Start = (make, args) => startVdens(t, make, args, { cwd: root });
    await transfer(first, second, left, right, [local, local]);
  });
}

/** Two hosts on an Ethernet with an MTU of 1500. */
async function hosts(t: Owner): Promise<{ near: Namespace; far: Running }> {
  const near = await namespace(t);
  const far = near.start(t, 'unshare', ['--net', 'sh', '-c', 'ip link set lo up && echo ready && exec cat']);
  await far.waitFor('ready\n');
  await near.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
  await near.ip('link', 'set', 'v1', 'netns', String(far.pid));
  await near.configure('v0', { address: '10.1.0.1/24' });
  const script = 'ip addr add 10.1.0.2/24 dev v1; ip link set v1 up';
  const { code, stderr } = await near.exec('nsenter', ['--target', String(far.pid), '--net', 'sh', '-c', script]);
  assert.equal(code, 0, stderr);
  return { near, far };
}

for (const [first, second] of PAIRS) {
  test(`udp: TCP from vdens (${second}) to vdens (${first}) on two hosts`, async (t) => {
    if (!requireVdens(t) || !requirePeer(t, '/usr/bin/vdens', 'ping', 'nsenter', 'unshare', 'ip')) return;
    leakCheck(t);
    const { near, far } = await hosts(t);
    const atNear: Start = (make, args) => near.start(t, command(make, 'vdens'), args, { cwd: root });
    const enter = ['--target', String(far.pid), '--net', '--'];
    const atFar: Start = (make, args) =>
      near.start(t, 'nsenter', [...enter, command(make, 'vdens'), ...args], { cwd: root });
    const [left, right] = ['udp://10.1.0.1:4000->10.1.0.2:4001', 'udp://10.1.0.2:4001->10.1.0.1:4000'];
    await transfer(first, second, left, right, [atNear, atFar]);
    if (first === 'debian' || second === 'debian') return;
    // Nothing was cut into IP fragments on the way.
    const { stdout } = await near.exec('cat', ['/proc/net/snmp']);
    const [names, values] = stdout
      .split('\n')
      .filter((line) => line.startsWith('Ip:'))
      .map((line) => line.split(' '));
    assert.ok(Number(values[names.indexOf('FragCreates')]) < 20, stdout);
  });
}
