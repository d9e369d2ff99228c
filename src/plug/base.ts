/**
 * What plugs of all kinds share: being lost once, closed once, counting what they drop, and having super-frames cut for
 * them if they cannot take any.
 */

import type { Burst } from '../frame/burst.js';
import type { VdeError } from '../sys/errors.js';
import { loop } from '../sys/loop.js';
import { sendCut } from './cutting.js';
import { type ArrivalDrops, type Drops, noDrops, type Sink } from './plug.js';

/** Base of plugs that watch something. */
export abstract class PlugBase {
  abstract readonly name: string;
  abstract readonly takesOffloads: boolean;
  onDrained: (() => void) | undefined;
  #onLost: ((error?: VdeError) => void) | undefined;
  /** How the end was lost while nobody was to be told. */
  #untold: { error?: VdeError } | undefined;
  #sink: Sink | undefined;
  #receiving = true;
  #closed = false;

  readonly arrivalDrops: ArrivalDrops = { oversize: 0, runt: 0 };

  /** @param drops counters to use in place of the plug's own. */
  constructor(readonly drops: Drops = noDrops()) {}

  /** Counts a frame that has arrived and is not handed on. */
  protected dropArrival(reason: keyof ArrivalDrops): void {
    this.drops[reason]++;
    this.arrivalDrops[reason]++;
  }

  get sink(): Sink | undefined {
    return this.#sink;
  }

  set sink(sink: Sink | undefined) {
    this.#sink = sink;
    if (!this.#closed) this.listen();
  }

  /** Who sets it after the loss is told a moment later: an end may be lost while the other of its cable is being opened. */
  get onLost(): ((error?: VdeError) => void) | undefined {
    return this.#onLost;
  }

  set onLost(told: ((error?: VdeError) => void) | undefined) {
    this.#onLost = told;
    if (told !== undefined && this.#untold !== undefined) setImmediate(() => this.#tell());
  }

  get receiving(): boolean {
    return this.#receiving;
  }

  set receiving(receiving: boolean) {
    this.#receiving = receiving;
    if (!this.#closed) this.listen();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether arriving frames have somewhere to go. */
  protected get wanted(): boolean {
    return this.#sink !== undefined && this.#receiving && !this.#closed;
  }

  /** See `Plug.send`. */
  send(burst: Burst, views: Uint8Array, count: number): void {
    if (burst.superFrames === 0 || this.takesOffloads) this.transmit(burst, views, count);
    else sendCut(this, (b, v, n) => this.transmit(b, v, n), burst, views, count);
  }

  /** Sends views that are all of a kind that the plug takes. */
  protected abstract transmit(burst: Burst, views: Uint8Array, count: number): void;

  /** Waits for exactly the events that something will be done about. */
  protected abstract listen(): void;

  /** Gives back what the plug holds. Called once. */
  protected abstract release(): void;

  /** Ends the plug because of its peer, and tells the owner. */
  protected lose(error?: VdeError): void {
    if (this.#closed) return;
    const told = this.#onLost;
    this.close();
    this.#onLost = told;
    this.#untold = { error };
    this.#tell();
  }

  #tell(): void {
    if (this.#untold === undefined || this.#onLost === undefined) return;
    const [told, { error }] = [this.#onLost, this.#untold];
    this.#onLost = this.#untold = undefined;
    loop().touch();
    told(error);
  }

  /** Tells the owner that nothing waits for the peer any more. */
  protected drained(): void {
    if (this.onDrained === undefined) return;
    loop().touch();
    this.onDrained();
  }

  close(): void {
    this.#onLost = this.#untold = undefined;
    if (this.#closed) return;
    this.#closed = true;
    this.onDrained = undefined;
    this.release();
  }
}
