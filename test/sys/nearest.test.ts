import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { editDistance, nearestName } from '../../src/sys/nearest.js';

test('a mistyped name finds the one that was meant', () => {
  const names = ['vde', 'tap', 'vxvde', 'slirp', 'hub'];
  assert.equal(nearestName('vdx', names), 'vde');
  assert.equal(nearestName('TAP', names), 'tap');
  assert.equal(nearestName('silrp', names), 'slirp');
  assert.equal(nearestName('zzzzz', names), undefined);
  assert.equal(nearestName('xyz', names), undefined);
});

test('edits are counted the same both ways, and never more than the longer word has letters', () => {
  const word = fc.string({ maxLength: 12 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b);
      assert.equal(distance, editDistance(b, a));
      assert.equal(distance === 0, a === b);
      assert.ok(distance >= Math.abs(a.length - b.length) && distance <= Math.max(a.length, b.length));
    }),
  );
});

test('a very long name is compared with nothing', () => {
  const long = 'x'.repeat(1_000_000);
  assert.equal(nearestName(long, [long.slice(1), 'x']), undefined);
});
