import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ALL_VIEWS, Burst } from '../../src/frame/burst.js';
import { StreamDecoder } from '../../src/frame/stream.js';
import { noDrops } from '../../src/plug/plug.js';
import { RecordQueue } from '../../src/plug/record-queue.js';
import { errnoNumber } from '../../src/sys/errors.js';
import { readTo, writeFrom } from '../../src/sys/io.js';
import { Memory } from '../../src/sys/memory.js';
import { close, pipe } from '../../src/sys/process.js';
import { frame } from './frames.js';

const SIZE = 4096;
const FRAME_MAX = 1514;
const EAGAIN = errnoNumber('EAGAIN');

function load(burst: Burst, frames: readonly Buffer[]): void {
  burst.count = 0;
  for (const one of frames) assert.ok(burst.add(one));
}

test('what a sink takes piece by piece is what was queued, less what is counted as dropped', () => {
  const { read, write } = pipe();
  const memory = new Memory(SIZE);
  const burst = new Burst();
  const step = fc.record({
    sizes: fc.array(fc.integer({ min: 14, max: 1600 }), { maxLength: 8 }),
    takes: fc.array(fc.integer({ min: 1, max: 2000 }), { maxLength: 5 }),
  });
  try {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const queue = new RecordQueue(SIZE, FRAME_MAX);
        const drops = noDrops();
        const got: Buffer[] = [];
        const decoder = new StreamDecoder((bytes) => got.push(Buffer.from(bytes)), { maxFrame: FRAME_MAX });
        const take = (takes: number[]): number =>
          queue.write({
            write(address, size) {
              const most = takes.shift();
              if (most === undefined) return -EAGAIN;
              // Through a pipe: that is what an address is good for.
              const n = readTo(read, memory.address, writeFrom(write, address, Math.min(size, most)));
              decoder.push(memory.bytes.subarray(0, n));
              return n;
            },
          });
        const sent: Buffer[] = [];
        let dropped = 0;
        for (const { sizes, takes } of steps) {
          const frames = sizes.map((size, i) => frame(size, sent.length + i));
          for (const one of frames) {
            const before = drops.full + drops.oversize;
            load(burst, [one]);
            queue.add(burst, ALL_VIEWS, 1, drops);
            if (drops.full + drops.oversize === before) sent.push(one);
            else dropped++;
          }
          assert.equal(take([...takes]), 0);
        }
        assert.equal(take(new Array(100).fill(SIZE)), 0);
        assert.ok(queue.empty);
        assert.deepEqual(got, sent);
        assert.equal(drops.full + drops.oversize, dropped);
      }),
    );
  } finally {
    close(read);
    close(write);
  }
});

test('the reasons of drops, and a failure of the sink', () => {
  const queue = new RecordQueue(SIZE, FRAME_MAX);
  const drops = noDrops();
  const burst = new Burst();
  load(burst, [frame(FRAME_MAX, 0), frame(FRAME_MAX + 1, 1), frame(FRAME_MAX, 2), frame(FRAME_MAX, 3), frame(100, 4)]);
  queue.add(burst, ALL_VIEWS, 5, drops);
  assert.deepEqual({ full: drops.full, oversize: drops.oversize }, { full: 1, oversize: 1 });
  assert.equal(queue.write({ write: () => -errnoNumber('EPIPE') }), -errnoNumber('EPIPE'));
  assert.ok(!queue.empty);
  queue.clear();
  assert.ok(queue.empty);
});
