import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  hasRoomFor,
  REPLY_SIZE,
  REQUEST_MAX,
  type Request,
} from '../../src/plug/vde-protocol.js';
import { damaged } from '../frame/arbitraries.js';

const V3 = 122;
const V1 = 124;

function decoded(bytes: Buffer): Request {
  const request = decodeRequest(bytes);
  if ('error' in request) assert.fail(request.error);
  return request;
}

function refusal(bytes: Buffer): { error: string; incomplete: boolean } {
  const request = decodeRequest(bytes);
  if (!('error' in request)) assert.fail('accepted');
  return request;
}

/** A request as a C client writes it. */
function request(
  fields: { magic?: number; version?: number; type?: number; family?: number; path?: string; text?: string } = {},
): Buffer {
  const { magic = 0xfeedface, version = 3, type = 0, family = 1, path = '/tmp/c', text = 'me' } = fields;
  const bytes = Buffer.alloc(V3);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(version, 4);
  bytes.writeInt32LE(type, 8);
  bytes.writeUInt16LE(family, 12);
  bytes.write(path, 14);
  return Buffer.concat([bytes, Buffer.from(text)]);
}

function requestV1(type: number, path = '/tmp/c', text = 'me'): Buffer {
  const bytes = Buffer.alloc(V1);
  bytes.writeUInt32LE(0xfeedface, 0);
  bytes.writeUInt32LE(type, 4);
  bytes.fill(0xee, 8, 14);
  bytes.writeUInt16LE(1, 14);
  bytes.write(path, 16);
  return Buffer.concat([bytes, Buffer.from(text)]);
}

// Text without NUL: a C client's string ends there.
const text = fc.string({ unit: 'grapheme', maxLength: 60 }).filter((s) => !s.includes('\0'));
const path = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 100 })
  .filter((s) => !s.includes('\0') && Buffer.byteLength(s) <= 107);
const port = fc.option(fc.integer({ min: 0, max: 0x7fffff }), { nil: undefined });
const extension = fc.option(
  fc.record({ maxFrame: fc.integer({ min: 0, max: 0xffffffff }), offloads: fc.boolean(), adopt: fc.boolean() }),
  { nil: undefined },
);

test('what an end of ours asks for is what a switch of ours understands, in at most 256 bytes', () => {
  fc.assert(
    fc.property(port, path, text, extension, (port, path, text, extension) => {
      const bytes = encodeRequest(port, path, text, extension);
      assert.ok(bytes.length <= REQUEST_MAX, `${bytes.length} bytes`);
      const request = decoded(bytes);
      assert.equal(request.port, port);
      assert.equal(request.path?.toString(), path);
      assert.ok(text.startsWith(request.description), 'cut at most, and between characters');
      if (Buffer.byteLength(text) <= 100) assert.equal(request.description, text);
      assert.deepEqual(request.extension && { ...request.extension }, extension && { ...extension });
    }),
  );
});

test('a long description is cut between two characters, with room for the extension behind it', () => {
  for (const filler of ['x', 'é', '€', '😀']) {
    for (let before = 0; before < 4; before++) {
      const long = 'x'.repeat(before) + filler.repeat(200);
      for (const extension of [undefined, { maxFrame: 65_549, offloads: true, adopt: false }]) {
        const bytes = encodeRequest(1, '/tmp/c', long, extension);
        assert.ok(bytes.length <= REQUEST_MAX);
        const { description } = decoded(bytes);
        assert.ok(long.startsWith(description) && Buffer.byteLength(description) > 100, description);
        assert.deepEqual(decoded(bytes).extension, extension);
      }
    }
  }
});

test('the bytes of a request are those of the reference', () => {
  const bytes = encodeRequest(9, '/run/x', 'a b');
  assert.equal(bytes.length, V3 + 3);
  assert.equal(bytes.toString('hex', 0, 14), 'cefaedfe03000000000900000100');
  assert.equal(bytes.toString('latin1', 14, V3), `/run/x${'\0'.repeat(102)}`);
  assert.equal(bytes.toString('latin1', V3), 'a b');
  assert.equal(encodeRequest(undefined, '/x', '').readInt32LE(8), 0);
  assert.equal(encodeRequest(0, '/x', '').readInt32LE(8), 1);
});

