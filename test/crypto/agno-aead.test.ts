import assert from 'node:assert/strict';
import { createDecipheriv, hkdfSync } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AEAD_GROWTH, AeadCipher, type AeadOptions, SESSIONS_MAX } from '../../src/crypto/agno-aead.js';
import { noneRefused } from '../../src/crypto/frame-cipher.js';
import { REPLAY_WINDOW } from '../../src/crypto/replay-window.js';
import { nodeCiphers } from '../../src/sys/cipher-node.js';
import { octets } from '../frame/arbitraries.js';
import { open, seal, VirtualSources } from './cipher.js';

const NOW = 1_795_000_000;
const KEY = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
const FRAME = Buffer.from(`02000000000202000000000188b5${'01'.repeat(50)}`, 'hex');
let seed = 1;

const make = (options: Partial<AeadOptions> = {}): AeadCipher =>
  new AeadCipher({ suite: 'gcm', key: KEY, outer: 0xa6de, sources: new VirtualSources(NOW, seed++), ...options });

for (const suite of ['gcm', 'chacha'] as const) {
  describe(suite, () => {
    test('frames of any size and content are opened as they were', () => {
      const frame = fc.integer({ min: 14, max: 2000 }).chain((n) => octets(n, n));
      const [sender, receiver] = [make({ suite }), make({ suite })];
      fc.assert(
        fc.property(fc.array(frame, { minLength: 1, maxLength: 64 }), (frames) => {
          const sealed = seal(sender, ...frames);
          for (const [i, one] of sealed.entries()) assert.equal(one.length, frames[i].length + AEAD_GROWTH);
          assert.deepEqual(
            open(receiver, ...sealed),
            frames.map((one) => Buffer.from(one)),
          );
        }),
        { numRuns: 30 },
      );
    });

    test('without OpenSSL’s own functions the format is the same, also of senders that take turns', () => {
      const senders = [1, 2].map((own) => {
        const of = (options: Partial<AeadOptions>) =>
          make({ suite, sources: new VirtualSources(NOW, own), ...options });
        return { fast: of({}), plain: of({ library: nodeCiphers }) };
      });
      const receivers = [make({ suite }), make({ suite, library: nodeCiphers })];
      for (let turn = 0; turn < 6; turn++) {
        const { fast, plain } = senders[turn % 2];
        const sealed = seal(fast, FRAME, FRAME);
        assert.deepEqual(seal(plain, FRAME, FRAME), sealed);
        for (const receiver of receivers) assert.deepEqual(open(receiver, ...sealed), [FRAME, FRAME]);
      }
    });

    test('a frame that was changed, cut or made longer anywhere is refused', () => {
      const [sender, receiver] = [make({ suite }), make({ suite })];
      const [sealed] = seal(sender, FRAME);
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const changed = Buffer.from(sealed);
        changed[bit >> 3] ^= 1 << (bit & 7);
        assert.deepEqual(open(receiver, changed), [], `bit ${bit}`);
      }
      for (let length = 0; length < sealed.length; length++) {
        assert.deepEqual(open(receiver, sealed.subarray(0, length)), [], `cut to ${length}`);
      }
      assert.deepEqual(open(receiver, Buffer.concat([sealed, Buffer.alloc(1)])), []);
      assert.deepEqual(open(receiver, sealed), [FRAME]);
    });
  });
}

test('the format is what the document says: opened here by the book', () => {
  const [sealed] = seal(make({ outer: 0x0800 }), FRAME);
  assert.equal(sealed.toString('hex', 0, 22), `${FRAME.toString('hex', 0, 12)}080001010000${NOW.toString(16)}`);
  const session = sealed.subarray(22, 34);
  const key = Buffer.from(hkdfSync('sha256', KEY, session, 'vde agno 1 aes-256-gcm', 32));
  const nonce = Buffer.concat([Buffer.alloc(4), sealed.subarray(34, 42)]);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce);
  decipher.setAAD(sealed.subarray(0, 42));
  decipher.setAuthTag(sealed.subarray(-16));
  const plain = Buffer.concat([decipher.update(sealed.subarray(42, -16)), decipher.final()]);
  assert.deepEqual(plain, FRAME.subarray(12));
});

