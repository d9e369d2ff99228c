import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { ReceiveVector, SendVector } from '../../src/sys/batch.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { bindInet, connectInet, type InetAddress, localAddress, servicePort, udpSocket } from '../../src/sys/inet.js';
import { IOVEC } from '../../src/sys/layout.js';
import { Memory } from '../../src/sys/memory.js';
import { AF_INET, AF_INET6 } from '../../src/sys/socket.js';
import {
  enableReceiveOffload,
  SEGMENT_CONTROL_ROOM,
  segmentSize,
  unfragmentedPayload,
} from '../../src/sys/udp-offload.js';
import { arrival } from './ends.js';

const ROOM = 65_536;

/** Two UDP sockets connected to each other. */
function pair(t: TestContext, address = '127.0.0.1'): [Descriptor, Descriptor] {
  const family = address.includes(':') ? AF_INET6 : AF_INET;
  const [a, b] = [udpSocket(family, 'a'), udpSocket(family, 'b')];
  t.after(() => {
    a.close();
    b.close();
  });
  for (const one of [a, b]) bindInet(one, { address, port: 0 });
  connectInet(a, localAddress(b.fd) as InetAddress);
  connectInet(b, localAddress(a.fd) as InetAddress);
  return [a, b];
}

interface Message {
  length: number;
  segment: number;
}

/** Sends `bytes` of a pattern as datagrams of `size`, and receives all that comes of them. */
async function move(from: Descriptor, to: Descriptor, bytes: number, size: number): Promise<Message[]> {
  const data = new Memory(bytes);
  for (let i = 0; i < bytes; i++) data.bytes[i] = i % 251;
  const iovec = new Memory(IOVEC.size);
  iovec.setPointer(IOVEC.base, data.address);
  iovec.setPointer(IOVEC.length, bytes);
  const sender = new SendVector(1);
  sender.set(0, iovec.address >>> 0, Math.floor(iovec.address / 2 ** 32), 1);
  sender.setSegmentSize(0, size);
  assert.equal(sender.send(from.fd, 0, 1), 1);
  const slab = new Memory(ROOM * 32);
  const receiver = new ReceiveVector(slab.address, ROOM, ROOM, 32, { control: SEGMENT_CONTROL_ROOM });
  const messages: Message[] = [];
  // Mostly all is there at once, but not where the kernel has much else to deliver.
  for (let at = 0; at < bytes; ) {
    await arrival(to);
    const n = receiver.receive(to.fd);
    assert.ok(n > 0, String(n));
    for (let i = 0; i < n; i++) {
      const length = receiver.length(i);
      const segment = segmentSize(receiver.control as Memory, receiver.controlOffset(i), receiver.controlLength(i));
      messages.push({ length, segment });
      for (let k = 0; k < length; k++, at++) assert.equal(slab.bytes[i * ROOM + k], at % 251);
    }
  }
  return messages;
}

for (const address of ['127.0.0.1', '::1']) {
  test(`a message is cut into datagrams, and joined again for who asks for that: ${address}`, async (t) => {
    const [a, b] = pair(t, address);
    const lengths = [1000, 1000, 1000, 400];
    assert.deepEqual(
      await move(a, b, 3400, 1000),
      lengths.map((length) => ({ length, segment: 0 })),
    );
    assert.ok(enableReceiveOffload(b));
    assert.deepEqual(await move(a, b, 3400, 1000), [{ length: 3400, segment: 1000 }]);
    const [one] = await move(a, b, 800, 0);
    assert.equal(one.length, 800);
    assert.ok(one.segment === 0 || one.segment >= 800);
  });

  test(`the longest datagram that needs no fragments: ${address}`, (t) => {
    const [a] = pair(t, address);
    assert.ok(unfragmentedPayload(a.fd) > 1000);
    assert.ok(unfragmentedPayload(a.fd) <= 65_507);
  });
}

test('a socket without a peer has no path', (t) => {
  const one = udpSocket(AF_INET, 'one');
  t.after(() => one.close());
  assert.equal(unfragmentedPayload(one.fd), 0);
});

test('any control messages: a size or none (fuzz)', () => {
  const memory = new Memory(SEGMENT_CONTROL_ROOM * 2);
  const word = fc.oneof(fc.constantFrom(0, 17, 104, 16, 20, 24), fc.nat(0xffff_ffff));
  fc.assert(
    fc.property(fc.array(word, { maxLength: memory.size / 4 }), fc.nat(200), fc.boolean(), (words, length, second) => {
      memory.bytes.fill(0);
      memory.words.set(words);
      const size = segmentSize(memory, second ? SEGMENT_CONTROL_ROOM : 0, length);
      assert.ok(Number.isInteger(size) && size >= 0);
    }),
  );
});

test('services have their ports', () => {
  // Where no package has brought the list, no service has a name.
  assert.equal(servicePort('domain'), existsSync('/etc/services') ? 53 : undefined);
  assert.equal(servicePort('no such service'), undefined);
});
