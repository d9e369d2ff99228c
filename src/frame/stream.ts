/**
 * Frames in a byte stream (pipes, ssh, `dpipe`): the framing that libvdeplug calls vdestream.
 *
 * A stream is a row of records: a 16-bit big-endian length N, then N octets of Ethernet frame. There is no mark to find
 * the start of a record by, so a decoder must never lose count: records that it does not want are skipped by counting
 * their octets, and it remembers a header of which only one octet has come.
 */

import { VdeError } from '../sys/errors.js';
import { readU16, writeU16 } from './bytes.js';
import { ETHERNET_HEADER } from './ethernet.js';

/** Octets of the length field. */
export const RECORD_HEADER = 2;

/** The longest frame that a record can carry. */
export const RECORD_MAX = 0xffff;

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

  readonly #onFrame: (frame: Uint8Array) => void;
  readonly #maxFrame: number;
  readonly #assembly: Uint8Array;
  /** Octets already in `#assembly`. */
  #filled = 0;
  /** Octets that the record in `#assembly` will have; 0 if there is none. */
  #wanted = 0;
  /** Octets still to be skipped. */
  #skip = 0;
  /** First octet of a header of which the second has not come, or -1. */
  #halfHeader = -1;

  /**
   * @param onFrame is called during `push`, once per frame. The view that it gets is valid during the call; it must
   *   neither throw nor call `push`.
   * @param options.maxFrame the longest frame to accept, in octets.
   */
  constructor(onFrame: (frame: Uint8Array) => void, options: { maxFrame?: number } = {}) {
    this.#onFrame = onFrame;
    this.#maxFrame = Math.min(options.maxFrame ?? RECORD_MAX, RECORD_MAX);
    this.#assembly = new Uint8Array(this.#maxFrame);
  }

  /** Takes the next octets of the stream. */
  push(chunk: Uint8Array): void {
    const end = chunk.length;
    let at = 0;
    while (at < end) {
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, end - at);
        this.#skip -= count;
        at += count;
      } else if (this.#wanted > 0) {
        at += this.#assemble(chunk, at);
      } else {
        let length: number;
        if (this.#halfHeader >= 0) {
          length = (this.#halfHeader << 8) | chunk[at];
          this.#halfHeader = -1;
          at += 1;
        } else if (at + 1 === end) {
          this.#halfHeader = chunk[at];
          return;
        } else {
          length = readU16(chunk, at);
          at += RECORD_HEADER;
        }
        at += this.#begin(chunk, at, length);
      }
    }
  }

  /** Ends the stream. Returns true if it ended within a record; the decoder is then ready for another stream. */
  finish(): boolean {
    const incomplete = this.#skip > 0 || this.#wanted > 0 || this.#halfHeader >= 0;
    this.#skip = 0;
    this.#wanted = 0;
    this.#halfHeader = -1;
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
 * @throws VdeError EMSGSIZE if it is longer than `RECORD_MAX`.
 */
export function encodeRecord(frame: Uint8Array): Uint8Array {
  if (frame.length > RECORD_MAX) {
    const cause = `a stream record carries at most ${RECORD_MAX} octets`;
    throw new VdeError({ code: 'EMSGSIZE', subject: `frame of ${frame.length} octets`, cause });
  }
  const record = new Uint8Array(RECORD_HEADER + frame.length);
  writeU16(record, 0, frame.length);
  record.set(frame, RECORD_HEADER);
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
