import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { DatagramPlug } from '../../src/plug/datagram.js';
import { End } from '../../src/plug/end.js';
import { SOCK_DGRAM, setSendBuffer, socketPair } from '../../src/sys/socket.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { frame, sendAll, sequence } from './frames.js';

/** An end, its plug, and the plug at the other side. */
function ends(t: Owner): { end: End; plug: DatagramPlug; peer: DatagramPlug } {
  const sockets = socketPair(SOCK_DGRAM, 'pair');
  const [plug, peer] = sockets.map((one, i) => new DatagramPlug(one, { name: `end ${i}`, maxFrame: 1514 }));
  // Room for all that these tests leave unread.
  setSendBuffer(sockets[1], 8 << 20);
  const end = new End(plug);
  cleanup(t, () => {
    end.close();
    peer.close();
  });
  return { end, plug, peer };
}

const numbered = (count: number, from = 0): Buffer[] => Array.from({ length: count }, (_, i) => frame(60, from + i));

test('frames wait in the kernel until somebody listens', async (t) => {
  const { end, peer } = ends(t);
  sendAll(peer, numbered(100));
  for (let i = 0; i < 5; i++) await immediate();
  const seen: number[] = [];
  end.on('frame', (one) => seen.push(sequence(one)));
  while (seen.length < 100) await immediate();
  assert.deepEqual(seen, [...Array(100).keys()]);
});

test('an iterator that lags stops the reading, and starts it again when it has caught up', async (t) => {
  const { end, plug, peer } = ends(t);
  const iterator = end[Symbol.asyncIterator]();
  sendAll(peer, numbered(2000));
  assert.equal(sequence((await iterator.next()).value as Buffer), 0);
  for (let i = 0; i < 20; i++) await immediate();
  assert.equal(plug.receiving, false);
  let held = 0;
  while (!plug.receiving) {
    assert.equal(sequence((await iterator.next()).value as Buffer), ++held);
    assert.ok(held < 1000, 'kept more than it may');
  }
  assert.ok(held >= 256, `only ${held} were kept`);
  for (let i = held + 1; i < 2000; i++) assert.equal(sequence((await iterator.next()).value as Buffer), i);
});

test('an iterator that is left lets the reading go on', async (t) => {
  const { end, plug, peer } = ends(t);
  sendAll(peer, numbered(1500));
  for await (const one of end) {
    assert.equal(sequence(one), 0);
    break;
  }
  assert.equal(plug.receiving, true);
  // The rest is nobody's; what comes later has a listener again.
  for (let i = 0; i < 20; i++) await immediate();
  const next = once(end, 'frame');
  sendAll(peer, [frame(60, 5000)]);
  assert.equal(sequence((await next)[0]), 5000);
});

test('several iterators share the frames, and all end with the end', async (t) => {
  const { end, peer } = ends(t);
  const seen: number[] = [];
  const readers = [1, 2, 3].map(async () => {
    for await (const one of end) seen.push(sequence(one));
  });
  await immediate();
  for (let i = 0; i < 10; i++) {
    sendAll(peer, numbered(3, i * 3));
    while (seen.length < i * 3 + 3) await immediate();
  }
  assert.deepEqual(
    seen.sort((x, y) => x - y),
    [...Array(30).keys()],
  );
  end.close();
  await Promise.all(readers);
});

test('an iterator gets what had arrived before the loss, then the error', async (t) => {
  const { end, peer } = ends(t);
  const iterator = end[Symbol.asyncIterator]();
  const first = iterator.next();
  sendAll(peer, numbered(3));
  assert.equal(sequence((await first).value as Buffer), 0);
  peer.close();
  end.send(frame(60, 1));
  end.flush();
  assert.equal(end.closed, true);
  assert.equal(sequence((await iterator.next()).value as Buffer), 1);
  assert.equal(sequence((await iterator.next()).value as Buffer), 2);
  await assert.rejects(iterator.next(), { name: 'VdeError', code: 'ECONNREFUSED' });
});

test('a listener may close the end in the middle of a burst: the others of the burst still come, none later', async (t) => {
  const { end, peer } = ends(t);
  const seen: number[] = [];
  end.on('frame', (one) => {
    seen.push(sequence(one));
    end.close();
  });
  sendAll(peer, numbered(64));
  sendAll(peer, numbered(64, 64));
  const closed = once(end, 'close');
  await closed;
  for (let i = 0; i < 10; i++) await immediate();
  assert.ok(seen.length >= 1 && seen.length <= 64, String(seen.length));
});

test('end waits for what still waits for the peer, close does not', async (t) => {
  for (const [how, all] of [
    ['end', true],
    ['close', false],
  ] as const) {
    const { end, peer } = ends(t);
    let seen = 0;
    let closed = 0;
    end.on('close', () => closed++);
    for (const one of numbered(3000)) end.send(one);
    const ended = Promise.resolve(end[how]());
    peer.sink = (burst) => {
      seen += burst.count;
    };
    await ended;
    assert.ok(end.closed);
    assert.equal(closed, 1);
    for (let i = 0; i < 20; i++) await immediate();
    assert.equal(seen === 3000, all, `${how}: ${seen}`);
  }
});
