/**
 * ICMP echo: RFC 792; ICMPv6 echo: RFC 4443 section 4; Neighbor Solicitation and Advertisement: RFC 4861 sections 4.3,
 * 4.4 and the checks of section 7.1.
 */

import { checkField, checkLength, readU16, writeU16 } from './bytes.js';
import { checksum, pseudoHeaderSum } from './checksum.js';
import { IpProtocol } from './ipv4.js';
import { IPV6_LENGTH, isMulticastIpv6, isUnspecifiedIpv6 } from './ipv6.js';
import { MAC_LENGTH, type MacAddress } from './mac.js';

/** An echo request or reply. */
export interface IcmpEcho {
  kind: 'echo-request' | 'echo-reply';
  identifier: number;
  sequence: number;
  data: Uint8Array;
}

/** Who has `target`? */
export interface NeighborSolicitation {
  kind: 'neighbor-solicitation';
  /** 16 octets, not multicast. */
  target: Uint8Array;
  sourceLinkLayer: MacAddress | undefined;
}

/** `target` is here. */
export interface NeighborAdvertisement {
  kind: 'neighbor-advertisement';
  router: boolean;
  solicited: boolean;
  override: boolean;
  /** 16 octets, not multicast. */
  target: Uint8Array;
  targetLinkLayer: MacAddress | undefined;
}

/** The ICMPv6 messages that can be read and written here. */
export type Icmpv6Message = IcmpEcho | NeighborSolicitation | NeighborAdvertisement;

/** What ICMPv6 needs to know of the packet around a message: an `Ipv6Packet` will do. */
export interface Icmpv6Carrier {
  src: Uint8Array;
  dst: Uint8Array;
  hopLimit: number;
}

const ECHO_HEADER = 8;
const NEIGHBOR_HEADER = 24;
const NEIGHBOR_SOLICITATION = 135;
const NEIGHBOR_ADVERTISEMENT = 136;
const ROUTER_FLAG = 0x80;
const SOLICITED_FLAG = 0x40;
const OVERRIDE_FLAG = 0x20;
const SOURCE_LINK_LAYER = 1;
const TARGET_LINK_LAYER = 2;
/** Octets of a link-layer address option for Ethernet (RFC 2464 section 6). */
const LINK_LAYER_OPTION = 8;
/** Neighbor messages are sent with it, so that nothing from beyond a router passes for one (RFC 4861 section 11.2). */
const NEIGHBOR_HOP_LIMIT = 255;

const V4_ECHO = { 'echo-request': 8, 'echo-reply': 0 } as const;
const V6_ECHO = { 'echo-request': 128, 'echo-reply': 129 } as const;

/** Reads the payload of an IPv4 packet; `undefined` if it is not an echo message with the right checksum. */
export function parseIcmpv4(bytes: Uint8Array): IcmpEcho | undefined {
  return checksum(bytes) === 0 ? parseEcho(bytes, V4_ECHO) : undefined;
}

/** The message's bytes with its checksum. @throws RangeError for a field that does not fit. */
export function writeIcmpv4(echo: IcmpEcho): Uint8Array {
  const bytes = writeEcho(echo, V4_ECHO);
  writeU16(bytes, 2, checksum(bytes));
  return bytes;
}

/**
 * Reads what an IPv6 packet carries behind its extension headers; `undefined` for a wrong checksum, a message of
 * another type and a neighbor message that RFC 4861 section 7.1 says to discard.
 */
export function parseIcmpv6(bytes: Uint8Array, ip: Icmpv6Carrier): Icmpv6Message | undefined {
  if (checksum(bytes, 0, bytes.length, pseudoHeaderSum(ip, IpProtocol.icmpv6, bytes.length)) !== 0) return undefined;
  switch (bytes[0]) {
    case NEIGHBOR_SOLICITATION:
    case NEIGHBOR_ADVERTISEMENT:
      return parseNeighbor(bytes, ip);
    default:
      return parseEcho(bytes, V6_ECHO);
  }
}

/**
 * The message's bytes with the checksum that it has between `ip`'s addresses. Neighbor messages must travel with a hop
 * limit of 255. @throws RangeError for a field that does not fit.
 */
export function writeIcmpv6(message: Icmpv6Message, ip: { src: Uint8Array; dst: Uint8Array }): Uint8Array {
  checkLength('src', ip.src, IPV6_LENGTH);
  checkLength('dst', ip.dst, IPV6_LENGTH);
  const bytes = 'data' in message ? writeEcho(message, V6_ECHO) : writeNeighbor(message);
  writeU16(bytes, 2, checksum(bytes, 0, bytes.length, pseudoHeaderSum(ip, IpProtocol.icmpv6, bytes.length)));
  return bytes;
}

