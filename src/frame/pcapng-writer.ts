/**
 * Writes pcapng files: draft-ietf-opsawg-pcapng sections 4.1 (section header), 4.2 (interface description) and
 * 4.3 (enhanced packet).
 *
 * Every block is made whole, as one array of bytes: a file to which each is written with one call can be read by
 * Wireshark while it grows. Blocks are little-endian and times are in nanoseconds.
 */

import { VdeError } from '../sys/errors.js';
import { checkField, checkLength } from './bytes.js';
import { MAC_LENGTH, type MacAddress } from './mac.js';
import {
  BLOCK_MAX,
  BLOCK_OVERHEAD,
  BlockType,
  BYTE_ORDER_MAGIC,
  type Direction,
  INTERFACES_MAX,
  LINKTYPE_ETHERNET,
  OptionCode,
  padded,
} from './pcapng.js';

/** What a section header says about the capture; shown by Wireshark's file properties. */
export interface CaptureSection {
  hardware?: string;
  os?: string;
  application?: string;
  comments?: readonly string[];
}

/** What an interface description says. */
export interface CaptureInterfaceInfo {
  name?: string;
  description?: string;
  mac?: MacAddress;
  /** Octets kept of each packet at most; 0, the default, for all. */
  snaplen?: number;
  /** Default: Ethernet. */
  linkType?: number;
  comments?: readonly string[];
}

/** One packet to be written. */
export interface CapturePacket {
  /** Its interface: descriptions are numbered from 0, in their order behind the section header. */
  interfaceId: number;
  /** Nanoseconds since 1970-01-01 00:00 UTC. */
  timestamp: bigint;
  /** What is kept of it. */
  data: Uint8Array;
  /** Octets that it had on the wire; default: those of `data`. */
  originalLength?: number;
  direction?: Direction;
  comments?: readonly string[];
}

/** Resolution 10^-9 s. */
const NANOSECONDS = 9;
/** Octets in front of an option's value: code, length. */
const OPTION_HEADER = 4;
/** "Length not specified": the section goes on to the end of the file. */
const SECTION_LENGTH_UNKNOWN = 0xffffffffffffffffn;

interface Option {
  code: number;
  value: Uint8Array;
}

/** The block that starts a file. @throws VdeError EMSGSIZE for a text over 65535 octets. */
export function sectionHeaderBlock(section: CaptureSection = {}): Uint8Array {
  const options = [
    ...textOptions(OptionCode.comment, section.comments),
    ...textOptions(OptionCode.sectionHardware, section.hardware),
    ...textOptions(OptionCode.sectionOs, section.os),
    ...textOptions(OptionCode.sectionApplication, section.application),
  ];
  const { bytes, view } = block(BlockType.sectionHeader, 16, options);
  view.setUint32(8, BYTE_ORDER_MAGIC, true);
  view.setUint16(12, 1, true);
  view.setUint16(14, 0, true);
  view.setBigUint64(16, SECTION_LENGTH_UNKNOWN, true);
  return bytes;
}

/**
 * The block that announces an interface.
 * @throws RangeError for a field that does not fit, VdeError EMSGSIZE for a text over 65535 octets.
 */
export function interfaceDescriptionBlock(info: CaptureInterfaceInfo = {}): Uint8Array {
  const { linkType = LINKTYPE_ETHERNET, snaplen = 0, mac } = info;
  checkField('linkType', linkType, 0xffff);
  checkField('snaplen', snaplen, 0xffffffff);
  if (mac) checkLength('mac', mac, MAC_LENGTH);
  const options = [
    ...textOptions(OptionCode.comment, info.comments),
    ...textOptions(OptionCode.interfaceName, info.name),
    ...textOptions(OptionCode.interfaceDescription, info.description),
    ...(mac ? [{ code: OptionCode.interfaceMac, value: mac }] : []),
    { code: OptionCode.interfaceTimestampResolution, value: Uint8Array.of(NANOSECONDS) },
  ];
  const { bytes, view } = block(BlockType.interfaceDescription, 8, options);
  view.setUint16(8, linkType, true);
  view.setUint32(12, snaplen, true);
  return bytes;
}

/**
 * The block that holds a packet.
 * @throws RangeError for a field that does not fit, VdeError EMSGSIZE for a comment over 65535 octets or a block over
 *   16 MiB.
 */
