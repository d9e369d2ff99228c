/** What stands in the place of an end that is not there: frames to it are dropped and counted. */

import type { Burst } from '../frame/burst.js';
import { loop } from '../sys/loop.js';
import { PlugBase } from './base.js';
import type { Plug } from './plug.js';

/** See the head of this file. */
export class Missing extends PlugBase implements Plug {
  readonly takesOffloads = true;
  readonly backlogged = false;
  /** The process lives on while it waits. */
  readonly #hold = loop().hold();

  constructor(
    readonly name: string,
    readonly maxFrame: number,
  ) {
    super();
  }

  protected override transmit(_burst: Burst, _views: Uint8Array, count: number): void {
    this.drops.error += count;
  }

  protected override listen(): void {}

  protected override release(): void {
    this.#hold();
  }
}
