import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Burst } from '../../src/frame/burst.js';
import { type AeadAlgorithm, type BlockMode, type CipherLibrary, KEY_LENGTH } from '../../src/sys/cipher.js';
import { evpCiphers } from '../../src/sys/cipher-evp.js';
import { nodeCiphers } from '../../src/sys/cipher-node.js';
import { ciphers } from '../../src/sys/ciphers.js';
import { hasNative, native } from '../../src/sys/ffi.js';
import { Memory } from '../../src/sys/memory.js';
import { octets } from '../frame/arbitraries.js';
import { rssKb } from '../support/leaks.js';

const evp = evpCiphers();
const LIBRARIES: [string, CipherLibrary][] = [['node:crypto', nodeCiphers]];
if (evp !== undefined) LIBRARIES.unshift(['EVP', evp]);

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const memory = (bytes: Uint8Array, room = 0): Memory => {
  const made = new Memory(bytes.length + room);
  made.bytes.set(bytes);
  return made;
};
const bytesOf = ({ bytes }: Memory, from: number, to: number): Buffer => Buffer.from(bytes.subarray(from, to));

/** NIST SP 800-38A, F.1.1 and F.2.1: the key, the first two blocks, and what they become. */
const KEY = hex('2b7e151628aed2a6abf7158809cf4f3c');
const PLAIN = hex('6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51');
const ECB = hex('3ad77bb40d7a3660a89ecaf32466ef97 f5d3d58503b9699de785895a96fdbaaf');
const IV = hex('000102030405060708090a0b0c0d0e0f');
const CBC = hex('7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2');

