/**
 * `vxlan://` and `vxvde://` ends that a switch of ours serves itself: on the network they are what they were, and the
 * process that gave them may be stopped, or killed. Where they cannot be given, frames pass through it as ever.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { encodeRequest, REPLY_SIZE, REQUEST_MAX } from '../../src/plug/vde-protocol.js';
import { sendWithDescriptors } from '../../src/sys/ancillary.js';
import { udpSocket } from '../../src/sys/inet.js';
import { AF_INET, connectUnix } from '../../src/sys/socket.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { type Host, twoHosts } from '../support/hosts.js';
import { leakCheck } from '../support/leaks.js';
import {
  clients,
  command,
  eventually,
  FrameStream,
  frame,
  knock,
  type Make,
  type SwitchProcess,
  startSwitch,
  waitForClients,
  waitForEndpoints,
} from '../support/network.js';
import { need, requirePeer, requireUserNamespaces, type Skippable, which } from '../support/peers.js';
import { type Running, start } from '../support/proc.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { rawClient } from '../switch/raw-client.js';

function ready(t: Skippable, ...peers: string[]): boolean {
  return requirePeer(t, 'ip', 'nsenter', ...peers) && requireUserNamespaces(t);
}

/** A process that joins an end to a switch, by default in the network of the host. */
function give(t: Owner, { net }: Host, locator: string, { dir }: SwitchProcess): Running {
  return net.start(t, command('ours', 'vde_plug'), [locator, `vde://${dir}`]);
}

/** A stream of frames to a locator. */
function stream(t: Owner, { net }: Host, locator: string, make: Make = 'ours'): FrameStream {
  return new FrameStream(net.start(t, command(make, 'vde_plug'), [locator]));
}

/** Frames of some sizes both ways, and to one station. */
async function converse(a: FrameStream, b: FrameStream, sizes = [60, 1514, 9000]): Promise<void> {
  await knock(a, b);
  await knock(b, a);
  for (const [from, to, source, destination] of [
    [a, b, 11, 12],
    [b, a, 12, 11],
  ] as const) {
    from.send(frame({ tag: `${source} is here`, source }));
    await to.receive(`${source} is here`);
    for (const size of sizes) {
      const one = frame({ tag: `${source}, ${size} octets`, size, source, destination });
      from.send(one);
      assert.deepEqual(await to.receive(`${source}, ${size} octets`), one);
    }
  }
}

/** An end that a switch has adopted: its giver may be stopped without anybody noticing, and killed without a trace. */
async function survive(sw: SwitchProcess, giver: Running, a: FrameStream, b: FrameStream): Promise<void> {
  assert.equal(clients(sw.dir).length, 1, 'the switch made a data socket for the end: it has not adopted it');
  giver.kill('SIGSTOP');
  for (const one of [a, b]) one.received.length = 0;
  await converse(a, b);
  giver.kill('SIGKILL');
  await giver.exited;
  await waitForEndpoints(sw, 1);
}

for (const [locator, make] of [
  ['vxlan://', 'ours'],
  ['vxlan:///v6/if=eth/vni=5', 'ours'],
  ['vxvde://', 'ours'],
  ['vxvde://', 'debian'],
  ['vxvde:///v6/if=eth', 'debian'],
  ["vxvde://234.5.6.7/port=5000/vni=77/from='10.77.0.0/16'", 'ours'],
] as const) {
  test(`${locator} of a switch, a member of ${make} on another host`, async (t) => {
    if (!ready(t, ...(make === 'debian' ? ['/usr/bin/vde_plug'] : []))) return;
    leakCheck(t);
    const [one, two] = await twoHosts(t);
    const sw = await startSwitch(t, 'ours', [], { within: one.net });
    const giver = give(t, one, locator, sw);
    await waitForEndpoints(sw, 1);
    const here = stream(t, one, `vde://${sw.dir}`);
    const there = stream(t, two, locator, make);
    await converse(here, there);
    await survive(sw, giver, here, there);
    // What is at the port of the group is free again.
    const again = give(t, one, locator, sw);
    await knock(here, there);
    again.kill('SIGTERM');
    await again.exited;
    await waitForEndpoints(sw, 1);
  });
}

