/**
 * Reads capture files: pcapng (draft-ietf-opsawg-pcapng) and classic pcap 2.4 (draft-ietf-opsawg-pcap), in either byte
 * order and with any time resolution.
 *
 * One pass over bytes in memory: packets are views of them. Nothing in the file is trusted: every length is checked
 * before what it describes is read, and an error names the offset of the block or field that contradicts the format. A
 * file that just stops within a block is no error, as files still being written do so.
 */

import { VdeError } from '../sys/errors.js';
import {
  BLOCK_MAX,
  BLOCK_OVERHEAD,
  BlockType,
  BYTE_ORDER_MAGIC,
  type Direction,
  INTERFACES_MAX,
  OptionCode,
  padded,
} from './pcapng.js';

/** An interface that packets were captured on. */
export interface CaptureInterface {
  /** Its number within its section. */
  id: number;
  /** LINKTYPE, 1 for Ethernet. */
  linkType: number;
  /** Octets kept of each packet at most; 0 for all. */
  snaplen: number;
  name: string | undefined;
  description: string | undefined;
}

/** A packet as read. Texts come from the file: they may hold control characters. */
export interface CapturedPacket {
  /** Where in the file its block starts. */
  offset: number;
  /** The same object for all packets of one interface. */
  interface: CaptureInterface;
  /** Nanoseconds since 1970-01-01 00:00 UTC, finer ones cut off; `undefined` in simple packet blocks. */
  timestamp: bigint | undefined;
  /** What was kept of it, a view of the file. */
  data: Uint8Array;
  /** Octets that it had on the wire. */
  originalLength: number;
  direction: Direction | undefined;
  comments: readonly string[];
}

/** How the file ended. */
export interface CaptureEnd {
  /** Where the block starts that the file stops in; `undefined` if it ends with a whole one. */
  truncatedAt: number | undefined;
}

/**
 * The packets of a capture file, in its order.
 * @param subject what errors name: the path of the file.
 * @returns (from the generator) how the file ended.
 * @throws VdeError EMALFORMED, while iterating, where the file is neither pcapng nor pcap or contradicts its format.
 */
export function* readCapture(bytes: Uint8Array, subject = 'capture'): Generator<CapturedPacket, CaptureEnd, void> {
  const file = new CaptureFile(bytes, subject);
  if (bytes.length < 4) throw file.malformed(0, 'neither a pcapng nor a pcap file');
  return yield* file.u32(0) === BlockType.sectionHeader ? readPcapng(file) : readPcap(file);
}

/** The bytes with the byte order in force. Its readers are called only after `has` or an equal check. */
class CaptureFile {
  littleEndian = false;
  readonly length: number;
  readonly #view: DataView;

