import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checksum, foldSum, pseudoHeaderSum, sumBytes, updateChecksum } from '../../src/frame/checksum.js';
import { endpoints, hex, octets, u8, u16 } from './arbitraries.js';

/** RFC 1071 read literally: the words added without limit, all carries brought back at the end. */
function reference(bytes: Uint8Array): number {
  const even = [...bytes, ...(bytes.length % 2 ? [0] : [])];
  let sum = 0n;
  for (let at = 0; at < even.length; at += 2) sum += BigInt(even[at] * 256 + even[at + 1]);
  while (sum > 0xffffn) sum = (sum % 0x10000n) + sum / 0x10000n;
  return Number(0xffffn - sum);
}

test('the example of RFC 1071 section 3', () => {
  const bytes = hex('0001 f203 f4f5 f6f7');
  assert.equal(sumBytes(bytes), 0xddf2);
  assert.equal(checksum(bytes), 0x220d);
});

test('any length gives what plain arithmetic gives', () => {
  fc.assert(
    fc.property(octets(3000), (bytes) => {
      assert.equal(checksum(bytes), reference(bytes));
    }),
  );
});

test('long runs of ones do not overflow', () => {
  for (const length of [0x7fff, 0x8000, 0x8001, 0xffff, 0x10000, 0x80001]) {
    const bytes = new Uint8Array(length).fill(0xff);
    assert.equal(checksum(bytes), reference(bytes), `${length} octets`);
  }
});

test('a part of a buffer is summed alone, and pieces add up', () => {
  fc.assert(
    fc.property(octets(200), fc.nat(100), fc.nat(100), (bytes, half, end) => {
      const split = half * 2;
      assert.equal(checksum(bytes, split), reference(bytes.subarray(split)));
      assert.equal(checksum(bytes, 0, end), reference(bytes.subarray(0, end)));
      assert.equal(checksum(bytes, split, bytes.length, sumBytes(bytes, 0, split)), reference(bytes));
    }),
  );
});

test('sums wider than 32 bits fold', () => {
  assert.equal(foldSum(0xffff_ffff_ffff), 0xffff);
  assert.equal(foldSum(0x1_0000_0001), 2);
});

test('the pseudo header is what its octets sum to', () => {
  fc.assert(
    fc.property(endpoints, u8, u16, (ip, protocol, length) => {
      const view = new DataView(new ArrayBuffer(40));
      if (typeof ip.src === 'number' && typeof ip.dst === 'number') {
        view.setUint32(0, ip.src);
        view.setUint32(4, ip.dst);
        view.setUint8(9, protocol);
        view.setUint16(10, length);
      } else {
        new Uint8Array(view.buffer).set(ip.src as Uint8Array, 0);
        new Uint8Array(view.buffer).set(ip.dst as Uint8Array, 16);
        view.setUint32(32, length);
        view.setUint8(39, protocol);
      }
      const plain = reference(new Uint8Array(view.buffer));
      assert.equal(~foldSum(pseudoHeaderSum(ip, protocol, length)) & 0xffff, plain);
    }),
  );
});

test('the example of RFC 1624 section 4', () => {
  assert.equal(updateChecksum(0xdd2f, 0x5555, 0x3285), 0);
});

test('an updated checksum is the one computed anew', () => {
  fc.assert(
    fc.property(octets(64, 4), fc.nat(), u16, (random, place, word) => {
      // Data of zeros alone have two valid checksums; a header never is all zero.
      const bytes = Uint8Array.of(0x45, ...random);
      const at = 2 + 2 * (place % Math.floor((bytes.length - 2) / 2));
      const before = checksum(bytes);
      const old = bytes[at] * 256 + bytes[at + 1];
      bytes[at] = word >>> 8;
      bytes[at + 1] = word;
      assert.equal(updateChecksum(before, old, word), checksum(bytes));
    }),
  );
});
