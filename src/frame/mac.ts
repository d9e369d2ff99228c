/**
 * MAC addresses: EUI-48, IEEE 802-2014 clause 8.
 *
 * An address is 6 octets in wire order, mostly a view of the frame that it was read from. Tables that must not allocate
 * per frame use its two words instead: the high 16 and the low 32 bits, both unsigned numbers.
 */

import { equalBytes, readU16, readU32, writeU16, writeU32 } from './bytes.js';

/** 6 octets in wire order. */
export type MacAddress = Uint8Array;

/** Length of a MAC address in octets. */
export const MAC_LENGTH = 6;

/** `ff:ff:ff:ff:ff:ff`; a fresh copy on every call, because typed arrays cannot be frozen. */
export function broadcastMac(): MacAddress {
  return new Uint8Array(MAC_LENGTH).fill(0xff);
}

const LENIENT = /^[0-9a-f]{1,2}([:.-])[0-9a-f]{1,2}(?:\1[0-9a-f]{1,2}){4}$/i;
const STRICT = /^[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}$/i;

/**
 * Reads six hexadecimal fields separated by `:`, `-` or `.` (the same one throughout), of one or two digits each.
 * With `strict`, as IEEE 802 clause 8.1 writes them: two digits each, separated by `-` or `:`.
 * @returns `undefined` for anything else.
 */
export function parseMac(text: string, options: { strict?: boolean } = {}): MacAddress | undefined {
  const match = (options.strict ? STRICT : LENIENT).exec(text);
  if (!match) return undefined;
  return Uint8Array.from(text.split(match[1]), (field) => Number.parseInt(field, 16));
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/** `02:00:0a:ff:00:01`: the 6 octets from `at`, lower case. They must lie within `bytes`. */
export function formatMac(bytes: Uint8Array, at = 0): string {
  if (at < 0 || at + MAC_LENGTH > bytes.length)
    throw new RangeError(`no MAC address at ${at} of ${bytes.length} octets`);
  return `${HEX[bytes[at]]}:${HEX[bytes[at + 1]]}:${HEX[bytes[at + 2]]}:${HEX[bytes[at + 3]]}:${HEX[bytes[at + 4]]}:${
    HEX[bytes[at + 5]]
  }`;
}

/** True for group addresses, broadcast included: the I/G bit of the octet at `at` is set. */
export function isMulticast(bytes: Uint8Array, at = 0): boolean {
  return (bytes[at] & 1) !== 0;
}

/** True for `ff:ff:ff:ff:ff:ff` at `at`. */
export function isBroadcast(bytes: Uint8Array, at = 0): boolean {
  return macHigh(bytes, at) === 0xffff && macLow(bytes, at) === 0xffffffff;
}

/** True if both are the same address. */
export function equalMac(a: MacAddress, b: MacAddress): boolean {
  return equalBytes(a, b);
}

/** The high 16 bits (the first two octets) of the address at `at`. */
export function macHigh(bytes: Uint8Array, at = 0): number {
  return readU16(bytes, at);
}

/** The low 32 bits (the last four octets) of the address at `at`, unsigned. */
export function macLow(bytes: Uint8Array, at = 0): number {
  return readU32(bytes, at + 2);
}

/** The address made of its high 16 and low 32 bits. */
export function macFromWords(high: number, low: number): MacAddress {
  const mac = new Uint8Array(MAC_LENGTH);
  writeU16(mac, 0, high);
  writeU32(mac, 2, low);
  return mac;
}

/**
 * A random individual, locally administered address (IEEE 802 clause 8.4: I/G bit 0, U/L bit 1).
 * @param random yields numbers in [0, 1), like `Math.random`.
 */
export function randomMac(random: () => number): MacAddress {
  const mac = new Uint8Array(MAC_LENGTH);
  for (let i = 0; i < MAC_LENGTH; i++) mac[i] = Math.floor(random() * 256);
  mac[0] = (mac[0] & 0xfc) | 0x02;
  return mac;
}
