import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { FRAME_MAX } from '../../src/frame/burst.js';
import { DatagramPlug } from '../../src/plug/datagram.js';
import { Memory } from '../../src/sys/memory.js';
import {
  AF_UNIX,
  bindUnix,
  connectUnix,
  SOCK_DGRAM,
  setSendBuffer,
  socket,
  socketPair,
  trySend,
} from '../../src/sys/socket.js';
import { cleanup } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { complianceSuite } from './compliance.js';
import { Collector, frame, sendAll } from './frames.js';

for (const offloads of [false, true]) {
  complianceSuite({
    name: `datagram sockets ${offloads ? 'with' : 'without'} offload headers`,
    openPair: async () => {
      const [a, b] = socketPair(SOCK_DGRAM, 'pair').map(
        (end, i) => new DatagramPlug(end, { name: `end ${i}`, maxFrame: FRAME_MAX, offloads }),
      );
      return { a, b };
    },
    // The kernel tells an idle datagram socket nothing about its peer's end.
    supports: { loss: 'on send' },
  });
}

// Those that come behind a full burst are received another way.
for (const before of [0, 70])
  test(`datagrams that are no frames are dropped and counted, those between them arrive: behind ${before}`, async (t) => {
    const [raw, end] = socketPair(SOCK_DGRAM, 'pair');
    const plug = new DatagramPlug(end, { name: 'end', maxFrame: 1514 });
    cleanup(t, () => {
      raw.close();
      plug.close();
    });
    setSendBuffer(raw, 1 << 20);
    const put = (bytes: Uint8Array): void => {
      const memory = new Memory(bytes.length);
      memory.bytes.set(bytes);
      assert.equal(trySend(raw, memory, bytes.length), bytes.length);
    };
    const frames = [frame(14, 1), frame(1514, 2), frame(FRAME_MAX, 3), frame(60, 4)];
    const first = Array.from({ length: before }, (_, i) => frame(60 + i, i));
    first.forEach(put);
    put(Buffer.alloc(0));
    put(frames[0]);
    put(Buffer.alloc(13));
    put(frames[1]);
    put(Buffer.alloc(FRAME_MAX + 1));
    put(frames[2]);
    put(Buffer.alloc(100_000));
    put(frames[3]);
    const arrived = new Collector(plug);
    await arrived.count(before + 4);
    arrived.assertFrames([...first, ...frames]);
    assert.deepEqual(plug.drops, { full: 0, oversize: 2, runt: 2, error: 0 });
    assert.deepEqual(plug.arrivalDrops, { oversize: 2, runt: 2 });
  });

test('frames for a peer that is gone are counted as errors before the loss is told', (t) => {
  const [raw, end] = socketPair(SOCK_DGRAM, 'pair');
  const plug = new DatagramPlug(end, { name: 'my end', maxFrame: 1514 });
  cleanup(t, () => plug.close());
  raw.close();
  let told: unknown;
  plug.onLost = (error) => {
    told = { code: error?.code, subject: error?.subject, errors: plug.drops.error };
  };
  sendAll(plug, [frame(60, 1), frame(60, 2), frame(60, 3)]);
  assert.deepEqual(told, { code: 'ECONNREFUSED', subject: 'my end', errors: 3 });
});

test('a peer that is not connected back takes few at a time, and gets all of them in order', async (t) => {
  const path = join(tmpDir(t), 's');
  const [raw, end] = ['peer', 'end'].map((subject) => socket(AF_UNIX, SOCK_DGRAM, subject));
  bindUnix(raw, path);
  connectUnix(end, path);
  const [peer, plug] = [raw, end].map((one) => new DatagramPlug(one, { name: one.subject, maxFrame: 1514 }));
  cleanup(t, () => {
    peer.close();
    plug.close();
  });
  const arrived = new Collector(peer);
  for (let round = 1; round <= 6; round++) {
    sendAll(
      plug,
      Array.from({ length: 64 }, (_, i) => frame(60 + i, round)),
    );
    await arrived.count(round * 64);
  }
  arrived.assertFrames(Array.from({ length: 6 * 64 }, (_, i) => frame(60 + (i % 64), 1 + Math.floor(i / 64))));
  assert.deepEqual(plug.drops, { full: 0, oversize: 0, runt: 0, error: 0 });
});
