import type { Burst } from './burst.js';
/** Placeholder until the real one lands. */
export class Segmenter {
  segment(_b: Uint8Array, _s: number, _l: number, _h: number, _out: Burst, _flush: (out: Burst) => void): number {
    return 0;
  }
}
