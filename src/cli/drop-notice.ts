/**
 * Tells of frames that an end has dropped because they were too long, or for want of room: soon after the first, once a
 * minute while there are more, and at the end. Other drops have messages of their own, or are nothing but noise.
 */

import type { Plug } from '../plug/plug.js';

/** How often the counters are looked at, and how long after a line the next may come, in ms. */
const LOOK_MS = 1000;
const QUIET_MS = 60_000;

/** See the head of this file. */
export class DropNotice {
  readonly #timer: NodeJS.Timeout;
  #told = 0;
  #toldAt = -Infinity;

  /** @param clock in ms. */
  constructor(
    private readonly plug: Pick<Plug, 'name' | 'drops'>,
    private readonly tell: (line: string) => void,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref();
  }

  /** Tells if it is time to and there is something new. */
  look(): void {
    if (this.clock() - this.#toldAt >= QUIET_MS) this.#tellNew();
  }

  /** The last word. Idempotent. */
  close(): void {
    clearInterval(this.#timer);
    this.#tellNew();
  }

  #tellNew(): void {
    const { oversize, full } = this.plug.drops;
    if (oversize + full === this.#told) return;
    this.#told = oversize + full;
    this.#toldAt = this.clock();
    const parts = [oversize > 0 ? `${oversize} too long` : '', full > 0 ? `${full} for want of room` : ''];
    this.tell(`${this.plug.name}: frames dropped so far: ${parts.filter(Boolean).join(', ')}`);
  }
}
