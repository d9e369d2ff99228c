/**
 * Networks as VDE's own handbook and talks set them up, line by line, with commands of ours: a user types these first.
 * The gateways, routers and stations are namespaces; ssh is a stand-in that runs the command here.
 */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin, root } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { twoHosts } from '../support/hosts.js';
import { leakCheck } from '../support/leaks.js';
import { type Namespace, namespace } from '../support/namespace.js';
import { command, eventually, MAKES, type Make, startSwitch, waitForClients } from '../support/network.js';
import { requirePeer, requireRoot, type Skippable } from '../support/peers.js';
import { type Running, run, start } from '../support/proc.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { requireVdens } from '../support/vdens.js';

function ready(t: Skippable, ...peers: string[]): boolean {
  return requirePeer(t, 'ip', 'ping', 'unshare', 'nsenter', ...peers) && requireVdens(t);
}

/** Lines for a shell in vdens after which it runs what it is given, and says how that went. */
const OBEY = 'echo ready; while read line; do eval "$line"; echo "<$?>"; done';

/** What starts a command: the machine itself, a namespace, another user. */
type Starter = (t: Owner, program: string, args: string[]) => Running;

const HERE: Starter = (t, program, args) => start(t, program, args);

function within(ns: Namespace): Starter {
  return (t, program, args) => ns.start(t, program, args);
}

/** A shell in vdens that has carried out `lines`. `more` are vdens's arguments before its command. */
async function shell(t: Owner, make: Make, more: string[], lines: string[], starter = HERE): Promise<Running> {
  const script = ['set -e', ...lines, 'set +e', OBEY].join('\n');
  const child = starter(t, command(make, 'vdens'), [...more, 'sh', '-c', script]);
  await child.expect('ready\n', { stream: 'stdout' });
  return child;
}

function addressed(address: string, device = 'vde0'): string[] {
  return [`ip addr add ${address} dev ${device}`, `ip link set ${device} up`];
}

/** The status of a line in such a shell. */
async function say(child: Running, line: string): Promise<number> {
  child.stdin.write(`${line}\n`);
  return Number((await child.expect(/<(\d+)>\n/, { stream: 'stdout' }))[1]);
}

async function reaches(child: Running, address: string): Promise<void> {
  assert.equal(await say(child, `ping -q -c 3 -i 0.1 -W 10 ${address}`), 0, child.output);
}

/** An `ssh` that runs the command on this machine, by a shell, as the real one does; it says where it was to go. */
function standInSsh(t: Owner): NodeJS.ProcessEnv {
  const dir = tmpDir(t);
  writeFileSync(join(dir, 'ssh'), '#!/bin/sh\necho "ssh to $1" >&2\nshift\nexec sh -c "$*"\n');
  chmodSync(join(dir, 'ssh'), 0o755);
  return { PATH: `${dir}:${join(root, 'bin')}:${process.env.PATH}` };
}

test('a switch in the background with a tap and a console: QEMU’s -net vde and the tap are its ports', async (t) => {
  if (!ready(t, 'qemu-system-x86_64')) return;
  leakCheck(t);
  const dir = tmpDir(t);
  const [sock, mgmt, pid] = ['vde.ctl', 'mgmt', 'pid'].map((name) => join(dir, name));
  const ns = await namespace(t);
  await ns.addTap('tap0', { address: '192.168.0.1/24' });
  // The shell stays in the foreground, for the switch to end with the test.
  const daemon = ['-d', '-s', sock, '-t', 'tap0', '-M', mgmt, '-p', pid];
  const keeper = ns.start(t, 'sh', [
    '-c',
    `"$0" "$@" && echo started && cat && kill "$(cat ${pid})"`,
    bin('vde_switch'),
    ...daemon,
  ]);
  await keeper.waitFor('started\n', { stream: 'stdout' });
  start(t, 'qemu-system-x86_64', [
    ...['-display', 'none', '-monitor', 'none', '-serial', 'none', '-m', '32'],
    ...['-net', 'nic', '-net', `vde,sock=${sock}`],
  ]);
  await waitForClients(sock, 1);
  const term = start(t, bin('vdeterm'), [mgmt]);
  await term.expect(`vde[${mgmt}]: `);
  term.stdin.write('port/print\n');
  const [shown] = await term.expect(/Port 0001[\s\S]*?\nSuccess\n/);
  const lines = shown.split('\n').filter((line) => /^Port|endpoint/.test(line));
  assert.match(lines[0], /^Port 0001 untagged_vlan=0000 ACTIVE - Unnamed Allocatable$/);
  assert.match(lines[1], /^ {2}-- endpoint ID \d{4} module tuntap {6}: tap0$/);
  assert.match(lines[2], /^Port 0002 untagged_vlan=0000 ACTIVE - Unnamed Allocatable$/);
  assert.match(lines[3], /^ {2}-- endpoint ID \d{4} module unix prog {3}: QEMU user=\S+ pid=\d+$/i);
  term.stdin.write('shutdown\n');
  assert.equal((await term.exited).code, 0);
});