  constructor(
    readonly bytes: Uint8Array,
    readonly subject: string,
  ) {
    this.length = bytes.length;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  has(at: number, length: number): boolean {
    return at + length <= this.length;
  }

  u16(at: number): number {
    return this.#view.getUint16(at, this.littleEndian);
  }

  u32(at: number): number {
    return this.#view.getUint32(at, this.littleEndian);
  }

  i64(at: number): bigint {
    return this.#view.getBigInt64(at, this.littleEndian);
  }

  text(at: number, length: number): string {
    return new TextDecoder().decode(this.bytes.subarray(at, at + length));
  }

  malformed(at: number, cause: string): VdeError {
    return new VdeError({ code: 'EMALFORMED', subject: this.subject, cause: `${cause} at byte ${at}` });
  }
}

/** An interface with what is needed to convert its timestamps. */
interface Clock {
  interface: CaptureInterface;
  unitsPerSecond: bigint;
  offsetSeconds: bigint;
}

/** A pcapng block: its body lies in [`start`, `end`). */
interface Block {
  offset: number;
  start: number;
  end: number;
}

const NANOSECONDS_PER_SECOND = 1_000_000_000n;
const MICROSECONDS_PER_SECOND = 1_000_000n;

function nanoseconds(clock: Clock, units: bigint): bigint {
  const { unitsPerSecond, offsetSeconds } = clock;
  const sinceOffset =
    unitsPerSecond === NANOSECONDS_PER_SECOND ? units : (units * NANOSECONDS_PER_SECOND) / unitsPerSecond;
  return sinceOffset + offsetSeconds * NANOSECONDS_PER_SECOND;
}

function* readPcapng(file: CaptureFile): Generator<CapturedPacket, CaptureEnd, void> {
  let clocks: Clock[] = [];
  for (let offset = 0; offset < file.length; ) {
    // Type and length, and the magic that says how to read them if this is a section header.
    if (!file.has(offset, BLOCK_OVERHEAD)) return { truncatedAt: offset };
    if (file.u32(offset) === BlockType.sectionHeader) {
      setByteOrder(file, offset + 8);
      clocks = [];
    }
    const type = file.u32(offset);
    const total = file.u32(offset + 4);
    if (total < BLOCK_OVERHEAD || total % 4 !== 0) throw file.malformed(offset + 4, `impossible block length ${total}`);
    if (total > BLOCK_MAX) throw file.malformed(offset + 4, `block of ${total} octets (at most ${BLOCK_MAX})`);
    if (!file.has(offset, total)) return { truncatedAt: offset };
    const block = { offset, start: offset + 8, end: offset + total - 4 };
    if (file.u32(block.end) !== total) throw file.malformed(block.end, 'block lengths that differ');
    switch (type) {
      case BlockType.sectionHeader:
        readSectionHeader(file, block);
        break;
      case BlockType.interfaceDescription:
        if (clocks.length === INTERFACES_MAX) throw file.malformed(offset, `more than ${INTERFACES_MAX} interfaces`);
        clocks.push(readInterface(file, block, clocks.length));
        break;
      case BlockType.enhancedPacket:
        yield readPacket(file, block, clocks, false);
        break;
      case BlockType.packet:
        yield readPacket(file, block, clocks, true);
        break;
      case BlockType.simplePacket:
        yield readSimplePacket(file, block, clocks);
        break;
    }
    offset += total;
  }
  return { truncatedAt: undefined };
}

function setByteOrder(file: CaptureFile, at: number): void {
  for (const littleEndian of [true, false]) {
    file.littleEndian = littleEndian;
    if (file.u32(at) === BYTE_ORDER_MAGIC) return;
  }
  throw file.malformed(at, 'no byte-order magic');
}

function readSectionHeader(file: CaptureFile, block: Block): void {
  needBody(file, block, 16);
  const major = file.u16(block.start + 4);
  if (major !== 1) throw file.malformed(block.start + 4, `unknown pcapng version ${major}`);
}

function readInterface(file: CaptureFile, block: Block, id: number): Clock {
  needBody(file, block, 8);
  const described: CaptureInterface = {
    id,
    linkType: file.u16(block.start),
    snaplen: file.u32(block.start + 4),
    name: undefined,
    description: undefined,
  };
  const clock = { interface: described, unitsPerSecond: MICROSECONDS_PER_SECOND, offsetSeconds: 0n };
  forEachOption(file, block.start + 8, block.end, (code, at, length) => {
    switch (code) {
      case OptionCode.interfaceName:
        described.name = file.text(at, length);
        break;
      case OptionCode.interfaceDescription:
        described.description = file.text(at, length);
        break;
      case OptionCode.interfaceTimestampResolution: {
        if (length !== 1) throw file.malformed(at, 'if_tsresol of the wrong length');
        // Bit 7 says whether the rest is a negative power of 2 or of 10.
        const resolution = file.bytes[at];
        clock.unitsPerSecond = (resolution & 0x80 ? 2n : 10n) ** BigInt(resolution & 0x7f);
        break;
      }
      case OptionCode.interfaceTimestampOffset:
        if (length !== 8) throw file.malformed(at, 'if_tsoffset of the wrong length');
        clock.offsetSeconds = file.i64(at);
        break;
    }
  });
  return clock;
}

/** An enhanced packet block, or the obsolete one, which has a 16-bit interface number and a count of drops. */
function readPacket(file: CaptureFile, block: Block, clocks: readonly Clock[], obsolete: boolean): CapturedPacket {
  const { offset, start, end } = block;
  needBody(file, block, 20);
  const clock = clockOf(file, start, clocks, obsolete ? file.u16(start) : file.u32(start));
  const captured = file.u32(start + 12);
  const dataAt = start + 20;
  if (captured > end - dataAt) throw file.malformed(start + 12, `packet of ${captured} octets exceeds its block`);
  let direction: Direction | undefined;
  const comments: string[] = [];
  forEachOption(file, dataAt + padded(captured), end, (code, at, length) => {
    if (code === OptionCode.comment) comments.push(file.text(at, length));
    if (code === OptionCode.packetFlags) {
      if (length !== 4) throw file.malformed(at, 'packet flags of the wrong length');
      direction = ([undefined, 'inbound', 'outbound'] as const)[file.u32(at) & 3];
    }
  });
  return {
    offset,
    interface: clock.interface,
    timestamp: nanoseconds(clock, (BigInt(file.u32(start + 4)) << 32n) | BigInt(file.u32(start + 8))),
    data: file.bytes.subarray(dataAt, dataAt + captured),
    originalLength: file.u32(start + 16),
    direction,
    comments,
  };
}

/** A simple packet block: no time, interface 0, and only the original length, which that interface's snaplen cuts. */
function readSimplePacket(file: CaptureFile, block: Block, clocks: readonly Clock[]): CapturedPacket {
  const { offset, start, end } = block;
  needBody(file, block, 4);
  const { interface: first } = clockOf(file, start, clocks, 0);
  const originalLength = file.u32(start);
  const captured = first.snaplen > 0 ? Math.min(first.snaplen, originalLength) : originalLength;
  if (captured > end - start - 4) throw file.malformed(start, `packet of ${captured} octets exceeds its block`);
  const data = file.bytes.subarray(start + 4, start + 4 + captured);
  return { offset, interface: first, timestamp: undefined, data, originalLength, direction: undefined, comments: [] };
}

function needBody(file: CaptureFile, block: Block, length: number): void {
  if (block.end - block.start < length) throw file.malformed(block.offset, 'block too short for its type');
}

function clockOf(file: CaptureFile, at: number, clocks: readonly Clock[], id: number): Clock {
  const clock = clocks[id];
  if (!clock) throw file.malformed(at, `packet of an interface that was not described (${id})`);
  return clock;
}

/** Calls `visit` with each option's code and the place of its value, up to the end of options or of the block. */
function forEachOption(
  file: CaptureFile,
  from: number,
  end: number,
  visit: (code: number, at: number, length: number) => void,
): void {
  for (let at = from; at + 4 <= end; ) {
    const code = file.u16(at);
    const length = file.u16(at + 2);
    if (code === OptionCode.endOfOptions) return;
    if (at + 4 + length > end) throw file.malformed(at, `option of ${length} octets exceeds its block`);
    visit(code, at + 4, length);
    at += 4 + padded(length);
  }
}

/** Magic numbers of pcap, and the fractions that its times count. */
const PCAP_UNITS: ReadonlyMap<number, bigint> = new Map([
  [0xa1b2c3d4, MICROSECONDS_PER_SECOND],
  [0xa1b23c4d, NANOSECONDS_PER_SECOND],
]);
const PCAP_FILE_HEADER = 24;
const PCAP_RECORD_HEADER = 16;

function* readPcap(file: CaptureFile): Generator<CapturedPacket, CaptureEnd, void> {
  let unitsPerSecond = PCAP_UNITS.get(file.u32(0));
  if (unitsPerSecond === undefined) {
    file.littleEndian = true;
    unitsPerSecond = PCAP_UNITS.get(file.u32(0));
  }
  if (unitsPerSecond === undefined) throw file.malformed(0, 'neither a pcapng nor a pcap file');
  if (!file.has(0, PCAP_FILE_HEADER)) return { truncatedAt: 0 };
  const version = `${file.u16(4)}.${file.u16(6)}`;
  if (version !== '2.4') throw file.malformed(4, `unknown pcap version ${version}`);
  const only: CaptureInterface = {
    id: 0,
    // The upper half says whether frames end with a check sequence.
    linkType: file.u32(20) & 0xffff,
    snaplen: file.u32(16),
    name: undefined,
    description: undefined,
  };
  for (let offset = PCAP_FILE_HEADER; offset < file.length; ) {
    if (!file.has(offset, PCAP_RECORD_HEADER)) return { truncatedAt: offset };
    const captured = file.u32(offset + 8);
    if (captured > BLOCK_MAX) throw file.malformed(offset + 8, `packet of ${captured} octets (at most ${BLOCK_MAX})`);
    const dataAt = offset + PCAP_RECORD_HEADER;
    if (!file.has(dataAt, captured)) return { truncatedAt: offset };
    const fraction = (BigInt(file.u32(offset + 4)) * NANOSECONDS_PER_SECOND) / unitsPerSecond;
    yield {
      offset,
      interface: only,
      timestamp: BigInt(file.u32(offset)) * NANOSECONDS_PER_SECOND + fraction,
      data: file.bytes.subarray(dataAt, dataAt + captured),
      originalLength: file.u32(offset + 12),
      direction: undefined,
      comments: [],
    };
    offset = dataAt + captured;
  }
  return { truncatedAt: undefined };
}
