/**
 * Those who watch what passes the ports of a switch: mirrors and plugins. They get the same views that a plug would get,
 * while the burst is in hand, and change nothing. A switch that nobody watches pays one look at a flag per burst.
 */

import { BURST_SIZE, type Burst, FRAME_MIN } from '../frame/burst.js';
import { Pool } from '../plug/pool.js';
import type { Port } from './port.js';

/** Views of a burst; they are good during the call only and must be left as they are. */
export type ObservedViews = (port: Port, burst: Burst, views: Uint8Array, count: number) => void;

/** What somebody wants to be told of. */
export interface SwitchObserver {
  /** Frames have arrived at a port, as they came; nothing has been decided about them. */
  arrived?: ObservedViews;
  /** Frames leave at a port, with the tags that they have there. */
  leaving?: ObservedViews;
  /** The last endpoint of a port has left. */
  portLeft?: (port: Port) => void;
}

/** The observers of a switch. */
export class Observers {
  /** Replaced, never changed in place: it may be walked while one leaves. */
  #all: readonly SwitchObserver[] = [];
  /** For the views of a burst: what one observer does may lead to another burst, and so here. */
  readonly #lists = new Pool(() => new Uint8Array(BURST_SIZE));
  /** Whether there is any. */
  watching = false;

  add(observer: SwitchObserver): void {
    this.#all = [...this.#all, observer];
    this.watching = true;
  }

  remove(observer: SwitchObserver): void {
    this.#all = this.#all.filter((other) => other !== observer);
    this.watching = this.#all.length > 0;
  }

  /** Tells of the frames of a burst that are long enough to be frames. */
  arrived(port: Port, burst: Burst): void {
    const views = this.#lists.take();
    let count = 0;
    for (let slot = 0; slot < burst.count; slot++) if (burst.length[slot] >= FRAME_MIN) views[count++] = slot;
    if (count > 0) for (const observer of this.#all) observer.arrived?.(port, burst, views, count);
    this.#lists.give(views);
  }

  leaving(port: Port, burst: Burst, views: Uint8Array, count: number): void {
    for (const observer of this.#all) observer.leaving?.(port, burst, views, count);
  }

  portLeft(port: Port): void {
    for (const observer of this.#all) observer.portLeft?.(port);
  }
}