test('dpipe joins switches by way of ssh; a cmd:// locator leads to a remote switch', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const env = standInSsh(t);
  const [local, remote] = [await startSwitch(t, 'ours'), await startSwitch(t, 'ours')];
  const wire = start(t, bin('dpipe'), ['vde_plug', local.dir, '=', 'ssh', 'foo@far.example', 'vde_plug', remote.dir], {
    env,
  });
  await Promise.all([waitForClients(local.dir, 1), waitForClients(remote.dir, 1)]);
  await wire.waitFor(/^ssh to foo@far\.example$/m, { stream: 'stderr' });
  const a = await shell(t, 'ours', [`vde://${local.dir}`], addressed('10.0.0.10/24'));
  const b = await shell(t, 'ours', [`vde://${remote.dir}`], addressed('10.0.0.11/24'));
  await reaches(b, '10.0.0.10');
  const locator = `cmd://ssh remote.host vde_plug ${remote.dir}`;
  const starter: Starter = (owner, program, args) => start(owner, program, args, { env });
  const c = await shell(t, 'ours', [locator], addressed('10.0.0.12/24'), starter);
  await reaches(c, '10.0.0.10');
  await reaches(a, '10.0.0.12');
});

test('dpipe joins switches of both makes by way of datagrams, as netcat carries them', async (t) => {
  if (!ready(t, 'socat')) return;
  leakCheck(t);
  const [local, remote] = [await startSwitch(t, 'ours'), await startSwitch(t, 'debian')];
  // In place of netcat’s UDP: AF_UNIX datagram sockets have no ports that could be taken.
  const [here, there] = ['a', 'b'].map((name) => join(tmpDir(t), name));
  const socat = (own: string, peer: string) => ['socat', '-b', '20000', 'STDIO', `UNIX-SENDTO:${peer},bind=${own}`];
  for (const [sw, own, peer] of [
    [local, here, there],
    [remote, there, here],
  ] as const) {
    start(t, bin('dpipe'), [bin('vde_plug'), sw.dir, '=', ...socat(own, peer)]);
    await Promise.all([waitForClients(sw.dir, 1), waitForSocket(own)]);
  }
  await shell(t, 'ours', [`vde://${local.dir}`], addressed('10.0.0.10/24'));
  const b = await shell(t, 'ours', [`vde://${remote.dir}`], addressed('10.0.0.11/24'));
  await reaches(b, '10.0.0.10');
});

test('an ordinary user with a tap of their own: tap + switch + two namespaces, no root any more', async (t) => {
  if (!requireRoot(t) || !ready(t, 'setpriv', '/usr/bin/vdens')) return;
  const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
  if ((await run('setpriv', [...nobody, bin('vde_plug'), '--version'])).code !== 0)
    return t.skip('users cannot read us');
  leakCheck(t);
  const base = tmpDir(t);
  chmodSync(base, 0o755);
  const dir = join(base, 'user');
  mkdirSync(dir);
  await run('chown', ['65534:65534', dir]);
  const host = await namespace(t);
  await host.ip('tuntap', 'add', 'tapx', 'mode', 'tap', 'user', '65534');
  await host.configure('tapx', { address: '10.0.0.254/24' });
  const user: Starter = (owner, program, args) => host.start(owner, 'setpriv', [...nobody, program, ...args]);
  const sw = join(dir, 'swx');
  user(t, bin('vde_plug'), ['tap://tapx', `switch://${sw}`]);
  await waitForSocket(join(sw, 'ctl'));
  for (const [number, make] of MAKES.entries()) {
    const station = await shell(t, make, [`vde://${sw}`], addressed(`10.0.0.${number + 1}/24`), user);
    await reaches(station, '10.0.0.254');
  }
  const refused = host.start(t, 'setpriv', [...nobody, bin('vde_plug'), 'tap://other', 'null://']);
  assert.deepEqual(await refused.exited, { code: 1, signal: null });
  assert.match(refused.stderr, /^vde_plug: tap:\/\/other: Operation not permitted.*\n$/);
});

for (const node of MAKES) {
  test(`a router on one machine, between its bridge and a cloud, serves a node (${node}) on another`, async (t) => {
    if (!ready(t, 'iptables', '/usr/bin/vdens')) return;
    leakCheck(t);
    const [gateway, other] = await twoHosts(t);
    await gateway.net.addTap('tapr');
    await gateway.net.ip('link', 'add', 'br0', 'type', 'bridge');
    await gateway.net.ip('link', 'set', 'tapr', 'master', 'br0');
    await gateway.net.configure('br0', { address: '10.0.0.1/24' });
    const uplinks = ['tap://tapr', 'vxvde://234.0.0.1', 'vxvde://234.0.0.2'];
    const router = await shell(
      t,
      'ours',
      ['--multi', ...uplinks, '--'],
      [...addressed('10.0.0.2/24'), ...addressed('10.10.10.1/24', 'vde1'), 'ip link set vde2 up'],
      within(gateway.net),
    );
    const lines = [...addressed('10.10.10.2/24'), 'ip route add default via 10.10.10.1'];
    const station = await shell(t, node, ['vxvde://234.0.0.1'], lines, within(other.net));
    await reaches(router, '10.0.0.1');
    await eventually(
      'the node is heard in the cloud',
      async () => (await say(station, 'ping -q -c 1 -W 1 10.10.10.1')) === 0,
    );
    assert.notEqual(await say(station, 'ping -q -c 1 -W 1 10.0.0.1'), 0, 'not a router yet');
    assert.equal(await say(router, 'echo 1 > /proc/sys/net/ipv4/ip_forward'), 0, router.output);
    assert.equal(
      await say(router, 'PATH=$PATH:/usr/sbin:/sbin iptables -t nat -A POSTROUTING -o vde0 -j MASQUERADE'),
      0,
      router.output,
    );
    await reaches(station, '10.0.0.1');
  });
}
