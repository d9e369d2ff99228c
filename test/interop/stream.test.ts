/** Frames in byte streams: `vde_plug` of either make at both ends of a `dpipe` of either make, and Debian's `wirefilter`. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { leakCheck } from '../support/leaks.js';
import { command, frame, greet, MAKES, openEnd, records, startSwitch, waitForClients } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { run, start } from '../support/proc.js';

const PEERS = ['/usr/bin/vde_switch', '/usr/bin/vde_plug', '/usr/bin/dpipe'];

/** C's reader loses step if a record's header lies across the end of its 9234-byte buffer: a row fits into one. */
const ROW = 24;

function row(tag: string, source: number): Buffer[] {
  return Array.from({ length: ROW }, (_, i) => frame({ tag: `${tag}${i}`, size: 60 + 24 * i, source }));
}

for (const dpipe of MAKES) {
  for (const [near, far] of [
    ['ours', 'debian'],
    ['debian', 'ours'],
    ['debian', 'debian'],
    ['ours', 'ours'],
  ] as const) {
    test(`dpipe (${dpipe}) joins two switches by vde_plug (${near}) and vde_plug (${far})`, async (t) => {
      if (!requirePeer(t, ...PEERS)) return;
      leakCheck(t);
      const [first, second] = [await startSwitch(t, 'ours'), await startSwitch(t, 'debian')];
      // Debian's dpipe cannot be a session leader, as what `start` starts is.
      const cable = start(t, 'sh', [
        ...['-c', '"$@"; exit $?', 'sh', command(dpipe, 'dpipe')],
        ...[command(near, 'vde_plug'), `vde://${first.dir}`],
        '=',
        ...[command(far, 'vde_plug'), `vde://${second.dir}`],
      ]);
      const a = await openEnd(t, first.dir);
      const b = await openEnd(t, second.dir);
      await Promise.all([waitForClients(first.dir, 2), waitForClients(second.dir, 2)]);
      await greet(a, b);
      a.send(...row('there', 1));
      b.send(...row('back', 2));
      assert.deepEqual(await b.count(ROW, 'there'), row('there', 1));
      assert.deepEqual(await a.count(ROW, 'back'), row('back', 2));
      assert.equal(cable.running, true);
    });
  }
}

test("frames pass Debian's wirefilter between our vde_plug and Debian's", async (t) => {
  if (!requirePeer(t, ...PEERS, '/usr/bin/wirefilter')) return;
  leakCheck(t);
  const [first, second] = [await startSwitch(t, 'ours'), await startSwitch(t, 'ours')];
  start(t, command('ours', 'dpipe'), [
    ...[command('ours', 'vde_plug'), first.dir],
    ...['=', command('debian', 'wirefilter')],
    ...['=', command('debian', 'vde_plug'), second.dir],
  ]);
  const [a, b] = [await openEnd(t, first.dir), await openEnd(t, second.dir)];
  await Promise.all([waitForClients(first.dir, 2), waitForClients(second.dir, 2)]);
  await greet(a, b);
  // One way after the other: wirefilter mixes up records of both ways that end beyond its buffer of 2 kB.
  a.send(...row('there', 1));
  assert.deepEqual(await b.count(ROW, 'there'), row('there', 1));
  b.send(...row('back', 2));
  assert.deepEqual(await a.count(ROW, 'back'), row('back', 2));
});

test('what C writes faster than we read arrives in step: 3000 frames through a dpipe', async (t) => {
  if (!requirePeer(t, ...PEERS)) return;
  leakCheck(t);
  const [first, second] = [await startSwitch(t, 'ours'), await startSwitch(t, 'ours')];
  start(t, command('ours', 'dpipe'), [
    ...[command('debian', 'vde_plug'), first.dir],
    ...['=', command('ours', 'vde_plug'), second.dir],
  ]);
  const [a, b] = [await openEnd(t, first.dir), await openEnd(t, second.dir)];
  await Promise.all([waitForClients(first.dir, 2), waitForClients(second.dir, 2)]);
  await greet(a, b);
  const all = Array.from({ length: 3000 }, (_, i) => frame({ tag: `n${i}`, size: 60 + ((i * 37) % 1455) }));
  for (let i = 0; i < all.length; i += 50) {
    a.send(...all.slice(i, i + 50));
    await b.count(i + 50, 'n');
  }
  assert.deepEqual(await b.count(3000, 'n'), all);
});

test('what a cable was given before its end arrives at a C switch, too', async (t) => {
  if (!requirePeer(t, ...PEERS)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'debian');
  const end = await openEnd(t, dir);
  for (let turn = 0; turn < 5; turn++) {
    const frames = Array.from({ length: 40 }, (_, i) => frame({ tag: `${turn}/${i}`, size: 60 + 20 * i }));
    const { code } = await run(command('ours', 'vde_plug'), [dir], { input: records(...frames) });
    assert.equal(code, 0);
    assert.deepEqual(await end.count(40, `${turn}/`), frames);
  }
});
