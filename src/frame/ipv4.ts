/**
 * IPv4 packets and addresses: RFC 791; DSCP and ECN: RFC 2474, RFC 3168.
 *
 * Addresses are unsigned 32-bit numbers: comparable, hashable, and masks are one operator. Options are kept as bytes.
 */

import { isIPv4 } from 'node:net';
import { checkField, readU16, readU32, writeU16, writeU32 } from './bytes.js';
import { checksum } from './checksum.js';

/** Octets of a header without options. */
export const IPV4_HEADER = 20;

/** Octets of options at most. */
const IPV4_OPTIONS_MAX = 40;

/** Protocol numbers (IANA), shared with the next header field of IPv6. */
export const IpProtocol = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;

/** A packet as a value. */
export interface Ipv4Packet {
  /** Differentiated services code point, 6 bits. */
  dscp: number;
  /** Explicit congestion notification, 2 bits. */
  ecn: number;
  /** Groups the fragments of one datagram, 16 bits. */
  identification: number;
  dontFragment: boolean;
  moreFragments: boolean;
  /** Place of the payload in the datagram, in octets; a multiple of 8. */
  fragmentOffset: number;
  /** Time to live, in hops. */
  ttl: number;
  protocol: number;
  src: number;
  dst: number;
  /** Options with their padding: a multiple of 4 octets, at most 40. */
  options: Uint8Array;
  payload: Uint8Array;
}

/**
 * Reads a packet; what follows its total length (Ethernet padding) is not part of it. `undefined` for another version,
 * lengths that contradict each other or exceed what is there, a fragment that ends beyond 65535 octets, and, unless
 * `verifyChecksum` is false, a wrong header checksum.
 */
export function parseIpv4(bytes: Uint8Array, verifyChecksum = true): Ipv4Packet | undefined {
  if (bytes.length < IPV4_HEADER || bytes[0] >>> 4 !== 4) return undefined;
  const headerLength = (bytes[0] & 0xf) * 4;
  const totalLength = readU16(bytes, 2);
  if (headerLength < IPV4_HEADER || totalLength < headerLength || totalLength > bytes.length) return undefined;
  const fragment = readU16(bytes, 6);
  const fragmentOffset = (fragment & 0x1fff) * 8;
  if (fragmentOffset + totalLength > 0xffff) return undefined;
  if (verifyChecksum && checksum(bytes, 0, headerLength) !== 0) return undefined;
  return {
    dscp: bytes[1] >>> 2,
    ecn: bytes[1] & 3,
    identification: readU16(bytes, 4),
    dontFragment: (fragment & 0x4000) !== 0,
    moreFragments: (fragment & 0x2000) !== 0,
    fragmentOffset,
    ttl: bytes[8],
    protocol: bytes[9],
    src: readU32(bytes, 12),
    dst: readU32(bytes, 16),
    options: bytes.subarray(IPV4_HEADER, headerLength),
    payload: bytes.subarray(headerLength, totalLength),
  };
}

/** The packet's bytes, with its header checksum. @throws RangeError for a field that does not fit. */
export function writeIpv4(packet: Ipv4Packet): Uint8Array {
  const { options, payload, fragmentOffset } = packet;
  const headerLength = IPV4_HEADER + options.length;
  const totalLength = headerLength + payload.length;
  checkField('options length', options.length, IPV4_OPTIONS_MAX);
  if (options.length % 4 !== 0) throw new RangeError(`options must be a multiple of 4 octets, not ${options.length}`);
  checkField('end of packet in its datagram', fragmentOffset + totalLength, 0xffff);
  checkField('fragmentOffset', fragmentOffset, 0xfff8);
  if (fragmentOffset % 8 !== 0) throw new RangeError(`fragmentOffset must be a multiple of 8, not ${fragmentOffset}`);
  checkField('dscp', packet.dscp, 0x3f);
  checkField('ecn', packet.ecn, 3);
  checkField('identification', packet.identification, 0xffff);
  checkField('ttl', packet.ttl, 0xff);
  checkField('protocol', packet.protocol, 0xff);
  checkField('src', packet.src, 0xffffffff);
  checkField('dst', packet.dst, 0xffffffff);

  const bytes = new Uint8Array(totalLength);
  bytes[0] = 0x40 | (headerLength / 4);
  bytes[1] = (packet.dscp << 2) | packet.ecn;
  writeU16(bytes, 2, totalLength);
  writeU16(bytes, 4, packet.identification);
  const flags = (packet.dontFragment ? 0x4000 : 0) | (packet.moreFragments ? 0x2000 : 0);
  writeU16(bytes, 6, flags | (fragmentOffset / 8));
  bytes[8] = packet.ttl;
  bytes[9] = packet.protocol;
  writeU32(bytes, 12, packet.src);
  writeU32(bytes, 16, packet.dst);
  bytes.set(options, IPV4_HEADER);
  writeU16(bytes, 10, checksum(bytes, 0, headerLength));
  bytes.set(payload, headerLength);
  return bytes;
}

/** Reads `192.0.2.1`: four decimal octets without leading zeros; `undefined` for anything else. */
export function parseIpv4Address(text: string): number | undefined {
  if (!isIPv4(text)) return undefined;
  return text.split('.').reduce((address, octet) => address * 256 + Number(octet), 0);
}

/** `192.0.2.1` */
export function formatIpv4Address(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 0xff}.${(address >>> 8) & 0xff}.${address & 0xff}`;
}
