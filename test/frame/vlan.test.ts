import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { outerTag, parseTagged, popTag, pushTag, VLAN_TAGS_MAX, writeTagged } from '../../src/frame/vlan.js';
import { content, hex, mac, octets, tag } from './arbitraries.js';

const ADDRESSES = 'ffffffffffff 020000000001';
const PLAIN = hex(`${ADDRESSES} 0800 4500`);

test('a pushed tag stands between source and type', () => {
  const tagged = pushTag(PLAIN, { tpid: 0x8100, pcp: 5, dei: true, vid: 0xabc });
  assert.deepEqual(tagged, hex(`${ADDRESSES} 8100 babc 0800 4500`));
  assert.deepEqual(outerTag(tagged), { tpid: 0x8100, pcp: 5, dei: true, vid: 0xabc });
});

test('a service tag goes outside a customer tag, and comes off first', () => {
  const inner = pushTag(PLAIN, { tpid: 0x8100, pcp: 0, dei: false, vid: 7 });
  const outer = pushTag(inner, { tpid: 0x88a8, pcp: 0, dei: false, vid: 9 });
  assert.deepEqual(outer, hex(`${ADDRESSES} 88a8 0009 8100 0007 0800 4500`));
  const tags = parseTagged(outer)?.tags.map(({ tpid, vid }) => [tpid, vid]);
  assert.deepEqual(tags, [
    [0x88a8, 9],
    [0x8100, 7],
  ]);
  assert.deepEqual(popTag(outer)?.frame, inner);
});

test('untagged and cut frames have no tag', () => {
  assert.equal(outerTag(PLAIN), undefined);
  assert.equal(popTag(PLAIN), undefined);
  assert.equal(outerTag(hex(`${ADDRESSES} 8100 0007 08`)), undefined);
  assert.equal(outerTag(new Uint8Array()), undefined);
});

test('popping undoes pushing, on any frame', () => {
  fc.assert(
    fc.property(octets(100, 14), tag, (frame, pushed) => {
      const before = frame.slice();
      assert.deepEqual(popTag(pushTag(frame, pushed)), { tag: pushed, frame });
      assert.deepEqual(frame, before);
    }),
  );
});

test('a stack of tags survives being written and read', () => {
  fc.assert(
    fc.property(mac, mac, fc.array(tag, { maxLength: VLAN_TAGS_MAX }), content, (dst, src, tags, rest) => {
      const frame = { dst, src, tags, ...rest };
      assert.deepEqual(parseTagged(writeTagged(frame)), frame);
    }),
  );
});

test('a stack that is too deep or cut off is malformed', () => {
  const stack = (depth: number) => hex(`${ADDRESSES} ${'81000001'.repeat(depth)} 0800`);
  assert.equal(parseTagged(stack(VLAN_TAGS_MAX))?.tags.length, VLAN_TAGS_MAX);
  assert.equal(parseTagged(stack(VLAN_TAGS_MAX + 1)), undefined);
  assert.equal(parseTagged(hex(`${ADDRESSES} 8100`)), undefined);
  assert.equal(parseTagged(hex(`${ADDRESSES} 8100 0001`)), undefined);
  assert.equal(parseTagged(hex(`${ADDRESSES} 8100 0001 88a8`)), undefined);
});

test('random bytes are read or refused, never thrown at', () => {
  const tpids = fc.constantFrom(0x81, 0x00, 0x88, 0xa8);
  const noise = fc.array(fc.oneof(tpids, fc.nat(255)), { maxLength: 60 }).map((list) => Uint8Array.from(list));
  fc.assert(
    fc.property(noise, (bytes) => {
      const frame = parseTagged(bytes);
      if (!frame) return;
      const written = writeTagged(frame);
      assert.deepEqual(written, bytes.subarray(0, written.length));
    }),
  );
});

test('impossible tags are refused', () => {
  const good = { tpid: 0x8100, pcp: 0, dei: false, vid: 1 } as const;
  assert.throws(() => pushTag(PLAIN, { ...good, vid: 4096 }), RangeError);
  assert.throws(() => pushTag(PLAIN, { ...good, pcp: 8 }), RangeError);
  assert.throws(() => pushTag(PLAIN, { ...good, tpid: 0x0800 as 0x8100 }), RangeError);
  assert.throws(() => pushTag(PLAIN.subarray(0, 13), good), RangeError);
});
