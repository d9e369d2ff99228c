/** Text on its way to a client that reads when it likes: kept in order, written as the kernel takes it. */

import { Memory } from '../sys/memory.js';

/** Bytes handed to the kernel at once. */
const CHUNK = 16 << 10;

/** Writes up to `length` bytes of `memory` without waiting; returns how many went, or minus the errno. */
export type WriteCall = (memory: Memory, length: number) => number;

const chunk = new Memory(CHUNK);

/** See the head of this file. */
export class OutputQueue {
  readonly #buffers: Buffer[] = [];
  /** Bytes of the first buffer that have gone. */
  #gone = 0;
  #bytes = 0;

  /** Bytes that wait. */
  get size(): number {
    return this.#bytes;
  }

  push(text: string): void {
    if (text === '') return;
    const bytes = Buffer.from(text);
    this.#buffers.push(bytes);
    this.#bytes += bytes.length;
  }

  /** Writes until all has gone or the kernel takes no more. Returns 0, or minus the errno that stopped it. */
  flush(write: WriteCall, most = CHUNK): number {
    while (this.#bytes > 0) {
      const n = write(chunk, this.#fill(Math.min(most, CHUNK)));
      if (n < 0) return n;
      this.#drop(n);
    }
    return 0;
  }

  clear(): void {
    this.#buffers.length = 0;
    this.#gone = 0;
    this.#bytes = 0;
  }

  /** Copies what is next into the chunk. */
  #fill(most: number): number {
    let length = 0;
    for (let i = 0; i < this.#buffers.length && length < most; i++) {
      const from = i === 0 ? this.#gone : 0;
      const piece = this.#buffers[i].subarray(from, from + most - length);
      chunk.bytes.set(piece, length);
      length += piece.length;
    }
    return length;
  }

  #drop(count: number): void {
    this.#bytes -= count;
    this.#gone += count;
    while (this.#buffers.length > 0 && this.#gone >= this.#buffers[0].length) {
      this.#gone -= (this.#buffers.shift() as Buffer).length;
    }
  }
}
