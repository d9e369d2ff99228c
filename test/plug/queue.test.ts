import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import fc from 'fast-check';
import { BURST_SIZE, Burst } from '../../src/frame/burst.js';
import { DatagramPlug } from '../../src/plug/datagram.js';
import { FrameQueue, QUEUE_BYTES, QUEUE_FRAMES } from '../../src/plug/queue.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { errnoNumber } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { Memory } from '../../src/sys/memory.js';
import {
  AF_UNIX,
  bindUnix,
  connectUnix,
  SOCK_DGRAM,
  setSendBuffer,
  socket,
  socketPair,
  tryReceive,
} from '../../src/sys/socket.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';

const EAGAIN = errnoNumber('EAGAIN');
const burst = new Burst();
const incoming = new Memory(66_000);

/** Puts one frame into the burst; its view is 0. */
function view(bytes: Uint8Array): number {
  burst.count = 0;
  assert.ok(burst.add(bytes));
  return 0;
}

function numbered(n: number, size: number): Buffer {
  const bytes = Buffer.alloc(size, n & 0xff);
  bytes.writeUInt32LE(n, 0);
  return bytes;
}

function receive(socket: Descriptor): Buffer | undefined {
  const n = tryReceive(socket, incoming);
  return n < 0 ? undefined : Buffer.from(incoming.bytes.subarray(0, n));
}

function drain(socket: Descriptor): Buffer[] {
  const all: Buffer[] = [];
  for (let one = receive(socket); one; one = receive(socket)) all.push(one);
  return all;
}

function pair(t: TestContext): [Descriptor, Descriptor] {
  const both = socketPair(SOCK_DGRAM, 'pair');
  cleanup(t, () => both.forEach((one) => void one.close()));
  return both;
}

/** Empties a queue to a reader that takes everything. */
function empty(queue: FrameQueue, writer: Descriptor, reader: Descriptor): Buffer[] {
  const all: Buffer[] = [];
  while (queue.flush(writer.fd) === EAGAIN) all.push(...drain(reader));
  return [...all, ...drain(reader)];
}

test('what goes in comes out, in order and unchanged, also as a view with a tag', (t) => {
  const [writer, reader] = pair(t);
  const queue = new FrameQueue();
  const frames = [14, 60, 1514, 9000, 65_549, 15].map((size, n) => numbered(n, size));
  for (const one of frames) assert.ok(queue.push(burst, view(one)));
  assert.deepEqual([queue.frames, queue.bytes], [6, frames.reduce((sum, { length }) => sum + length, 0)]);
  const plain = numbered(9, 64);
  assert.ok(queue.push(burst, burst.retag(view(plain), 300, false)));
  const out = empty(queue, writer, reader);
  const tagged = Buffer.concat([plain.subarray(0, 12), Buffer.from([0x81, 0, 1, 44]), plain.subarray(12)]);
  assert.deepEqual(out, [...frames, tagged]);
  assert.deepEqual([queue.frames, queue.bytes], [0, 0]);
});

test('a queue takes so many frames and no more, and is good again when some have gone', (t) => {
  const [writer, reader] = pair(t);
  const queue = new FrameQueue();
  for (let n = 0; n < QUEUE_FRAMES; n++) assert.ok(queue.push(burst, view(numbered(n, 60))), `frame ${n}`);
  assert.equal(queue.push(burst, view(numbered(0, 60))), false);
  queue.dropFirst();
  assert.ok(queue.push(burst, view(numbered(QUEUE_FRAMES, 60))));
  assert.equal(queue.push(burst, view(numbered(0, 60))), false);
  const order = empty(queue, writer, reader).map((bytes) => bytes.readUInt32LE(0));
  assert.deepEqual(
    order,
    Array.from({ length: QUEUE_FRAMES }, (_, n) => n + 1),
  );
});

