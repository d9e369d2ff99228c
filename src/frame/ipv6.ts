/**
 * IPv6 packets: RFC 8200; addresses as text: RFC 4291 section 2.2 (read), RFC 5952 (written).
 *
 * `parseIpv6` reads the fixed header alone. `upperLayer` walks the extension headers behind it, a bounded number of
 * them, to the header of the protocol that the packet carries.
 */

import { isIPv6 } from 'node:net';
import { checkField, checkLength, readU16, readU32, writeU16, writeU32 } from './bytes.js';
import { parseIpv4Address } from './ipv4.js';

/** Octets of the fixed header. */
export const IPV6_HEADER = 40;

/** Octets of an address. */
export const IPV6_LENGTH = 16;

/** Extension headers walked in one packet at most: RFC 8200 section 4.1 knows seven places for them. */
export const EXTENSION_HEADERS_MAX = 16;

/** Next header values of extension headers (IANA). */
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION = 60;
const MOBILITY = 135;
const HIP = 139;
const SHIM6 = 140;

/** A packet as a value. Addresses are 16 octets, views of the bytes that it was read from. */
export interface Ipv6Packet {
  /** DSCP and ECN, 8 bits. */
  trafficClass: number;
  /** 20 bits. */
  flowLabel: number;
  hopLimit: number;
  src: Uint8Array;
  dst: Uint8Array;
  /** What `payload` starts with: a protocol or an extension header. */
  nextHeader: number;
  /** Extension headers included; at most 65535 octets, as jumbograms (RFC 2675) are not supported. */
  payload: Uint8Array;
}

/** What a packet carries behind its extension headers. */
export interface UpperLayer {
  /** Protocol number, e.g. 17 for UDP; 59 if the packet carries none, 50 if the rest is encrypted. */
  protocol: number;
  payload: Uint8Array;
  /** Set in a fragment. Unless its offset (in octets) is 0, the payload does not start with a `protocol` header. */
  fragment: { offset: number; moreFragments: boolean; identification: number } | undefined;
}

/** Reads a packet; what follows its payload length is not part of it. `undefined` if truncated or another version. */
export function parseIpv6(bytes: Uint8Array): Ipv6Packet | undefined {
  if (bytes.length < IPV6_HEADER || bytes[0] >>> 4 !== 6) return undefined;
  const end = IPV6_HEADER + readU16(bytes, 4);
  if (end > bytes.length) return undefined;
  const first = readU32(bytes, 0);
  return {
    trafficClass: (first >>> 20) & 0xff,
    flowLabel: first & 0xfffff,
    hopLimit: bytes[7],
    src: bytes.subarray(8, 24),
    dst: bytes.subarray(24, 40),
    nextHeader: bytes[6],
    payload: bytes.subarray(IPV6_HEADER, end),
  };
}

/** The packet's bytes. @throws RangeError for a field that does not fit. */
export function writeIpv6(packet: Ipv6Packet): Uint8Array {
  checkField('trafficClass', packet.trafficClass, 0xff);
  checkField('flowLabel', packet.flowLabel, 0xfffff);
  checkField('hopLimit', packet.hopLimit, 0xff);
  checkField('nextHeader', packet.nextHeader, 0xff);
  checkField('payload length', packet.payload.length, 0xffff);
  checkLength('src', packet.src, IPV6_LENGTH);
  checkLength('dst', packet.dst, IPV6_LENGTH);
  const bytes = new Uint8Array(IPV6_HEADER + packet.payload.length);
  writeU32(bytes, 0, (6 << 28) | (packet.trafficClass << 20) | packet.flowLabel);
  writeU16(bytes, 4, packet.payload.length);
  bytes[6] = packet.nextHeader;
  bytes[7] = packet.hopLimit;
  bytes.set(packet.src, 8);
  bytes.set(packet.dst, 24);
  bytes.set(packet.payload, IPV6_HEADER);
  return bytes;
}

