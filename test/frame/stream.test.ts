import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  encodeRecord,
  QEMU_RECORDS,
  RECORD_MAX_C_TOOLS,
  type RecordFormat,
  StreamDecoder,
  StreamEncoder,
  VDE_RECORDS,
} from '../../src/frame/stream.js';
import { VdeError } from '../../src/sys/errors.js';
import { octets } from './arbitraries.js';

/** Frames as they come out of a stream that arrives in these chunks. */
function decode(chunks: Iterable<Uint8Array>, options?: { maxFrame?: number; format?: RecordFormat }) {
  const frames: Uint8Array[] = [];
  const decoder = new StreamDecoder((frame) => frames.push(frame.slice()), options);
  for (const chunk of chunks) decoder.push(chunk);
  return { frames, decoder };
}

/** `stream` cut at these places. */
function cut(stream: Uint8Array, places: number[]): Uint8Array[] {
  const sorted = [0, ...places.map((place) => place % (stream.length + 1)).sort((a, b) => a - b), stream.length];
  return sorted.slice(1).map((end, i) => stream.slice(sorted[i], end));
}

const join = (records: Uint8Array[]) => Uint8Array.from(Buffer.concat(records));
const frameOf = (length: number, fill = length) => new Uint8Array(length).fill(fill & 0xff);
const records = fc.array(fc.oneof(octets(40), octets(300, 14)), { maxLength: 30 });

test('a record is its length, big-endian, and the frame', () => {
  assert.deepEqual(encodeRecord(Uint8Array.of(1, 2, 3)), Uint8Array.of(0, 3, 1, 2, 3));
  assert.deepEqual(encodeRecord(frameOf(0x1234)).subarray(0, 2), Uint8Array.of(0x12, 0x34));
});

for (const format of [VDE_RECORDS, QEMU_RECORDS]) {
  test(`any cut of a stream gives the same frames, with lengths of ${format.header} octets`, () => {
    fc.assert(
      fc.property(records, fc.array(fc.nat(), { maxLength: 40 }), (list, places) => {
        const { frames, decoder } = decode(cut(join(list.map((one) => encodeRecord(one, format))), places), {
          maxFrame: 200,
          format,
        });
        const expected = list.filter((frame) => frame.length >= 14 && frame.length <= 200);
        assert.deepEqual(frames, expected);
        assert.equal(decoder.frames, expected.length);
        assert.equal(decoder.oversize, list.filter((frame) => frame.length > 200).length);
        assert.equal(decoder.runts, list.filter((frame) => frame.length > 0 && frame.length < 14).length);
        assert.equal(decoder.finish(), false);
      }),
    );
  });
}

test('QEMU’s records have a length of four octets, big-endian', () => {
  assert.deepEqual(encodeRecord(Uint8Array.of(1, 2, 3), QEMU_RECORDS), Uint8Array.of(0, 0, 0, 3, 1, 2, 3));
  assert.deepEqual(encodeRecord(frameOf(69_632), QEMU_RECORDS).subarray(0, 4), Uint8Array.of(0, 1, 0x10, 0));
});

test('a length that cannot be one ends the reading, wherever it is cut, until the stream is another', () => {
  const good = encodeRecord(frameOf(20), QEMU_RECORDS);
  for (const length of [69_633, 0x47455420, 0xffff_ffff]) {
    const header = Uint8Array.of(length >>> 24, length >>> 16, length >>> 8, length);
    const stream = join([good, header, good]);
    for (let at = 0; at <= stream.length; at++) {
      const { frames, decoder } = decode([stream.subarray(0, at), stream.subarray(at)], { format: QEMU_RECORDS });
      assert.deepEqual(frames, [frameOf(20)]);
      assert.equal(decoder.broken, length);
      assert.equal(decoder.finish(), true);
      decoder.push(good);
      assert.equal(frames.length, 2);
    }
  }
});

test('a stream that comes one octet at a time is understood', () => {
  const list = [frameOf(14), frameOf(1514), frameOf(0), frameOf(9236)];
  const { frames } = decode(Array.from(join(list.map((one) => encodeRecord(one))), (octet) => Uint8Array.of(octet)));
  assert.deepEqual(frames, [list[0], list[1], list[3]]);
});

