/**
 * A concentrator: ports that reach nobody but the station that joined first (reference: plugins, section 11). Frames of
 * the station's own go to all the others, in copies (`multi`), or to one of them in turn (`bonding`).
 */

import type { Port } from './port.js';

export type ConcentratorKind = 'multi' | 'bonding';

/** See the head of this file. */
export class Concentrator {
  #station: Port | undefined;
  /** Newcomers last, the last one in place of one that has left: the turns go as in C's. */
  readonly #others: Port[] = [];
  #turn = 0;
  /** Where the frame in hand goes, if that is one port or none. */
  readonly #one: Port[] = [];

  constructor(readonly kind: ConcentratorKind) {}

  join(port: Port): void {
    if (this.#station === undefined) this.#station = port;
    else this.#others.push(port);
  }

  leave(port: Port): void {
    if (port === this.#station) this.#station = undefined;
    const at = this.#others.indexOf(port);
    if (at < 0) return;
    const last = this.#others.pop() as Port;
    if (last !== port) this.#others[at] = last;
  }

  /** The ports that the next frame from `port` goes to. The list is only good until the next call. */
  outputs(port: Port): readonly Port[] {
    if (port !== this.#station) return this.#only(this.#station);
    if (this.kind === 'multi') return this.#others;
    this.#turn = (this.#turn + 1) % Math.max(1, this.#others.length);
    return this.#only(this.#others[this.#turn]);
  }

  #only(port: Port | undefined): readonly Port[] {
    if (port === undefined) this.#one.length = 0;
    else this.#one[0] = port;
    return this.#one;
  }
}