/**
 * Skips the extension headers (RFC 8200 section 4). Stops behind the header of a fragment that is not the first.
 * @returns `undefined` for a truncated header, hop-by-hop options anywhere but first, a second fragment header,
 *   a fragment that ends beyond 65535 octets, or more than `EXTENSION_HEADERS_MAX` headers.
 */
export function upperLayer(packet: Ipv6Packet): UpperLayer | undefined {
  const { payload } = packet;
  let protocol = packet.nextHeader;
  let fragment: UpperLayer['fragment'];
  let at = 0;
  for (let count = 0; isExtension(protocol); count++) {
    if (count === EXTENSION_HEADERS_MAX || at + 8 > payload.length) return undefined;
    if (protocol === HOP_BY_HOP && count > 0) return undefined;
    let length = (payload[at + 1] + 1) * 8;
    if (protocol === AUTHENTICATION) length = (payload[at + 1] + 2) * 4;
    if (protocol === FRAGMENT) {
      if (fragment) return undefined;
      length = 8;
      const field = readU16(payload, at + 2);
      fragment = { offset: field & 0xfff8, moreFragments: (field & 1) !== 0, identification: readU32(payload, at + 4) };
      if (fragment.offset + payload.length - at - length > 0xffff) return undefined;
    }
    if (at + length > payload.length) return undefined;
    protocol = payload[at];
    at += length;
    if (fragment && fragment.offset > 0) break;
  }
  return { protocol, payload: payload.subarray(at), fragment };
}

function isExtension(nextHeader: number): boolean {
  switch (nextHeader) {
    case HOP_BY_HOP:
    case ROUTING:
    case FRAGMENT:
    case AUTHENTICATION:
    case DESTINATION:
    case MOBILITY:
    case HIP:
    case SHIM6:
      return true;
    default:
      return false;
  }
}

/** True for `ff00::/8`. */
export function isMulticastIpv6(address: Uint8Array): boolean {
  return address[0] === 0xff;
}

/** True for `::`. */
export function isUnspecifiedIpv6(address: Uint8Array): boolean {
  return address.every((octet) => octet === 0);
}

/** Reads any form of RFC 4291 section 2.2, without a zone; `undefined` for anything else. */
export function parseIpv6Address(text: string): Uint8Array | undefined {
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const address = new Uint8Array(IPV6_LENGTH);
  const [head, tail] = text.split('::');
  const leading = groups(head);
  const trailing = tail === undefined ? [] : groups(tail);
  leading.forEach((group, i) => {
    writeU16(address, i * 2, group);
  });
  trailing.forEach((group, i) => {
    writeU16(address, IPV6_LENGTH - (trailing.length - i) * 2, group);
  });
  return address;
}

/** The 16-bit groups of a valid piece without `::`; dotted quads at its end make two. */
function groups(piece: string): number[] {
  if (piece === '') return [];
  return piece.split(':').flatMap((group) => {
    const quad = group.includes('.') ? parseIpv4Address(group) : undefined;
    return quad === undefined ? [Number.parseInt(group, 16)] : [quad >>> 16, quad & 0xffff];
  });
}

/**
 * The canonical text of RFC 5952: lower case, no leading zeros, the longest run of at least two zero groups (the first
 * of equals) as `::`, and IPv4-mapped addresses (section 5) as `::ffff:192.0.2.1`.
 * @throws RangeError unless `address` is 16 octets.
 */
export function formatIpv6Address(address: Uint8Array): string {
  checkLength('IPv6 address', address, IPV6_LENGTH);
  const words = Array.from({ length: 8 }, (_, i) => readU16(address, i * 2));
  if (words[5] === 0xffff && words.slice(0, 5).every((word) => word === 0)) {
    return `::ffff:${address.subarray(12).join('.')}`;
  }
  let runStart = 0;
  let runLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && words[end] === 0) end++;
    if (end - start > runLength) {
      runStart = start;
      runLength = end - start;
    }
  }
  const text = (from: number, to?: number) =>
    words
      .slice(from, to)
      .map((word) => word.toString(16))
      .join(':');
  return runLength < 2 ? text(0) : `${text(0, runStart)}::${text(runStart + runLength)}`;
}