test('replays are refused and counted, frames that overtake one another are not', () => {
  const [sender, receiver] = [make(), make()];
  const frames = Array.from({ length: REPLAY_WINDOW + 10 }, () => seal(sender, FRAME)[0]);
  for (const late of [1, 0, 5, 3]) assert.equal(open(receiver, frames[late]).length, 1);
  for (const late of [1, 0, 5, 3]) assert.equal(open(receiver, frames[late]).length, 0);
  assert.equal(open(receiver, frames.at(-1) as Buffer).length, 1);
  assert.equal(open(receiver, frames[12]).length, 1, 'within the window');
  assert.equal(open(receiver, frames[9]).length, 0, 'too old for it');
  assert.deepEqual(receiver.refused, { ...noneRefused(), replayed: 5 });
});

test('a forged frame does not move the window', () => {
  const [sender, receiver] = [make(), make()];
  const [first, second] = seal(sender, FRAME, FRAME);
  assert.equal(open(receiver, first).length, 1);
  const forged = Buffer.from(second);
  forged.writeUInt32BE(0xffff, 34 + 2);
  assert.equal(open(receiver, forged).length, 0);
  assert.equal(open(receiver, second).length, 1);
  assert.deepEqual(receiver.refused, { ...noneRefused(), key: 1 });
});

test('an end refuses its own frames when they come back, also those of its session before', () => {
  const cipher = make({ sessionFrames: 2 });
  const sealed = seal(cipher, FRAME, FRAME, FRAME);
  assert.notDeepEqual(sealed[1].subarray(22, 34), sealed[2].subarray(22, 34));
  assert.deepEqual(open(cipher, ...sealed), []);
  assert.equal(cipher.refused.replayed, 3);
  assert.equal(open(make(), ...sealed).length, 3);
});

test('no key and nonce come twice: every start draws another session, numbers count up within it', () => {
  const seen = new Set<string>();
  for (let start = 0; start < 50; start++) {
    for (const one of seal(make({ sessionFrames: 3 }), ...Array(10).fill(FRAME))) seen.add(one.toString('hex', 22, 42));
  }
  assert.equal(seen.size, 500);
});

test('clocks may differ by what is asked for, 10 s if nothing is', () => {
  const opens = (receiver: AeadCipher, sent: number): boolean =>
    open(receiver, ...seal(make({ sources: new VirtualSources(sent, seed++) }), FRAME)).length === 1;
  const receiver = make();
  assert.deepEqual(
    [-11, -10, 10, 11].map((offset) => opens(receiver, NOW + offset)),
    [false, true, true, false],
  );
  assert.equal(receiver.refused.time, 2);
  assert.equal(opens(make({ skew: 0 }), NOW - 1), false);
  assert.equal(opens(make({ skew: 0 }), NOW), true);
});

test('another key, the other suite and C’s format open nothing', () => {
  const sealed = seal(make(), FRAME);
  const stranger = make({ key: Buffer.alloc(16, 9) });
  assert.deepEqual(open(stranger, ...sealed), []);
  assert.equal(stranger.refused.key, 1);
  const other = make({ suite: 'chacha' });
  assert.deepEqual(open(other, ...sealed), []);
  assert.equal(other.refused.malformed, 1);
});

test('sessions are bounded: a new one waits until an old one’s frames are too old to be good again', () => {
  const sources = new VirtualSources(NOW, seed++);
  const receiver = make({ sources });
  const senders = Array.from({ length: SESSIONS_MAX }, () => make());
  const first = seal(senders[0], FRAME)[0];
  assert.equal(open(receiver, first).length, 1);
  for (const sender of senders.slice(1)) assert.equal(open(receiver, ...seal(sender, FRAME)).length, 1);
  const late = make();
  assert.equal(open(receiver, ...seal(late, FRAME)).length, 0);
  assert.equal(open(receiver, ...seal(senders[0], FRAME)).length, 1, 'those that are known go on');
  sources.seconds += 11;
  const later = make({ sources: new VirtualSources(NOW + 11, seed++) });
  assert.equal(open(receiver, ...seal(later, FRAME)).length, 1);
  assert.equal(open(receiver, first).length, 0, 'a frame of a forgotten session is too old');
});

test('any bytes may arrive: nothing is opened, and what comes after is', () => {
  const [sender, receiver] = [make(), make()];
  const shaped = fc.uint8Array({ minLength: 40, maxLength: 100 }).map((rest) => {
    const header = Buffer.alloc(22);
    header.set([1, 1], 14);
    header.writeUInt32BE(NOW, 18);
    return Buffer.concat([header, rest]);
  });
  let refused = 0;
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.uint8Array({ maxLength: 200 }), shaped), { maxLength: 20 }), (frames) => {
      refused += frames.length;
      assert.deepEqual(open(receiver, ...frames, ...seal(sender, FRAME)), [FRAME]);
      const { malformed, key, time } = receiver.refused;
      assert.equal(malformed + key + time, refused);
    }),
  );
});