test('a queue takes so many bytes and no more', () => {
  const queue = new FrameQueue();
  let n = 0;
  while (queue.push(burst, view(numbered(n, 60_000)))) n++;
  assert.equal(n, Math.floor(QUEUE_BYTES / 60_000));
  assert.ok(queue.push(burst, view(numbered(n, QUEUE_BYTES - n * 60_000))), 'a smaller one still fits');
  assert.equal(queue.bytes, QUEUE_BYTES);
  assert.equal(queue.push(burst, view(numbered(0, 14))), false);
  assert.equal(queue.clear(), n + 1);
  assert.ok(queue.push(burst, view(numbered(0, 60_000))));
  queue.clear();
});

test('all queues together take a bounded share of memory, and give it back', () => {
  const queues: FrameQueue[] = [];
  const frame = numbered(0, 60_000);
  const fill = () => {
    const queue = new FrameQueue();
    queues.push(queue);
    let bytes = 0;
    while (queue.push(burst, view(frame))) bytes += 60_000;
    return bytes;
  };
  const before = process.memoryUsage().arrayBuffers;
  let total = 0;
  for (let n = 0; n < 200; n++) total += fill();
  assert.ok(total < 64 << 20, `${total} bytes in 200 queues`);
  assert.ok(total > 8 << 20, `${total} bytes in 200 queues`);
  assert.ok(process.memoryUsage().arrayBuffers - before < 100 << 20);
  assert.equal(fill(), 0, 'nothing is left for another');
  for (const queue of queues) queue.clear();
  assert.ok(fill() > QUEUE_BYTES - 60_000, 'and everything after they have been emptied');
  queues.at(-1)?.clear();
});

test('whatever the course of events, no frame is lost, doubled, changed or overtaken', (t) => {
  const [writer, reader] = pair(t);
  setSendBuffer(writer, 32 << 10);
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('push' as const),
        count: fc.integer({ min: 1, max: 300 }),
        size: fc.oneof(fc.integer({ min: 14, max: 200 }), fc.integer({ min: 14, max: 16_000 })),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('read' as const), count: fc.integer({ min: 1, max: 200 }) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('flush' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('dropFirst' as const) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new FrameQueue();
      // What waits in the queue, and what waits in the kernel: number and size of each frame.
      const waiting: [number, number][] = [];
      const flying: [number, number][] = [];
      let n = 0;
      const read = () => {
        const bytes = receive(reader);
        const expected = flying.shift();
        if (expected === undefined) return assert.equal(bytes, undefined);
        assert.deepEqual(bytes, numbered(...expected));
      };
      const flush = () => {
        const result = queue.flush(writer.fd);
        assert.ok(result === 0 || result === EAGAIN, `errno ${result}`);
        assert.equal(result === 0, queue.frames === 0);
        flying.push(...waiting.splice(0, waiting.length - queue.frames));
      };
      for (const one of steps) {
        if (one.do === 'push') {
          for (let i = 0; i < one.count; i++) {
            const fits: boolean = waiting.length < QUEUE_FRAMES && queue.bytes + one.size <= QUEUE_BYTES;
            assert.equal(queue.push(burst, view(numbered(n, one.size))), fits);
            if (fits) waiting.push([n, one.size]);
            n++;
          }
        } else if (one.do === 'read') for (let i = 0; i < one.count; i++) read();
        else if (one.do === 'flush') flush();
        else {
          queue.dropFirst();
          waiting.shift();
        }
        assert.equal(queue.frames, waiting.length);
        assert.equal(
          queue.bytes,
          waiting.reduce((sum, [, size]) => sum + size, 0),
        );
      }
      while (waiting.length > 0) {
        while (flying.length > 0) read();
        flush();
      }
      while (flying.length > 0) read();
      read();
    }),
    { numRuns: 60 },
  );
});