test('a member that only hears some networks is one when it is adopted, too', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const [one, two] = await twoHosts(t);
  const sw = await startSwitch(t, 'ours', [], { within: one.net });
  give(t, one, "vxvde:///from='10.99.0.0/16'", sw);
  await waitForEndpoints(sw, 1);
  const here = stream(t, one, `vde://${sw.dir}`);
  const there = stream(t, two, 'vxvde://');
  await knock(here, there);
  there.send(frame({ tag: 'not to be heard' }));
  here.send(frame({ tag: 'after that' }));
  await there.receive('after that');
  assert.deepEqual(here.received, []);
  assert.equal(clients(sw.dir).length, 1);
});

test('the VXLAN device of the kernel, and a switch that serves the end: ping, and TCP both ways', async (t) => {
  if (!ready(t, 'ping', 'iperf3', 'ethtool')) return;
  leakCheck(t);
  const [one, two] = await twoHosts(t);
  const device = ['link', 'add', 'vx0', 'type', 'vxlan', 'id', '1', 'group', '239.0.0.1', 'dstport', '4789'];
  const { code } = await two.net.exec('ip', [...device, 'dev', 'eth', 'ttl', '1']);
  if (!need(t, code === 0, 'vxlan devices of the kernel')) return;
  await two.net.exec(which('ethtool') as string, ['-K', 'eth', 'tx', 'off', 'gso', 'off']);
  await two.net.configure('vx0', { address: '10.0.0.2/24', mtu: 1430 });
  await one.net.addTap('t0', { address: '10.0.0.1/24', mtu: 1430 });
  const sw = await startSwitch(t, 'ours', [], { within: one.net });
  const givers = ['tap://t0', 'vxlan://'].map((locator) => give(t, one, locator, sw));
  await waitForEndpoints(sw, 2);
  assert.deepEqual(clients(sw.dir), []);
  for (const giver of givers) giver.kill('SIGSTOP');
  const ping = () => one.net.exec('ping', ['-q', '-c', '1', '-W', '1', '-M', 'do', '-s', '1402', '10.0.0.2']);
  await eventually('an answer', async () => (await ping()).code === 0);
  for (const args of [[], ['-R']]) {
    const server = two.net.start(t, 'timeout', ['60', 'iperf3', '-s', '-1', '--forceflush']);
    await server.waitFor('Server listening');
    const client = ['50', 'iperf3', '-c', '10.0.0.2', '-n', '5M', ...args];
    const { code, stdout, stderr } = await one.net.exec('timeout', client, { timeout: 60_000 });
    assert.equal(code, 0, stdout + stderr);
    await server.exited;
  }
  for (const giver of givers) giver.kill('SIGKILL');
  await waitForEndpoints(sw, 0);
});

for (const make of ['a switch', 'a hub of vdeplug'] as const) {
  test(`the longest request that can be, with descriptors, to ${make} of C: one port, as of any client`, async (t) => {
    if (!ready(t, '/usr/bin/vde_switch', '/usr/bin/vde_plug')) return;
    leakCheck(t);
    const dir = join(tmpDir(t), 'sw');
    if (make === 'a switch') await startSwitch(t, 'debian', ['-s', dir]);
    else start(t, command('debian', 'vde_plug'), ['null://', `hub://${dir}`]);
    await waitForSocket(join(dir, 'ctl'));
    const [giver, other] = [rawClient(t, dir), rawClient(t, dir)];
    const given = [1, 2].map(() => udpSocket(AF_INET, 'given'));
    cleanup(t, () => {
      for (const one of given) one.close();
    });
    const offer = { maxFrame: 9000, offloads: true, adopt: true };
    const request = encodeRequest(undefined, giver.path, 'x'.repeat(91), offer, new Uint8Array(30).fill(1));
    assert.equal(request.length, REQUEST_MAX);
    assert.equal(sendWithDescriptors(giver.stream, request, given), REQUEST_MAX);
    const reply = await giver.answer();
    assert.equal(reply?.length, REPLY_SIZE);
    connectUnix(giver.data, reply.toString('utf8', 2, reply.indexOf(0, 2)));
    assert.ok(await other.attach());
    giver.send(frame({ tag: 'from the giver', source: 1 }));
    assert.deepEqual(await other.frames(1), [frame({ tag: 'from the giver', source: 1 })]);
    other.send(frame({ tag: 'to the giver', source: 2 }));
    assert.deepEqual(await giver.frames(1), [frame({ tag: 'to the giver', source: 2 })]);
    assert.ok(giver.quiet);
  });
}

