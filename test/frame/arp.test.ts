import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseArp, writeArp } from '../../src/frame/arp.js';
import { parseIpv4Address } from '../../src/frame/ipv4.js';
import { damaged, hex, mac, octets, patched, record, u32 } from './arbitraries.js';

const REQUEST = hex('0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002');

const packet = record({
  operation: fc.constantFrom('request' as const, 'reply' as const),
  senderMac: mac,
  senderIp: u32,
  targetMac: mac,
  targetIp: u32,
});

test('a request is read, with the padding that Ethernet puts behind it', () => {
  assert.deepEqual(parseArp(Uint8Array.of(...REQUEST, ...new Uint8Array(18))), {
    operation: 'request',
    senderMac: hex('020000000001'),
    senderIp: parseIpv4Address('10.0.0.1'),
    targetMac: new Uint8Array(6),
    targetIp: parseIpv4Address('10.0.0.2'),
  });
});

test('every packet survives being written and read', () => {
  fc.assert(
    fc.property(packet, (value) => {
      const bytes = writeArp(value);
      assert.equal(bytes.length, 28);
      assert.deepEqual(parseArp(bytes), value);
    }),
  );
});

test('other hardware, protocols, address lengths and operations are refused', () => {
  for (const at of [0, 1, 2, 3, 4, 5, 6]) assert.equal(parseArp(patched(REQUEST, at, 0x77)), undefined, `octet ${at}`);
  assert.equal(parseArp(patched(REQUEST, 7, 0)), undefined);
  assert.equal(parseArp(patched(REQUEST, 7, 3)), undefined);
  assert.equal(parseArp(REQUEST.subarray(0, 27)), undefined);
});

test('random bytes are read or refused, never thrown at', () => {
  fc.assert(
    fc.property(fc.oneof(octets(60), damaged(packet.map(writeArp))), (bytes) => {
      const value = parseArp(bytes);
      if (value) assert.deepEqual(writeArp(value), bytes.subarray(0, 28));
    }),
  );
});

test('addresses that are none are refused', () => {
  const value = parseArp(REQUEST)!;
  assert.throws(() => writeArp({ ...value, senderMac: new Uint8Array(5) }), RangeError);
  assert.throws(() => writeArp({ ...value, targetIp: -1 }), RangeError);
});
