import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { ReceiveVector, SendVector } from '../../src/sys/batch.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { errnoNumber } from '../../src/sys/errors.js';
import { bindInet, connectInet, type InetAddress, localAddress, udpSocket } from '../../src/sys/inet.js';
import { IOVEC } from '../../src/sys/layout.js';
import { Memory } from '../../src/sys/memory.js';
import { AF_INET, setSendBuffer, trySend } from '../../src/sys/socket.js';
import { type ReceiveRing, RING_MESSAGES, receiveRing, type SendRing, sendRing } from '../../src/sys/uring.js';
import { root } from '../support/bin.js';
import { datagramPair, owned } from './ends.js';

const STRIDE = 2048;
const slab = new Memory(STRIDE * RING_MESSAGES);
const receiver = new ReceiveVector(slab.address, STRIDE, STRIDE, RING_MESSAGES);

function received(end: Descriptor): Buffer[] {
  const count = Math.max(0, receiver.receive(end.fd));
  return Array.from({ length: count }, (_, i) =>
    Buffer.from(slab.bytes.subarray(i * STRIDE, i * STRIDE + receiver.length(i))),
  );
}

/** Messages of the ring, each of another length and with other bytes. */
function messages(ring: SendRing, count: number, salt = 0): { kept: Memory; sent: Buffer[] } {
  const kept = new Memory(STRIDE * count);
  const sent = Array.from({ length: count }, (_, i) => {
    const length = 1 + ((i * 37 + salt) % 1500);
    kept.bytes.fill(i + salt, i * STRIDE, i * STRIDE + length);
    ring.set(i, kept.address + i * STRIDE, length);
    return Buffer.from(kept.bytes.subarray(i * STRIDE, i * STRIDE + length));
  });
  return { kept, sent };
}

const ring = sendRing() as SendRing;
const COUNT = 64;
const receiving = receiveRing(slab.address, STRIDE, STRIDE, COUNT)() as ReceiveRing;

test('VDE_IO_URING=0 does without a ring', () => {
  const script = "import('./src/sys/uring.ts').then(({ sendRing }) => console.log(sendRing()))";
  const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', '-e', script], {
    cwd: root,
    env: { ...process.env, VDE_IO_URING: '0' },
    encoding: 'utf8',
  });
  assert.equal(stdout, 'undefined\n');
});

describe('a ring', { skip: ring === undefined && 'the kernel has no io_uring for this process' }, () => {
  test('messages arrive whole and in order, however many and however often', (t) => {
    const [a, b] = datagramPair(t);
    for (let round = 0; round < 50; round++) {
      const { sent } = messages(ring, 1 + ((round * 29) % RING_MESSAGES), round);
      assert.equal(ring.send(a.fd, sent.length), 0);
      assert.deepEqual(received(b), sent);
    }
  });

  test('a message is gathered from the pieces that a send vector points to', (t) => {
    const [a, b] = datagramPair(t);
    const text = new Memory(16);
    text.bytes.set(Buffer.from('ethernet frames!'));
    const iovecs = new Memory(2 * IOVEC.size);
    for (const [k, from] of [0, 9].entries()) {
      iovecs.setPointer(k * IOVEC.size + IOVEC.base, text.address + from);
      iovecs.setPointer(k * IOVEC.size + IOVEC.length, k === 0 ? 5 : 7);
    }
    const vector = new SendVector(2);
    vector.set(1, iovecs.address >>> 0, Math.floor(iovecs.address / 2 ** 32), 2);
    ring.set(0, text.address, 8);
    ring.setMessage(1, vector.header(1));
    assert.equal(ring.send(a.fd, 2), 0);
    assert.deepEqual(received(b).map(String), ['ethernet', 'etherframes!']);
  });

  test('what a full peer does not take is told message by message, and the ring is as before', (t) => {
    const [a, b] = datagramPair(t);
    setSendBuffer(a, 0);
    const { sent } = messages(ring, 100);
    const failures = ring.send(a.fd, 100);
    const taken = received(b);
    assert.ok(failures > 0 && taken.length > 0);
    assert.equal(taken.length + failures, 100);
    const failed = [...ring.failed.subarray(0, failures)];
    assert.deepEqual(
      sent.filter((_, i) => !failed.includes(i)),
      taken,
    );
    assert.deepEqual(new Set(ring.errnos.subarray(0, failures)), new Set([errnoNumber('EAGAIN')]));
    assert.equal(ring.send(a.fd, 2), 0);
    assert.deepEqual(received(b), sent.slice(0, 2));
  });

  test('a peer that is gone and a descriptor that is none fail every message', (t) => {
    const [a, b] = datagramPair(t);
    b.close();
    messages(ring, 3);
    assert.equal(ring.send(a.fd, 3), 3);
    assert.deepEqual([...ring.failed.subarray(0, 3)], [0, 1, 2]);
    assert.equal(ring.errnos[0], errnoNumber('ECONNREFUSED'));
    // A number that no other thread of this process comes by.
    assert.equal(ring.send(0x7fff_ffff, 3), 3);
    assert.deepEqual([...ring.errnos.subarray(0, 3)], Array(3).fill(errnoNumber('EBADF')));
  });

  test('messages are received whole and in order, as many as there are and as there is room for', (t) => {
    const [a, b] = datagramPair(t);
    for (let round = 0; round < 50; round++) {
      const { sent } = messages(ring, 1 + ((round * 29) % RING_MESSAGES), round);
      assert.equal(ring.send(a.fd, sent.length), 0);
      const got: Buffer[] = [];
      for (let n = receiving.receive(b.fd); n > 0; n = receiving.receive(b.fd)) {
        assert.equal(n, Math.min(COUNT, sent.length - got.length));
        for (let i = 0; i < COUNT; i++) assert.equal(receiving.length(i) >= 0, i < n);
        for (let i = 0; i < n; i++) {
          got.push(Buffer.from(slab.bytes.subarray(i * STRIDE, i * STRIDE + receiving.length(i))));
        }
      }
      assert.deepEqual(got, sent);
      assert.equal(receiving.errno, 0);
    }
  });

  test('a message without a byte is one; of a long one comes what there is room for', (t) => {
    const [a, b] = datagramPair(t);
    const long = new Memory(STRIDE + 100);
    for (const [i, length] of [0, STRIDE + 100, 5].entries()) ring.set(i, long.address, length);
    assert.equal(ring.send(a.fd, 3), 0);
    assert.equal(receiving.receive(b.fd), 3);
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => receiving.length(i)),
      [0, STRIDE, 5, -1],
    );
  });

  test('an error of the socket is told, once; what is no socket is told each time', (t) => {
    const [a, b] = owned(t, udpSocket(AF_INET, 'a'), udpSocket(AF_INET, 'b'));
    bindInet(b, { address: '127.0.0.1', port: 0 });
    connectInet(a, localAddress(b.fd) as InetAddress);
    b.close();
    trySend(a, slab, 4);
    const end = performance.now() + 30_000;
    do assert.equal(receiving.receive(a.fd), 0);
    while (receiving.errno === 0 && performance.now() < end);
    assert.equal(receiving.errno, errnoNumber('ECONNREFUSED'));
    assert.equal(receiving.receive(a.fd), 0);
    assert.equal(receiving.errno, 0);
    for (let i = 0; i < 2; i++) {
      assert.equal(receiving.receive(0x7fff_ffff), 0);
      assert.equal(receiving.errno, errnoNumber('EBADF'));
    }
  });
});
