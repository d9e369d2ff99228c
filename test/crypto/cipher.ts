/** For tests of ciphers: frames sealed and opened as bytes, in virtual time. */

import type { CipherSources, FrameCipher } from '../../src/crypto/frame-cipher.js';
import { ALL_VIEWS, Burst } from '../../src/frame/burst.js';

const input = new Burst();
const output = new Burst();

function through(frames: readonly Uint8Array[], work: () => void): Buffer[] {
  input.count = 0;
  output.count = 0;
  for (const frame of frames) if (!input.add(frame)) throw new Error('more than a burst holds');
  work();
  return Array.from({ length: output.count }, (_, slot) => Buffer.from(output.frame(slot)));
}

/** The sealed frames, in one burst. */
export function seal(cipher: FrameCipher, ...frames: Uint8Array[]): Buffer[] {
  return through(frames, () => cipher.seal(input, ALL_VIEWS, frames.length, output));
}

/** What can be opened of these frames, in one burst. */
export function open(cipher: FrameCipher, ...frames: Uint8Array[]): Buffer[] {
  return through(frames, () => cipher.open(input, output));
}

/** Time that stands still, and chance from a seed. */
export class VirtualSources implements CipherSources {
  #state: number;

  constructor(
    /** Seconds since 1970. */
    public seconds: number,
    seed = 1,
  ) {
    this.#state = seed;
  }

  now(): number {
    return this.seconds * 1000;
  }

  random(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      this.#state = (Math.imul(this.#state, 1664525) + 1013904223) | 0;
      bytes[i] = this.#state >>> 24;
    }
  }
}
