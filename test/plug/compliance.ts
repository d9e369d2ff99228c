/**
 * What every plug must do, whatever its locator: one set of tests that each locator's test file runs.
 *
 *     complianceSuite({ name: 'datagram', openPair: async (t) => ({ a, b }), supports: { loss: 'on send' } });
 *
 * `openPair` opens two plugs that are joined by whatever the locator stands for: a socket, a switch, a bridge. What one
 * sends arrives at the other. What a locator cannot do by its nature is said in `supports`.
 */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { ALL_VIEWS, BURST_SIZE, Burst, FRAME_MAX } from '../../src/frame/burst.js';
import { type Plug, totalDrops } from '../../src/plug/plug.js';
import { loop } from '../../src/sys/loop.js';
import { cleanup } from '../support/cleanup.js';
import { fdCount, leakCheck } from '../support/leaks.js';
import { Collector, contents, frame, sendAll, sequence } from './frames.js';

/** Two joined plugs, opened for one test. They are closed by the suite. */
export interface Pair {
  a: Plug;
  b: Plug;
  /** Takes away what `a` is connected to; closing `b` if not given. */
  lose?(): unknown;
  /** Frames dropped between the two plugs, so far. */
  droppedBetween?(): number;
}

export interface Supports {
  /**
   * How `a` learns that its peer is gone: at once (default), when it sends the next frame, or not at all.
   */
  loss?: 'noticed' | 'on send' | 'never';
  /** Frames that carry an 802.1Q tag arrive with it (default); a switch takes it off, or refuses the VLAN. */
  tags?: boolean;
  /** A peer that does not read makes `a` backlogged (default). */
  backlog?: boolean;
  /** Every frame that does not arrive is counted somewhere (default). */
  counted?: boolean;
  /** A frame shorter than an Ethernet header is counted at one of the two (default), not between them. */
  runtsCounted?: boolean;
}

export interface Compliance {
  name: string;
  openPair(t: TestContext): Promise<Pair>;
  /** Longest frame that arrives whole; the lesser `maxFrame` of the two by default. */
  maxFrame?: number;
  supports?: Supports;
  /**
   * What `b` sends goes one frame at a time, each awaited: the stream parser of the C tools loses step when a read ends
   * within the two bytes of a length, which happens as soon as more is on its way than it reads at once.
   */
  oneByOne?: boolean;
  /** Why the suite cannot run here; each test is skipped then. */
  skip?(t: TestContext): boolean;
}

/** Frames that are sent to a peer that does not read: more than any queue on the way holds. */
const FLOOD = 60_000;

