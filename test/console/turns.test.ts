/** The consoles' share of the time: all of it while no frames flow, little while they do. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { takeTurns } from '../../src/console/turns.js';
import { EPOLLIN } from '../../src/sys/epoll.js';
import { loop, PURE } from '../../src/sys/loop.js';
import { Memory } from '../../src/sys/memory.js';
import { SOCK_SEQPACKET, socketPair, tryReceive, trySend } from '../../src/sys/socket.js';
import { cleanup, type Owner } from '../support/cleanup.js';

/** When each of some slices of work began, and how many frames had passed by then. Each is as long as a slice may be. */
function work(slices: number): Promise<{ at: number; frames: number }[]> {
  const begun: { at: number; frames: number }[] = [];
  return new Promise((done) => {
    takeTurns(() => {
      const at = performance.now();
      begun.push({ at, frames: loop().frameEvents });
      while (performance.now() < at + 0.1);
      if (begun.length < slices) return true;
      done(begun);
      return false;
    });
  });
}

/** One datagram that goes from hand to hand as long as the test runs, as a frame does between stations. */
function frameInFlight(t: Owner): void {
  const ends = socketPair(SOCK_SEQPACKET, 'test');
  const memory = new Memory(64);
  const watches = ends.map((end) =>
    loop().watch(end.fd, EPOLLIN, () => {
      tryReceive(end, memory);
      trySend(end, memory, 60);
      return PURE;
    }),
  );
  cleanup(t, () => {
    for (const watch of watches) watch.close();
    for (const end of ends) end.close();
  });
  trySend(ends[0], memory, 60);
}

test('while frames flow, they pass between any two slices, and each slice is followed by a pause', async (t) => {
  frameInFlight(t);
  const slices = await work(60);
  // The first knows nothing of the frames yet.
  for (const [i, { frames }] of slices.slice(1).entries()) assert.ok(frames > slices[i].frames, `slice ${i + 1}`);
  // A pause of a millisecond is one tick of the clock of Node's timers.
  assert.ok(slices[59].at - slices[1].at >= 55, `${slices[59].at - slices[1].at} ms`);
});

test('while none flow, slices follow one another at once', async () => {
  const slices = await work(500);
  const gaps = slices.slice(1).map(({ at }, i) => at - slices[i].at);
  assert.ok(Math.min(...gaps.slice(1)) < 0.5, 'no two slices are closer than half a millisecond');
});
