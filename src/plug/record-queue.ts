/** Frames on their way into a byte stream, each as a record of a 2-byte big-endian length and the frame. */

import type { Burst } from '../frame/burst.js';
import { RECORD_HEADER } from '../frame/stream.js';
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
   */
  constructor(
    readonly size: number,
    readonly maxFrame: number,
  ) {
    this.#memory = new Memory(size);
  }

  get empty(): boolean {
    return this.#sent === this.#filled;
  }

  /** Appends the listed views of a burst. What is too long or finds no room is counted. */
  add(frames: Burst, views: Uint8Array, count: number, drops: Drops): void {
    const { length } = frames;
    const { bytes } = this.#memory;
    for (let k = 0; k < count; k++) {
      const size = length[views[k]];
      if (size > this.maxFrame) {
        drops.oversize++;
        continue;
      }
      if (this.#filled + RECORD_HEADER + size > this.size && !this.#makeRoom(RECORD_HEADER + size)) {
        drops.full++;
        continue;
      }
      bytes[this.#filled] = size >>> 8;
      bytes[this.#filled + 1] = size;
      frames.copyView(views[k], bytes, this.#filled + RECORD_HEADER);
      this.#filled += RECORD_HEADER + size;
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
