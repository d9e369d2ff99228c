import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseUdp, writeUdp } from '../../src/frame/udp.js';
import { damaged, endpoints, hex, octets, patched, record, u16 } from './arbitraries.js';

const datagram = record({ srcPort: u16, dstPort: u16, payload: octets(200) });
const V4 = { src: 0x0a000001, dst: 0x0a000002 };
const V6 = { src: new Uint8Array(16).fill(1), dst: new Uint8Array(16).fill(2) };

test('every datagram survives being written and read, over both versions of IP', () => {
  fc.assert(
    fc.property(datagram, endpoints, octets(8), (value, ip, padding) => {
      assert.deepEqual(parseUdp(Uint8Array.of(...writeUdp(value, ip), ...padding), ip), value);
    }),
  );
});

test('a changed bit is noticed if the addresses are known', () => {
  fc.assert(
    fc.property(datagram, endpoints, fc.nat(7), (value, ip, bit) => {
      const bytes = writeUdp(value, ip);
      const wrong = patched(bytes, 0, bytes[0] ^ (1 << bit));
      assert.equal(parseUdp(wrong, ip), undefined);
      assert.notEqual(parseUdp(wrong), undefined);
    }),
  );
});

test('no checksum is fine over IPv4 and malformed over IPv6', () => {
  const bytes = hex('0035 0401 000a 0000 abcd');
  assert.deepEqual(parseUdp(bytes, V4)?.payload, hex('abcd'));
  assert.equal(parseUdp(bytes, V6), undefined);
});

test('a checksum that comes out as 0 is sent as ones', () => {
  // Ports, length, protocol and addresses sum to 0xffff with this payload.
  const bare = writeUdp({ srcPort: 1, dstPort: 2, payload: hex('0000') }, V4);
  const bytes = writeUdp({ srcPort: 1, dstPort: 2, payload: bare.subarray(6, 8) }, V4);
  assert.deepEqual(bytes.subarray(6, 8), hex('ffff'));
  assert.notEqual(parseUdp(bytes, V4), undefined);
});

test('impossible lengths are refused', () => {
  assert.equal(parseUdp(hex('0035 0401 0008 00')), undefined, 'short');
  assert.equal(parseUdp(hex('0035 0401 0007 0000')), undefined, 'length within the header');
  assert.equal(parseUdp(hex('0035 0401 0009 0000')), undefined, 'length beyond the bytes');
  assert.equal(parseUdp(hex('0035 0401 0008 0000'))?.payload.length, 0);
});

test('random bytes are read or refused, never thrown at', () => {
  const valid = datagram.map((value) => writeUdp(value, V4));
  fc.assert(
    fc.property(fc.oneof(octets(40), damaged(valid)), fc.constantFrom(undefined, V4, V6), (bytes, ip) => {
      const read = parseUdp(bytes, ip);
      if (read) assert.ok(8 + read.payload.length <= bytes.length);
    }),
  );
});

test('fields that do not fit are refused', () => {
  assert.throws(() => writeUdp({ srcPort: 65536, dstPort: 1, payload: hex('') }, V4), RangeError);
  assert.throws(() => writeUdp({ srcPort: 1, dstPort: 1, payload: new Uint8Array(65528) }, V4), RangeError);
});
