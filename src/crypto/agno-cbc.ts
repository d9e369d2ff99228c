/**
 * The format of C's plugin (reference: agno encryption, "Frame format"): AES-128, no authentication.
 *
 *     plain   DST SRC TYPE P
 *     sealed  DST SRC OUTER E1 E2        E1 = ECB(A), E2 = CBC(P and zeros to 16 bytes) with A for its IV
 *     A       TYPE(2) padding(1) 0(1) "agno" time(4, seconds since 1970) salt(4)
 *
 * A cipher object of Node's for each frame would cost more than the encryption. So there is one of each kind for all
 * frames, and what differs from a frame of its own is put right with exclusive ors: a CBC cipher that goes on from the
 * frame before adds (xor) that one's last block C to its next block X, so X xor C xor A is what it is given. Decryption is
 * the same the other way round, which makes it one call for a whole burst; all headers of a burst are encrypted in one.
 * Short frames, where the call would still be most of the work, are encrypted side by side: the first blocks of all of
 * them in one call, then the second ones.
 */

import { type Cipher, createCipheriv, createDecipheriv, type Decipher } from 'node:crypto';
import { BURST_SIZE, type Burst, FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import {
  type CipherSources,
  type FrameCipher,
  MACHINE_SOURCES,
  noneRefused,
  type OuterType,
  outerType,
  RandomWords,
} from './frame-cipher.js';

const BLOCK = 16;
/** Bytes of DST, SRC, OUTER and E1. */
const SEALED_MIN = FRAME_MIN + BLOCK;
const TAG = [0x61, 0x67, 0x6e, 0x6f];
/** Bytes decrypted in one call: a burst of frames of 1500 bytes, and never less than one frame. */
const CHUNK = 128 << 10;
/** Blocks of payload in a frame that counts as short. */
const SHORT_BLOCKS = 8;

export interface CbcOptions {
  /** 16 bytes. */
  key: Uint8Array;
  outer: OuterType;
  /** Seconds that a frame may be old when it arrives; 2 as in C. */
  behind?: number;
  /** Seconds that the sender's clock may be ahead; 1 as in C. */
  ahead?: number;
  sources?: CipherSources;
}

/** See the head of this file. */
export class CbcCipher implements FrameCipher {
  readonly refused = noneRefused();
  skew = 0;
  readonly #outer: OuterType;
  readonly #behind: number;
  readonly #ahead: number;
  readonly #sources: CipherSources;
  readonly #words: RandomWords;
  readonly #blockCipher: Cipher;
  readonly #cipher: Cipher;
  readonly #decipher: Decipher;
  /** The headers of a burst as they are before encryption, and those of one that arrives. */
  readonly #headers = new Uint8Array(BURST_SIZE * BLOCK);
  readonly #headerView = new DataView(this.#headers.buffer);
  /** The last block that the ciphers have seen. */
  readonly #sealChain = new Uint8Array(BLOCK);
  readonly #openChain = new Uint8Array(BLOCK);
  /** What arrived encrypted, frame after frame, and the slots that it came from. */
  readonly #chunk = new Uint8Array(CHUNK);
  readonly #slots = new Uint8Array(BURST_SIZE);
  /** One block of each short frame: what goes in, and what came out last; as words too. */
  readonly #lanesIn = new Uint8Array(BURST_SIZE * BLOCK);
  readonly #lanesOut = new Uint8Array(BURST_SIZE * BLOCK);
  readonly #wordsIn = new Uint16Array(this.#lanesIn.buffer);
  readonly #wordsOut = new Uint16Array(this.#lanesOut.buffer);
  readonly #headerWords = new Uint16Array(this.#headers.buffer);

  constructor({ key, outer, behind = 2, ahead = 1, sources = MACHINE_SOURCES }: CbcOptions) {
    this.#outer = outer;
    this.#behind = behind;
    this.#ahead = ahead;
    this.#sources = sources;
    this.#words = new RandomWords(sources);
    this.#blockCipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
    this.#cipher = createCipheriv('aes-128-cbc', key, this.#sealChain).setAutoPadding(false);
    this.#decipher = createDecipheriv('aes-128-cbc', key, this.#openChain).setAutoPadding(false);
  }

  longest(limit: number): number {
    const blocks = Math.floor((Math.min(limit, FRAME_MAX) - SEALED_MIN) / BLOCK);
    return Math.max(0, FRAME_MIN + blocks * BLOCK);
  }

  seal(burst: Burst, views: Uint8Array, count: number, out: Burst): void {
    const time = Math.floor(this.#sources.now() / 1000);
    const { bytes } = out;
    const headers = this.#headerView;
    for (let slot = 0; slot < count; slot++) {
      const length = burst.length[views[slot]];
      const padding = -(length - FRAME_MIN) & (BLOCK - 1);
      const at = out.home(slot);
      // The payload where it will be; the addresses before the header.
      burst.copyView(views[slot], bytes, at + BLOCK);
      bytes.copyWithin(at, at + BLOCK, at + BLOCK + 12);
      bytes.fill(0, at + BLOCK + length, at + BLOCK + length + padding);
      const type = (bytes[at + BLOCK + 12] << 8) | bytes[at + BLOCK + 13];
      const outer = outerType(this.#outer, type, this.#words);
      bytes[at + 12] = outer >>> 8;
      bytes[at + 13] = outer;
      const header = slot * BLOCK;
      headers.setUint16(header, type);
      headers.setUint16(header + 2, padding << 8);
      this.#headers.set(TAG, header + 4);
      headers.setUint32(header + 8, time);
      headers.setUint32(header + 12, this.#words.next());
      out.place(slot, at, length + BLOCK + padding);
      out.offload[slot] = 0;
    }
    out.count = count;
    const sealedHeaders = this.#blockCipher.update(this.#headers.subarray(0, count * BLOCK));
    let short = 0;
    for (let slot = 0; slot < count; slot++) {
      const header = slot * BLOCK;
      bytes.set(sealedHeaders.subarray(header, header + BLOCK), out.start[slot] + FRAME_MIN);
      const blocks = (out.length[slot] - SEALED_MIN) / BLOCK;
      if (blocks > SHORT_BLOCKS) this.#sealPayload(out, slot);
      else if (blocks > 0) this.#slots[short++] = slot;
    }
    if (short > SHORT_BLOCKS) this.#sealSideBySide(out, short);
    else for (let k = 0; k < short; k++) this.#sealPayload(out, this.#slots[k]);
  }

  #sealPayload({ bytes, start, length }: Burst, slot: number): void {
    const chain = this.#sealChain;
    const header = slot * BLOCK;
    const payload = start[slot] + SEALED_MIN;
    const end = start[slot] + length[slot];
    for (let i = 0; i < BLOCK; i++) bytes[payload + i] ^= this.#headers[header + i] ^ chain[i];
    bytes.set(this.#cipher.update(bytes.subarray(payload, end)), payload);
    for (let i = 0; i < BLOCK; i++) chain[i] = bytes[end - BLOCK + i];
  }

  /** Seals the payloads of the first `lanes` of `#slots`, a block of each at a time. */
  #sealSideBySide({ shorts, start, length }: Burst, lanes: number): void {
    const slots = this.#slots;
    const [input, output] = [this.#wordsIn, this.#wordsOut];
    const words = BLOCK / 2;
    for (let block = 0; ; block++) {
      // Lanes that go on move up to close the gaps, and what came out for them with them.
      let live = 0;
      for (let lane = 0; lane < lanes; lane++) {
        const slot = slots[lane];
        if (SEALED_MIN + block * BLOCK >= length[slot]) continue;
        const payload = (start[slot] + SEALED_MIN + block * BLOCK) >>> 1;
        const before = block === 0 ? this.#headerWords : output;
        const from = block === 0 ? slot * words : lane * words;
        for (let i = 0; i < words; i++) input[live * words + i] = shorts[payload + i] ^ before[from + i];
        slots[live++] = slot;
      }
      if (live === 0) return;
      lanes = live;
      this.#lanesOut.set(this.#blockCipher.update(this.#lanesIn.subarray(0, live * BLOCK)));
      for (let lane = 0; lane < live; lane++) {
        const payload = (start[slots[lane]] + SEALED_MIN + block * BLOCK) >>> 1;
        for (let i = 0; i < words; i++) shorts[payload + i] = output[lane * words + i];
      }
    }
  }

  open(burst: Burst, out: Burst): void {
    const now = Math.floor(this.#sources.now() / 1000);
    let frames = 0;
    let total = 0;
    for (let slot = 0; slot < burst.count; slot++) {
      const length = burst.length[slot];
      if (length < SEALED_MIN || (length - SEALED_MIN) % BLOCK !== 0) {
        this.refused.malformed++;
        continue;
      }
      const size = length - FRAME_MIN;
      if (total + size > CHUNK) {
        this.#openChunk(burst, out, frames, total, now);
        frames = 0;
        total = 0;
      }
      const start = burst.start[slot];
      this.#chunk.set(burst.bytes.subarray(start + FRAME_MIN, start + length), total);
      this.#slots[frames++] = slot;
      total += size;
    }
    if (frames > 0) this.#openChunk(burst, out, frames, total, now);
  }

  #openChunk(burst: Burst, out: Burst, frames: number, total: number, now: number): void {
    const chunk = this.#chunk;
    const chain = this.#openChain;
    const plain = this.#decipher.update(chunk.subarray(0, total));
    for (let k = 0, at = 0; k < frames; k++) {
      const slot = this.#slots[k];
      const size = burst.length[slot] - FRAME_MIN;
      for (let i = 0; i < BLOCK; i++) plain[at + i] ^= at === 0 ? chain[i] : chunk[at - BLOCK + i];
      const length = this.#check(plain, at, size, now);
      if (length > 0) {
        if (size > BLOCK) for (let i = 0; i < BLOCK; i++) plain[at + BLOCK + i] ^= chunk[at + i] ^ plain[at + i];
        this.#deliver(burst, slot, plain, at, length, out);
      }
      at += size;
    }
    for (let i = 0; i < BLOCK; i++) chain[i] = chunk[total - BLOCK + i];
  }

  /** The length of the frame with the header at `at`; 0, counted, if it is refused. */
  #check(plain: Buffer, at: number, size: number, now: number): number {
    for (let i = 0; i < TAG.length; i++) {
      if (plain[at + 4 + i] !== TAG[i]) {
        this.refused.key++;
        return 0;
      }
    }
    const age = (now >>> 0) - plain.readUInt32BE(at + 8);
    if (age > this.#behind || age < -this.#ahead) {
      this.refused.time++;
      this.skew = age;
      return 0;
    }
    const length = FRAME_MIN + size - BLOCK - (plain[at + 2] & (BLOCK - 1));
    if (length < FRAME_MIN) {
      this.refused.malformed++;
      return 0;
    }
    return length;
  }

  #deliver(burst: Burst, slot: number, plain: Buffer, at: number, length: number, out: Burst): void {
    const { bytes } = out;
    const to = out.count++;
    const home = out.home(to);
    const start = burst.start[slot];
    bytes.set(burst.bytes.subarray(start, start + 12), home);
    bytes[home + 12] = plain[at];
    bytes[home + 13] = plain[at + 1];
    bytes.set(plain.subarray(at + BLOCK, at + BLOCK + length - FRAME_MIN), home + FRAME_MIN);
    out.place(to, home, length);
    out.offload[to] = 0;
  }
}
