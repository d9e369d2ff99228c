/** Interfaces of the host on cables and switches of either make: the kernel's stack is at the other end of the wire. */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { type Namespace, namespace } from '../support/namespace.js';
import {
  clients,
  command,
  eventually,
  FrameStream,
  frame,
  MAKES,
  type SwitchProcess,
  startSwitch,
  waitForEndpoints,
} from '../support/network.js';
import {
  requirePeer,
  requireRoot,
  requireTun,
  requireUserNamespaces,
  requireVdeplug,
  type Skippable,
} from '../support/peers.js';
import type { Running } from '../support/proc.js';

function ready(t: Skippable): boolean {
  const peers = ['/usr/bin/vde_switch', '/usr/bin/vde_plug', 'ip', 'ping', 'unshare', 'nsenter'];
  return requirePeer(t, ...peers) && requireTun(t) && requireUserNamespaces(t);
}

/** A namespace whose stack has 10.0.0.1 on v0, the other end of v1. */
async function host(t: Owner): Promise<Namespace> {
  const ns = await namespace(t);
  await ns.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
  await ns.configure('v0', { address: ['10.0.0.1/24', 'fd00::1/64'], ipv6: true, mac: '02:00:00:00:00:01' });
  await ns.configure('v1', { mac: '02:00:00:00:00:ff' });
  await ns.running('v0', 'v1');
  return ns;
}

/** A namespace with a tap at 10.0.0.2 on the switch. */
async function station(t: Owner, sw: SwitchProcess, endpoints: number): Promise<Namespace> {
  const ns = await namespace(t);
  await ns.addTap('t0', { address: ['10.0.0.2/24', 'fd00::2/64'], ipv6: true });
  ns.start(t, command('ours', 'vde_plug'), [`vde://${sw.dir}`, 'tap://t0']);
  await waitForEndpoints(sw, endpoints);
  await ns.running('t0');
  return ns;
}

async function ping(ns: Namespace, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await ns.exec('ping', ['-q', '-c', '3', '-i', '0.05', '-W', '20', ...args]);
  assert.equal(code, 0, stdout + stderr);
}

/** Sends a megabyte by TCP, so that super-frames come about. */
async function transfer(t: Owner, from: Namespace, to: Namespace, address: string): Promise<void> {
  const server = to.start(t, 'socat', ['-u', 'TCP-LISTEN:7000', 'STDOUT']);
  await eventually('the server listens', async () => (await to.exec('ss', ['-tln'])).stdout.includes(':7000'));
  const { code, stderr } = await from.exec('sh', ['-c', `head -c 1000000 /dev/zero | socat -u - TCP:${address}:7000`]);
  assert.equal(code, 0, stderr);
  await server.exited;
  assert.equal(server.stdoutBytes.length, 1_000_000);
}

for (const make of MAKES) {
  for (const scheme of ['packet', 'pcap'] as const) {
    test(`${scheme}:// on vde_switch (${make}): the stack behind the interface and a tap reach each other`, async (t) => {
      if (!ready(t) || !requirePeer(t, 'socat', 'ss')) return;
      leakCheck(t);
      const sw = await startSwitch(t, make);
      const inside = await host(t);
      const plug = inside.start(t, command('ours', 'vde_plug'), [`vde://${sw.dir}`, `${scheme}://v1`]);
      await waitForEndpoints(sw, 1);
      // Our switch serves the interface itself; a C switch has a data socket for the cable.
      assert.equal(clients(sw.dir).length, make === 'ours' ? 0 : 1);
      const outside = await station(t, sw, 2);
      await ping(outside, '10.0.0.1');
      await ping(inside, '-6', 'fd00::2');
      await ping(inside, '-s', '1472', '-M', 'do', '10.0.0.2');
      await transfer(t, inside, outside, '10.0.0.2');
      await transfer(t, outside, inside, '10.0.0.1');
      await inside.ip('link', 'delete', 'v1');
      assert.equal((await plug.exited).signal, null);
      assert.match(plug.stderr + sw.process.stderr, /interface (v1 )?has been deleted/);
      await waitForEndpoints(sw, 1);
    });
  }
}

test('an interface that is DOWN is told once by vde_plug', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const inside = await host(t);
  await inside.ip('link', 'set', 'v1', 'down');
  const plug = inside.start(t, command('ours', 'vde_plug'), ['packet://v1']);
  await plug.waitFor(/packet:\/\/v1: the interface is DOWN/);
});

/** `vde_plug pcap://IF` inside, until it is listening: there is a packet socket then. */
async function pcapStream(t: Owner, ns: Namespace, make: 'ours' | 'debian', name: string): Promise<FrameStream> {
  const sockets = async () => (await ns.exec('cat', ['/proc/net/packet'])).stdout.split('\n').length;
  const before = await sockets();
  const plug: Running = ns.start(t, command(make, 'vde_plug'), [`pcap://${name}`]);
  await eventually('a packet socket', async () => {
    assert.ok(plug.running, plug.output);
    return (await sockets()) > before;
  });
  return new FrameStream(plug);
}

