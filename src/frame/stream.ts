/**
 * Frames in a byte stream: the framing that libvdeplug calls vdestream (pipes, ssh, `dpipe`), and QEMU's.
 *
 * A stream is a row of records: a big-endian length N, of 16 bits or of 32, then N octets of Ethernet frame. There is no
 * mark to find the start of a record by, so a decoder must never lose count: records that it does not want are skipped by
 * counting their octets, and it remembers a header of which only a part has come.
 */

import { VdeError } from '../sys/errors.js';
import { readU16, readU32, writeU16, writeU32 } from './bytes.js';
import { ETHERNET_HEADER } from './ethernet.js';

/** Octets of the length field. */
const RECORD_HEADER = 2;

/** The longest frame that a record can carry. */
const RECORD_MAX = 0xffff;

/** How the records of a stream are written. */
export interface RecordFormat {
  /** Octets of the length field. */
  header: 2 | 4;
  /** A length above this cannot be meant: the stream is none of records, or has lost step for good. */
  max: number;
}

/** What libvdeplug's streams consist of. */
export const VDE_RECORDS: RecordFormat = { header: RECORD_HEADER, max: RECORD_MAX };

/** What QEMU's `-netdev stream` and `-netdev socket` do; the maximum is NET_BUFSIZE of its net/net.h. */
export const QEMU_RECORDS: RecordFormat = { header: 4, max: 4096 + 65_536 };

/**
 * The longest frame that a stream may carry to a reader that could be one of the C tools: one longer makes them throw
 * away what they have read and lose step with the stream.
 */
export const RECORD_MAX_C_TOOLS = 9236;

/**
 * Takes a stream apart, however it is cut into chunks. A frame that lies whole in one chunk is handed on as a view of
 * the chunk; only one that is split is put together in a buffer, allocated once.
 */
export class StreamDecoder {
  /** Frames handed on. */
  frames = 0;
  /** Records skipped because they were longer than `maxFrame`. */
  oversize = 0;
  /** Records skipped because they were shorter than an Ethernet header (those of length 0, mere filling, not counted). */
  runts = 0;
  /** A length that no record of the format can have; what follows it is not read. */
  broken: number | undefined;

  readonly #format: RecordFormat;
  readonly #onFrame: (frame: Uint8Array) => void;
  readonly #maxFrame: number;
  readonly #assembly: Uint8Array;
  /** Octets already in `#assembly`. */
  #filled = 0;
  /** Octets that the record in `#assembly` will have; 0 if there is none. */
  #wanted = 0;
  /** Octets still to be skipped. */
  #skip = 0;
  /** Octets of a header that is not complete, and how many they are. */
  #partLength = 0;
  #partOctets = 0;

  /**
   * @param onFrame is called during `push`, once per frame. The view that it gets is valid during the call; it must
   *   neither throw nor call `push`.
   * @param options.maxFrame the longest frame to accept, in octets.
   * @param options.format libvdeplug's if not given.
   */
  constructor(onFrame: (frame: Uint8Array) => void, options: { maxFrame?: number; format?: RecordFormat } = {}) {
    const { format = VDE_RECORDS, maxFrame = format.max } = options;
    this.#onFrame = onFrame;
    this.#format = format;
    this.#maxFrame = Math.min(maxFrame, format.max);
    this.#assembly = new Uint8Array(this.#maxFrame);
  }

