import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReceiveVector, SendVector } from '../../src/sys/batch.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { errnoNumber } from '../../src/sys/errors.js';
import {
  bindInet,
  type InetAddress,
  localAddress,
  readInetAddress,
  udpSocket,
  writeInetAddress,
} from '../../src/sys/inet.js';
import { IOVEC } from '../../src/sys/layout.js';
import { Memory } from '../../src/sys/memory.js';
import { AF_INET, setSendBuffer } from '../../src/sys/socket.js';
import { arrival, datagramPair } from './ends.js';

const STRIDE = 256;

/** Message i of a vector is gathered from these pieces. */
function message(vector: SendVector, i: number, pieces: readonly string[]): Memory[] {
  const parts = pieces.map((text) => {
    const part = new Memory(text.length);
    part.bytes.set(Buffer.from(text));
    return part;
  });
  const iovecs = new Memory(IOVEC.size * parts.length);
  for (const [k, part] of parts.entries()) {
    iovecs.setPointer(k * IOVEC.size + IOVEC.base, part.address);
    iovecs.setPointer(k * IOVEC.size + IOVEC.length, pieces[k].length);
  }
  vector.set(i, iovecs.address >>> 0, Math.floor(iovecs.address / 2 ** 32), parts.length);
  return [...parts, iovecs];
}

function receiver(slab: Memory, room = STRIDE): ReceiveVector {
  return new ReceiveVector(slab.address, STRIDE, room, slab.size / STRIDE);
}

function text(slab: Memory, vector: ReceiveVector, i: number): string {
  return Buffer.from(slab.bytes.subarray(i * STRIDE, i * STRIDE + vector.length(i))).toString();
}

test('64 datagrams go with one call and come with one call, in order and whole', (t) => {
  const [a, b] = datagramPair(t);
  const sender = new SendVector(64);
  const kept = Array.from({ length: 64 }, (_, i) => message(sender, i, ['frame ', String(i), '!'.repeat(i)]));
  assert.equal(sender.send(a.fd, 0, 64), 64);
  const slab = new Memory(64 * STRIDE);
  const vector = receiver(slab);
  assert.equal(vector.receive(b.fd), 64);
  for (let i = 0; i < 64; i++) {
    assert.equal(text(slab, vector, i), `frame ${i}${'!'.repeat(i)}`);
    assert.equal(vector.truncated(i), false);
  }
  assert.equal(vector.receive(b.fd), -errnoNumber('EAGAIN'));
  assert.equal(kept.length, 64);
});

test('a part of a vector is sent, and no more received than asked for', (t) => {
  const [a, b] = datagramPair(t);
  const sender = new SendVector(8);
  const kept = Array.from({ length: 8 }, (_, i) => message(sender, i, [String(i)]));
  assert.equal(sender.send(a.fd, 2, 3), 3);
  const slab = new Memory(8 * STRIDE);
  const vector = receiver(slab);
  assert.equal(vector.receive(b.fd, 2), 2);
  assert.deepEqual([text(slab, vector, 0), text(slab, vector, 1)], ['2', '3']);
  assert.equal(vector.receive(b.fd), 1);
  assert.equal(text(slab, vector, 0), '4');
  assert.equal(kept.length, 8);
});

test('a datagram longer than its room is cut and says so; its neighbours are untouched', (t) => {
  const [a, b] = datagramPair(t);
  const sender = new SendVector(3);
  const kept = [message(sender, 0, ['12345678']), message(sender, 1, ['123456789']), message(sender, 2, ['123'])];
  assert.equal(sender.send(a.fd, 0, 3), 3);
  const slab = new Memory(3 * STRIDE);
  slab.bytes.fill(0x2e);
  const vector = receiver(slab, 8);
  assert.equal(vector.receive(b.fd), 3);
  assert.deepEqual(
    [0, 1, 2].map((i) => [vector.length(i), vector.truncated(i)]),
    [
      [8, false],
      [8, true],
      [3, false],
    ],
  );
  assert.equal(slab.bytes[STRIDE + 8], 0x2e);
  assert.equal(kept.length, 3);
});

test('a full peer takes what fits, then EAGAIN; a closed one is an errno', (t) => {
  const [a, b] = datagramPair(t);
  setSendBuffer(a, 4096);
  const sender = new SendVector(64);
  const kept = Array.from({ length: 64 }, (_, i) => message(sender, i, ['x'.repeat(200)]));
  const taken = sender.send(a.fd, 0, 64);
  assert.ok(taken > 0 && taken < 64, String(taken));
  assert.equal(sender.send(a.fd, taken, 64 - taken), -errnoNumber('EAGAIN'));
  b.close();
  assert.equal(sender.send(a.fd, 0, 1), -errnoNumber('ECONNREFUSED'));
  assert.equal(kept.length, 64);
});

test('each datagram may have a destination of its own, and tells where it came from', async (t) => {
  const sockets = [0, 1, 2].map(() => udpSocket(AF_INET, 'udp'));
  t.after(() => {
    for (const one of sockets) one.close();
  });
  for (const one of sockets) bindInet(one, { address: '127.0.0.1', port: 0 });
  const [hub, ...peers] = sockets;
  const places = sockets.map((one) => localAddress(one.fd) as InetAddress);
  const addresses = new Memory(3 * 32);
  const sender = new SendVector(4);
  const kept = Array.from({ length: 4 }, (_, i) => message(sender, i, [`message ${i}`]));
  for (const i of [0, 1, 2, 3]) {
    const peer = 1 + (i % 2);
    sender.setDestination(i, addresses.address + peer * 32, writeInetAddress(addresses, peer * 32, places[peer]));
  }
  assert.equal(sender.send(hub.fd, 0, 4), 4);
  const slab = new Memory(4 * STRIDE);
  const vector = new ReceiveVector(slab.address, STRIDE, STRIDE, 4, { sources: true });
  for (const [p, peer] of peers.entries()) {
    for (let came = 0; came < 2; ) {
      const n = await collect(vector, peer, 2 - came);
      assert.ok(n > 0, String(n));
      for (let i = 0; i < n; i++, came++) {
        assert.equal(text(slab, vector, i), `message ${p + 2 * came}`);
        const { sources } = vector;
        assert.deepEqual(readInetAddress(sources as Memory, vector.sourceOffset(i), vector.sourceLength(i)), places[0]);
      }
    }
  }
  assert.equal(kept.length, 4);
});

test('without a destination of its own again, a message goes to the peer', (t) => {
  const [a, b] = datagramPair(t);
  const sender = new SendVector(1);
  const kept = message(sender, 0, ['x']);
  const nowhere = new Memory(16);
  sender.setDestination(0, nowhere.address, 16);
  assert.ok(sender.send(a.fd, 0, 1) < 0);
  sender.setDestination(0, nowhere.address, 0);
  assert.equal(sender.send(a.fd, 0, 1), 1);
  const slab = new Memory(STRIDE);
  const vector = new ReceiveVector(slab.address, STRIDE, STRIDE, 1, { sources: true });
  assert.equal(vector.receive(b.fd), 1);
  // The other end of a socket pair has no name.
  assert.equal(vector.sourceLength(0), 0);
  assert.equal(kept.length, 2);
});

/**
 * Receives up to `count` datagrams once there is one: those of one send over the loopback mostly all are there at once, but
 * not where the kernel has much else to deliver.
 */
async function collect(vector: ReceiveVector, socket: Descriptor, count: number): Promise<number> {
  await arrival(socket);
  return vector.receive(socket.fd, count);
}
