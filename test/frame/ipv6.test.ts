import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  EXTENSION_HEADERS_MAX,
  formatIpv6Address,
  type Ipv6Packet,
  isMulticastIpv6,
  isUnspecifiedIpv6,
  parseIpv6,
  parseIpv6Address,
  upperLayer,
  writeIpv6,
} from '../../src/frame/ipv6.js';
import { damaged, hex, ipv6, octets, patched, record, u8 } from './arbitraries.js';

const packet = record({
  trafficClass: u8,
  flowLabel: fc.integer({ min: 0, max: 0xfffff }),
  hopLimit: u8,
  src: ipv6,
  dst: ipv6,
  nextHeader: u8,
  payload: octets(200),
});

const carrying = (nextHeader: number, payload: string): Ipv6Packet => ({
  trafficClass: 0,
  flowLabel: 0,
  hopLimit: 64,
  src: new Uint8Array(16),
  dst: new Uint8Array(16),
  nextHeader,
  payload: hex(payload),
});

test('every packet survives being written and read', () => {
  fc.assert(
    fc.property(packet, octets(8), (value, padding) => {
      assert.deepEqual(parseIpv6(Uint8Array.of(...writeIpv6(value), ...padding)), value);
    }),
  );
});

test('header fields lie where RFC 8200 puts them', () => {
  const value = { ...carrying(17, 'aabb'), trafficClass: 0xab, flowLabel: 0xcdef1 };
  assert.deepEqual(writeIpv6(value).subarray(0, 8), hex('6abcdef1 0002 11 40'));
});

test('truncated packets and other versions are refused', () => {
  const bytes = writeIpv6(carrying(17, '0102'));
  assert.equal(parseIpv6(bytes.subarray(0, 39)), undefined);
  assert.equal(parseIpv6(bytes.subarray(0, 41)), undefined);
  assert.equal(parseIpv6(patched(bytes, 0, 0x40)), undefined);
});

test('extension headers are skipped down to the protocol', () => {
  // Hop-by-hop (8 octets), destination options (16), routing (8), authentication (16), then UDP.
  const chain = `3c00000000000000 2b010000000000000000000000000000 3300000000000000 11020000000000000000000000000000`;
  assert.deepEqual(upperLayer(carrying(0, `${chain} 01020304`)), {
    protocol: 17,
    payload: hex('01020304'),
    fragment: undefined,
  });
  assert.equal(upperLayer(carrying(6, '0102'))?.protocol, 6);
  assert.equal(upperLayer(carrying(59, ''))?.protocol, 59);
});

test('fragments say where they belong, and later ones are not looked into', () => {
  const first = upperLayer(carrying(44, '11000001deadbeef 01020304'));
  assert.deepEqual(first?.fragment, { offset: 0, moreFragments: true, identification: 0xdeadbeef });
  assert.equal(first?.protocol, 17);
  // The next header says destination options, but these octets are the middle of them.
  const later = upperLayer(carrying(44, '3c000008deadbeef 3cffffff'));
  assert.deepEqual(later, {
    protocol: 60,
    payload: hex('3cffffff'),
    fragment: { offset: 8, moreFragments: false, identification: 0xdeadbeef },
  });
});

test('malformed chains are refused', () => {
  const destination = (count: number) => `${'3c00000000000000'.repeat(count - 1)} 1100000000000000`;
  assert.equal(upperLayer(carrying(60, destination(EXTENSION_HEADERS_MAX)))?.protocol, 17);
  assert.equal(upperLayer(carrying(60, destination(EXTENSION_HEADERS_MAX + 1))), undefined, 'too many');
  assert.equal(upperLayer(carrying(60, '0000000000000000 1100000000000000')), undefined, 'hop-by-hop not first');
  assert.equal(upperLayer(carrying(44, '2c00000000000001 1100000000000001')), undefined, 'two fragment headers');
  assert.equal(upperLayer(carrying(60, '1101000000000000')), undefined, 'header beyond the payload');
  assert.equal(upperLayer(carrying(60, '11000000')), undefined, 'half a header');
  assert.equal(upperLayer(carrying(44, '1100fff900000001 0102030405060708')), undefined, 'end beyond 65535');
});

test('random bytes are read or refused, never thrown at', () => {
  const extensions = fc.constantFrom(0, 43, 44, 51, 60, 135, 139, 140);
  const chained = record({
    trafficClass: u8,
    flowLabel: u8,
    hopLimit: u8,
    src: ipv6,
    dst: ipv6,
    nextHeader: extensions,
    payload: fc
      .array(fc.oneof(extensions, fc.constantFrom(0, 1, 255)), { maxLength: 200 })
      .map((l) => Uint8Array.from(l)),
  });
  fc.assert(
    fc.property(fc.oneof(octets(80), damaged(chained.map(writeIpv6))), (bytes) => {
      const read = parseIpv6(bytes);
      if (!read) return;
      assert.ok(40 + read.payload.length <= bytes.length);
      const upper = upperLayer(read);
      if (upper) assert.ok(upper.payload.length <= read.payload.length);
    }),
  );
});

test('fields that do not fit are refused', () => {
  const value = carrying(17, '');
  assert.throws(() => writeIpv6({ ...value, flowLabel: 0x100000 }), RangeError);
  assert.throws(() => writeIpv6({ ...value, payload: new Uint8Array(65536) }), RangeError);
  assert.throws(() => writeIpv6({ ...value, src: new Uint8Array(4) }), RangeError);
});

test('addresses are written as RFC 5952 says', () => {
  const canonical: Record<string, string> = {
    '2001:0db8::0001': '2001:db8::1',
    '2001:db8:0:0:0:0:2:1': '2001:db8::2:1',
    '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1',
    '2001:0:0:1:0:0:0:1': '2001:0:0:1::1',
    '2001:db8:0:0:1:0:0:1': '2001:db8::1:0:0:1',
    '2001:DB8::AAAA': '2001:db8::aaaa',
    '0:0:0:0:0:0:0:0': '::',
    '::1': '::1',
    'fe80:0:0:0:0:0:0:0': 'fe80::',
    '::ffff:c000:0201': '::ffff:192.0.2.1',
    '64:ff9b::192.0.2.1': '64:ff9b::c000:201',
  };
  for (const [text, expected] of Object.entries(canonical)) {
    assert.equal(formatIpv6Address(parseIpv6Address(text)!), expected, text);
  }
});

test('anything else is not an address', () => {
  for (const text of [
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    'fe80::1%lo',
    '12345::',
    '1.2.3.4',
  ]) {
    assert.equal(parseIpv6Address(text), undefined, text);
  }
});

test('text goes back to the same address, and WHATWG URLs agree on it', () => {
  const words = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(words, (list) => {
      const address = Uint8Array.from(list.flatMap((word) => [word >>> 8, word & 0xff]));
      const text = formatIpv6Address(address);
      assert.deepEqual(parseIpv6Address(text), address);
      if (!text.includes('.'))
        assert.equal(new URL(`http://[${list.map((w) => w.toString(16)).join(':')}]`).hostname, `[${text}]`);
    }),
  );
});

test('classes of addresses', () => {
  assert.equal(isMulticastIpv6(parseIpv6Address('ff02::1')!), true);
  assert.equal(isMulticastIpv6(parseIpv6Address('fe80::1')!), false);
  assert.equal(isUnspecifiedIpv6(parseIpv6Address('::')!), true);
  assert.equal(isUnspecifiedIpv6(parseIpv6Address('::1')!), false);
});
