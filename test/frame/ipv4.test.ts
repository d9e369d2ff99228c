import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIpv4Address, parseIpv4, parseIpv4Address, writeIpv4 } from '../../src/frame/ipv4.js';
import { damaged, hex, octets, patched, record, u8, u16, u32 } from './arbitraries.js';

/** A UDP packet's header with its checksum, b861. */
const HEADER = '4500 001e 0000 4000 4011 b8b6 c0a80001 c0a800c7';
const PACKET = hex(`${HEADER} 0102030405060708090a`);

const packet = record({
  dscp: fc.integer({ min: 0, max: 63 }),
  ecn: fc.integer({ min: 0, max: 3 }),
  identification: u16,
  dontFragment: fc.boolean(),
  moreFragments: fc.boolean(),
  fragmentOffset: fc.integer({ min: 0, max: 8000 }).map((units) => units * 8),
  ttl: u8,
  protocol: u8,
  src: u32,
  dst: u32,
  options: fc.integer({ min: 0, max: 10 }).chain((words) => octets(words * 4, words * 4)),
  payload: octets(200),
});

test('a packet is read, without what follows it', () => {
  const read = parseIpv4(Uint8Array.of(...PACKET, 0, 0, 0, 0));
  assert.equal(read?.protocol, 17);
  assert.equal(read?.ttl, 64);
  assert.equal(read?.dontFragment, true);
  assert.equal(read?.src, parseIpv4Address('192.168.0.1'));
  assert.equal(read?.dst, parseIpv4Address('192.168.0.199'));
  assert.deepEqual(read?.payload, hex('0102030405060708090a'));
});

test('every packet survives being written and read, options and fragments included', () => {
  fc.assert(
    fc.property(packet, (value) => {
      assert.deepEqual(parseIpv4(writeIpv4(value)), value);
    }),
  );
});

test('a wrong checksum is refused unless told otherwise', () => {
  fc.assert(
    fc.property(packet.map(writeIpv4), fc.nat(), fc.nat(7), (bytes, place, bit) => {
      const at = 8 + (place % 12);
      const wrong = patched(bytes, at, bytes[at] ^ (1 << bit));
      assert.equal(parseIpv4(wrong), undefined);
      assert.notEqual(parseIpv4(wrong, false), undefined);
    }),
  );
});

test('lengths that contradict each other are refused', () => {
  assert.equal(parseIpv4(PACKET.subarray(0, 19), false), undefined, 'no whole header');
  assert.equal(parseIpv4(PACKET.subarray(0, 29), false), undefined, 'total length beyond the bytes');
  assert.equal(parseIpv4(patched(PACKET, 0, 0x44), false), undefined, 'header of 16 octets');
  assert.equal(parseIpv4(patched(PACKET, 0, 0x4f), false), undefined, 'options beyond the total length');
  assert.equal(parseIpv4(patched(PACKET, 3, 19), false), undefined, 'total length within the header');
  assert.equal(parseIpv4(patched(PACKET, 0, 0x65), false), undefined, 'version 6');
});

test('a fragment that would end beyond 65535 octets is refused', () => {
  assert.equal(parseIpv4(patched(PACKET, 6, 0x1f, 0xff), false), undefined);
  assert.equal(parseIpv4(patched(PACKET, 6, 0x1f, 0xfc), false)?.fragmentOffset, 0xffe0);
});

test('random bytes are read or refused, never thrown at', () => {
  fc.assert(
    fc.property(fc.oneof(octets(80), damaged(packet.map(writeIpv4))), (bytes) => {
      const read = parseIpv4(bytes, false);
      if (read) assert.ok(20 + read.options.length + read.payload.length <= bytes.length);
    }),
  );
});

test('fields that do not fit are refused', () => {
  const value = parseIpv4(PACKET)!;
  const wrong = [
    { options: new Uint8Array(3) },
    { options: new Uint8Array(44) },
    { fragmentOffset: 4 },
    { payload: new Uint8Array(65516) },
    { fragmentOffset: 65528 },
    { ttl: 256 },
    { dscp: 64 },
    { src: 2 ** 32 },
    { identification: 1.5 },
  ];
  for (const change of wrong) {
    assert.throws(() => writeIpv4({ ...value, ...change }), RangeError, Object.keys(change)[0]);
  }
});

test('addresses as text', () => {
  assert.equal(parseIpv4Address('192.0.2.255'), 0xc00002ff);
  for (const text of ['', '1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4 ', '::1', '1.2.3.4.5', '0x1.2.3.4']) {
    assert.equal(parseIpv4Address(text), undefined, text);
  }
  fc.assert(
    fc.property(u32, (address) => {
      assert.equal(parseIpv4Address(formatIpv4Address(address)), address);
    }),
  );
});
