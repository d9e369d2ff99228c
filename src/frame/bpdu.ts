/**
 * Bridge protocol data units: IEEE 802.1D-2004 clause 9, in an LLC frame (IEEE 802.2) to the bridge group address.
 *
 * Three kinds are known: configuration (version 0, type 0), topology change notification (version 0, type 0x80) and
 * rapid spanning tree (version 2, type 2). Bridge identifiers are 8 octets, a priority and an address, as one unsigned
 * 64-bit number: the smaller is the better. Times are in units of 1/256 s, as on the wire.
 *
 * VDE's own spanning tree (reference: forwarding rules, section 7) uses the layout of the third kind with flags,
 * port identifiers and ages of its own; what they mean is not decided here.
 */

import { checkField, checkLength, readU16, readU32, writeU16, writeU32 } from './bytes.js';
import { ETHERNET_TYPE_AT, EtherType, LLC_LENGTH_MAX } from './ethernet.js';
import { MAC_LENGTH, type MacAddress, macHigh, macLow } from './mac.js';
import { type Tpid, VID_MAX, VLAN_TAG } from './vlan.js';

/** Bridge group address, 802.1D table 7-10: no bridge that runs a spanning tree forwards to it. */
const BRIDGE_GROUP: Readonly<MacAddress> = Uint8Array.of(0x01, 0x80, 0xc2, 0x00, 0x00, 0x00);

/** BPDU types, 802.1D 9.3. */
export const BpduType = { configuration: 0x00, rapid: 0x02, topologyChange: 0x80 } as const;
export type BpduType = (typeof BpduType)[keyof typeof BpduType];

/** Flags of a BPDU, 802.1D 9.3.3; the role takes two bits from `ROLE_SHIFT`. */
export const BpduFlag = {
  topologyChange: 0x01,
  proposal: 0x02,
  learning: 0x10,
  forwarding: 0x20,
  agreement: 0x40,
  topologyChangeAck: 0x80,
} as const;
export const ROLE_SHIFT = 2;

/** Units of a BPDU's times in a second. */
export const BPDU_SECOND = 256;

/** A BPDU as a value. A topology change notification has the type alone: everything else is 0 there. */
export interface Bpdu {
  type: BpduType;
  /** One octet. */
  flags: number;
  /** Identifier of the bridge that is taken for the root. */
  root: bigint;
  /** Cost of the path to it, 32 bits. */
  cost: number;
  /** Identifier of the sender. */
  bridge: bigint;
  /** Identifier of the sender's port, 16 bits. */
  port: number;
  /** In 1/256 s, 16 bits each. */
  messageAge: number;
  maxAge: number;
  helloTime: number;
  forwardDelay: number;
}

/** LLC: both service access points are the spanning tree's, unnumbered information (802.1D 9.2). */
const SAP = 0x42;
const UNNUMBERED = 0x03;
const LLC = 3;
/** Octets by type; the last of a rapid one is the length of its version 1 information, 0. */
const CONFIGURATION_LENGTH = 35;
const RAPID_LENGTH = 36;
const NOTIFICATION_LENGTH = 4;
const RAPID_VERSION = 2;

/**
 * Reads the BPDU in a frame, tagged or not.
 * @param tagged whether there is a tag before it; if not given, whether there is a customer tag (802.1Q).
 * @returns `undefined` for whatever is none of the three kinds, or shorter than its kind (802.1D 9.3.4).
 */
export function parseBpdu(frame: Uint8Array, tagged = hasCustomerTag(frame)): Bpdu | undefined {
  let at = ETHERNET_TYPE_AT + (tagged ? VLAN_TAG : 0) + 2;
  if (frame.length < at + LLC + NOTIFICATION_LENGTH) return undefined;
  const announced = readU16(frame, at - 2);
  if (announced > LLC_LENGTH_MAX || at + announced > frame.length) return undefined;
  if (frame[at] !== SAP || frame[at + 1] !== SAP || frame[at + 2] !== UNNUMBERED) return undefined;
  at += LLC;
  const length = announced - LLC;
  if (length < NOTIFICATION_LENGTH || readU16(frame, at) !== 0) return undefined;
  const version = frame[at + 2];
  const type = frame[at + 3];
  // A version that is not known yet is read as the highest that is (802.1D 9.3.4).
  if (type === BpduType.rapid) {
    return version >= RAPID_VERSION && length >= RAPID_LENGTH ? readFields(frame, at, type) : undefined;
  }
  if (type === BpduType.configuration) {
    return length >= CONFIGURATION_LENGTH ? readFields(frame, at, type) : undefined;
  }
  return type === BpduType.topologyChange ? topologyChangeBpdu() : undefined;
}

function hasCustomerTag(frame: Uint8Array): boolean {
  return frame.length >= ETHERNET_TYPE_AT + VLAN_TAG && readU16(frame, ETHERNET_TYPE_AT) === EtherType.customerTag;
}

