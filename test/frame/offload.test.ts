import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  completeChecksum,
  GsoType,
  isSuperFrame,
  isValidOffload,
  OffloadFlag,
  OffloadHeader,
} from '../../src/frame/offload.js';
import { hex, octets, patched, u8, u16 } from './arbitraries.js';
import { packet, writePacket, writeSuperFrame } from './super-frames.js';

/** A TCP packet's: flags 1, type 1 with ECN, 66 bytes of headers, 1448 of payload, checksum at 34 + 16. */
const HEADER = hex('01 81 4200 a805 2200 1000');

function read(bytes: Uint8Array, at = 0): OffloadHeader {
  const header = new OffloadHeader();
  assert.ok(header.read(bytes, at));
  return header;
}

test('the fields lie where virtio puts them, little-endian', () => {
  const header = read(Uint8Array.of(0, 0, 0, ...HEADER), 3);
  assert.equal(header.needsChecksum, true);
  assert.equal(header.gso, GsoType.tcpv4);
  assert.equal(header.gsoType, GsoType.tcpv4 | GsoType.ecn);
  assert.equal(header.headerLength, 66);
  assert.equal(header.gsoSize, 1448);
  assert.equal(header.checksumStart, 34);
  assert.equal(header.checksumOffset, 16);
});

test('every header survives being read and written', () => {
  fc.assert(
    fc.property(octets(10, 10), (bytes) => {
      const copy = new Uint8Array(14).fill(0xee);
      read(bytes).write(copy, 2);
      assert.deepEqual(copy, Uint8Array.of(0xee, 0xee, ...bytes, 0xee, 0xee));
    }),
  );
});

test('a header that is not all there is not read', () => {
  const header = new OffloadHeader();
  for (const at of [-1, 1, 10, Number.NaN]) assert.equal(header.read(HEADER, at), false, `at ${at}`);
  assert.equal(isSuperFrame(HEADER, 1), false);
  assert.equal(isValidOffload(HEADER, 1, 1000), false);
});

test('what is a super-frame', () => {
  assert.equal(isSuperFrame(HEADER, 0), true);
  assert.equal(isSuperFrame(patched(HEADER, 1, GsoType.none), 0), false);
  assert.equal(isSuperFrame(patched(HEADER, 1, GsoType.udpL4), 0), true);
});

test('which headers can be those of a frame', () => {
  const valid = (bytes: Uint8Array, frameLength = 1000) => isValidOffload(bytes, 0, frameLength);
  assert.equal(valid(HEADER), true);
  assert.equal(valid(HEADER, 52), true, 'the checksum field ends the frame');
  assert.equal(valid(HEADER, 51), false, 'the checksum field beyond the frame');
  assert.equal(valid(patched(HEADER, 4, 0, 0)), false, 'no segment size');
  assert.equal(valid(patched(HEADER, 0, 0)), false, 'a super-frame without NEEDS_CSUM');
  for (const type of [2, 6, 0x40, 0x7f, 0x80, 0x83, 0x85])
    assert.equal(valid(patched(HEADER, 1, type)), false, `type ${type}`);
  for (const type of [1, 3, 4, 5, 0x81, 0x84]) assert.equal(valid(patched(HEADER, 1, type)), true, `type ${type}`);
  assert.equal(valid(new Uint8Array(10), 0), true, 'nothing left to be done');
  assert.equal(valid(patched(new Uint8Array(10), 0, OffloadFlag.dataValid), 0), true);
});

test('a partial checksum is completed to what a whole one is', () => {
  fc.assert(
    fc.property(packet(300), fc.nat(3), (value, shift) => {
      const bytes = writeSuperFrame(value, 0, GsoType.none);
      const moved = new Uint8Array(shift + bytes.length + 5).fill(0xaa);
      moved.set(bytes, shift);
      assert.equal(completeChecksum(moved, shift + 10, bytes.length - 10, shift), true);
      const whole = writePacket(value);
      // In TCP 0xffff may stand for 0: the receiver adds up the same.
      const at = bytes[6] + bytes[8];
      if (whole[at] === 0 && whole[at + 1] === 0) whole.fill(0xff, at, at + 2);
      assert.deepEqual(moved.slice(shift + 10, shift + bytes.length), whole);
      assert.deepEqual(moved.slice(-5), new Uint8Array(5).fill(0xaa));
    }),
  );
});

test('a checksum of 0 goes as all ones', () => {
  // Under the checksum: the field itself, then ffff.
  const bytes = Uint8Array.of(...hex('01 00 0000 0000 0e00 0000'), ...new Uint8Array(14), 0, 0, 0xff, 0xff);
  assert.equal(completeChecksum(bytes, 10, 18, 0), true);
  assert.deepEqual(bytes.slice(24), hex('ffff ffff'));
});

test('a frame that needs no checksum stays as it is', () => {
  const bytes = Uint8Array.of(...new Uint8Array(10), 1, 2, 3, 4);
  const before = bytes.slice();
  assert.equal(completeChecksum(bytes, 10, 4, 0), true);
  assert.deepEqual(bytes, before);
});

test('a super-frame is not completed', () => {
  const bytes = Uint8Array.of(...HEADER, ...new Uint8Array(100));
  const before = bytes.slice();
  assert.equal(completeChecksum(bytes, 10, 100, 0), false);
  assert.deepEqual(bytes, before);
});

test('no header makes anything outside the frame change', () => {
  fc.assert(
    fc.property(u8, u16, u16, fc.nat(80), fc.nat(80), (flags, start, offset, frameStart, length) => {
      const bytes = new Uint8Array(100).fill(0x55);
      const header = new OffloadHeader();
      header.flags = flags;
      header.checksumStart = start % 90;
      header.checksumOffset = offset % 90;
      header.write(bytes, 0);
      const before = bytes.slice();
      const done = completeChecksum(bytes, frameStart, length, 0);
      if (!done) assert.deepEqual(bytes, before);
      const end = Math.min(100, frameStart + length);
      assert.deepEqual(bytes.slice(0, frameStart), before.slice(0, frameStart));
      assert.deepEqual(bytes.slice(end), before.slice(end));
    }),
  );
});