test('what a C switch reads of an extended request is what it reads of a plain one', () => {
  const plain = encodeRequest(3, '/tmp/c', 'text');
  const extended = encodeRequest(3, '/tmp/c', 'text', { maxFrame: 65_549, offloads: true, adopt: false });
  assert.deepEqual(extended.subarray(0, plain.length), plain);
  assert.equal(extended[plain.length], 0, 'the string ends here');
});

test('an extension is only one with its own mark and in full', () => {
  const plain = request();
  const extended = encodeRequest(undefined, '/tmp/c', 'me', { maxFrame: 9000, offloads: false, adopt: true });
  assert.deepEqual(decoded(extended).extension, { maxFrame: 9000, offloads: false, adopt: true });
  for (let size = plain.length; size < extended.length; size++) {
    assert.equal(decoded(extended.subarray(0, size)).extension, undefined, `${size} bytes`);
  }
  const noise = Buffer.concat([plain, Buffer.from('\0rubbish and more')]);
  assert.deepEqual([decoded(noise).description, decoded(noise).extension], ['me', undefined]);
});

test('settings of an offer follow the extension, if they fit beside the description in what a C switch reads', () => {
  const offer = { maxFrame: 9000, offloads: false, adopt: true };
  fc.assert(
    fc.property(text, fc.uint8Array({ maxLength: 200 }), (text, settings) => {
      const fits = hasRoomFor(settings, text);
      assert.equal(fits, Buffer.byteLength(text) + settings.length <= REQUEST_MAX - V3 - 13);
      if (!fits) return;
      const bytes = encodeRequest(undefined, '/tmp/c', text, offer, settings);
      assert.ok(bytes.length <= REQUEST_MAX);
      const request = decoded(bytes);
      assert.deepEqual([request.description, request.extension], [text, offer]);
      assert.deepEqual(Uint8Array.from(request.settings), settings);
    }),
  );
  // Without an extension there is nothing that could say what they are.
  assert.equal(decoded(request()).settings.length, 0);
  assert.equal(decoded(Buffer.concat([request(), Buffer.from('\0rubbish and more')])).settings.length, 0);
});

test('the type word: kind in its low byte, port number above, signed', () => {
  const cases: [number, number | undefined][] = [
    [0, undefined],
    [1, 0],
    [7 << 8, 7],
    [4096 << 8, 4096],
    [(7 << 8) | 1, 0],
    [-1 << 8, 0],
    [0x80000000 | 0, 0],
    [0x7fffff00, 0x7fffff],
  ];
  for (const [type, expected] of cases) assert.equal(decoded(request({ type })).port, expected, `type ${type}`);
  for (const kind of [2, 3, 0x7f, 0xff]) {
    const { error, incomplete } = refusal(request({ type: (1 << 8) | kind }));
    assert.match(error, new RegExp(`unknown request type ${kind}`));
    assert.equal(incomplete, false);
  }
});

test('a request of version 1 has its type where the version is, and an address 2 bytes later', () => {
  const any = decoded(requestV1(0, '/tmp/old', 'old client'));
  assert.deepEqual([any.port, any.path?.toString(), any.description], [undefined, '/tmp/old', 'old client']);
  assert.equal(decoded(requestV1(1)).port, 0);
});

test('what is no request is refused at once, with the reason', () => {
  const bigEndian = request();
  bigEndian.subarray(0, 12).swap32();
  const cases: [Buffer, RegExp][] = [
    [request({ magic: 0 }), /wrong magic/],
    [request({ magic: 0xfeedfacf }), /wrong magic/],
    [bigEndian, /wrong magic/],
    [request({ version: 2 }), /unknown protocol version 2/],
    [request({ version: 4 }), /unknown protocol version 4/],
    [request({ version: 0xffffffff }), /unknown protocol version 4294967295/],
    [request({ family: 2 }), /address family 2 is not AF_UNIX/],
    [request({ family: 0 }), /address family 0/],
  ];
  for (const [bytes, reason] of cases) {
    const { error, incomplete } = refusal(bytes);
    assert.match(error, reason);
    assert.equal(incomplete, false);
  }
});

