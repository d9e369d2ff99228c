/** Which IP addresses are used at which ports of a switch, as far as they lie in given ranges: what `iplog` knows. */

import { readU16, readU32 } from '../frame/bytes.js';
import { ETHERNET_TYPE_AT, EtherType } from '../frame/ethernet.js';
import { formatIpv4Address, IPV4_HEADER } from '../frame/ipv4.js';
import { formatIpv6Address, IPV6_HEADER, IPV6_LENGTH, parseIpv6Address } from '../frame/ipv6.js';
import { formatMac, MAC_LENGTH } from '../frame/mac.js';
import { VID_MAX, VLAN_TAG } from '../frame/vlan.js';

/** Addresses remembered; beyond that the oldest is forgotten. */
const ADDRESSES_MAX = 1 << 16;
/** Ranges, at most. */
export const RANGES_MAX = 1024;

const IPV4_SOURCE_AT = 12;
const IPV6_SOURCE_AT = 8;

/** An address in use. */
export interface UsedAddress {
  version: 4 | 6;
  /** In wire order. */
  bytes: Uint8Array;
  /** Station that uses it. */
  mac: string;
  port: number;
  /** VLAN of the frame's tag, 0 for none. */
  vlan: number;
  /** Uid of the port's user, -1 if unknown. */
  user: number;
  /** When it was last seen, in ms of any clock. */
  seen: number;
}

/** Addresses that have their first `prefix` bits in common with `bytes`, of which the others are 0. */
export interface Range {
  bytes: Uint8Array;
  prefix: number;
}

/** Who used an address, where it was seen. */
export interface Place {
  port: number;
  user: number;
}

/** See the head of this file. */
export class AddressTable {
  /** In the order in which they were added. */
  readonly ranges: Range[] = [];
  /** By the address's bytes as Latin-1; the one that has been there the longest first. */
  readonly #all = new Map<string, UsedAddress>();

  /** All that are known now, IPv4 first, the one that has been there the longest before the others. */
  get list(): UsedAddress[] {
    const all = [...this.#all.values()];
    return [...all.filter(({ version }) => version === 4), ...all.filter(({ version }) => version === 6)];
  }

  /** Takes note of the source of a frame's packet. Returns it if the address is new, or used elsewhere than before. */
  note(frame: Uint8Array, { port, user }: Place, now: number): UsedAddress | undefined {
    const found = sourceOf(frame);
    if (found === undefined) return undefined;
    const { at, length, vlan } = found;
    if (!this.ranges.some((range) => covers(range, frame, at, length))) return undefined;
    const key = keyOf(frame, at, length);
    const mac = formatMac(frame, MAC_LENGTH);
    const known = this.#all.get(key);
    if (known && known.mac === mac && known.port === port && known.vlan === vlan && known.user === user) {
      known.seen = now;
      return undefined;
    }
    const bytes = new Uint8Array(frame.subarray(at, at + length));
    const used: UsedAddress = { version: length === IPV6_LENGTH ? 6 : 4, bytes, mac, port, vlan, user, seen: now };
    this.#all.delete(key);
    this.#all.set(key, used);
    if (this.#all.size > ADDRESSES_MAX) this.#all.delete(this.#all.keys().next().value as string);
    return used;
  }

  /** Forgets the addresses that `old` is true of. */
  forget(old: (used: UsedAddress) => boolean): void {
    for (const [key, used] of this.#all) if (old(used)) this.#all.delete(key);
  }
}

/** Where a frame's packet has its source address. */
function sourceOf(frame: Uint8Array): { at: number; length: number; vlan: number } | undefined {
  let at = ETHERNET_TYPE_AT;
  let vlan = 0;
  if (frame.length >= at + VLAN_TAG + 2 && readU16(frame, at) === EtherType.customerTag) {
    vlan = readU16(frame, at + 2) & VID_MAX;
    at += VLAN_TAG;
  }
  if (frame.length < at + 2) return undefined;
  const type = readU16(frame, at);
  at += 2;
  if (type === EtherType.ipv4 && frame.length >= at + IPV4_HEADER && frame[at] >>> 4 === 4) {
    return { at: at + IPV4_SOURCE_AT, length: 4, vlan };
  }
  if (type === EtherType.ipv6 && frame.length >= at + IPV6_HEADER && frame[at] >>> 4 === 6) {
    return { at: at + IPV6_SOURCE_AT, length: IPV6_LENGTH, vlan };
  }
  return undefined;
}

function keyOf(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString('latin1');
}

function covers({ bytes, prefix }: Range, frame: Uint8Array, at: number, length: number): boolean {
  if (bytes.length !== length) return false;
  const whole = prefix >>> 3;
  for (let i = 0; i < whole; i++) if (frame[at + i] !== bytes[i]) return false;
  const rest = prefix & 7;
  return rest === 0 || (frame[at + whole] ^ bytes[whole]) >>> (8 - rest) === 0;
}

/** `192.0.2.1` or `2001:db8::1`. */
export function formatAddress(bytes: Uint8Array): string {
  return bytes.length === 4 ? formatIpv4Address(readU32(bytes, 0)) : formatIpv6Address(bytes);
}

/** Reads an address, IPv4 also in the forms of inet_aton(3): fewer numbers, octal or hexadecimal ones. */
export function parseAddress(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6Address(text) : parseIpv4Numbers(text);
}

function parseIpv4Numbers(text: string): Uint8Array | undefined {
  if (!/^(?:(?:0x[\da-f]+|0[0-7]*|[1-9]\d*)(?:\.(?!$)|$)){1,4}$/i.test(text)) return undefined;
  const numbers = text.split('.').map((part) => (/^0\d/.test(part) ? Number.parseInt(part, 8) : Number(part)));
  const last = numbers.pop() as number;
  const room = 4 - numbers.length;
  if (numbers.some((number) => number > 0xff) || last >= 256 ** room) return undefined;
  const bytes = Uint8Array.from([...numbers, 0, 0, 0, 0].slice(0, 4));
  for (let i = 0; i < room; i++) bytes[3 - i] = Math.floor(last / 256 ** i) & 0xff;
  return bytes;
}

/** Reads `ADDRESS/PREFIX`; the prefix is as many bits as there are if it is missing or too large. */
export function parseRange(text: string, prefixOf: (text: string) => number): Range | undefined {
  const [, address, prefixText] = /^([^/]*)(?:\/(.*))?$/.exec(text) ?? [];
  const bytes = parseAddress(address ?? '');
  if (bytes === undefined) return undefined;
  const bits = bytes.length * 8;
  const prefix = Math.max(0, Math.min(bits, prefixText === undefined ? bits : prefixOf(prefixText)));
  for (let bit = prefix; bit < bits; bit++) bytes[bit >>> 3] &= ~(0x80 >>> (bit & 7));
  return { bytes, prefix };
}
