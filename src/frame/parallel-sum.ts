/**
 * The Internet checksum's sum over long runs of bytes, by 32-bit words: RFC 1071 section 2, (B) byte order independence
 * and (C) parallel summation.
 *
 * One's complement addition does not care how wide the words are nor in which order their bytes lie, as long as the
 * result is folded and swapped at the end. Four times as fast as adding bytes (`checksum.ts`), once a buffer's word
 * views have been made; those are kept for as long as the buffer lives.
 */

import { LITTLE_ENDIAN } from '../sys/memory.js';
import { sumBytes } from './checksum.js';

interface Words {
  buffer: ArrayBufferLike;
  words: Uint32Array;
  shorts: Uint16Array;
}

const known = new WeakMap<ArrayBufferLike, Words>();
let last = see(new ArrayBuffer(0));

function see(buffer: ArrayBufferLike): Words {
  const size = buffer.byteLength;
  const seen = {
    buffer,
    words: new Uint32Array(buffer, 0, size >>> 2),
    shorts: new Uint16Array(buffer, 0, size >>> 1),
  };
  known.set(buffer, seen);
  return seen;
}

/**
 * Adds the octets in [`start`, `end`) as big-endian 16-bit words, as `sumBytes` does; an odd last octet is padded with
 * zero. Fast where the first lies at an even address.
 * @returns the folded sum.
 */
export function parallelSum(bytes: Uint8Array, start: number, end: number): number {
  const from = bytes.byteOffset + start;
  const to = bytes.byteOffset + Math.min(end, bytes.length);
  if ((from & 1) !== 0 || start < 0 || from >= to) return sumBytes(bytes, start, end);
  const { buffer } = bytes;
  if (last.buffer !== buffer) last = known.get(buffer) ?? see(buffer);
  const { words, shorts } = last;
  // Doubles: exact up to 2^53, which is 2^21 words.
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let at = from;
  if ((at & 2) !== 0 && to - at >= 2) {
    a = shorts[at >>> 1];
    at += 2;
  }
  let word = at >>> 2;
  const stop = word + ((to - at) >>> 2);
  for (const unrolled = stop - 7; word < unrolled; word += 8) {
    a += words[word] + words[word + 4];
    b += words[word + 1] + words[word + 5];
    c += words[word + 2] + words[word + 6];
    d += words[word + 3] + words[word + 7];
  }
  for (; word < stop; word++) a += words[word];
  at += ((to - at) >>> 2) << 2;
  if (to - at >= 2) {
    b += shorts[at >>> 1];
    at += 2;
  }
  if (at < to) {
    const octet = bytes[at - bytes.byteOffset];
    c += LITTLE_ENDIAN ? octet : octet << 8;
  }
  const total = a + b + c + d;
  const low = total >>> 0;
  let sum = Math.floor(total / 0x1_0000_0000) + (low & 0xffff) + (low >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  return LITTLE_ENDIAN ? ((sum & 0xff) << 8) | (sum >>> 8) : sum;
}