test('a request that is not all there yet may still become one', () => {
  for (const [bytes, header] of [
    [request({ text: '' }), V3],
    [requestV1(0, '/tmp/c', ''), V1],
  ] as const) {
    for (let size = 0; size < header; size++) {
      const { error, incomplete } = refusal(bytes.subarray(0, size));
      assert.match(error, new RegExp(`request of ${size} bytes`));
      assert.equal(incomplete, true, `${size} bytes`);
    }
    assert.equal(decoded(bytes).description, '');
  }
});

test('socket names: full, unterminated, abstract with its padding, and none', () => {
  const full = '/'.padEnd(107, 'p');
  assert.equal(decoded(request({ path: full })).path?.toString(), full);
  const unterminated = request({ text: 'text', path: '/'.padEnd(108, 'q') });
  assert.equal(decoded(unterminated).path?.toString(), '/'.padEnd(108, 'q'));
  assert.equal(decoded(unterminated).description, 'text');
  const abstract = decoded(request({ path: '\0name' })).path;
  assert.equal(abstract?.length, 108);
  assert.equal(abstract?.toString('latin1').replace(/\0+$/, ''), '\0name');
  assert.equal(decoded(request({ path: '' })).path, undefined);
});

test('an answer is 110 bytes, and what follows is for those who know it', () => {
  fc.assert(
    fc.property(path, extension, (path, extension) => {
      const bytes = encodeReply(path, extension);
      assert.equal(bytes.length, extension ? REPLY_SIZE + 12 : REPLY_SIZE);
      const reply = decodeReply(bytes);
      assert.equal(reply?.path, path);
      assert.deepEqual(reply?.extension && { ...reply.extension }, extension && { ...extension });
      assert.equal(decodeReply(bytes.subarray(0, REPLY_SIZE))?.path, path);
      assert.equal(decodeReply(bytes.subarray(0, REPLY_SIZE - 1)), undefined);
    }),
  );
  const reply = encodeReply('/tmp/sw/001.7');
  assert.equal(reply.toString('latin1'), `\x01\0/tmp/sw/001.7${'\0'.repeat(95)}`);
  reply.writeUInt16LE(2, 0);
  assert.equal(decodeReply(reply), undefined, 'another family');
  assert.equal(decodeReply(encodeReply('')), undefined, 'no name');
});

/** The bytes in the midst of others that a decoder must not look at: it shows if they make a difference. */
function within(bytes: Uint8Array, filler: number): Buffer {
  const room = Buffer.alloc(bytes.length + 600, filler);
  room.set(bytes, 300);
  return room.subarray(300, 300 + bytes.length);
}

test('any bytes at all give a request or a refusal, and nothing beyond them is read', () => {
  const anyText = fc.string({ maxLength: 20 });
  const valid = fc.oneof(
    fc.tuple(port, path, anyText, extension).map((parts) => Uint8Array.from(encodeRequest(...parts))),
    fc.tuple(fc.constantFrom(0, 1), path, anyText).map((parts) => Uint8Array.from(requestV1(...parts))),
  );
  const bytes = fc.oneof(damaged(valid), fc.uint8Array({ maxLength: 400 }));
  fc.assert(
    fc.property(bytes, (bytes) => {
      const [one, other] = [0x00, 0xff].map((filler) => decodeRequest(within(bytes, filler)));
      assert.deepEqual(one, other);
      if (!('error' in one) && one.path !== undefined) assert.ok(one.path.length > 0 && one.path.length <= 108);
      if (!('error' in one) && one.port !== undefined) assert.ok(one.port >= 0 && one.port <= 0x7fffff);
    }),
    { numRuns: 2000 },
  );
  const replies = fc.tuple(path, extension).map((parts) => Uint8Array.from(encodeReply(...parts)));
  fc.assert(
    fc.property(fc.oneof(damaged(replies), fc.uint8Array({ maxLength: 150 })), (bytes) => {
      const [one, other] = [0x00, 0xff].map((filler) => decodeReply(within(bytes, filler)));
      assert.deepEqual(one, other);
    }),
    { numRuns: 1000 },
  );
});
