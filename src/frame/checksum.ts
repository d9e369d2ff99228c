/**
 * The Internet checksum: RFC 1071; its incremental update: RFC 1624; pseudo headers: RFC 9293 section 3.1 (IPv4),
 * RFC 8200 section 8.1 (IPv6).
 *
 * A *sum* is a one's complement sum under way: an unsigned number that may be wider than 16 bits until it is folded.
 * A *checksum* is the 16-bit value found in a header: the complement of a folded sum.
 */

import { readU16 } from './bytes.js';

/** Source and destination of an IP packet: IPv4 addresses as unsigned 32-bit numbers, IPv6 ones as 16 octets. */
export type IpEndpoints = { src: number; dst: number } | { src: Uint8Array; dst: Uint8Array };

/** 16384 words of at most 0xffff: what can be added to a folded sum without leaving 31 bits, V8's fast integers. */
const BLOCK = 0x8000;

/** Carries the bits above the 16th back in. */
export function foldSum(sum: number): number {
  // Sums of a few hundred pieces may pass 32 bits, where bit operators would cut them.
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}

/**
 * Adds the octets in [`start`, `end`) to `sum` as big-endian 16-bit words; an odd last octet is padded with zero
 * (RFC 1071 section 1), so only the last piece of a datagram may have an odd length.
 * @returns the folded sum.
 */
export function sumBytes(bytes: Uint8Array, start = 0, end = bytes.length, sum = 0): number {
  const stop = Math.max(start, Math.min(end, bytes.length));
  const even = start + ((stop - start) & ~1);
  let total = foldSum(sum);
  for (let at = start; at < even; ) {
    const blockEnd = Math.min(at + BLOCK, even);
    for (const unrolled = blockEnd - 7; at < unrolled; at += 8) {
      total +=
        ((bytes[at] + bytes[at + 2] + bytes[at + 4] + bytes[at + 6]) << 8) +
        (bytes[at + 1] + bytes[at + 3] + bytes[at + 5] + bytes[at + 7]);
    }
    for (; at < blockEnd; at += 2) total += (bytes[at] << 8) | bytes[at + 1];
    total = (total & 0xffff) + (total >>> 16);
  }
  if (even < stop) total += bytes[even] << 8;
  return foldSum(total);
}

/**
 * The checksum of the octets in [`start`, `end`), on top of `sum` (a pseudo header's, say). Over data that contain a
 * correct checksum field it is 0.
 */
export function checksum(bytes: Uint8Array, start = 0, end = bytes.length, sum = 0): number {
  return ~sumBytes(bytes, start, end, sum) & 0xffff;
}

/** The sum of the pseudo header of an upper-layer packet of `length` octets. */
export function pseudoHeaderSum(ip: IpEndpoints, protocol: number, length: number): number {
  let sum = protocol + (length >>> 16) + (length & 0xffff);
  for (const address of [ip.src, ip.dst]) {
    if (typeof address === 'number') sum += (address >>> 16) + (address & 0xffff);
    else for (let at = 0; at < 16; at += 2) sum += readU16(address, at);
  }
  return sum;
}

/**
 * The checksum after one 16-bit word under it has changed: HC' = ~(~HC + ~m + m') (RFC 1624 section 3, equation 3).
 * A wider field is updated word by word.
 */
export function updateChecksum(checksum: number, oldWord: number, newWord: number): number {
  return ~foldSum((~checksum & 0xffff) + (~oldWord & 0xffff) + (newWord & 0xffff)) & 0xffff;
}
