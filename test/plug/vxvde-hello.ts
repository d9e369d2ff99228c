/**
 * Members of a `vxvde` cloud that find out that the other is an end of ours, and who must not be taken for one; run by
 * vxvde.test.ts in a network namespace. What stands in for C is a plain UDP socket.
 */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { Segmenter } from '../../src/frame/segmentation.js';
import type { Plug } from '../../src/plug/plug.js';
import { totalDrops } from '../../src/plug/plug.js';
import type { Vtep } from '../../src/plug/vtep.js';
import { loop } from '../../src/sys/loop.js';
import { segments } from '../frame/super-frames.js';
import { leakCheck } from '../support/leaks.js';
import { Collector, frame, sendAll } from './frames.js';
import { sendSuper, superFrame } from './super.js';
import {
  broadcast,
  GROUP,
  HEADER,
  HERE,
  member,
  memberInTime,
  PORT,
  packet,
  reply,
  type Stranger,
  stranger,
} from './vxvde-peers.js';

loop();

const timeout = 60_000;
/** Bytes that C drops: a header and what is no frame. */
const SHORT = 8 + 14;
const KIND = { request: 0xd1, answer: 0xd2 };

const isHello = (bytes: Uint8Array, kind: number) => bytes.length === 8 + 13 && bytes[8] === kind;

/** What a super-frame is cut into so that no datagram over an Ethernet needs fragments: IPv4, UDP, our header. */
function onWire(bytes: Uint8Array): Uint8Array[] {
  const cutter = new Segmenter();
  cutter.longest = 1500 - 20 - 8 - 8;
  return segments(bytes, cutter);
}

/** Counts super-frames that arrive whole. */
function wholes(plug: Plug): { count: number; other: number } {
  const seen = { count: 0, other: 0 };
  plug.sink = (burst) => {
    seen.count += burst.superFrames;
    seen.other += burst.count - burst.superFrames;
  };
  return seen;
}

/** Two members that have heard each other. */
async function acquainted(t: TestContext, locator = 'vxvde://'): Promise<[Vtep, Vtep]> {
  const [a, b] = [await member(t, locator), await member(t, locator)];
  const [atA, atB] = [new Collector(a), new Collector(b)];
  sendAll(a, [frame(60, 1)]);
  await atB.count(1);
  sendAll(b, [reply(2)]);
  await atA.count(1);
  return [a, b];
}

/** Waits until something holds, and does something else again and again. */
async function until(holds: () => boolean, meanwhile?: () => void): Promise<void> {
  const end = performance.now() + 20_000;
  for (; !holds(); await immediate()) {
    assert.ok(performance.now() < end, `it has not come to this: ${holds}`);
    meanwhile?.();
  }
}

function sendUntil(plug: Plug, bytes: Uint8Array, holds: () => boolean): Promise<void> {
  return until(holds, () => sendSuper(plug, bytes));
}

/** A member, and a stranger that it takes for the place of a station; with the member's port. */
async function withPeer(t: TestContext, clock?: () => number): Promise<{ plug: Vtep; peer: Stranger; port: number }> {
  leakCheck(t);
  const [all, peer] = [await stranger(t, { group: true }), await stranger(t)];
  const plug = clock ? await memberInTime(t, clock) : await member(t);
  const arrived = new Collector(plug);
  sendAll(plug, [broadcast(1)]);
  const [{ from }] = await all.hears(1);
  await peer.send(packet(reply(1)));
  await arrived.count(1);
  return { plug, peer, port: from.port };
}

/** Sends super-frames to a stranger until it has heard a request; returns that. */
async function requestAt(plug: Plug, peer: Stranger, nth = 1): Promise<Buffer> {
  const requests = () => peer.heard.filter(({ bytes }) => isHello(bytes, KIND.request));
  await sendUntil(plug, superFrame(), () => requests().length >= nth);
  return requests()[nth - 1].bytes;
}

for (const locator of ['vxvde://', 'vxvde:///v6/if=v0']) {
  test(`${locator}: between members that are ours super-frames pass whole, both ways`, { timeout }, async (t) => {
    leakCheck(t);
    const [a, b] = await acquainted(t, locator);
    for (const [from, to, forth] of [
      [a, b, true],
      [b, a, false],
    ] as const) {
      const bytes = superFrame(20_000, 1, forth);
      from.sink = () => {};
      const arrived = new Collector(to);
      const whole = Buffer.from(bytes.subarray(10));
      await sendUntil(from, bytes, () => arrived.frames.some((one) => one.equals(whole)));
    }
    assert.equal(totalDrops(a.drops) + totalDrops(b.drops), 0);
  });
}

test('what is for all goes as frames of the wire, though all be ours', { timeout }, async (t) => {
  leakCheck(t);
  const [a, b] = await acquainted(t);
  const all = await stranger(t, { group: true });
  const seen = wholes(b);
  a.sink = () => {};
  const bytes = superFrame();
  await sendUntil(a, bytes, () => seen.count > 0);
  assert.equal(all.heard.length, 0);
  const before = { ...seen };
  const toAll = bytes.slice();
  toAll.fill(0xff, 10, 16);
  const wire = onWire(toAll);
  sendSuper(a, toAll);
  const heard = await all.hears(wire.length);
  for (const [i, { bytes: one }] of heard.entries()) assert.deepEqual(one, packet(wire[i]));
  await until(() => seen.other >= before.other + wire.length);
  assert.equal(seen.count, before.count);
});