for (const [first, second] of [
  ['ours', 'ours'],
  ['ours', 'debian'],
  ['debian', 'ours'],
] as const) {
  test(`pcap:// of ${first} and of ${second} at both ends of a wire, and on one interface`, async (t) => {
    if (!ready(t) || !requireVdeplug(t, 'pcap')) return;
    leakCheck(t);
    const ns = await namespace(t);
    await ns.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
    await ns.configure('v0', { mac: '02:00:00:00:00:f0' });
    await ns.configure('v1', { mac: '02:00:00:00:00:f1' });
    await ns.running('v0', 'v1');
    const a = await pcapStream(t, ns, first, 'v0');
    const b = await pcapStream(t, ns, second, 'v1');
    const beside = await pcapStream(t, ns, second, 'v0');
    const hear = async (from: FrameStream, to: FrameStream, tag: string) => {
      // A C end reads only once its socket is ready, which nothing tells.
      const timer = setInterval(() => from.send(frame({ tag })), 100);
      from.send(frame({ tag }));
      await to.receive(tag).finally(() => clearInterval(timer));
    };
    await hear(a, b, 'hello');
    await hear(b, a, 'hello back');
    await hear(a, beside, 'beside');
    for (const [from, to, tag] of [
      [a, b, 'there'],
      [b, a, 'back'],
    ] as const) {
      for (const size of [30, 60, 1514]) {
        const one = frame({ tag: `${tag} ${size}`, size, source: 9 });
        from.send(one);
        assert.deepEqual(await to.receive(`${tag} ${size}`), one);
      }
    }
    // A frame with the interface's own address is the host's, and does not arrive there.
    const own = frame({ tag: 'own', source: 0xf1 });
    a.send(own, frame({ tag: 'other', source: 5 }));
    await b.receive('other');
    assert.deepEqual(
      b.received.filter((one) => one.includes('own\0')),
      [],
    );
  });
}

test('macvtap:// is an end on the wire of another interface', async (t) => {
  if (!ready(t) || !requireRoot(t) || !requirePeer(t, 'socat', 'ss')) return;
  leakCheck(t);
  const inside = await host(t);
  // The device is named by the index, and /dev is shared with other namespaces.
  const index = String(20_000 + (process.pid % 10_000));
  const add = ['link', 'add', 'link', 'v1', 'name', 'm0', 'index', index];
  const made = await inside.exec('ip', [...add, 'type', 'macvtap', 'mode', 'bridge']);
  if (made.code !== 0) return t.skip(`this kernel has no macvtap: ${made.stderr.trim()}`);
  await inside.configure('m0', { mac: '02:00:00:00:00:02' });
  const sw = await startSwitch(t, 'ours');
  const plug = inside.start(t, command('ours', 'vde_plug'), [`vde://${sw.dir}`, 'macvtap://m0']);
  await waitForEndpoints(sw, 1);
  const outside = await namespace(t);
  // The kernel delivers only what is for the macvtap's own address.
  await outside.addTap('t0', { address: '10.0.0.2/24', mac: '02:00:00:00:00:02' });
  outside.start(t, command('ours', 'vde_plug'), [`vde://${sw.dir}`, 'tap://t0']);
  await waitForEndpoints(sw, 2);
  await ping(outside, '10.0.0.1');
  await transfer(t, inside, outside, '10.0.0.2');
  await transfer(t, outside, inside, '10.0.0.1');
  await inside.ip('link', 'delete', 'm0');
  assert.equal((await plug.exited).signal, null);
  assert.match(plug.stderr, /macvtap:\/\/m0: interface m0 has been deleted/);
  await waitForEndpoints(sw, 1);
});

test('a macvtap that an ordinary user may not open says whose it should be', async (t) => {
  if (!ready(t) || !requireRoot(t) || !requirePeer(t, 'setpriv')) return;
  leakCheck(t);
  const inside = await host(t);
  const index = String(30_000 + (process.pid % 10_000));
  const add = ['link', 'add', 'link', 'v1', 'name', 'm0', 'index', index];
  const made = await inside.exec('ip', [...add, 'type', 'macvtap', 'mode', 'bridge']);
  if (made.code !== 0) return t.skip(`this kernel has no macvtap: ${made.stderr.trim()}`);
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const { code, stderr } = await inside.exec('setpriv', [...user, command('ours', 'vde_plug'), 'macvtap://m0']);
  assert.equal(code, 1);
  assert.match(stderr, /macvtap:\/\/m0: Permission denied \(you may not open \/dev\/tap\d+: ask .* chown 65534/);
});