/** RFC 8439 section 2.8.2, and test case 16 of the GCM specification (McGrew and Viega). */
const MESSAGES: Record<AeadAlgorithm, { key: Buffer; nonce: Buffer; aad: Buffer; text: Buffer; tag: Buffer }> = {
  'chacha20-poly1305': {
    key: hex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f'),
    nonce: hex('070000004041424344454647'),
    aad: hex('50515253c0c1c2c3c4c5c6c7'),
    text: Buffer.from(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
    ),
    tag: hex('1ae10b594f09e26a7e902ecbd0600691'),
  },
  'aes-256-gcm': {
    key: hex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'),
    nonce: hex('cafebabefacedbaddecaf888'),
    aad: hex('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
    text: hex(
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    ),
    tag: hex('76fc6ece0f4e1768cddf8853bb2d551b'),
  },
};
const ALGORITHMS = Object.keys(MESSAGES) as AeadAlgorithm[];
const MODES: BlockMode[] = ['aes-128-ecb', 'aes-128-cbc'];

for (const [name, library] of LIBRARIES) {
  describe(`ciphers by ${name}`, () => {
    test('blocks are what the standard says, in place and from place to place', () => {
      const ecb = library.block('aes-128-ecb', 'encrypt', KEY);
      const place = memory(PLAIN);
      ecb.update(place, 0, 32, place, 0);
      assert.deepEqual(bytesOf(place, 0, 32), ECB);
      const back = library.block('aes-128-ecb', 'decrypt', KEY);
      const other = new Memory(40);
      back.update(place, 16, 16, other, 7);
      assert.deepEqual(bytesOf(other, 7, 23), PLAIN.subarray(16));
      ecb.close();
      back.close();
    });

    test('the chain goes on from call to call, from zeros on', () => {
      const cipher = library.block('aes-128-cbc', 'encrypt', KEY);
      // What makes the IV of the standard out of zeros: its first block, with the IV added.
      const place = memory(PLAIN);
      for (let i = 0; i < 16; i++) place.bytes[i] ^= IV[i];
      cipher.update(place, 0, 16, place, 0);
      cipher.update(place, 16, 16, place, 16);
      assert.deepEqual(bytesOf(place, 0, 32), CBC);
      cipher.close();
    });

    for (const algorithm of ALGORITHMS) {
      const { key, nonce, aad, text, tag } = MESSAGES[algorithm];
      const [start, textAt] = [3, 3 + aad.length];
      const end = textAt + text.length;

      test(`${algorithm}: a message is what its standard says, and opens`, () => {
        const sealer = library.aead(algorithm, 'encrypt', key);
        const opener = library.aead(algorithm, 'decrypt', key);
        const place = memory(Buffer.concat([Buffer.alloc(3), aad, text]), 16);
        const plain = new Memory(text.length);
        for (let again = 0; again < 2; again++) {
          place.bytes.set(text, textAt);
          sealer.nonce.set(nonce);
          sealer.seal(place, start, textAt, end);
          assert.deepEqual(bytesOf(place, end, end + 16), tag);
          opener.nonce.set(nonce);
          assert.ok(opener.open(place, start, textAt, end, plain, 0));
          assert.deepEqual(bytesOf(plain, 0, text.length), text);
        }
        sealer.close();
        opener.close();
      });

      test(`${algorithm}: whatever bit is changed, it does not open; what comes next does`, () => {
        const sealer = library.aead(algorithm, 'encrypt', key);
        const opener = library.aead(algorithm, 'decrypt', key);
        const place = memory(Buffer.concat([Buffer.alloc(3), aad, text]), 16);
        sealer.seal(place, start, textAt, end);
        const plain = new Memory(text.length);
        const opens = (): boolean => opener.open(place, start, textAt, end, plain, 0);
        for (let at = start; at < end + 16; at += 5) {
          place.bytes[at] ^= 1 << (at & 7);
          assert.equal(opens(), false, `byte ${at}`);
          place.bytes[at] ^= 1 << (at & 7);
        }
        assert.ok(opens());
        opener.nonce[11] ^= 1;
        assert.equal(opens(), false);
        opener.nonce[11] ^= 1;
        opener.setKey(Buffer.alloc(32, 9));
        assert.equal(opens(), false);
        opener.setKey(key);
        assert.ok(opens());
        // An error left behind would be taken for one of TLS.
        if (hasNative('unsigned long ERR_peek_error()')) {
          assert.equal(native<() => number>('unsigned long ERR_peek_error()')(), 0);
        }
        sealer.close();
        opener.close();
      });
    }

    test('a key of another length and parts of blocks are refused', () => {
      for (const length of [0, 15, 17, 24, 32]) {
        for (const mode of MODES) {
          assert.throws(() => library.block(mode, 'encrypt', new Uint8Array(length)), {
            code: 'EINVAL',
            subject: mode,
          });
        }
      }
      for (const algorithm of ALGORITHMS) {
        assert.throws(() => library.aead(algorithm, 'encrypt', new Uint8Array(16)), { code: 'EINVAL' });
        const aead = library.aead(algorithm, 'encrypt', new Uint8Array(32));
        assert.throws(() => aead.setKey(new Uint8Array(33)), { code: 'EINVAL', subject: algorithm });
        aead.close();
      }
      const cipher = library.block('aes-128-cbc', 'encrypt', KEY);
      const place = memory(PLAIN);
      for (const length of [1, 15, 17]) {
        assert.throws(() => cipher.update(place, 0, length, place, 0), { code: 'EINVAL' });
      }
      assert.deepEqual(bytesOf(place, 0, 32), PLAIN);
      cipher.close();
    });

    test('closing twice is closing once, and what is closed cannot be used', () => {
      const place = new Memory(64);
      const block = library.block('aes-128-ecb', 'encrypt', KEY);
      const aead = library.aead('aes-256-gcm', 'encrypt', Buffer.alloc(32));
      for (const cipher of [block, block, aead, aead]) cipher.close();
      assert.throws(() => block.update(place, 0, 16, place, 0), { code: 'EBADF', subject: 'aes-128-ecb' });
      assert.throws(() => aead.seal(place, 0, 16, 32), { code: 'EBADF', subject: 'aes-256-gcm' });
      assert.throws(() => aead.open(place, 0, 16, 32, place, 48), { code: 'EBADF' });
    });

    test('what is closed is given back', () => {
      const round = (count: number): number => {
        for (let i = 0; i < count; i++) {
          library.block('aes-128-cbc', 'decrypt', KEY).close();
          library.aead('aes-256-gcm', 'encrypt', Buffer.alloc(32)).close();
        }
        return rssKb(process.pid);
      };
      const before = round(2000);
      // Contexts that are not given back are almost 2 KiB each time; the rest is what the collector has not come to yet.
      const growth = round(64_000) - before;
      assert.ok(growth < 60_000, `${growth} KiB`);
    });
  });
}

test('memory that C would touch is there, or the call is refused', { skip: evp === undefined }, () => {
  const { block, aead } = evp as CipherLibrary;
  const cipher = block('aes-128-ecb', 'encrypt', KEY);
  const sealer = aead('chacha20-poly1305', 'encrypt', Buffer.alloc(32));
  const place = new Memory(64);
  for (const [at, length, toAt] of [
    [56, 16, 0],
    [0, 16, 56],
    [-16, 16, 0],
    [0, -16, 0],
    [Number.NaN, 16, 0],
  ]) {
    assert.throws(() => cipher.update(place, at, length, place, toAt), RangeError);
  }
  assert.throws(() => sealer.seal(place, 0, 16, 49), RangeError);
  assert.throws(() => sealer.seal(place, 0, 32, 16), RangeError);
  sealer.seal(place, 0, 16, 48);
  cipher.close();
  sealer.close();
});

test('both give the same, for any chain of calls and any message, in the slab of a burst too', {
  skip: evp === undefined,
}, () => {
  const burst = new Burst();
  const place = new Memory(2048);
  const lengths = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.constantFrom(...MODES), octets(16, 16), lengths, octets(320, 320), (mode, key, blocks, input) => {
      const results = LIBRARIES.map(([, library]) => {
        const [there, back] = (['encrypt', 'decrypt'] as const).map((way) => library.block(mode, way, key));
        const out: string[] = [];
        for (const count of blocks) {
          const home = burst.home(count) - 2;
          place.bytes.set(input);
          there.update(place, 0, count * 16, burst, home);
          out.push(Buffer.from(burst.bytes.subarray(home, home + count * 16)).toString('hex'));
          back.update(burst, home, count * 16, place, 5);
          assert.deepEqual(bytesOf(place, 5, 5 + count * 16), Buffer.from(input.subarray(0, count * 16)));
        }
        there.close();
        back.close();
        return out;
      });
      assert.deepEqual(results[0], results[1]);
      assert.equal(results[0].join(''), expected(mode, key, blocks, input));
    }),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...ALGORITHMS),
      octets(32, 32),
      octets(12, 12),
      octets(60),
      octets(1500, 1),
      (...of) => {
        const [algorithm, key, nonce, aad, text] = of;
        const results = LIBRARIES.map(([, library]) => {
          const aead = library.aead(algorithm, 'encrypt', key);
          place.bytes.set(aad);
          place.bytes.set(text, aad.length);
          aead.nonce.set(nonce);
          const end = aad.length + text.length;
          aead.seal(place, 0, aad.length, end);
          aead.close();
          return bytesOf(place, 0, end + 16).toString('hex');
        });
        assert.equal(results[0], results[1]);
      },
    ),
  );
});

/** What `createCipheriv` makes of it in one go. */
function expected(mode: BlockMode, key: Uint8Array, blocks: number[], input: Uint8Array): string {
  const cipher = createCipheriv(mode, key, mode === 'aes-128-ecb' ? null : Buffer.alloc(16)).setAutoPadding(false);
  return cipher.update(Buffer.concat(blocks.map((count) => input.subarray(0, count * 16)))).toString('hex');
}

test('the fastest that there is is used', () => {
  assert.equal(ciphers(), ciphers());
  const place = memory(PLAIN);
  const cipher = ciphers().block('aes-128-ecb', 'encrypt', KEY);
  cipher.update(place, 0, 32, place, 0);
  assert.deepEqual(bytesOf(place, 0, 32), ECB);
  cipher.close();
  assert.equal(KEY_LENGTH['aes-256-gcm'], 32);
});
