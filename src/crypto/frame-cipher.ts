/** What the two formats of `agno://` have in common: bursts of plain frames to bursts of sealed ones, and back. */

import { randomFillSync } from 'node:crypto';
import type { Burst } from '../frame/burst.js';

/** Frames that arrived and were not opened, by reason. */
export interface Refused {
  /** Not of the format, or cut. */
  malformed: number;
  /** Sealed with another key, or changed on the way. */
  key: number;
  /** Sent too long ago, or in the future: a replay, or clocks that differ. */
  time: number;
  /** Opened before, too old for its session, or sent by this very end. */
  replayed: number;
}

export function noneRefused(): Refused {
  return { malformed: 0, key: 0, time: 0, replayed: 0 };
}

/** How many frames were refused for whatever reason. */
export function totalRefused(refused: Refused): number {
  return refused.malformed + refused.key + refused.time + refused.replayed;
}

/** One end's keys and state. Frames lie at home in `out`, which is empty before. */
export interface FrameCipher {
  /** Longest frame that is no longer than `limit` when it is sealed. */
  longest(limit: number): number;
  /** Seals up to 64 views of frames (14 bytes to `longest`) into `out`. */
  seal(burst: Burst, views: Uint8Array, count: number, out: Burst): void;
  /** Opens the frames of a burst into `out`, those that it can; the others are counted in `refused`. */
  open(burst: Burst, out: Burst): void;
  readonly refused: Refused;
  /** Seconds between the clocks, when last a frame was refused for its time; positive if the sender's is behind. */
  readonly skew: number;
  /** Forgets the keys. Idempotent. */
  close(): void;
}

/** Where time and chance come from (docs/design.md, "time and chance are passed in"). */
export interface CipherSources {
  /** Milliseconds since 1970. */
  now(): number;
  /** Fills bytes with what nobody can guess. */
  random(bytes: Uint8Array): void;
}

export const MACHINE_SOURCES: CipherSources = { now: Date.now, random: (bytes) => void randomFillSync(bytes) };

/** The EtherType of sealed frames: a number; the plain frame's own; or any, another for each frame. */
export type OuterType = number | 'copy' | 'rand';

/** Random words without a call for each. */
export class RandomWords {
  readonly #words = new Uint32Array(1024);
  #at = this.#words.length;

  constructor(private readonly sources: CipherSources) {}

  next(): number {
    if (this.#at === this.#words.length) {
      this.sources.random(new Uint8Array(this.#words.buffer));
      this.#at = 0;
    }
    return this.#words[this.#at++];
  }
}

/** The outer EtherType of a frame whose own is `type`. */
export function outerType(outer: OuterType, type: number, words: RandomWords): number {
  if (outer === 'copy') return type;
  if (outer === 'rand') return 0x600 + (words.next() % 0xf9ff);
  return outer;
}

/** Copies both addresses of a frame from one slab to another; offsets in bytes, multiples of 4. */
export function moveAddresses(from: Int32Array, at: number, to: Int32Array, toAt: number): void {
  for (let i = 0; i < 3; i++) to[(toAt >>> 2) + i] = from[(at >>> 2) + i];
}
