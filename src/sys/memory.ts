/**
 * Memory that the kernel may read and write while JavaScript keeps running.
 *
 * An `ArrayBuffer` made by itself lives outside the JavaScript heap and does not move, so its address stays good for as
 * long as the buffer is referenced. Small typed arrays made directly may live on the heap: their address is never taken.
 */

import { addressOf } from './ffi.js';

/** A block of stable, zeroed memory, seen through every view that struct layouts need. */
export class Memory {
  readonly buffer: ArrayBuffer;
  /** Address of the first byte; below 2^47, so a plain number holds it exactly. */
  readonly address: number;
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The same bytes as 32-bit words in host order. */
  readonly words: Uint32Array;

  /** @param size in bytes, rounded up to a multiple of 8; or memory that is there already (`memfd.ts`). */
  constructor(size: number | ArrayBuffer) {
    this.buffer = typeof size === 'number' ? new ArrayBuffer(Math.max(8, (size + 7) & ~7)) : size;
    this.size = this.buffer.byteLength;
    this.address = addressOf(this.buffer);
    this.bytes = new Uint8Array(this.buffer);
    this.view = new DataView(this.buffer);
    this.words = new Uint32Array(this.buffer);
  }

  /** Address of a byte. */
  addressAt(offset: number): number {
    return this.address + offset;
  }

  /** Stores a pointer (or any integer below 2^53) as a 64-bit word. `offset` in bytes, a multiple of 4. */
  setPointer(offset: number, address: number): void {
    const word = offset >>> 2;
    this.words[word + LOW] = address >>> 0;
    this.words[word + HIGH] = Math.floor(address / 0x1_0000_0000);
  }

  /** Stores a NUL-terminated string, cut to what fits. Returns the number of bytes before the NUL. */
  setCString(offset: number, text: string, room: number): number {
    const { written } = new TextEncoder().encodeInto(text, this.bytes.subarray(offset, offset + room - 1));
    this.bytes[offset + written] = 0;
    return written;
  }

  /** Reads a string up to its NUL or to `room` bytes. */
  cString(offset: number, room: number): string {
    const end = this.bytes.indexOf(0, offset);
    const stop = end < 0 || end > offset + room ? offset + room : end;
    return new TextDecoder().decode(this.bytes.subarray(offset, stop));
  }
}

/** True on every machine that Node runs on today; asked rather than assumed. */
export const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** Word order of a 64-bit integer seen as two 32-bit words. */
const LOW = LITTLE_ENDIAN ? 0 : 1;
const HIGH = LITTLE_ENDIAN ? 1 : 0;