function parseEcho(bytes: Uint8Array, types: Record<IcmpEcho['kind'], number>): IcmpEcho | undefined {
  if (bytes.length < ECHO_HEADER || bytes[1] !== 0) return undefined;
  if (bytes[0] !== types['echo-request'] && bytes[0] !== types['echo-reply']) return undefined;
  return {
    kind: bytes[0] === types['echo-request'] ? 'echo-request' : 'echo-reply',
    identifier: readU16(bytes, 4),
    sequence: readU16(bytes, 6),
    data: bytes.subarray(ECHO_HEADER),
  };
}

function writeEcho(echo: IcmpEcho, types: Record<IcmpEcho['kind'], number>): Uint8Array {
  checkField('identifier', echo.identifier, 0xffff);
  checkField('sequence', echo.sequence, 0xffff);
  checkField('ICMP length', ECHO_HEADER + echo.data.length, 0xffff);
  const bytes = new Uint8Array(ECHO_HEADER + echo.data.length);
  bytes[0] = types[echo.kind];
  writeU16(bytes, 4, echo.identifier);
  writeU16(bytes, 6, echo.sequence);
  bytes.set(echo.data, ECHO_HEADER);
  return bytes;
}

function parseNeighbor(bytes: Uint8Array, ip: Icmpv6Carrier): NeighborSolicitation | NeighborAdvertisement | undefined {
  if (bytes.length < NEIGHBOR_HEADER || bytes[1] !== 0 || ip.hopLimit !== NEIGHBOR_HOP_LIMIT) return undefined;
  const target = bytes.subarray(8, 24);
  if (isMulticastIpv6(target)) return undefined;
  const solicitation = bytes[0] === NEIGHBOR_SOLICITATION;
  const options = linkLayerOption(bytes, solicitation ? SOURCE_LINK_LAYER : TARGET_LINK_LAYER);
  if (!options) return undefined;

  if (solicitation) {
    const { linkLayer } = options;
    if (isUnspecifiedIpv6(ip.src) && (linkLayer || !isSolicitedNode(ip.dst))) return undefined;
    return { kind: 'neighbor-solicitation', target, sourceLinkLayer: linkLayer };
  }
  const solicited = (bytes[4] & SOLICITED_FLAG) !== 0;
  if (solicited && isMulticastIpv6(ip.dst)) return undefined;
  return {
    kind: 'neighbor-advertisement',
    router: (bytes[4] & ROUTER_FLAG) !== 0,
    solicited,
    override: (bytes[4] & OVERRIDE_FLAG) !== 0,
    target,
    targetLinkLayer: options.linkLayer,
  };
}

/** Walks the options; `undefined` if one is of length 0 or exceeds the message. Options of other types are skipped. */
function linkLayerOption(bytes: Uint8Array, type: number): { linkLayer: MacAddress | undefined } | undefined {
  let linkLayer: MacAddress | undefined;
  let at = NEIGHBOR_HEADER;
  while (at < bytes.length) {
    const length = at + 1 < bytes.length ? bytes[at + 1] * 8 : 0;
    if (length === 0 || at + length > bytes.length) return undefined;
    if (bytes[at] === type) {
      if (length !== LINK_LAYER_OPTION) return undefined;
      linkLayer ??= bytes.subarray(at + 2, at + 2 + MAC_LENGTH);
    }
    at += length;
  }
  return { linkLayer };
}

function writeNeighbor(message: NeighborSolicitation | NeighborAdvertisement): Uint8Array {
  checkLength('target', message.target, IPV6_LENGTH);
  if (isMulticastIpv6(message.target)) throw new RangeError('the target of a neighbor message cannot be multicast');
  const solicitation = message.kind === 'neighbor-solicitation';
  const linkLayer = solicitation ? message.sourceLinkLayer : message.targetLinkLayer;
  const bytes = new Uint8Array(NEIGHBOR_HEADER + (linkLayer ? LINK_LAYER_OPTION : 0));
  bytes[0] = solicitation ? NEIGHBOR_SOLICITATION : NEIGHBOR_ADVERTISEMENT;
  if (!solicitation) {
    bytes[4] =
      (message.router ? ROUTER_FLAG : 0) |
      (message.solicited ? SOLICITED_FLAG : 0) |
      (message.override ? OVERRIDE_FLAG : 0);
  }
  bytes.set(message.target, 8);
  if (linkLayer) {
    checkLength('link-layer address', linkLayer, MAC_LENGTH);
    bytes[NEIGHBOR_HEADER] = solicitation ? SOURCE_LINK_LAYER : TARGET_LINK_LAYER;
    bytes[NEIGHBOR_HEADER + 1] = LINK_LAYER_OPTION / 8;
    bytes.set(linkLayer, NEIGHBOR_HEADER + 2);
  }
  return bytes;
}

/** `ff02::1:ff00:0/104` (RFC 4291 section 2.7.1). */
function isSolicitedNode(address: Uint8Array): boolean {
  const prefix = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];
  return prefix.every((octet, i) => address[i] === octet);
}
