import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sumBytes } from '../../src/frame/checksum.js';
import { parallelSum } from '../../src/frame/parallel-sum.js';
import { octets } from './arbitraries.js';

test('any run of bytes, wherever it lies, has the sum that adding its 16-bit words gives', () => {
  fc.assert(
    fc.property(octets(300), fc.nat(7), fc.nat(300), fc.nat(310), (random, shift, start, end) => {
      // A view that does not begin where its buffer does, nor ends there.
      const buffer = new ArrayBuffer(random.length + shift + 3);
      const bytes = new Uint8Array(buffer, shift, random.length);
      bytes.set(random);
      assert.equal(parallelSum(bytes, start, end), sumBytes(bytes, start, end));
    }),
  );
});

test('long runs of ones do not overflow', () => {
  for (const length of [0xffff, 0x10000, 0x80003]) {
    const bytes = new Uint8Array(length).fill(0xff);
    assert.equal(parallelSum(bytes, 0, length), sumBytes(bytes), `${length} octets`);
  }
});

test('a buffer seen before is summed as it is now', () => {
  const [one, two] = [new Uint8Array(64), new Uint8Array(64)];
  assert.equal(parallelSum(one, 0, 64), 0);
  assert.equal(parallelSum(two, 0, 64), 0);
  one[6] = 0x12;
  one[63] = 0x34;
  assert.equal(parallelSum(one, 0, 64), 0x1234);
});
