/** Cables of either make through switches of either make. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { leakCheck } from '../support/leaks.js';
import { command, frame, greet, MAKES, openEnd, plugStream, startSwitch, waitForClients } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { start } from '../support/proc.js';

const PEERS = ['/usr/bin/vde_switch', '/usr/bin/vde_plug'];
/** Header alone, ordinary sizes, the longest that any C switch passes. */
const SIZES = [14, 15, 60, 61, 1000, 1514, 1518];

for (const switchMake of MAKES) {
  for (const [left, right] of [
    ['ours', 'ours'],
    ['debian', 'debian'],
    ['ours', 'debian'],
  ] as const) {
    test(`frames pass identical between vde_plug (${left}) and vde_plug (${right}) through vde_switch (${switchMake})`, async (t) => {
      if (!requirePeer(t, ...PEERS)) return;
      leakCheck(t);
      const { dir } = await startSwitch(t, switchMake);
      const a = await plugStream(t, left, dir);
      const b = await plugStream(t, right, dir);
      for (const [index, size] of SIZES.entries()) {
        const there = frame({ tag: `t${index}`, size, source: 1 });
        const back = frame({ tag: `b${index}`, size, source: 2, destination: 1 });
        a.send(there);
        b.send(back);
      }
      // A frame of a header alone has no room for a tag: compare all of them, in their order.
      await b.receive(`t${SIZES.length - 1}`);
      await a.receive(`b${SIZES.length - 1}`);
      const sent = (tag: string, source: number, destination?: number) =>
        SIZES.map((size, i) => frame({ tag: `${tag}${i}`, size, source, destination }).toString('hex'));
      assert.deepEqual(
        b.received.map((one) => one.toString('hex')),
        sent('t', 1),
      );
      assert.deepEqual(
        a.received.map((one) => one.toString('hex')),
        sent('b', 2, 1),
      );
    });
  }
}

test('a cable ends when the switch at either end goes, and the other switch gets its port back', async (t) => {
  if (!requirePeer(t, ...PEERS)) return;
  leakCheck(t);
  for (const goes of ['ours', 'debian'] as const) {
    const [first, second] = [await startSwitch(t, 'ours'), await startSwitch(t, 'debian')];
    const cable = start(t, command('ours', 'vde_plug'), [`vde://${first.dir}`, `vde://${second.dir}`]);
    const [a, b] = [await openEnd(t, first.dir), await openEnd(t, second.dir)];
    await Promise.all([waitForClients(first.dir, 2), waitForClients(second.dir, 2)]);
    await greet(a, b);
    const [gone, left] = goes === 'ours' ? [first, second] : [second, first];
    gone.process.kill('SIGTERM');
    assert.deepEqual(await cable.exited, { code: 0, signal: null });
    await waitForClients(left.dir, 1);
  }
});

test('frames of 9000 bytes pass between our plugs and C plugs, through our switch', async (t) => {
  if (!requirePeer(t, ...PEERS)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const ends = [await plugStream(t, 'ours', dir), await plugStream(t, 'debian', dir), await plugStream(t, 'ours', dir)];
  for (const [index, end] of ends.entries()) {
    // 9216 bytes of payload, a header and a tag are what vdeplug4's buffers hold.
    for (const size of [9000, 9014, 9234]) end.send(frame({ tag: `${index}/${size}`, size, source: index + 1 }));
  }
  for (const [to, end] of ends.entries()) {
    for (const [index] of ends.entries()) {
      if (index === to) continue;
      for (const size of [9000, 9014, 9234]) {
        const tag = `${index}/${size}`;
        assert.deepEqual(await end.receive(tag), frame({ tag, size, source: index + 1 }));
      }
    }
  }
});

test('frames of 64 kB pass between our own ends, and a C client never sees one, not even cut', async (t) => {
  if (!requirePeer(t, ...PEERS)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const [a, b] = [await openEnd(t, dir), await openEnd(t, dir)];
  const c = await plugStream(t, 'debian', dir);
  const size = a.end.maxFrame;
  assert.ok(size >= 65_549);
  a.send(frame({ tag: 'large', size }), frame({ tag: 'after' }));
  assert.deepEqual(await b.receive('large'), frame({ tag: 'large', size }));
  await c.receive('after');
  assert.deepEqual(c.received, [frame({ tag: 'after' })]);
});
