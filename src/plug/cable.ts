/**
 * A cable: what arrives at one plug is sent out at the other.
 *
 * An end that cannot take more for now stops the other from being read, so that a full pipe or a slow switch is felt by
 * the sender instead of costing frames. An end that is nothing but a descriptor is offered to the other: if that takes
 * it, no frame passes here at all.
 */

import type { VdeError } from '../sys/errors.js';
import { join, type Observer } from './join.js';
import type { Plug } from './plug.js';
import { isAdoptable, openPlug } from './registry.js';
import type { OpenOptions } from './scheme.js';

/** Why a cable ended: which end was lost, and the error if it was not a plain leave. */
export interface CableEnd {
  lost: Plug;
  error: VdeError | undefined;
}

/** See the head of this file. */
export class Cable {
  /** Resolved when an end is lost; the other is still open then, so that what waits for it can go out. */
  readonly ended: Promise<CableEnd>;

  constructor(
    readonly a: Plug,
    readonly b: Plug,
    observer?: Observer,
  ) {
    this.ended = new Promise((done) => {
      a.onLost = (error) => done({ lost: a, error });
      b.onLost = (error) => done({ lost: b, error });
    });
    // An end that the other has adopted is served elsewhere: here, only the lives of both are watched.
    if (a.adopted || b.adopted) return;
    join(a, b, observer);
    join(b, a, observer);
  }

  /** Waits up to `ms` for what `plug` has accepted to go out, and as long again for its peer to read it. */
  static async drain(plug: Plug, ms: number): Promise<void> {
    if (plug.backlogged) await Cable.#emptied(plug, ms);
    await plug.settled?.(ms);
  }

  static #emptied(plug: Plug, ms: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      plug.onLost = plug.onDrained = () => {
        clearTimeout(timer);
        done();
      };
    });
  }

  /** Closes both ends. Idempotent. */
  close(): void {
    this.a.close();
    this.b.close();
  }
}

/** An end still to be opened. */
export interface EndSpec {
  locator: string;
  options: OpenOptions;
}

/**
 * Opens a locator for the other end of a cable, offering it the end that is there already.
 * @throws VdeError as `openPlug`.
 */
export function openFor(end: Plug, { locator, options }: EndSpec): Promise<Plug> {
  return openPlug(locator, { ...options, offer: end.adoptable?.() });
}

/**
 * Opens both ends of a cable; what can be offered first.
 * @param observed whether every frame must pass here, so that nothing is offered.
 * @throws VdeError of the end that cannot be opened; the other is closed then.
 */
export async function openEnds(a: EndSpec, b: EndSpec, observed = false): Promise<[Plug, Plug]> {
  const secondFirst = !observed && (await isAdoptable(b.locator)) && !(await isAdoptable(a.locator));
  const [early, late] = secondFirst ? [b, a] : [a, b];
  const first = await openPlug(early.locator, early.options);
  try {
    const second = observed ? await openPlug(late.locator, late.options) : await openFor(first, late);
    return secondFirst ? [second, first] : [first, second];
  } catch (error) {
    first.close();
    throw error;
  }
}
