import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CbcCipher, type CbcOptions } from '../../src/crypto/agno-cbc.js';
import { noneRefused } from '../../src/crypto/frame-cipher.js';
import { FRAME_MAX } from '../../src/frame/burst.js';
import { nodeCiphers } from '../../src/sys/cipher-node.js';
import { octets } from '../frame/arbitraries.js';
import { open, seal, VirtualSources } from './cipher.js';

const NOW = 0x6b0005a5;
const KEY = Buffer.from('dd02c7c2232759874e1c205587017bed', 'hex');

/** Captured from C's plugin at `NOW`: plain frame, sealed frame, salt (reference: agno encryption, "Known-answer data"). */
const VECTORS = [
  [
    'ffffffffffff020000000001080600010800060400010200000000010a0000010000000000000a000002',
    'ffffffffffff020000000001a6de2f99e545356d71d7a2bf27dc51d100ab098af51dfb501d34aca32c1f636ba2c728969a3a01637da7eda93a8f7d5a0c1a',
    0x190c7e8c,
  ],
  [
    '020000000002020000000001080045464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172',
    '020000000002020000000001a6de511133d4244b9a5cc5740e3a38710ca1b7dc684e38841b689b11cee2ee0e93e1448cdcc5a57145908a89d3549d8484a9bc937bf0589655cdede17f34c37c2894',
    0x5c77cfc2,
  ],
  [
    '0200000000020200000000010800000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    '020000000002020000000001a6de46d1e57497e45bcb30a6693ec01067d021959cdbf83e6796dfd257280c52c750005406dd90659d568697ec035306ac1504b4bd50f1b9737f01e64812a196673e8f0f2f523b45bf631f31e854952f7542',
    0x69b4a951,
  ],
  ['02000000000202000000000188b5', '020000000002020000000001a6def68bfe993d3dfec042f7e34a2ebf34a3', 0x22bf19b8],
  [
    '020000000002020000000001810000050800450000000000000000000000000000000000000000',
    '020000000002020000000001a6de7dc3bc269a99a123370c3977bcdd6b89b62f2519463e4cb575194dced51e45752c54aa4497a6b8f073c765466bf23e91',
    0xddf8de11,
  ],
] as const;
const PLAIN = VECTORS.map(([plain]) => Buffer.from(plain, 'hex'));
const SEALED = VECTORS.map(([, sealed]) => Buffer.from(sealed, 'hex'));

const make = (options: Partial<CbcOptions> = {}): CbcCipher =>
  new CbcCipher({ key: KEY, outer: 0xa6de, sources: new VirtualSources(NOW), ...options });

test('what C’s plugin sealed is opened, each frame and all in one burst', () => {
  const cipher = make();
  for (const [i, frame] of SEALED.entries()) assert.deepEqual(open(cipher, frame), [PLAIN[i]], `vector ${i + 1}`);
  assert.deepEqual(open(cipher, ...SEALED), PLAIN);
  assert.deepEqual(open(cipher, ...SEALED.toReversed()), PLAIN.toReversed());
  assert.deepEqual(cipher.refused, noneRefused());
});

test('what is sealed is what C’s plugin would have sent with the same salt and time', () => {
  const salts = Uint32Array.from(VECTORS, ([, , salt]) => salt);
  const sources = new VirtualSources(NOW);
  sources.random = (bytes) => bytes.set(new Uint8Array(salts.buffer));
  assert.deepEqual(seal(make({ sources }), ...PLAIN), SEALED);
});

test('frames of any size and content are opened as they were, after one another and through bursts of any size', () => {
  const size = fc.oneof(fc.integer({ min: 14, max: 1514 }), fc.constantFrom(14, 15, 29, 30, 31, 46, 9014));
  const frame = size.chain((n) => octets(n, n));
  const [sender, receiver] = [make(), make()];
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 64 }), (frames) => {
      const sealed = seal(sender, ...frames);
      for (const [i, one] of sealed.entries()) {
        assert.equal(one.length, 30 + Math.ceil((frames[i].length - 14) / 16) * 16);
        assert.deepEqual(one.subarray(0, 12), Buffer.from(frames[i].subarray(0, 12)));
      }
      assert.deepEqual(
        open(receiver, ...sealed),
        frames.map((one) => Buffer.from(one)),
      );
    }),
    { numRuns: 60 },
  );
});

test('many short frames at once are sealed as they would be one by one', () => {
  const frame = fc.integer({ min: 14, max: 180 }).chain((n) => octets(n, n));
  fc.assert(
    fc.property(fc.array(frame, { minLength: 20, maxLength: 64 }), fc.nat(), (frames, seed) => {
      const [together, alone] = [0, 1].map(() => make({ sources: new VirtualSources(NOW, seed) }));
      const sealed = seal(together, ...frames);
      assert.deepEqual(
        sealed,
        frames.flatMap((one) => seal(alone, one)),
      );
      assert.deepEqual(
        open(alone, ...sealed),
        frames.map((one) => Buffer.from(one)),
      );
    }),
    { numRuns: 50 },
  );
});