for (const locator of ['vxlan://', 'vxvde://']) {
  test(`${locator} at a switch of C, which adopts nothing: frames pass through the giver`, async (t) => {
    if (!ready(t, '/usr/bin/vde_switch')) return;
    leakCheck(t);
    const [one, two] = await twoHosts(t);
    const sw = await startSwitch(t, 'debian', [], { within: one.net });
    const giver = give(t, one, locator, sw);
    await waitForClients(sw.dir, 1);
    const here = stream(t, one, `vde://${sw.dir}`);
    await waitForClients(sw.dir, 2);
    // A switch of C cuts what is longer.
    await converse(here, stream(t, two, locator), [60, 1514]);
    giver.kill('SIGKILL');
    await waitForClients(sw.dir, 1);
  });

  test(`${locator} of another network than the switch's: not adopted, frames pass through the giver`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const [one, two] = await twoHosts(t);
    const sw = await startSwitch(t, 'ours', ['-s', join(tmpDir(t), 'sw')]);
    const giver = give(t, one, locator, sw);
    await waitForClients(sw.dir, 1);
    const here = stream(t, one, `vde://${sw.dir}`);
    await waitForClients(sw.dir, 2);
    await converse(here, stream(t, two, locator));
    giver.kill('SIGKILL');
    await waitForClients(sw.dir, 1);
  });

  for (const networks of ['one network', 'two networks']) {
    test(`${locator} at a ptp:// link whose other end is a switch's, in ${networks}`, async (t) => {
      if (!ready(t)) return;
      leakCheck(t);
      const [one, two] = await twoHosts(t);
      const within = networks === 'one network' ? { within: one.net } : {};
      const sw = await startSwitch(t, 'ours', ['-s', join(tmpDir(t), 'sw')], within);
      const link = `ptp://${join(tmpDir(t), 'link')}`;
      for (const locators of [
        [locator, link],
        [link, `vde://${sw.dir}`],
      ]) {
        const host = locators[0] === locator || networks === 'one network' ? one : two;
        host.net.start(t, command('ours', 'vde_plug'), locators);
      }
      await waitForEndpoints(sw, 1);
      await converse(stream(t, one, `vde://${sw.dir}`), stream(t, two, locator));
    });
  }

  test(`${locator} at restart://: served there while there is no switch, and by each that comes`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const [one, two] = await twoHosts(t);
    const dir = join(tmpDir(t), 'sw');
    const giver = one.net.start(t, command('ours', 'vde_plug'), [locator, `restart:///wait{vde://${dir}}`]);
    await giver.waitFor('not there yet');
    const there = stream(t, two, locator);
    for (let round = 0; round < 2; round++) {
      const sw = await startSwitch(t, 'ours', ['-s', dir], { within: one.net });
      await waitForEndpoints(sw, 1);
      const here = stream(t, one, `vde://${dir}`);
      await knock(here, there);
      await knock(there, here);
      assert.equal(clients(dir).length, 1);
      sw.process.kill('SIGTERM');
      await sw.process.exited;
      await here.process.exited;
    }
  });
}