test('a full socket is waited for, not spun at; what waited goes out when the peer reads', {
  timeout: 60_000,
}, async (t) => {
  loop();
  leakCheck(t);
  const [ours, theirs] = socketPair(SOCK_DGRAM, 'pair');
  const plug = new DatagramPlug(ours, { name: 'slow', maxFrame: 1514 });
  cleanup(t, () => {
    plug.close();
    theirs.close();
  });
  const views = Uint8Array.from({ length: BURST_SIZE }, (_, i) => i);
  let n = 0;
  while (plug.drops.full === 0) {
    burst.count = 0;
    while (burst.add(numbered(n, 600))) n++;
    plug.send(burst, views, BURST_SIZE);
  }
  assert.ok(plug.backlogged);
  const accepted = n - plug.drops.full;
  const drained = new Promise<void>((done) => {
    plug.onDrained = done;
  });
  const before = loop().frameEvents;
  await new Promise((done) => setTimeout(done, 200));
  const events = loop().frameEvents - before;
  assert.ok(events <= 1, `woken ${events} times in 200 ms of waiting`);
  const got: Buffer[] = [];
  // The reader lets the loop turn between its reads, as another process would.
  while (plug.backlogged) {
    got.push(...drain(theirs));
    await new Promise((done) => setImmediate(done));
  }
  await drained;
  got.push(...drain(theirs));
  assert.deepEqual(
    got,
    Array.from({ length: accepted }, (_, i) => numbered(i, 600)),
  );
});

test('frames too long for the end are dropped and counted, the others of the burst go', (t) => {
  const [ours, theirs] = socketPair(SOCK_DGRAM, 'pair');
  const plug = new DatagramPlug(ours, { name: 'narrow', maxFrame: 100 });
  cleanup(t, () => {
    plug.close();
    theirs.close();
  });
  burst.count = 0;
  for (const size of [100, 101, 60]) burst.add(numbered(size, size));
  plug.send(burst, Uint8Array.of(0, 1, 2), 3);
  assert.deepEqual(
    drain(theirs).map(({ length }) => length),
    [100, 60],
  );
  assert.equal(plug.drops.oversize, 1);
});

test('an end whose peer has gone is lost once, with everything that was to go counted', async (t) => {
  loop();
  leakCheck(t);
  const [ours, theirs] = socketPair(SOCK_DGRAM, 'pair');
  const plug = new DatagramPlug(ours, { name: 'gone', maxFrame: 1514 });
  theirs.close();
  burst.count = 0;
  for (let n = 0; n < 3; n++) burst.add(numbered(n, 60));
  let lost = 0;
  let counted = 0;
  plug.onLost = () => {
    lost++;
    counted = plug.drops.error;
  };
  plug.send(burst, Uint8Array.of(0, 1, 2), 3);
  plug.send(burst, Uint8Array.of(0, 1, 2), 3);
  assert.deepEqual([lost, counted], [1, 3]);
});

test('an end that is not being read still notices that its peer has turned to another, and does not spin', {
  timeout: 60_000,
}, async (t) => {
  const dir = tmpDir(t);
  const [ours, theirs, other] = ['ours', 'theirs', 'other'].map((name) => {
    const one = socket(AF_UNIX, SOCK_DGRAM, name);
    cleanup(t, () => one.close());
    bindUnix(one, `${dir}/${name}`);
    return one;
  });
  assert.ok(other);
  connectUnix(ours, `${dir}/theirs`);
  connectUnix(theirs, `${dir}/ours`);
  const plug = new DatagramPlug(ours, { name: 'ours', maxFrame: 1514 });
  cleanup(t, () => plug.close());
  plug.sink = () => assert.fail('nothing was sent');
  plug.receiving = false;
  const lost = new Promise<unknown>((done) => {
    plug.onLost = done;
  });
  // The kernel tells only if a frame is lost by it.
  burst.count = 0;
  burst.add(numbered(0, 60));
  plug.send(burst, Uint8Array.of(0), 1);
  connectUnix(theirs, `${dir}/other`);
  assert.match(String(await lost), /ours: Connection reset by peer/);
});
