/**
 * Ethernet frames: IEEE 802.3-2022 clause 3, without preamble and frame check sequence.
 *
 * The field after the addresses is an EtherType from 0x0600 up and, up to 1500, the length of an LLC payload (clause
 * 3.2.6); what lies between is undefined. VLAN tags are ordinary EtherTypes here: `vlan.ts` looks behind them.
 */

import { checkField, checkLength, readU16, writeU16 } from './bytes.js';
import { MAC_LENGTH, type MacAddress } from './mac.js';

/** Octets of the header: destination, source, type or length. */
export const ETHERNET_HEADER = 14;

/** Offset of the type or length field in an untagged frame. */
export const ETHERNET_TYPE_AT = 12;

/** The smallest value that is an EtherType. */
const ETHERTYPE_MIN = 0x0600;

/** The greatest value that is a length. */
export const LLC_LENGTH_MAX = 1500;

/** EtherTypes, by the IEEE registry. */
export const EtherType = {
  ipv4: 0x0800,
  arp: 0x0806,
  /** 802.1Q customer VLAN tag. */
  customerTag: 0x8100,
  ipv6: 0x86dd,
  /** 802.1ad service VLAN tag. */
  serviceTag: 0x88a8,
} as const;

/** What follows the addresses and tags of a frame. */
export interface EthernetContent {
  /** The EtherType, at least 0x0600; `undefined` in a frame with a length field, whose payload is LLC. */
  type: number | undefined;
  /** With a type, all that follows, padding included; with a length, exactly as many octets. */
  payload: Uint8Array;
}

/** A frame as a value. Addresses and payload are views of the bytes that it was read from. */
export interface EthernetFrame extends EthernetContent {
  dst: MacAddress;
  src: MacAddress;
}

/** Reads a frame; `undefined` if it is short, its length exceeds what is there or its type field has no meaning. */
export function parseEthernet(bytes: Uint8Array): EthernetFrame | undefined {
  const content = parseEthernetContent(bytes, ETHERNET_TYPE_AT);
  return content && { dst: bytes.subarray(0, 6), src: bytes.subarray(6, 12), ...content };
}

/** Reads the type or length field at `at` and what follows it, by the same rules. */
export function parseEthernetContent(bytes: Uint8Array, at: number): EthernetContent | undefined {
  const start = at + 2;
  if (bytes.length < start) return undefined;
  const field = readU16(bytes, at);
  if (field >= ETHERTYPE_MIN) return { type: field, payload: bytes.subarray(start) };
  if (field > LLC_LENGTH_MAX || start + field > bytes.length) return undefined;
  return { type: undefined, payload: bytes.subarray(start, start + field) };
}

/**
 * The frame's bytes, unpadded.
 * @throws RangeError for a type that is a length, an LLC payload over 1500 octets or addresses that are not 6 octets.
 */
export function writeEthernet(frame: EthernetFrame): Uint8Array {
  checkLength('dst', frame.dst, MAC_LENGTH);
  checkLength('src', frame.src, MAC_LENGTH);
  const bytes = new Uint8Array(ETHERNET_HEADER + frame.payload.length);
  bytes.set(frame.dst, 0);
  bytes.set(frame.src, 6);
  writeEthernetContent(bytes, ETHERNET_TYPE_AT, frame);
  return bytes;
}

/** Stores the type or length field at `at` and the payload behind it, by the same rules. */
export function writeEthernetContent(bytes: Uint8Array, at: number, content: EthernetContent): void {
  const { type, payload } = content;
  if (type === undefined) {
    checkField('LLC length', payload.length, LLC_LENGTH_MAX);
    writeU16(bytes, at, payload.length);
  } else {
    checkField('EtherType', type, 0xffff);
    if (type < ETHERTYPE_MIN) throw new RangeError(`EtherType must be at least 0x600, not 0x${type.toString(16)}`);
    writeU16(bytes, at, type);
  }
  bytes.set(payload, at + 2);
}
