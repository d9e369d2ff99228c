/** Frames on their way into a byte stream, each as a record of a big-endian length and the frame. */

import type { Burst } from '../frame/burst.js';
import { VDE_RECORDS } from '../frame/stream.js';
import { errnoNumber } from '../sys/errors.js';
import { Memory } from '../sys/memory.js';
import type { Drops } from './plug.js';

const EAGAIN = errnoNumber('EAGAIN');

/** Where a stream's bytes go. */
export interface ByteSink {
  /** Takes bytes at an address without waiting: how many it has taken, or minus the errno. */
  write(address: number, size: number): number;
}

/** A bounded buffer of records that wait for a slow reader: the bytes from `#sent` to `#filled` of its memory. */
export class RecordQueue {
  readonly #memory: Memory;
  #sent = 0;
  #filled = 0;

  /**
   * @param size bytes that may wait.
   * @param maxFrame longest frame that is taken, in bytes.
   * @param header bytes of the length.
   */
  constructor(
    readonly size: number,
    readonly maxFrame: number,
    readonly header: 2 | 4 = VDE_RECORDS.header,
  ) {
    this.#memory = new Memory(size);
  }

  get empty(): boolean {
    return this.#sent === this.#filled;
  }

  /** Appends the listed views of a burst. What is too long or finds no room is counted. */
  add(frames: Burst, views: Uint8Array, count: number, drops: Drops): void {
    const { length } = frames;
    const { header } = this;
    const { bytes } = this.#memory;
    for (let k = 0; k < count; k++) {
      const size = length[views[k]];
      if (size > this.maxFrame) {
        drops.oversize++;
        continue;
      }
      if (this.#filled + header + size > this.size && !this.#makeRoom(header + size)) {
        drops.full++;
        continue;
      }
      for (let octet = header - 1, rest = size; octet >= 0; octet--, rest >>>= 8) bytes[this.#filled + octet] = rest;
      frames.copyView(views[k], bytes, this.#filled + header);
      this.#filled += header + size;
    }
  }

  /** Moves what waits to the front; false if that does not give `size` bytes. */
  #makeRoom(size: number): boolean {
    this.#memory.bytes.copyWithin(0, this.#sent, this.#filled);
    this.#filled -= this.#sent;
    this.#sent = 0;
    return this.#filled + size <= this.size;
  }

  /** Gives a sink what it takes now. Returns 0, or minus the errno of a failure. */
  write(sink: ByteSink): number {
    while (this.#sent < this.#filled) {
      const n = sink.write(this.#memory.address + this.#sent, this.#filled - this.#sent);
      if (n === -EAGAIN || n === 0) return 0;
      if (n < 0) return n;
      this.#sent += n;
    }
    this.clear();
    return 0;
  }

  /** Forgets what waits. */
  clear(): void {
    this.#sent = 0;
    this.#filled = 0;
  }
}
