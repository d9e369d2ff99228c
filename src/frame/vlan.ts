/**
 * VLAN tags: IEEE 802.1Q-2022 clause 9, with 802.1ad service tags.
 *
 * A tag is 4 octets between the source address and the type: the TPID (0x8100 or 0x88a8), then the TCI: 3 bits of
 * priority (PCP), drop eligible (DEI), 12 bits of VLAN identifier (VID). Tags stack, the outermost first.
 */

import { checkField, checkLength, readU16, writeU16 } from './bytes.js';
import {
  ETHERNET_HEADER,
  ETHERNET_TYPE_AT,
  type EthernetFrame,
  EtherType,
  parseEthernetContent,
  writeEthernetContent,
} from './ethernet.js';
import { MAC_LENGTH } from './mac.js';

/** Octets of one tag. */
export const VLAN_TAG = 4;

/** Tags read from one frame at most; a deeper stack is malformed. Nothing in use stacks more than a few. */
export const VLAN_TAGS_MAX = 8;

/** The greatest VID; 0 tags priority only, 4095 is reserved (IEEE 802.1Q table 9-2). */
export const VID_MAX = 0xfff;

/** The tag protocol identifiers. */
export type Tpid = typeof EtherType.customerTag | typeof EtherType.serviceTag;

/** One tag as a value. */
export interface VlanTag {
  tpid: Tpid;
  /** Priority code point, 0 to 7. */
  pcp: number;
  /** Drop eligible indicator. */
  dei: boolean;
  /** VLAN identifier, 0 to 4095. */
  vid: number;
}

/** A frame with its stack of tags, the outermost first; `type` and `payload` are those behind the innermost. */
export interface TaggedFrame extends EthernetFrame {
  tags: VlanTag[];
}

/** True for an EtherType that announces a tag. */
export function isTpid(type: number | undefined): type is Tpid {
  return type === EtherType.customerTag || type === EtherType.serviceTag;
}

/** The outermost tag; `undefined` if the frame has none, or only part of one, or nothing behind it. */
export function outerTag(frame: Uint8Array): VlanTag | undefined {
  return frame.length < ETHERNET_HEADER + VLAN_TAG ? undefined : readTag(frame, ETHERNET_TYPE_AT);
}

/** The VID of a TCI that was loaded as a little-endian 16-bit word, as from `Burst.shorts`. */
export function vidOfWord(tci: number): number {
  return ((tci & 0x0f) << 8) | (tci >>> 8);
}

function readTag(bytes: Uint8Array, at: number): VlanTag | undefined {
  const tpid = readU16(bytes, at);
  if (!isTpid(tpid)) return undefined;
  const tci = readU16(bytes, at + 2);
  return { tpid, pcp: tci >>> 13, dei: (tci & 0x1000) !== 0, vid: tci & VID_MAX };
}

function writeTag(bytes: Uint8Array, at: number, tag: VlanTag): void {
  if (!isTpid(tag.tpid)) throw new RangeError(`TPID must be 0x8100 or 0x88a8, not ${tag.tpid}`);
  checkField('PCP', tag.pcp, 7);
  checkField('VID', tag.vid, VID_MAX);
  writeU16(bytes, at, tag.tpid);
  writeU16(bytes, at + 2, (tag.pcp << 13) | (tag.dei ? 0x1000 : 0) | tag.vid);
}

/**
 * A copy of `frame` with `tag` put outside of any other.
 * @throws RangeError for a frame shorter than its header or a tag that is out of range.
 */
export function pushTag(frame: Uint8Array, tag: VlanTag): Uint8Array {
  if (frame.length < ETHERNET_HEADER) throw new RangeError(`no Ethernet header in ${frame.length} octets`);
  const tagged = new Uint8Array(frame.length + VLAN_TAG);
  tagged.set(frame.subarray(0, ETHERNET_TYPE_AT), 0);
  writeTag(tagged, ETHERNET_TYPE_AT, tag);
  tagged.set(frame.subarray(ETHERNET_TYPE_AT), ETHERNET_TYPE_AT + VLAN_TAG);
  return tagged;
}

/** The outermost tag and a copy of `frame` without it; `undefined` where `outerTag` is. */
export function popTag(frame: Uint8Array): { tag: VlanTag; frame: Uint8Array } | undefined {
  const tag = outerTag(frame);
  if (!tag) return undefined;
  const untagged = new Uint8Array(frame.length - VLAN_TAG);
  untagged.set(frame.subarray(0, ETHERNET_TYPE_AT), 0);
  untagged.set(frame.subarray(ETHERNET_TYPE_AT + VLAN_TAG), ETHERNET_TYPE_AT);
  return { tag, frame: untagged };
}

/** Reads a frame and all its tags, none included; `undefined` if malformed or tagged more than `VLAN_TAGS_MAX` times. */
export function parseTagged(bytes: Uint8Array): TaggedFrame | undefined {
  const tags: VlanTag[] = [];
  let at = ETHERNET_TYPE_AT;
  while (at + 2 + VLAN_TAG <= bytes.length) {
    const tag = readTag(bytes, at);
    if (!tag) break;
    if (tags.length === VLAN_TAGS_MAX) return undefined;
    tags.push(tag);
    at += VLAN_TAG;
  }
  const content = parseEthernetContent(bytes, at);
  // A TPID left over here announces a tag that the frame has no room for.
  if (!content || isTpid(content.type)) return undefined;
  return { dst: bytes.subarray(0, 6), src: bytes.subarray(6, 12), tags, ...content };
}

/**
 * The bytes of a frame with its tags.
 * @throws RangeError as `writeEthernet` does, for tags out of range or more than `VLAN_TAGS_MAX`, or for a `type` that
 *   announces another tag.
 */
export function writeTagged(frame: TaggedFrame): Uint8Array {
  checkLength('dst', frame.dst, MAC_LENGTH);
  checkLength('src', frame.src, MAC_LENGTH);
  checkField('number of tags', frame.tags.length, VLAN_TAGS_MAX);
  if (isTpid(frame.type)) throw new RangeError('the type behind the tags is itself a TPID');
  const header = ETHERNET_HEADER + VLAN_TAG * frame.tags.length;
  const bytes = new Uint8Array(header + frame.payload.length);
  bytes.set(frame.dst, 0);
  bytes.set(frame.src, 6);
  let at = ETHERNET_TYPE_AT;
  for (const tag of frame.tags) {
    writeTag(bytes, at, tag);
    at += VLAN_TAG;
  }
  writeEthernetContent(bytes, at, frame);
  return bytes;
}