test('a frame that is whole in its chunk is not copied, a split one is put together', () => {
  const seen: ArrayBufferLike[] = [];
  const decoder = new StreamDecoder((frame) => seen.push(frame.buffer));
  const record = encodeRecord(frameOf(100));
  decoder.push(record);
  decoder.push(record.subarray(0, 50));
  decoder.push(record.subarray(50));
  decoder.push(record.subarray(0, 1));
  decoder.push(record.subarray(1));
  decoder.push(record.subarray(0, 50));
  decoder.push(record.subarray(50));
  assert.equal(seen.length, 4);
  assert.equal(seen[0], record.buffer);
  assert.notEqual(seen[1], record.buffer);
  assert.equal(seen[2], record.buffer);
  assert.equal(seen[3], seen[1], 'one buffer for all');
});

test('a record that is too long is skipped without losing step, wherever it is cut', () => {
  const stream = join([encodeRecord(frameOf(20)), encodeRecord(frameOf(101, 0)), encodeRecord(frameOf(30))]);
  for (let at = 0; at <= stream.length; at++) {
    const { frames, decoder } = decode([stream.subarray(0, at), stream.subarray(at)], { maxFrame: 100 });
    assert.deepEqual(frames, [frameOf(20), frameOf(30)]);
    assert.equal(decoder.oversize, 1);
  }
});

test('the longest record passes by default', () => {
  const { frames } = decode([encodeRecord(frameOf(65535))]);
  assert.equal(frames[0].length, 65535);
});

test('finish tells of a record that stayed incomplete, and starts anew', () => {
  const stream = encodeRecord(frameOf(20));
  for (let at = 0; at <= stream.length; at++) {
    const { frames, decoder } = decode([stream.subarray(0, at)]);
    const incomplete = at > 0 && at < stream.length;
    assert.equal(decoder.finish(), incomplete, `after ${at} octets`);
    assert.equal(decoder.finish(), false);
    decoder.push(stream);
    assert.deepEqual(frames.at(-1), frameOf(20));
  }
  const { frames, decoder } = decode([encodeRecord(frameOf(101)).subarray(0, 50)], { maxFrame: 100 });
  assert.equal(decoder.finish(), true, 'within a skipped record');
  decoder.push(stream);
  assert.deepEqual(frames, [frameOf(20)]);
});

test('random bytes are frames or not, never thrown at', () => {
  fc.assert(
    fc.property(fc.array(octets(100), { maxLength: 20 }), fc.integer({ min: 0, max: 100 }), (chunks, maxFrame) => {
      const { frames } = decode(chunks, { maxFrame });
      for (const frame of frames) assert.ok(frame.length >= 14 && frame.length <= maxFrame);
    }),
  );
});

test('an encoder packs frames into what a decoder takes apart', () => {
  fc.assert(
    fc.property(records, (list) => {
      const encoder = new StreamEncoder();
      for (const frame of list) assert.equal(encoder.add(frame), true);
      const packed = encoder.take();
      assert.deepEqual(packed, join(list.map((one) => encodeRecord(one))));
      assert.equal(encoder.length, 0);
      assert.equal(encoder.take().length, 0);
    }),
  );
});

test('bytes that were taken stay as they are, however much is added later', () => {
  const encoder = new StreamEncoder();
  encoder.add(frameOf(20, 1));
  const first = encoder.take();
  for (let i = 0; i < 100; i++) encoder.add(frameOf(1514, 2));
  assert.equal(encoder.length, 100 * 1516);
  assert.deepEqual(first, encodeRecord(frameOf(20, 1)));
  assert.equal(decode([encoder.take()]).frames.length, 100);
});

test('an encoder refuses by default what C tools cannot take, and never sends what no record can hold', () => {
  const cautious = new StreamEncoder();
  assert.equal(cautious.add(frameOf(RECORD_MAX_C_TOOLS)), true);
  assert.equal(cautious.add(frameOf(RECORD_MAX_C_TOOLS + 1)), false);
  assert.equal(cautious.oversize, 1);
  assert.equal(cautious.length, RECORD_MAX_C_TOOLS + 2);

  const bold = new StreamEncoder({ maxFrame: 1e6 });
  assert.equal(bold.add(frameOf(65535)), true);
  assert.equal(bold.add(frameOf(65536)), false);
  assert.throws(
    () => encodeRecord(frameOf(65536)),
    (error) => error instanceof VdeError && error.code === 'EMSGSIZE',
  );
});