  /** Takes the next octets of the stream. */
  push(chunk: Uint8Array): void {
    const end = chunk.length;
    const { header, max } = this.#format;
    let at = 0;
    while (at < end && this.broken === undefined) {
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, end - at);
        this.#skip -= count;
        at += count;
      } else if (this.#wanted > 0) {
        at += this.#assemble(chunk, at);
      } else {
        let length: number;
        if (this.#partOctets === 0 && at + header <= end) {
          length = header === 2 ? readU16(chunk, at) : readU32(chunk, at);
          at += header;
        } else {
          this.#partLength = this.#partLength * 256 + chunk[at++];
          if (++this.#partOctets < header) continue;
          length = this.#partLength;
          this.#forgetPart();
        }
        if (length > max) this.broken = length;
        else at += this.#begin(chunk, at, length);
      }
    }
  }

  #forgetPart(): void {
    this.#partLength = 0;
    this.#partOctets = 0;
  }

  /** Ends the stream. Returns true if it ended within a record; the decoder is then ready for another stream. */
  finish(): boolean {
    const incomplete = this.broken !== undefined || this.#skip > 0 || this.#wanted > 0 || this.#partOctets > 0;
    this.#skip = 0;
    this.#wanted = 0;
    this.broken = undefined;
    this.#forgetPart();
    return incomplete;
  }

  /** Decides what becomes of a record whose body starts at `at`; returns the octets used up. */
  #begin(chunk: Uint8Array, at: number, length: number): number {
    if (length > this.#maxFrame) {
      this.oversize++;
      this.#skip = length;
    } else if (length < ETHERNET_HEADER) {
      if (length > 0) this.runts++;
      this.#skip = length;
    } else if (at + length <= chunk.length) {
      this.frames++;
      this.#onFrame(chunk.subarray(at, at + length));
      return length;
    } else {
      this.#wanted = length;
      this.#filled = 0;
    }
    return 0;
  }

  /** Adds to the split record; returns the octets used up. */
  #assemble(chunk: Uint8Array, at: number): number {
    const count = Math.min(this.#wanted - this.#filled, chunk.length - at);
    this.#assembly.set(chunk.subarray(at, at + count), this.#filled);
    this.#filled += count;
    if (this.#filled === this.#wanted) {
      const frame = this.#assembly.subarray(0, this.#wanted);
      this.#wanted = 0;
      this.frames++;
      this.#onFrame(frame);
    }
    return count;
  }
}

/**
 * One frame as a record.
 * @throws VdeError EMSGSIZE if it is longer than the format allows.
 */
export function encodeRecord(frame: Uint8Array, { header, max }: RecordFormat = VDE_RECORDS): Uint8Array {
  if (frame.length > max) {
    const cause = `a stream record carries at most ${max} octets`;
    throw new VdeError({ code: 'EMSGSIZE', subject: `frame of ${frame.length} octets`, cause });
  }
  const record = new Uint8Array(header + frame.length);
  if (header === 2) writeU16(record, 0, frame.length);
  else writeU32(record, 0, frame.length);
  record.set(frame, header);
  return record;
}

/** Packs frames into one buffer, for a single write. Who adds without taking is responsible for the size. */
export class StreamEncoder {
  /** Frames refused because they were longer than `maxFrame`. */
  oversize = 0;

  readonly #maxFrame: number;
  #buffer = new Uint8Array(0x10000);
  #length = 0;

  /** @param options.maxFrame the longest frame to let through: what every reader takes, unless the peer is known. */
  constructor(options: { maxFrame?: number } = {}) {
    this.#maxFrame = Math.min(options.maxFrame ?? RECORD_MAX_C_TOOLS, RECORD_MAX);
  }

  /** Octets that `take` would return. */
  get length(): number {
    return this.#length;
  }

  /** Appends a copy of `frame`. Returns false, and counts it, if it is longer than `maxFrame`. */
  add(frame: Uint8Array): boolean {
    if (frame.length > this.#maxFrame) {
      this.oversize++;
      return false;
    }
    const end = this.#length + RECORD_HEADER + frame.length;
    if (end > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(end, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    writeU16(this.#buffer, this.#length, frame.length);
    this.#buffer.set(frame, this.#length + RECORD_HEADER);
    this.#length = end;
    return true;
  }

  /** The records added since the last call, in bytes that the encoder will not touch again. */
  take(): Uint8Array {
    const records = this.#buffer.slice(0, this.#length);
    this.#length = 0;
    return records;
  }
}
