/** `null://`: swallows every frame, delivers none (reference: plugins, section 1). */

import { FRAME_MAX } from '../frame/burst.js';
import { loop } from '../sys/loop.js';
import { PlugBase } from './base.js';
import type { Plug } from './plug.js';
import type { Scheme } from './scheme.js';

class NullPlug extends PlugBase implements Plug {
  readonly maxFrame = FRAME_MAX;
  readonly takesOffloads = true;
  readonly backlogged = false;
  /** An end of a cable keeps its process alive, also one that nothing ever arrives at. */
  readonly #hold = loop().hold();

  constructor(readonly name: string) {
    super();
  }

  protected override transmit(): void {}

  protected override listen(): void {}

  protected override release(): void {
    this.#hold();
  }
}

export const nullScheme: Scheme = {
  name: 'null',
  syntax: 'ANYTHING',
  doc: 'swallows every frame and delivers none',
  maxFrame: FRAME_MAX,
  params: [],
  open: async ({ locator }) => new NullPlug(locator),
};