test('to a member that does not answer all is as to one of C, but for a few words that it drops', {
  timeout,
}, async (t) => {
  let now = 0;
  const { plug, peer } = await withPeer(t, () => now);
  const bytes = superFrame();
  // It is on this machine, whose loopback takes more at a time.
  const wire = segments(bytes).map((one) => packet(one));
  const last = packet(frame(60, 99));
  const heard = () => peer.heard.filter(({ bytes: one }) => one.length > SHORT);
  for (let round = 1; round <= 20; round++) {
    now += 100;
    sendSuper(plug, bytes);
    // Its buffer does not hold them all.
    await until(() => heard().length === round * wire.length);
  }
  sendAll(plug, [frame(60, 99)]);
  await until(() => heard().length === 20 * wire.length + 1);
  const frames = heard();
  assert.ok(frames.every(({ bytes: one }, i) => one.equals(i < 20 * wire.length ? wire[i % wire.length] : last)));
  const rest = peer.heard.filter(({ bytes: one }) => one.length <= SHORT);
  // At 0.1, 0.5 and 1.3 of 2 s.
  assert.equal(rest.length, 3);
  assert.ok(rest.every(({ bytes: one }) => isHello(one, KIND.request)));
});

test('who has not been asked cannot be taken for ours: not by a guess, nor from elsewhere', { timeout }, async (t) => {
  let now = 0;
  const { plug, peer, port } = await withPeer(t, () => now);
  const forger = await stranger(t);
  const request = await requestAt(plug, peer);
  const answer = (challenge: Uint8Array) =>
    Buffer.concat([HEADER, Buffer.of(KIND.answer), challenge, Buffer.of(3, 1, 2, 3, 4, 5)]);
  const challenge = request.subarray(9, 15);
  const wrong = Buffer.from(challenge);
  wrong[5] ^= 1;
  // By somebody else, with another challenge, of another network, and by way of the group.
  await forger.send(answer(challenge), port, HERE);
  await peer.send(answer(wrong), port, HERE);
  await peer.send(Buffer.concat([Buffer.from('0800000000000200', 'hex'), answer(challenge).subarray(8)]), port, HERE);
  await peer.send(answer(challenge), PORT, GROUP);
  const before = peer.heard.length;
  const wire = segments(superFrame()).length;
  now = 400;
  await requestAt(plug, peer, 2);
  await until(() => peer.heard.length >= before + wire);
  assert.ok(peer.heard.every(({ bytes }) => bytes.length <= 1514 + 8 && bytes[8] !== 3));
  assert.equal(forger.heard.length, 0);
  assert.deepEqual([plug.table.peers, plug.foreign], [1, 1]);
  // The right answer from the right place: what follows begins with the tag.
  now = 1200;
  const again = await requestAt(plug, peer, 3);
  await peer.send(answer(again.subarray(9, 15)), port, HERE);
  await sendUntil(plug, superFrame(), () => peer.heard.some(({ bytes }) => bytes[8] === 3 && bytes.length > SHORT));
});

test('a request is answered to who asks, not to who speaks to all, and nothing is learned', { timeout }, async (t) => {
  const { plug, port } = await withPeer(t);
  const [one, two] = [await stranger(t), await stranger(t)];
  const request = Buffer.concat([HEADER, Buffer.of(KIND.request, 1, 2, 3, 4, 5, 6), Buffer.alloc(6)]);
  await two.send(request, PORT, GROUP);
  await one.send(request, port, HERE);
  const [{ bytes }] = await one.hears(1);
  assert.ok(isHello(bytes, KIND.answer));
  assert.deepEqual(bytes.subarray(9, 15), request.subarray(9, 15));
  await one.send(request.subarray(0, 20), port, HERE);
  await one.send(request, port, HERE);
  assert.deepEqual((await one.hears(2))[1].bytes, bytes);
  assert.equal(two.heard.length, 0);
  assert.deepEqual([plug.table.size, plug.table.peers], [1, 1]);
});

test('a member that leaves or is silent is one of C again', { timeout }, async (t) => {
  const { plug, peer, port } = await withPeer(t);
  const isTagged = (bytes: Uint8Array) => bytes[8] === 3 && bytes.length > SHORT;
  const isWire = (bytes: Uint8Array) => bytes[8] === 2 && bytes.length > SHORT;
  for (const leave of [true, false]) {
    const heard = peer.heard.length;
    let answered = 0;
    const asked = () => peer.heard.slice(heard).filter(({ bytes }) => isHello(bytes, KIND.request));
    await sendUntil(plug, superFrame(), () => {
      const requests = asked();
      for (; answered < requests.length; answered++) {
        const challenge = requests[answered].bytes.subarray(9, 15);
        void peer.send(
          Buffer.concat([HEADER, Buffer.of(KIND.answer), challenge, Buffer.of(3, 1, 2, 3, 4, 5)]),
          port,
          HERE,
        );
      }
      return peer.heard.slice(heard).some(({ bytes }) => isTagged(bytes));
    });
    if (leave) {
      await peer.send(HEADER);
      await until(() => plug.table.peers === 0);
      // What was on its way has arrived when this has.
      sendAll(plug, [frame(60, 1)]);
      await peer.send(packet(reply(7)));
      await until(() => plug.table.peers > 0);
      const since = peer.heard.length;
      sendSuper(plug, superFrame());
      await peer.hears(since + 2);
      assert.ok(peer.heard.slice(since).every(({ bytes }) => !isTagged(bytes)));
    } else {
      const since = peer.heard.length;
      await sendUntil(plug, superFrame(), () => peer.heard.slice(since).some(({ bytes }) => isWire(bytes)));
    }
  }
});
