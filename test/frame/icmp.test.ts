import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checksum, pseudoHeaderSum } from '../../src/frame/checksum.js';
import { type Icmpv6Message, parseIcmpv4, parseIcmpv6, writeIcmpv4, writeIcmpv6 } from '../../src/frame/icmp.js';
import { parseIpv6Address } from '../../src/frame/ipv6.js';
import { damaged, hex, ipv6, mac, octets, patched, record, u16 } from './arbitraries.js';

const echo = record({
  kind: fc.constantFrom('echo-request' as const, 'echo-reply' as const),
  identifier: u16,
  sequence: u16,
  data: octets(100),
});
const target = ipv6.filter((address) => address[0] !== 0xff);
const linkLayer = fc.option(mac, { nil: undefined });
const message: fc.Arbitrary<Icmpv6Message> = fc.oneof(
  echo,
  record({ kind: fc.constant('neighbor-solicitation' as const), target, sourceLinkLayer: linkLayer }),
  record({
    kind: fc.constant('neighbor-advertisement' as const),
    router: fc.boolean(),
    solicited: fc.boolean(),
    override: fc.boolean(),
    target,
    targetLinkLayer: linkLayer,
  }),
);

const address = (text: string) => parseIpv6Address(text)!;
const LINK = { src: address('fe80::1'), dst: address('fe80::2'), hopLimit: 255 };
const SOLICITATION: Icmpv6Message = {
  kind: 'neighbor-solicitation',
  target: address('fe80::2'),
  sourceLinkLayer: hex('020000000001'),
};

/** The same bytes with a checksum that fits them. */
function summed(bytes: Uint8Array, ip = LINK): Uint8Array {
  const copy = patched(bytes, 2, 0, 0);
  const sum = checksum(copy, 0, copy.length, pseudoHeaderSum(ip, 58, copy.length));
  return patched(copy, 2, sum >>> 8, sum);
}

test('every ICMPv4 echo survives being written and read', () => {
  fc.assert(
    fc.property(echo, (value) => {
      const bytes = writeIcmpv4(value);
      assert.equal(bytes[0], value.kind === 'echo-request' ? 8 : 0);
      assert.deepEqual(parseIcmpv4(bytes), value);
      assert.equal(parseIcmpv4(patched(bytes, 5, bytes[5] ^ 1)), undefined, 'checksum');
    }),
  );
});

test('other ICMPv4 messages, codes and lengths are refused', () => {
  const withSum = (text: string) => {
    const bytes = hex(text);
    const sum = checksum(bytes);
    return patched(bytes, 2, sum >>> 8, sum);
  };
  assert.notEqual(parseIcmpv4(withSum('0800 0000 0001 0002')), undefined);
  assert.equal(parseIcmpv4(withSum('0801 0000 0001 0002')), undefined);
  assert.equal(parseIcmpv4(withSum('0300 0000 0001 0002')), undefined);
  assert.equal(parseIcmpv4(withSum('0800 0000 0001')), undefined);
});

test('every ICMPv6 message survives being written and read', () => {
  fc.assert(
    fc.property(message, target, target, (value, src, dst) => {
      fc.pre(src.some((octet) => octet !== 0));
      const bytes = writeIcmpv6(value, { src, dst });
      assert.deepEqual(parseIcmpv6(bytes, { src, dst, hopLimit: 255 }), value);
    }),
  );
});

test('an ICMPv6 message with other addresses around it has a wrong checksum', () => {
  const bytes = writeIcmpv6(SOLICITATION, LINK);
  assert.deepEqual(parseIcmpv6(bytes, LINK), SOLICITATION);
  assert.equal(parseIcmpv6(bytes, { ...LINK, src: address('fe80::3') }), undefined);
});

test('neighbor messages that RFC 4861 section 7.1 distrusts are refused', () => {
  const bytes = writeIcmpv6(SOLICITATION, LINK);
  assert.equal(parseIcmpv6(bytes, { ...LINK, hopLimit: 254 }), undefined, 'came through a router');
  assert.equal(parseIcmpv6(summed(patched(bytes, 1, 1)), LINK), undefined, 'code');
  assert.equal(parseIcmpv6(summed(bytes.subarray(0, 23)), LINK), undefined, 'short');
  assert.equal(parseIcmpv6(summed(patched(bytes, 8, 0xff)), LINK), undefined, 'multicast target');
  assert.equal(parseIcmpv6(summed(patched(bytes, 25, 0)), LINK), undefined, 'option of length 0');
  assert.equal(parseIcmpv6(summed(patched(bytes, 24, 14, 0)), LINK), undefined, 'other option of length 0');
  assert.equal(parseIcmpv6(summed(patched(bytes, 25, 2)), LINK), undefined, 'option beyond the message');
  const long = Uint8Array.of(...patched(bytes, 25, 2), ...new Uint8Array(8));
  assert.equal(parseIcmpv6(summed(long), LINK), undefined, 'link-layer address that is not a MAC address');
  assert.equal(parseIcmpv6(summed(Uint8Array.of(...bytes, 1)), LINK), undefined, 'half an option');

  const solicitedByNobody = { src: address('::'), dst: address('ff02::1:ff00:2'), hopLimit: 255 };
  const bare = { ...SOLICITATION, sourceLinkLayer: undefined };
  const probe = (value: Icmpv6Message, ip = solicitedByNobody) => parseIcmpv6(writeIcmpv6(value, ip), ip);
  assert.deepEqual(probe(bare), bare);
  assert.equal(probe(SOLICITATION), undefined, 'unspecified source with a link-layer address');
  assert.equal(probe(bare, { ...solicitedByNobody, dst: address('ff02::1') }), undefined, 'not a solicited node');

  const advertisement: Icmpv6Message = {
    kind: 'neighbor-advertisement',
    router: false,
    solicited: true,
    override: true,
    target: address('fe80::2'),
    targetLinkLayer: undefined,
  };
  const toAll = { ...LINK, dst: address('ff02::1') };
  assert.equal(probe(advertisement, toAll), undefined, 'solicited, yet to all nodes');
  assert.notEqual(probe({ ...advertisement, solicited: false }, toAll), undefined);
});

test('options of other types, and link-layer addresses after the first, are skipped', () => {
  const bytes = writeIcmpv6(SOLICITATION, LINK);
  const option = hex('0e01000000000000');
  const second = hex('0101020000000099');
  const more = summed(Uint8Array.of(...bytes.subarray(0, 24), ...option, ...bytes.subarray(24), ...second));
  assert.deepEqual(parseIcmpv6(more, LINK), SOLICITATION);
});

test('random bytes are read or refused, never thrown at', () => {
  const valid = message.map((value) => writeIcmpv6(value, LINK));
  fc.assert(
    fc.property(fc.oneof(octets(60), damaged(valid)), (bytes) => {
      parseIcmpv4(bytes);
      // A fitting checksum lets the damage reach the parsers behind it.
      const read = parseIcmpv6(bytes.length < 4 ? bytes : summed(bytes), LINK);
      if (read && 'data' in read) assert.equal(read.data.length, bytes.length - 8);
    }),
  );
});

test('fields that do not fit are refused', () => {
  assert.throws(() => writeIcmpv6({ ...SOLICITATION, target: address('ff02::1') }, LINK), RangeError);
  assert.throws(() => writeIcmpv6({ ...SOLICITATION, sourceLinkLayer: new Uint8Array(8) }, LINK), RangeError);
  const request = { kind: 'echo-request' as const, identifier: 1, sequence: 1, data: new Uint8Array() };
  assert.throws(() => writeIcmpv4({ ...request, sequence: 65536 }), RangeError);
});
