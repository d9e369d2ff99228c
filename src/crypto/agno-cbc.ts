/**
 * The format of C's plugin (reference: agno encryption, "Frame format"): AES-128, no authentication.
 *
 *     plain   DST SRC TYPE P
 *     sealed  DST SRC OUTER E1 E2        E1 = ECB(A), E2 = CBC(P and zeros to 16 bytes) with A for its IV
 *     A       TYPE(2) padding(1) 0(1) "agno" time(4, seconds since 1970) salt(4)
 *
 * A frame is one call of a cipher: setting an IV would be another. So the CBC ciphers go on from frame to frame, and what
 * differs from a frame of its own is put right with exclusive ors: where the chain adds (xor) the last block C of the frame
 * before to the next block X, X xor C xor A is what it is given. The other way round it is the same, so that E1 and E2 are
 * decrypted in one go. The headers of a burst are encrypted in one call.
 */

import { BURST_SIZE, type Burst, FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { readU32 } from '../frame/bytes.js';
import { BLOCK, type BlockCipher, type CipherLibrary } from '../sys/cipher.js';
import { ciphers } from '../sys/ciphers.js';
import { Memory } from '../sys/memory.js';
import {
  type CipherSources,
  type FrameCipher,
  MACHINE_SOURCES,
  moveAddresses,
  noneRefused,
  type OuterType,
  outerType,
  RandomWords,
} from './frame-cipher.js';

/** Bytes of DST, SRC, OUTER and E1. */
const SEALED_MIN = FRAME_MIN + BLOCK;
const TAG = [0x61, 0x67, 0x6e, 0x6f];
/** 16-bit words in a block: frames begin at a multiple of 4, so what follows their 14 bytes at one of 2. */
const SHORTS = BLOCK / 2;

export interface CbcOptions {
  /** 16 bytes. */
  key: Uint8Array;
  outer: OuterType;
  /** Seconds that a frame may be old when it arrives; 2 as in C. */
  behind?: number;
  /** Seconds that the sender's clock may be ahead; 1 as in C. */
  ahead?: number;
  sources?: CipherSources;
  library?: CipherLibrary;
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
  readonly #headerCipher: BlockCipher;
  readonly #cipher: BlockCipher;
  readonly #decipher: BlockCipher;
  /** The headers of a burst as they are before encryption, and after. */
  readonly #headers = new Memory(BURST_SIZE * BLOCK);
  readonly #sealedHeaders = new Memory(BURST_SIZE * BLOCK);
  readonly #headerShorts = new Uint16Array(this.#headers.buffer);
  readonly #sealedHeaderShorts = new Uint16Array(this.#sealedHeaders.buffer);
  /** The last block that the ciphers have made, or seen. */
  readonly #sealChain = new Uint16Array(SHORTS);
  readonly #openChain = new Uint16Array(SHORTS);

  constructor({ key, outer, behind = 2, ahead = 1, sources = MACHINE_SOURCES, library = ciphers() }: CbcOptions) {
    this.#outer = outer;
    this.#behind = behind;
    this.#ahead = ahead;
    this.#sources = sources;
    this.#words = new RandomWords(sources);
    this.#headerCipher = library.block('aes-128-ecb', 'encrypt', key);
    this.#cipher = library.block('aes-128-cbc', 'encrypt', key);
    this.#decipher = library.block('aes-128-cbc', 'decrypt', key);
  }

  longest(limit: number): number {
    const blocks = Math.floor((Math.min(limit, FRAME_MAX) - SEALED_MIN) / BLOCK);
    return Math.max(0, FRAME_MIN + blocks * BLOCK);
  }

  seal(burst: Burst, views: Uint8Array, count: number, out: Burst): void {
    const time = Math.floor(this.#sources.now() / 1000);
    for (let slot = 0; slot < count; slot++) this.#layOut(burst, views[slot], slot, time, out);
    out.count = count;
    this.#headerCipher.update(this.#headers, 0, count * BLOCK, this.#sealedHeaders, 0);
    for (let slot = 0; slot < count; slot++) this.#sealOne(out, slot);
  }

  /** Puts a frame where it will be sealed, with room for its header, which is made too. */
  #layOut(burst: Burst, view: number, slot: number, time: number, out: Burst): void {
    const { bytes, words } = out;
    const length = burst.length[view];
    const padding = -(length - FRAME_MIN) & (BLOCK - 1);
    const at = out.home(slot);
    // The payload where it will be; the addresses before the header.
    burst.copyView(view, bytes, at + BLOCK);
    moveAddresses(words, at + BLOCK, words, at);
    for (let i = 0; i < padding; i++) bytes[at + BLOCK + length + i] = 0;
    const type = (bytes[at + BLOCK + 12] << 8) | bytes[at + BLOCK + 13];
    const outer = outerType(this.#outer, type, this.#words);
    bytes[at + 12] = outer >>> 8;
    bytes[at + 13] = outer;
    const header = slot * BLOCK;
    const { view: headers } = this.#headers;
    headers.setUint16(header, type);
    headers.setUint16(header + 2, padding << 8);
    for (let i = 0; i < TAG.length; i++) headers.setUint8(header + 4 + i, TAG[i]);
    headers.setUint32(header + 8, time);
    headers.setUint32(header + 12, this.#words.next());
    out.place(slot, at, length + BLOCK + padding);
    out.offload[slot] = 0;
  }

  #sealOne(out: Burst, slot: number): void {
    const { shorts } = out;
    const headers = this.#headerShorts;
    const sealed = this.#sealedHeaderShorts;
    const chain = this.#sealChain;
    const header = slot * SHORTS;
    const at = (out.start[slot] + FRAME_MIN) >>> 1;
    for (let i = 0; i < SHORTS; i++) shorts[at + i] = sealed[header + i];
    const size = out.length[slot] - SEALED_MIN;
    if (size === 0) return;
    const payload = at + SHORTS;
    for (let i = 0; i < SHORTS; i++) shorts[payload + i] ^= headers[header + i] ^ chain[i];
    this.#cipher.update(out, payload << 1, size, out, payload << 1);
    const last = payload + (size >>> 1) - SHORTS;
    for (let i = 0; i < SHORTS; i++) chain[i] = shorts[last + i];
  }

  open(burst: Burst, out: Burst): void {
    const now = Math.floor(this.#sources.now() / 1000);
    for (let slot = 0; slot < burst.count; slot++) this.#openOne(burst, slot, now, out);
  }

  #openOne(burst: Burst, slot: number, now: number, out: Burst): void {
    const start = burst.start[slot];
    const size = burst.length[slot] - FRAME_MIN;
    if (size < BLOCK || size % BLOCK !== 0) {
      this.refused.malformed++;
      return;
    }
    // The payload where it will be, and the header in the 16 bytes before.
    const to = out.count;
    const home = out.home(to);
    const header = home + FRAME_MIN - BLOCK;
    this.#decipher.update(burst, start + FRAME_MIN, size, out, header);
    this.#unchain(burst.shorts, (start + FRAME_MIN) >>> 1, size >>> 1, out.shorts, header >>> 1);
    const length = this.#check(out.bytes, header, size, now);
    if (length === 0) return;
    const type = out.shorts[header >>> 1];
    moveAddresses(burst.words, start, out.words, home);
    out.shorts[(home + 12) >>> 1] = type;
    out.place(to, home, length);
    out.offload[to] = 0;
    out.count = to + 1;
  }

  /** Puts right what `size` words of a chain that went on from the frame before were decrypted to. */
  #unchain(sealed: Uint16Array, from: number, size: number, plain: Uint16Array, to: number): void {
    const chain = this.#openChain;
    const last = from + size - SHORTS;
    for (let i = 0; i < SHORTS; i++) {
      plain[to + i] ^= chain[i];
      chain[i] = sealed[last + i];
    }
    if (size === SHORTS) return;
    for (let i = 0; i < SHORTS; i++) plain[to + SHORTS + i] ^= sealed[from + i] ^ plain[to + i];
  }

  /** The length of the frame with the plain header at `at`; 0, counted, if it is refused. */
  #check(plain: Uint8Array, at: number, size: number, now: number): number {
    for (let i = 0; i < TAG.length; i++) {
      if (plain[at + 4 + i] !== TAG[i]) {
        this.refused.key++;
        return 0;
      }
    }
    const age = (now >>> 0) - readU32(plain, at + 8);
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

  close(): void {
    this.#headerCipher.close();
    this.#cipher.close();
    this.#decipher.close();
  }
}
