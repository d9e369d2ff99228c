import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { FRAME_MAX } from '../../src/frame/burst.js';
import { Cable, openEnds, openFor } from '../../src/plug/cable.js';
import { DatagramPlug } from '../../src/plug/datagram.js';
import type { Plug } from '../../src/plug/plug.js';
import { SOCK_DGRAM, socketPair } from '../../src/sys/socket.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { complianceSuite } from './compliance.js';
import { Collector, frame, sendAll, sequence } from './frames.js';

function pair(t: Owner): [Plug, Plug] {
  const [a, b] = socketPair(SOCK_DGRAM, 'pair').map(
    (end, i) => new DatagramPlug(end, { name: `end ${i}`, maxFrame: FRAME_MAX }),
  );
  cleanup(t, () => {
    a.close();
    b.close();
  });
  return [a, b];
}

complianceSuite({
  name: 'datagram sockets with a cable between them',
  openPair: async (t) => {
    const [[a, left], [right, b]] = [pair(t), pair(t)];
    const cable = new Cable(left, right);
    void cable.ended.then(() => cable.close());
    return { a, b };
  },
  // Neither the kernel nor the cable tells an idle datagram socket about its peer's end. Runts stay at the cable.
  supports: { loss: 'never', runtsCounted: false },
});

test('an observer sees every burst, and which end it came from', async (t) => {
  const [[a, left], [right, b]] = [pair(t), pair(t)];
  const seen: [string, number][] = [];
  const cable = new Cable(left, right, (burst, from) => seen.push([from === left ? 'left' : 'right', burst.count]));
  const [atA, atB] = [new Collector(a), new Collector(b)];
  sendAll(a, [frame(60, 1), frame(60, 2)]);
  await atB.count(2);
  sendAll(b, [frame(60, 3)]);
  await atA.count(1);
  assert.deepEqual(seen, [
    ['left', 2],
    ['right', 1],
  ]);
  cable.close();
  cable.close();
});

test('an end lost while the other was being opened ends the cable; its owner may have closed it first', async (t) => {
  const [[a, peer], [b], [mine, other]] = [pair(t), pair(t), pair(t)];
  peer.close();
  sendAll(a, [frame(60, 1)]);
  const { lost, error } = await new Cable(a, b).ended;
  assert.equal(lost, a);
  assert.equal(error?.code, 'ECONNREFUSED');
  other.close();
  sendAll(mine, [frame(60, 1)]);
  mine.onLost = () => assert.fail('told after the end was closed');
  mine.close();
  for (let i = 0; i < 5; i++) await immediate();
});

test('a slow end is felt at the other: nothing is lost, and order is kept', async (t) => {
  const [[a, left], [right, b]] = [pair(t), pair(t)];
  new Cable(left, right);
  const arrived = new Collector(b);
  b.receiving = false;
  let sent = 0;
  // What the cable does not read piles up at the sender.
  while (!a.backlogged) {
    sendAll(
      a,
      Array.from({ length: 64 }, () => frame(1000, sent++)),
    );
    await immediate();
    assert.ok(sent < 50_000);
  }
  b.receiving = true;
  await arrived.count(sent);
  assert.ok(arrived.frames.every((one, i) => sequence(one) === i));
  assert.equal(left.drops.full + right.drops.full + a.drops.full, 0);
});

test('a cable ends with the end that is lost, and the other can be drained first', async (t) => {
  const [[a, left], [right, b]] = [pair(t), pair(t)];
  const cable = new Cable(left, right);
  const arrived = new Collector(b);
  b.receiving = false;
  let sent = 0;
  while (!right.backlogged) {
    sendAll(
      a,
      Array.from({ length: 64 }, () => frame(1000, sent++)),
    );
    await immediate();
  }
  // The sender goes; its end of the cable notices when it sends.
  while (left.drops.error === 0) {
    a.close();
    sendAll(left, [frame(60, 0)]);
  }
  const { lost, error } = await cable.ended;
  assert.equal(lost, left);
  assert.equal(error?.code, 'ECONNREFUSED');
  const drained = Cable.drain(right, 10_000);
  b.receiving = true;
  await drained;
  assert.equal(right.backlogged, false);
  cable.close();
  await immediate();
  assert.ok(arrived.frames.length > 0);
});

test('draining gives up after its time, and at once where nothing waits', async (t) => {
  const [a, b] = pair(t);
  await Cable.drain(a, 60_000);
  b.receiving = false;
  while (!a.backlogged) sendAll(a, [frame(1000, 1)]);
  const begin = performance.now();
  await Cable.drain(a, 30);
  assert.ok(performance.now() - begin >= 29);
});

test('both ends are opened, and none is left open if one cannot be', async (t) => {
  const nothingLeft = leakCheck(t);
  const spec = (locator: string) => ({ locator, options: {} });
  const [a, b] = await openEnds(spec('null://a'), spec('null://b'));
  assert.deepEqual([a.name, b.name], ['null://a', 'null://b']);
  const other = await openFor(a, spec('null://c'));
  assert.notEqual(other.adopted, true);
  for (const end of [a, b, other]) end.close();
  for (const observed of [false, true]) {
    await assert.rejects(openEnds(spec('null://a'), spec('vde:///no/such/switch'), observed), { code: 'ENOENT' });
    await assert.rejects(openEnds(spec('vde:///no/such/switch'), spec('null://a'), observed), { code: 'ENOENT' });
  }
  await nothingLeft();
});
