/** What can be tested of packet sockets without one; the rest is in test/plug/packet.test.ts, in namespaces. */

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { CMSGHDR } from '../../src/sys/layout.js';
import { Memory } from '../../src/sys/memory.js';
import { AUXDATA_ROOM, ethernetAddress, packetKind, strippedTag } from '../../src/sys/packet.js';
import { SOCK_DGRAM, socketPair } from '../../src/sys/socket.js';

const SOL_PACKET = 263;
const PACKET_AUXDATA = 8;

/** One control message as the kernel makes it. */
function auxdata(fields: { status: number; tci?: number; tpid?: number; level?: number; type?: number }): Memory {
  const memory = new Memory(AUXDATA_ROOM);
  memory.setPointer(CMSGHDR.length, CMSGHDR.size + 20);
  memory.view.setInt32(CMSGHDR.level, fields.level ?? SOL_PACKET, true);
  memory.view.setInt32(CMSGHDR.type, fields.type ?? PACKET_AUXDATA, true);
  memory.view.setUint32(CMSGHDR.size, fields.status, true);
  memory.view.setUint16(CMSGHDR.size + 16, fields.tci ?? 0, true);
  memory.view.setUint16(CMSGHDR.size + 18, fields.tpid ?? 0, true);
  return memory;
}

test('the tag that was taken off is in the auxiliary data, if its status says so', () => {
  const whole = CMSGHDR.size + 20;
  assert.equal(strippedTag(auxdata({ status: 0x51, tci: 0xe005, tpid: 0x88a8 }), 0, whole), 0x88a8e005);
  assert.equal(strippedTag(auxdata({ status: 0x11, tci: 5, tpid: 0x88a8 }), 0, whole), 0x81000005);
  assert.equal(strippedTag(auxdata({ status: 0x50, tpid: 0x8100 }), 0, whole), 0x81000000);
  assert.equal(strippedTag(auxdata({ status: 0x41, tci: 5, tpid: 0x8100 }), 0, whole), 0);
  assert.equal(strippedTag(auxdata({ status: 0x51, tci: 5, tpid: 0x8100 }), 0, whole - 1), 0);
  assert.equal(strippedTag(auxdata({ status: 0x51, tci: 5, tpid: 0x8100, level: 1 }), 0, whole), 0);
  assert.equal(strippedTag(auxdata({ status: 0x51, tci: 5, tpid: 0x8100, type: 9 }), 0, whole), 0);
});

test('whatever the control memory holds, it is read within its bounds', () => {
  const memory = new Memory(AUXDATA_ROOM);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: memory.size, maxLength: memory.size }), fc.nat(memory.size), (bytes, n) => {
      memory.bytes.set(bytes);
      const tag = strippedTag(memory, 0, n);
      assert.ok(Number.isInteger(tag) && tag >= 0 && tag <= 0xffff_ffff);
    }),
  );
});

test('a socket of another kind is no interface of ours', () => {
  const [a, b] = socketPair(SOCK_DGRAM, 'pair');
  assert.equal(packetKind(a.fd).ethernet, false);
  a.close();
  b.close();
});

test('an interface that is not Ethernet, or not there, is told before a socket is made', () => {
  assert.throws(() => ethernetAddress('lo', 'packet://lo'), { code: 'EOPNOTSUPP', message: /loopback/ });
  assert.throws(() => ethernetAddress('nosuch0', 'packet://nosuch0'), { code: 'ENODEV' });
});