test('without OpenSSL’s own functions the format is the same', () => {
  const of = (options: Partial<CbcOptions>) => make({ sources: new VirtualSources(NOW, 7), ...options });
  const [fast, plain] = [of({}), of({ library: nodeCiphers })];
  for (let again = 0; again < 3; again++) {
    const sealed = seal(fast, ...PLAIN);
    assert.deepEqual(seal(plain, ...PLAIN), sealed);
    assert.deepEqual(open(plain, ...sealed), PLAIN);
  }
});

test('a closed cipher seals and opens no more, and may be closed again', () => {
  const cipher = make();
  cipher.close();
  cipher.close();
  assert.throws(() => seal(cipher, PLAIN[0]), { code: 'EBADF' });
  assert.throws(() => open(cipher, SEALED[0]), { code: 'EBADF' });
});

test('the longest frame that fits is known, and none is shorter than it could be', () => {
  const cipher = make();
  for (const [limit, longest] of [
    [1518, 1502],
    [1514, 1486],
    [1530, 1502],
    [1534, 1518],
    [30, 14],
    [29, 0],
    [FRAME_MAX, FRAME_MAX - 19],
  ]) {
    assert.equal(cipher.longest(limit), longest, `within ${limit}`);
    if (longest === 0) continue;
    const [sealed] = seal(cipher, Buffer.alloc(longest, 7));
    assert.ok(sealed.length <= limit);
    assert.deepEqual(open(cipher, sealed), [Buffer.alloc(longest, 7)]);
  }
});

test('the time may be 1 s ahead and 2 s behind, or as much as is asked for', () => {
  const opens = (cipher: CbcCipher, sent: number): boolean =>
    open(cipher, ...seal(make({ sources: new VirtualSources(sent) }), PLAIN[0])).length === 1;
  const asC = make();
  assert.deepEqual(
    [-3, -2, -1, 0, 1, 2].map((offset) => opens(asC, NOW + offset)),
    [false, true, true, true, true, false],
  );
  assert.deepEqual(asC.refused, { ...noneRefused(), time: 2 });
  assert.equal(asC.skew, -2);
  const wide = make({ behind: 30, ahead: 30 });
  assert.deepEqual(
    [-31, -30, 30, 31].map((offset) => opens(wide, NOW + offset)),
    [false, true, true, false],
  );
});

test('the outer type is a number, the frame’s own, or random within its bounds', () => {
  const types = (outer: CbcOptions['outer'], seed?: number): number[] => {
    const cipher = make({ outer, sources: new VirtualSources(NOW, seed) });
    return seal(cipher, ...PLAIN).map((frame) => frame.readUInt16BE(12));
  };
  assert.deepEqual(types(0x88b5), Array(5).fill(0x88b5));
  assert.deepEqual(types('copy'), [0x0806, 0x0800, 0x0800, 0x88b5, 0x8100]);
  const random = Array.from({ length: 200 }, (_, seed) => types('rand', seed)).flat();
  assert.ok(random.every((type) => type >= 0x600 && type <= 0xfffe));
  assert.ok(new Set(random).size > 500);
});

test('a frame cut to any length is never opened as something shorter than a frame, nor beyond its end', () => {
  const cipher = make();
  for (const sealed of SEALED) {
    for (let length = 0; length < sealed.length; length++) {
      const cut = open(cipher, sealed.subarray(0, length));
      // Cut between blocks, what is left is genuine as far as this format can tell, but for its padding.
      for (const frame of cut) assert.ok(frame.length >= 14 && frame.length <= length - 16);
      if (length < 30 || (length - 30) % 16 !== 0) assert.equal(cut.length, 0);
    }
  }
  for (const length of [30, 31, 37]) assert.deepEqual(open(cipher, SEALED[0].subarray(0, length)), []);
  assert.ok(cipher.refused.malformed > 0);
});

test('another key opens nothing, and is told from clocks that differ', () => {
  const cipher = make({ key: Buffer.alloc(16, 1) });
  assert.deepEqual(open(cipher, ...SEALED), []);
  assert.deepEqual(cipher.refused, { ...noneRefused(), key: 5 });
});

test('any bytes may arrive: nothing is opened, and what comes after is', () => {
  const cipher = make();
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    // Right sizes, and headers that are genuine before a wrong rest.
    fc.integer({ min: 0, max: 20 }).chain((blocks) => octets(30 + blocks * 16, 30 + blocks * 16)),
  );
  let refused = 0;
  fc.assert(
    fc.property(fc.array(noise, { maxLength: 30 }), (frames) => {
      refused += frames.length;
      assert.deepEqual(open(cipher, ...frames, SEALED[1]), [PLAIN[1]]);
      const { malformed, key } = cipher.refused;
      assert.equal(malformed + key, refused);
    }),
  );
});