/** Declares the tests of one locator. */
export function complianceSuite({ name, openPair, maxFrame, supports = {}, oneByOne = false, skip }: Compliance): void {
  const { loss = 'noticed', tags = true, backlog = true, counted = true, runtsCounted = true } = supports;

  /** Sends frames from `b` to `a`, where they are the next to arrive. */
  const sendBack = async (b: Plug, frames: readonly Buffer[], arrived: Collector): Promise<void> => {
    const before = arrived.frames.length;
    for (const [i, one] of oneByOne ? frames.entries() : []) {
      sendAll(b, [one]);
      await arrived.count(before + i + 1);
    }
    if (!oneByOne) sendAll(b, frames);
    await arrived.count(before + frames.length);
  };

  /** A test with a pair of its own; nothing may be left of it. */
  const check = (what: string, body: (pair: Pair, t: TestContext) => Promise<void>): void => {
    it(what, { timeout: 60_000 }, async (t) => {
      if (skip?.(t)) return;
      loop();
      leakCheck(t);
      const pair = await openPair(t);
      cleanup(t, () => {
        pair.a.close();
        pair.b.close();
      });
      await body(pair, t);
    });
  };

  describe(`plug compliance: ${name}`, () => {
    check('frames of every size arrive as they were sent, both ways and in order', async ({ a, b }) => {
      const most = maxFrame ?? Math.min(a.maxFrame, b.maxFrame);
      const sizes = [14, 15, 59, 60, 64, 512, 1514, 1518, most - 1, most].filter((size) => size <= most);
      for (const [from, to] of [
        [a, b],
        [b, a],
      ]) {
        const arrived = new Collector(to);
        const frames = sizes.map((size, i) => frame(size, i, from === a));
        if (from === b) await sendBack(b, frames, arrived);
        else sendAll(a, frames);
        await arrived.count(frames.length);
        arrived.assertFrames(frames);
      }
    });

    check('what is in a frame is nobody’s business', async ({ a, b }) => {
      const arrived = new Collector(b);
      const frames = contents(tags);
      sendAll(a, frames);
      await arrived.count(frames.length);
      arrived.assertFrames(frames);
    });

    check('bursts of 1 to 64 frames arrive whole', async ({ a, b }) => {
      const arrived = new Collector(b);
      const frames: Buffer[] = [];
      for (let size = 1; size <= BURST_SIZE; size++) {
        const burst = Array.from({ length: size }, (_, i) => frame(60 + ((size * 7 + i) % 400), frames.length + i));
        frames.push(...burst);
        sendAll(a, burst);
        await arrived.count(frames.length);
      }
      arrived.assertFrames(frames);
    });

    check('a list of views goes out in the order of the list, each as often as it is listed', async ({ a, b }) => {
      const arrived = new Collector(b);
      const burst = new Burst();
      const frames = [0, 1, 2].map((i) => frame(100 + i, i));
      for (const one of frames) burst.add(one);
      a.send(burst, Uint8Array.of(2, 0, 2, 1), 4);
      await arrived.count(4);
      arrived.assertFrames([frames[2], frames[0], frames[2], frames[1]]);
    });

    check('traffic in both directions at once loses nothing', async ({ a, b }) => {
      const [atA, atB] = [new Collector(a), new Collector(b)];
      const [fromA, fromB]: Buffer[][] = [[], []];
      // Each that goes one by one is awaited.
      const [forth, back] = [32, oneByOne ? 4 : 32];
      for (let round = 0; round < 50; round++) {
        const more = (all: Buffer[], first: boolean): Buffer[] => {
          const frames = { length: first ? forth : back };
          return Array.from(frames, (_, i) => frame(60 + ((round + i) % 1000), all.length + i, first));
        };
        const [toB, toA] = [more(fromA, true), more(fromB, false)];
        fromA.push(...toB);
        fromB.push(...toA);
        sendAll(a, toB);
        await Promise.all([sendBack(b, toA, atA), atB.count(fromA.length)]);
      }
      atA.assertFrames(fromB);
      atB.assertFrames(fromA);
    });

    check('a frame that is too long is dropped and counted, those beside it arrive', async ({ a, b }) => {
      const arrived = new Collector(b);
      const burst = new Burst();
      const [before, after] = [frame(64, 1), frame(64, 2)];
      burst.add(before);
      burst.add(frame(Math.min(a.maxFrame + 1, FRAME_MAX), 3));
      burst.add(after);
      // Where the plug takes all that a slot holds, a tag makes the frame too long.
      const long = a.maxFrame >= FRAME_MAX ? burst.retag(1, 5, false) : 1;
      a.send(burst, Uint8Array.of(0, long, 2), 3);
      await arrived.count(2);
      arrived.assertFrames([before, after]);
      assert.equal(a.drops.oversize, 1);
    });

    check('a frame shorter than an Ethernet header does not arrive', async (pair) => {
      const { a, b } = pair;
      const arrived = new Collector(b);
      const frames = [frame(64, 1), frame(64, 2), frame(64, 3)];
      sendAll(a, [frames[0], Buffer.alloc(13, 1), frames[1], Buffer.alloc(1, 1), frames[2]]);
      await arrived.count(3);
      arrived.assertFrames(frames);
      if (runtsCounted) assert.equal(totalDrops(a.drops) + totalDrops(b.drops), 2);
    });

    check('frames that arrive before there is a sink are not lost', async ({ a, b }) => {
      const frames = Array.from({ length: 40 }, (_, i) => frame(100, i));
      sendAll(a, frames);
      const back = new Collector(a);
      sendAll(b, [frame(60, 0, false)]);
      await back.count(1);
      const arrived = new Collector(b);
      await arrived.count(40);
      arrived.assertFrames(frames);
    });

    check('receiving can be stopped, and goes on without loss', async ({ a, b }) => {
      const arrived = new Collector(b);
      const back = new Collector(a);
      const frames = Array.from({ length: 120 }, (_, i) => frame(100, i));
      sendAll(a, frames.slice(0, 40));
      await arrived.count(40);
      b.receiving = false;
      sendAll(a, frames.slice(40));
      // A frame that comes the other way shows that the loop has been round.
      for (let i = 0; i < 5; i++) {
        sendAll(b, [frame(60, i, false)]);
        await back.count(i + 1);
      }
      assert.equal(arrived.frames.length, 40, 'delivered while not receiving');
      b.receiving = true;
      await arrived.count(120);
      arrived.assertFrames(frames);
    });

    check('receiving can be stopped and started inside the sink', async ({ a, b }) => {
      const frames = Array.from({ length: 200 }, (_, i) => frame(60, i));
      const arrived = new Collector(b, () => {
        b.receiving = false;
        setImmediate(() => {
          b.receiving = true;
        });
      });
      sendAll(a, frames);
      await arrived.count(200);
      arrived.assertFrames(frames);
    });

    check(
      'a peer that does not read costs frames, never time; what is lost is counted, and order is kept',
      async (pair) => {
        const { a, b } = pair;
        const arrived = new Collector(b);
        b.receiving = false;
        const begin = performance.now();
        const burst = new Burst();
        for (let sent = 0; sent < FLOOD; sent += burst.count) {
          burst.count = 0;
          for (let i = 0; i < BURST_SIZE && sent + i < FLOOD; i++) burst.add(frame(60, sent + i));
          a.send(burst, ALL_VIEWS, burst.count);
          if (sent % 1024 === 0) await immediate();
        }
        assert.ok(performance.now() - begin < 45_000, 'send has waited');
        b.receiving = true;
        const dropped = (): number => totalDrops(a.drops) + totalDrops(b.drops) + (pair.droppedBetween?.() ?? 0);
        if (counted) await arrived.until(() => arrived.frames.length + dropped() === FLOOD, 'all accounted for');
        // Traffic flows again: a later frame comes after all of them. It may have to be tried more than once, as long as
        // what stands in between is still full.
        let last = FLOOD;
        sendAll(a, [frame(60, last)]);
        const retry = setInterval(() => sendAll(a, [frame(60, ++last)]), 50);
        const flowing = (): boolean => arrived.frames.length > 0 && sequence(arrived.frames.at(-1) as Buffer) >= FLOOD;
        await arrived.until(flowing, 'flowing again').finally(() => clearInterval(retry));
        const order = arrived.frames.map(sequence);
        assert.ok(order.length > 100, `only ${order.length} arrived`);
        for (let i = 1; i < order.length; i++) assert.ok(order[i] > order[i - 1], `${order[i]} after ${order[i - 1]}`);
      },
    );

    check('onDrained is called when the waiting frames have gone', async ({ a, b }) => {
      if (!backlog) return;
      const arrived = new Collector(b);
      b.receiving = false;
      let sent = 0;
      while (!a.backlogged && sent < FLOOD) {
        sendAll(
          a,
          Array.from({ length: 64 }, () => frame(1000, sent++)),
        );
        await immediate();
      }
      assert.ok(a.backlogged, `not backlogged after ${sent} frames`);
      const drained = new Promise<void>((done) => {
        a.onDrained = done;
      });
      b.receiving = true;
      await drained;
      assert.equal(a.backlogged, false);
      await arrived.count(sent - totalDrops(a.drops));
    });

    check('a sink may send', async ({ a, b }) => {
      const back = new Collector(a);
      b.sink = (burst) => b.send(burst, ALL_VIEWS, burst.count);
      const frames = Array.from({ length: 64 }, (_, i) => frame(60 + i, i));
      // As the addresses are not turned round, a switch in between would learn them at the wrong port: broadcasts.
      for (const one of frames) one.fill(0xff, 0, 6);
      for (let at = 0; at < frames.length; at += oneByOne ? 1 : 64) {
        sendAll(a, frames.slice(at, oneByOne ? at + 1 : undefined));
        await back.count(oneByOne ? at + 1 : 64);
      }
      back.assertFrames(frames);
    });

    check('a sink may close its plug: it is not called again', async ({ a, b }) => {
      let calls = 0;
      const called = new Promise<void>((done) => {
        b.sink = () => {
          calls++;
          b.close();
          done();
        };
      });
      sendAll(
        a,
        Array.from({ length: 200 }, (_, i) => frame(60, i)),
      );
      await called;
      for (let i = 0; i < 20; i++) await immediate();
      assert.equal(calls, 1);
    });

    check('closing is final, silent, gives descriptors back and may be done twice', async ({ a, b }) => {
      let lost = 0;
      a.onLost = () => lost++;
      new Collector(a);
      const before = fdCount(process.pid);
      a.close();
      assert.ok(fdCount(process.pid) < before);
      a.close();
      sendAll(a, [frame(60, 1)]);
      a.receiving = false;
      a.receiving = true;
      a.sink = undefined;
      for (let i = 0; i < 5; i++) await immediate();
      assert.equal(lost, 0);
      b.close();
    });

    check('the loss of the peer is told once', async ({ a, b, lose = () => b.close() }) => {
      if (loss === 'never') return;
      let lost = 0;
      const told = new Promise<void>((done) => {
        a.onLost = () => {
          lost++;
          done();
        };
      });
      new Collector(a);
      await lose();
      if (loss === 'on send') sendAll(a, [frame(60, 1)]);
      await told;
      sendAll(a, [frame(60, 2)]);
      for (let i = 0; i < 10; i++) await immediate();
      assert.equal(lost, 1);
      a.close();
      assert.equal(lost, 1);
    });

    check('the loss of the peer is told also while nothing is received', async ({ a, b, lose = () => b.close() }) => {
      if (loss !== 'noticed') return;
      const told = new Promise<void>((done) => {
        a.onLost = () => done();
      });
      new Collector(a);
      sendAll(a, [frame(60, 1)]);
      await immediate();
      await lose();
      await told;
    });
  });
}
