/**
 * Members of a `vxvde` cloud among themselves, and with strangers who send whatever they like; run by vxvde.test.ts in a
 * network namespace. The strangers are plain UDP sockets.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { openPlug } from '../../src/plug/registry.js';
import type { Vtep } from '../../src/plug/vtep.js';
import { loop } from '../../src/sys/loop.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { Collector, frame, sendAll } from './frames.js';
import { sendSuper, superFrame } from './super.js';
import { broadcast, GROUP, HEADER, HERE, member, memberInTime, PORT, packet, reply, stranger } from './vxvde-peers.js';

// The loop's descriptors stay: they are no leak of the test that needs them first.
loop();

const timeout = 60_000;

test('what is sent to all, to one, and on leaving, octet by octet', { timeout }, async (t) => {
  leakCheck(t);
  const all = await stranger(t, { group: true });
  const peer = await stranger(t);
  const plug = await member(t);
  const arrived = new Collector(plug);
  sendAll(plug, [broadcast(1), frame(60, 2)]);
  // Nobody has been heard yet: the group gets both.
  const [first, second] = await all.hears(2);
  assert.equal(first.bytes.toString('hex'), `0800000000000100${broadcast(1).toString('hex')}`);
  assert.deepEqual(second.bytes, packet(frame(60, 2)));
  const own = first.from.port;
  assert.notEqual(own, PORT);
  // It is known by where it sends from, whether it is heard by way of the group or directly.
  await peer.send(packet(reply(3)));
  await arrived.count(1);
  sendAll(plug, [frame(60, 4), frame(1514, 5), broadcast(6)]);
  assert.deepEqual(
    (await peer.hears(2)).map(({ bytes, from }) => [bytes, from.port]),
    [
      [packet(frame(60, 4)), own],
      [packet(frame(1514, 5)), own],
    ],
  );
  await peer.send(packet(reply(7, 14)), own, HERE);
  await arrived.count(2);
  arrived.assertFrames([reply(3), reply(7, 14)]);
  plug.close();
  const group = await all.hears(5);
  assert.deepEqual(
    group.slice(2).map(({ bytes }) => bytes),
    [packet(reply(3)), packet(broadcast(6)), HEADER],
  );
  assert.equal(group[4].from.port, own);
});

test('nobody hears himself, and members of one machine are told apart', { timeout }, async (t) => {
  leakCheck(t);
  const [a, b, c] = [await member(t), await member(t), await member(t)];
  const [atA, atB, atC] = [a, b, c].map((plug) => new Collector(plug));
  sendAll(a, [broadcast(1)]);
  await Promise.all([atB.count(1), atC.count(1)]);
  sendAll(b, [reply(2)]);
  await atA.count(1);
  sendAll(a, [frame(60, 3)]);
  await atB.count(2);
  // From c, after what else may have come there.
  sendAll(b, [Buffer.concat([broadcast(4).subarray(0, 6), reply(4).subarray(6)])]);
  await Promise.all([atA.count(2), atC.count(2)]);
  assert.equal(atB.frames.length, 2);
  assert.deepEqual([a.foreign, b.foreign, c.foreign], [0, 0, 0]);
  assert.deepEqual([a.table.size, c.table.size], [1, 2]);
});

test('a member that leaves is forgotten, and so is one that is silent for long', { timeout }, async (t) => {
  leakCheck(t);
  const all = await stranger(t, { group: true });
  let now = 0;
  const plug = await memberInTime(t, () => now);
  const arrived = new Collector(plug);
  const other = await member(t);
  const there = new Collector(other);
  const meet = async (heard: number) => {
    sendAll(other, [reply(0)]);
    await arrived.count(heard);
  };
  await meet(1);
  sendAll(plug, [frame(60, 1)]);
  await there.count(1);
  now = 100_001;
  sendAll(plug, [frame(60, 2)]);
  assert.deepEqual((await all.hears(2)).at(-1)?.bytes, packet(frame(60, 2)));
  await there.count(2);
  await meet(2);
  sendAll(plug, [frame(60, 3)]);
  await there.count(3);
  other.close();
  // Its word of leave follows what it said before.
  await arrived.until(() => plug.table.peers === 0, 'forgotten');
  sendAll(plug, [frame(60, 4)]);
  const group = (await all.hears(4)).map(({ bytes }) => bytes);
  assert.deepEqual(group.slice(2), [HEADER, packet(frame(60, 4))]);
});

test('a word of leave counts after the frames that arrive together with it', { timeout }, async (t) => {
  leakCheck(t);
  const [leaver, other] = [await stranger(t), await stranger(t)];
  const plug = await member(t);
  const arrived = new Collector(plug);
  plug.receiving = false;
  for (let i = 0; i < 3; i++) {
    await leaver.send(packet(reply(i)));
    await leaver.send(HEADER);
  }
  const last = frame(60, 9);
  await other.send(packet(last));
  plug.receiving = true;
  await arrived.count(4);
  arrived.assertFrames([reply(0), reply(1), reply(2), last]);
  assert.deepEqual([plug.table.peers, leaver.heard.length], [1, 0]);
  sendAll(plug, [reply(10)]);
  assert.deepEqual((await other.hears(1))[0].bytes, packet(reply(10)));
});

test('with a list of networks, others than their members are not heard, nor learned', { timeout }, async (t) => {
  leakCheck(t);
  const peer = await stranger(t);
  const open = await member(t, `vxvde:///from='192.0.2.0/24,${HERE}/24'`);
  const shut = await member(t, `vxvde:///from='${HERE}7,192.0.2.0/24'`);
  const [heard, nothing] = [new Collector(open), new Collector(shut)];
  await peer.send(packet(reply(1)));
  await heard.count(1);
  await nothing.until(() => shut.foreign === 1, 'refused');
  assert.deepEqual([open.table.size, open.foreign, shut.table.size, nothing.frames.length], [1, 0, 0, 0]);
});

test('other networks, other headers and group addresses are neither delivered nor learned', { timeout }, async (t) => {
  leakCheck(t);
  const peer = await stranger(t);
  const plug = await member(t);
  const arrived = new Collector(plug);
  await peer.send(packet(reply(0)));
  await arrived.count(1);
  const from = reply(1);
  const headers = ['0800000000000200', '0800000000000101', '0800010000000100', '0000000000000100', '8800000000000100'];
  for (const header of headers) {
    await peer.send(packet(from, Buffer.from(header, 'hex')));
    // A word of leave that is not of this network.
    await peer.send(Buffer.from(header, 'hex'));
  }
  for (let length = 0; length < 8; length++) await peer.send(HEADER.subarray(0, length));
  await peer.send(packet(from.subarray(0, 13)));
  const group = reply(2);
  group[6] |= 1;
  await peer.send(packet(group));
  await arrived.count(2);
  arrived.assertFrames([reply(0), group]);
  assert.deepEqual([plug.foreign, plug.drops.runt], [headers.length * 2 + 8, 1]);
  assert.deepEqual([plug.table.size, plug.table.peers], [1, 1]);
});

test('a forged frame does not take an active station away; the table is bounded', { timeout }, async (t) => {
  leakCheck(t);
  const [peer, forger] = [await stranger(t), await stranger(t)];
  const plug = await member(t, 'vxvde:///hashsize=8');
  const arrived = new Collector(plug);
  await peer.send(packet(reply(0)));
  await forger.send(packet(reply(1)));
  await arrived.count(2);
  sendAll(plug, [frame(60, 2)]);
  assert.deepEqual((await peer.hears(1))[0].bytes, packet(frame(60, 2)));
  for (let i = 0; i < 100; i++) {
    const one = reply(i);
    one.writeUInt32BE(i + 100, 8);
    await forger.send(packet(one));
  }
  await arrived.count(102);
  assert.ok(plug.table.size <= 8);
  sendAll(plug, [frame(60, 3)]);
  assert.deepEqual((await peer.hears(2))[1].bytes, packet(frame(60, 3)));
  assert.equal(forger.heard.length, 0);
});

test('any octets at either socket do no harm', { timeout }, async (t) => {
  leakCheck(t);
  const [all, peer] = [await stranger(t, { group: true }), await stranger(t)];
  const plug = await member(t);
  const arrived = new Collector(plug);
  sendAll(plug, [broadcast(0)]);
  const [{ from }] = await all.hears(1);
  const noise = fc.uint8Array({ maxLength: 200 });
  const octets = fc.oneof(
    noise,
    noise.map((bytes) => packet(bytes)),
    fc.constant(HEADER),
    fc.uint8Array({ minLength: 30_000, maxLength: 60_000 }).map((bytes) => packet(bytes)),
  );
  let valid = 0;
  for (const [i, bytes] of fc.sample(octets, 400).entries()) {
    await peer.send(bytes, i % 2 ? PORT : from.port, i % 2 ? GROUP : HERE);
    if (bytes.length >= 8 + 14 && HEADER.equals(bytes.subarray(0, 8))) valid++;
    if (i % 16 === 15) await arrived.until(() => arrived.frames.length === valid, `${valid} frames`);
  }
  const last = arrived.frames.length;
  await peer.send(packet(reply(1)));
  await arrived.count(last + 1);
  assert.deepEqual(arrived.frames.at(-1), reply(1));
});

test('a frame of 9234 octets passes, a longer one is counted', { timeout }, async (t) => {
  leakCheck(t);
  const [a, b] = [await member(t), await member(t)];
  const arrived = new Collector(b);
  sendAll(a, [frame(9234, 1), frame(9235, 2), Buffer.alloc(13), frame(60, 4)]);
  await arrived.count(2);
  arrived.assertFrames([frame(9234, 1), frame(60, 4)]);
  assert.deepEqual([a.drops.oversize, a.drops.runt], [1, 1]);
});

test('a receive buffer that the kernel does not allow is told once', { timeout }, async (t) => {
  leakCheck(t);
  const probe = await stranger(t);
  const lines: string[] = [];
  for (const rcvbuf of [4096, 1 << 29]) {
    const plug = await openPlug(`vxvde:///rcvbuf=${rcvbuf}`, { onNotice: (line) => lines.push(line) });
    plug.close();
  }
  // Node asks as an ordinary program does: what it gets is the limit, unless this process may go beyond it.
  probe.socket.setRecvBufferSize(1 << 29);
  const limit = probe.socket.getRecvBufferSize() / 2;
  const told = `vxvde:///rcvbuf=536870912: a receive buffer of ${limit} bytes instead of 536870912 (net.core.rmem_max)`;
  assert.deepEqual(lines, lines.length === 0 ? [] : [told]);
});

test('a second VXLAN end point at a port is refused by name', { timeout }, async (t) => {
  leakCheck(t);
  const first = await member(t, 'vxlan://');
  await assert.rejects(openPlug('vxlan:///vni=2'), {
    code: 'EADDRINUSE',
    message: /^vxlan:\/\/\/vni=2: 0\.0\.0\.0:4789: Address already in use \(.*UDP port 4789.*port=N\)$/,
  });
  await member(t, 'vxlan:///port=4790');
  first.close();
  await member(t, 'vxlan:///vni=2');
});

test('a VXLAN end point does not believe that a member is on its own machine', { timeout }, async (t) => {
  leakCheck(t);
  const peer = await stranger(t);
  const plug = await member(t, 'vxlan://');
  const arrived = new Collector(plug);
  await peer.send(packet(reply(1)), 4789, HERE);
  await arrived.count(1);
  assert.equal(plug.table.size, 0);
});

test('without a route to the group it is said what to do; one that goes away later is told once', async (t) => {
  leakCheck(t);
  const lines: string[] = [];
  const plug = (await openPlug('vxvde://', { onNotice: (line) => lines.push(line) })) as Vtep;
  cleanup(t, () => plug.close());
  assert.ok(plug.adoptable());
  const route = ['route', 'del', '224.0.0.0/4'];
  execFileSync('ip', route);
  try {
    // Who would serve it elsewhere could tell nobody.
    assert.equal(plug.adoptable(), undefined);
    sendAll(plug, [broadcast(1), broadcast(2)]);
    assert.equal(plug.drops.error, 2);
    assert.deepEqual(lines, ['vxvde://: nothing can be sent to group 239.0.0.1: Network is unreachable']);
    for (const scheme of ['vxvde', 'vxlan']) {
      await assert.rejects(openPlug(`${scheme}://`), {
        code: 'ENODEV',
        message: new RegExp(
          `^${scheme}://: 239\\.0\\.0\\.1: No such device \\(.*ip route add 224\\.0\\.0\\.0/4 dev.*if=`,
        ),
      });
    }
    // An interface that is named needs no route.
    (await openPlug('vxvde:///if=v0')).close();
  } finally {
    execFileSync('ip', [...route.with(1, 'add'), 'dev', 'v0']);
  }
});

test('an interface that has been deleted costs frames, and no exception', { timeout }, async (t) => {
  leakCheck(t);
  execFileSync('ip', ['link', 'add', 'd0', 'type', 'veth', 'peer', 'name', 'd1']);
  execFileSync('ip', ['address', 'add', '10.78.0.1/24', 'dev', 'd0']);
  execFileSync('ip', ['link', 'set', 'd0', 'up']);
  const plugs = [await member(t, 'vxvde:///if=d0'), await member(t, 'vxlan:///if=d0')];
  execFileSync('ip', ['link', 'del', 'd0']);
  for (const plug of plugs) {
    plug.onUnreachable = () => {};
    sendSuper(plug, superFrame());
    assert.ok(plug.drops.error > 0);
    assert.equal(plug.adoptable(), undefined);
  }
});
