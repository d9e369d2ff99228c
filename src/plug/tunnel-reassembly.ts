/**
 * Super-frames whose pieces (`tunnel-format.ts`) come in several messages, perhaps in another order: they are put together
 * in memory of their own. A sender's next super-frame takes the place of its last, and a new sender that of whoever began
 * longest ago.
 */

import type { Memory } from '../sys/memory.js';
import type { Drops } from './plug.js';
import { LAST, PIECES_MAX, PREFIX, TOTAL_MAX } from './tunnel-format.js';

/** Words of the longest socket address: a `struct sockaddr_in6`. */
const SENDER_WORDS = 7;

class Parts {
  readonly bytes = new Uint8Array(TOTAL_MAX);
  readonly sender = new Uint32Array(SENDER_WORDS);
  readonly have = new Uint8Array(PIECES_MAX);
  number = 0;
  total = 0;
  /** Bytes that have not come; 0: nothing is open. */
  missing = 0;
  /** Bytes of each piece but the last, 0 if none has come; the last one's place, -1 if it has not come. */
  room = 0;
  lastIndex = -1;
  lastOffset = 0;
  begun = 0;
}

/** See the head of this file. */
export class Reassembly {
  readonly #parts: Parts[] = [];
  #begun = 0;

  /**
   * @param senders whose super-frames may be open at a time.
   * @param sources the senders' socket addresses; undefined if there is only one sender.
   */
  constructor(
    private readonly drops: Drops,
    private readonly senders: number,
    private readonly sources: Memory | undefined,
  ) {}

  /**
   * Takes in a piece: its prefix and what follows, `length` bytes from `bytes[at]`.
   * @param source where in `sources` its sender's address lies, `sourceLength` bytes.
   * @returns the super-frame that it was the last missing piece of, good until the next call.
   */
  add(bytes: Uint8Array, at: number, length: number, source: number, sourceLength: number): Uint8Array | undefined {
    const total = (bytes[at + PREFIX.total] << 8) | bytes[at + PREFIX.total + 1];
    const size = length - PREFIX.size;
    const index = bytes[at + PREFIX.index] & ~LAST;
    const last = (bytes[at + PREFIX.index] & LAST) !== 0;
    const offset = last ? total - size : index * size;
    if (offset < 0 || offset + size > total) {
      this.drops.error++;
      return undefined;
    }
    const parts = this.#find(source, sourceLength);
    // A piece that is there already is one of another super-frame, of the same number a while later.
    const number = bytes[at + PREFIX.number];
    if (parts.missing === 0 || number !== parts.number || total !== parts.total || parts.have[index] !== 0) {
      this.#begin(parts, number, total);
    }
    if (last) {
      parts.lastIndex = index;
      parts.lastOffset = offset;
    } else if (parts.room === 0) parts.room = size;
    const misfit = !last && size !== parts.room;
    if (misfit || (parts.room > 0 && parts.lastIndex >= 0 && parts.lastIndex * parts.room !== parts.lastOffset)) {
      this.drops.error++;
      parts.missing = 0;
      return undefined;
    }
    parts.have[index] = 1;
    parts.bytes.set(bytes.subarray(at + PREFIX.size, at + length), offset);
    parts.missing -= size;
    return parts.missing > 0 ? undefined : parts.bytes.subarray(0, total);
  }

  /** The place of a sender; one that is free, or the oldest, if it has none. */
  #find(source: number, sourceLength: number): Parts {
    let found: Parts | undefined;
    for (const parts of this.#parts) {
      if (this.#isSender(parts, source, sourceLength)) return parts;
      if (found === undefined || (found.missing > 0 && (parts.missing === 0 || parts.begun < found.begun))) {
        found = parts;
      }
    }
    if (found === undefined || (found.missing > 0 && this.#parts.length < this.senders)) {
      found = new Parts();
      this.#parts.push(found);
    } else this.#abandon(found);
    if (this.sources !== undefined) {
      found.sender.fill(0);
      for (let i = 0; i < sourceLength >>> 2; i++) found.sender[i] = this.sources.words[(source >>> 2) + i];
    }
    return found;
  }

  #isSender(parts: Parts, source: number, sourceLength: number): boolean {
    if (this.sources === undefined) return true;
    const { words } = this.sources;
    const from = source >>> 2;
    for (let i = 0; i < sourceLength >>> 2; i++) if (parts.sender[i] !== words[from + i]) return false;
    return true;
  }

  #abandon(parts: Parts): void {
    if (parts.missing > 0) this.drops.error++;
    parts.missing = 0;
  }

  #begin(parts: Parts, number: number, total: number): void {
    this.#abandon(parts);
    parts.number = number;
    parts.total = total;
    parts.missing = total;
    parts.room = 0;
    parts.lastIndex = -1;
    parts.have.fill(0);
    parts.begun = this.#begun++;
  }
}