function readFields(frame: Uint8Array, at: number, type: BpduType): Bpdu {
  return {
    type,
    flags: frame[at + 4],
    root: readIdentifier(frame, at + 5),
    cost: readU32(frame, at + 13),
    bridge: readIdentifier(frame, at + 17),
    port: readU16(frame, at + 25),
    messageAge: readU16(frame, at + 27),
    maxAge: readU16(frame, at + 29),
    helloTime: readU16(frame, at + 31),
    forwardDelay: readU16(frame, at + 33),
  };
}

function readIdentifier(bytes: Uint8Array, at: number): bigint {
  return (BigInt(readU32(bytes, at)) << 32n) | BigInt(readU32(bytes, at + 4));
}

/** A topology change notification. */
export function topologyChangeBpdu(): Bpdu {
  return {
    type: BpduType.topologyChange,
    flags: 0,
    root: 0n,
    cost: 0,
    bridge: 0n,
    port: 0,
    messageAge: 0,
    maxAge: 0,
    helloTime: 0,
    forwardDelay: 0,
  };
}

/**
 * The frame of a BPDU, unpadded.
 * @param source the sender's address.
 * @param vlan puts a tag of that VLAN, priority 0, before it.
 * @param tpid the tag's protocol identifier; 0x8100 (802.1Q) if not given.
 * @throws RangeError for a field that does not fit its place.
 */
export function writeBpdu(
  bpdu: Bpdu,
  source: MacAddress,
  vlan?: number,
  tpid: Tpid = EtherType.customerTag,
): Uint8Array {
  checkLength('source', source, MAC_LENGTH);
  const tag = vlan === undefined ? 0 : VLAN_TAG;
  const length = LENGTHS[bpdu.type];
  const frame = new Uint8Array(ETHERNET_TYPE_AT + tag + 2 + LLC + length);
  frame.set(BRIDGE_GROUP);
  frame.set(source, MAC_LENGTH);
  let at = ETHERNET_TYPE_AT;
  if (vlan !== undefined) {
    checkField('VID', vlan, VID_MAX);
    writeU16(frame, at, tpid);
    writeU16(frame, at + 2, vlan);
    at += VLAN_TAG;
  }
  writeU16(frame, at, LLC + length);
  frame.set([SAP, SAP, UNNUMBERED], at + 2);
  at += 2 + LLC;
  frame[at + 2] = bpdu.type === BpduType.rapid ? RAPID_VERSION : 0;
  frame[at + 3] = bpdu.type;
  if (bpdu.type === BpduType.topologyChange) return frame;
  checkField('flags', bpdu.flags, 0xff);
  frame[at + 4] = bpdu.flags;
  writeIdentifier(frame, at + 5, bpdu.root);
  checkField('root path cost', bpdu.cost, 0xffff_ffff);
  writeU32(frame, at + 13, bpdu.cost);
  writeIdentifier(frame, at + 17, bpdu.bridge);
  checkField('port identifier', bpdu.port, 0xffff);
  writeU16(frame, at + 25, bpdu.port);
  writeTime(frame, at + 27, 'message age', bpdu.messageAge);
  writeTime(frame, at + 29, 'max age', bpdu.maxAge);
  writeTime(frame, at + 31, 'hello time', bpdu.helloTime);
  writeTime(frame, at + 33, 'forward delay', bpdu.forwardDelay);
  return frame;
}

const LENGTHS: Readonly<Record<BpduType, number>> = {
  [BpduType.configuration]: CONFIGURATION_LENGTH,
  [BpduType.rapid]: RAPID_LENGTH,
  [BpduType.topologyChange]: NOTIFICATION_LENGTH,
};

function writeIdentifier(bytes: Uint8Array, at: number, identifier: bigint): void {
  if (identifier < 0n || identifier >> 64n !== 0n)
    throw new RangeError(`bridge identifier ${identifier} has no 64 bits`);
  writeU32(bytes, at, Number(identifier >> 32n));
  writeU32(bytes, at + 4, Number(identifier & 0xffff_ffffn));
}

function writeTime(bytes: Uint8Array, at: number, name: string, time: number): void {
  checkField(name, time, 0xffff);
  writeU16(bytes, at, time);
}

/** The identifier of a bridge: 16 bits of priority, then its address. */
export function bridgeIdentifier(priority: number, mac: MacAddress): bigint {
  checkField('priority', priority, 0xffff);
  checkLength('address', mac, MAC_LENGTH);
  return (BigInt(priority) << 48n) | (BigInt(macHigh(mac)) << 32n) | BigInt(macLow(mac));
}

/** `80:00:00:ff:00:00:00:01`: the 8 octets of a bridge identifier. */
export function formatBridgeIdentifier(identifier: bigint): string {
  return identifier
    .toString(16)
    .padStart(16, '0')
    .replace(/(..)(?!$)/g, '$1:');
}