export function enhancedPacketBlock(packet: CapturePacket): Uint8Array {
  const { data, timestamp, originalLength = data.length } = packet;
  checkField('interfaceId', packet.interfaceId, 0xffffffff);
  checkField('originalLength', originalLength, 0xffffffff);
  if (BigInt.asUintN(64, timestamp) !== timestamp) throw new RangeError(`timestamp ${timestamp} is not 64 bits`);
  const options = textOptions(OptionCode.comment, packet.comments);
  if (packet.direction) {
    const value = Uint8Array.of(packet.direction === 'inbound' ? 1 : 2, 0, 0, 0);
    options.push({ code: OptionCode.packetFlags, value });
  }
  const { bytes, view } = block(BlockType.enhancedPacket, 20 + padded(data.length), options);
  view.setUint32(8, packet.interfaceId, true);
  view.setUint32(12, Number(timestamp >> 32n), true);
  view.setUint32(16, Number(timestamp & 0xffffffffn), true);
  view.setUint32(20, data.length, true);
  view.setUint32(24, originalLength, true);
  bytes.set(data, 28);
  return bytes;
}

/** A block with room for its fixed body, its lengths and its options stored. */
function block(type: number, bodyLength: number, options: readonly Option[]): { bytes: Uint8Array; view: DataView } {
  let optionsLength = options.length > 0 ? OPTION_HEADER : 0;
  for (const { value } of options) optionsLength += OPTION_HEADER + padded(value.length);
  const total = BLOCK_OVERHEAD + bodyLength + optionsLength;
  if (total > BLOCK_MAX) {
    throw new VdeError({ code: 'EMSGSIZE', subject: 'pcapng block', cause: `${total} octets exceed ${BLOCK_MAX}` });
  }
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, total, true);
  view.setUint32(total - 4, total, true);
  let at = 8 + bodyLength;
  for (const { code, value } of options) {
    view.setUint16(at, code, true);
    view.setUint16(at + 2, value.length, true);
    bytes.set(value, at + OPTION_HEADER);
    at += OPTION_HEADER + padded(value.length);
  }
  // opt_endofopt is code 0, length 0: the zeros that are there already.
  return { bytes, view };
}

function textOptions(code: number, texts: string | readonly string[] | undefined): Option[] {
  if (texts === undefined) return [];
  return (typeof texts === 'string' ? [texts] : texts).map((text) => {
    const value = new TextEncoder().encode(text);
    if (value.length > 0xffff) {
      const cause = `a text of ${value.length} octets exceeds the ${0xffff} of an option`;
      throw new VdeError({ code: 'EMSGSIZE', subject: 'pcapng option', cause });
    }
    return { code, value };
  });
}

/** Writes one section: numbers its interfaces and cuts packets to their `snaplen`. */
export class PcapngWriter {
  readonly #sink: (block: Uint8Array) => void;
  /** `snaplen` of each interface. */
  readonly #snaplens: number[] = [];

  /** @param sink gets the section header now and one whole block at a time later; the arrays are its own. */
  constructor(sink: (block: Uint8Array) => void, section?: CaptureSection) {
    this.#sink = sink;
    sink(sectionHeaderBlock(section));
  }

  /**
   * Announces an interface and returns its number.
   * @throws VdeError E2BIG beyond 1024, and as `interfaceDescriptionBlock`.
   */
  addInterface(info: CaptureInterfaceInfo = {}): number {
    if (this.#snaplens.length === INTERFACES_MAX) {
      const cause = `one capture has at most ${INTERFACES_MAX} interfaces`;
      throw new VdeError({ code: 'E2BIG', subject: info.name ?? 'pcapng interface', cause });
    }
    this.#sink(interfaceDescriptionBlock(info));
    return this.#snaplens.push(info.snaplen ?? 0) - 1;
  }

  /** Writes a packet. @throws RangeError for an interface that was not added, and as `enhancedPacketBlock`. */
  write(packet: CapturePacket): void {
    const snaplen = this.#snaplens[packet.interfaceId];
    if (snaplen === undefined) throw new RangeError(`no interface ${packet.interfaceId} in this capture`);
    const { data, originalLength = data.length } = packet;
    const kept = snaplen > 0 && data.length > snaplen ? data.subarray(0, snaplen) : data;
    this.#sink(enhancedPacketBlock({ ...packet, data: kept, originalLength }));
  }
}
