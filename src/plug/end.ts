/**
 * An end for programs: frames as byte arrays, events and async iteration over a plug.
 *
 * Frames to send are collected and go out together when the running code has finished; frames that arrive are copies
 * that belong to whoever gets them. With an iterator, reading stops while it lags behind.
 */

import { EventEmitter } from 'node:events';
import { ALL_VIEWS, Burst, FRAME_MIN } from '../frame/burst.js';
import { VdeError } from '../sys/errors.js';
import { loop } from '../sys/loop.js';
import { Cable } from './cable.js';
import type { Drops, Plug } from './plug.js';
import { openPlug } from './registry.js';
import type { OpenOptions } from './scheme.js';

/** How long `end` waits for the peer to read, in ms. */
const PATIENCE_MS = 1000;
/** Frames that wait for an iterator before reading stops, and when it goes on. */
const LAG_MAX = 512;
const LAG_LOW = 128;

/** Events of an `End`. */
export interface EndEvents {
  /** A frame has arrived: an Ethernet frame without FCS, the listener's to keep. */
  frame: [frame: Buffer];
  /** What `send` had to queue has gone out. */
  drain: [];
  /** The end is closed: by `close()`, or by its peer, with the error if it was not a plain leave. */
  close: [error: VdeError | undefined];
}

/** One end of a network, as a program has it. Frames that arrive before anybody listens wait in the kernel. */
export class End extends EventEmitter<EndEvents> implements AsyncIterable<Buffer> {
  readonly #plug: Plug;
  readonly #outgoing = new Burst();
  #flushing = false;
  readonly #arrived: Buffer[] = [];
  /** Wakes the iterators that wait for a frame. */
  readonly #waiting: (() => void)[] = [];
  #iterating = 0;
  #error: VdeError | undefined;
  #closed = false;

  /** @param plug becomes the end's own. */
  constructor(plug: Plug) {
    super();
    this.#plug = plug;
    plug.onLost = (error) => this.#finish(error);
    plug.onDrained = () => this.emit('drain');
    (this as unknown as EventEmitter).on('newListener', (event) => {
      if (event === 'frame') this.#listen();
    });
  }

  /** The locator that the end was opened with. */
  get name(): string {
    return this.#plug.name;
  }

  /** Longest frame that can be sent, in bytes. */
  get maxFrame(): number {
    return this.#plug.maxFrame;
  }

  /** Frames dropped so far, by reason. */
  get drops(): Readonly<Drops> {
    return this.#plug.drops;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Sends an Ethernet frame (without FCS). Frames sent in one go leave together.
   * @returns false if the end is backlogged: better to wait for `drain`. What does not fit its queue is dropped, counted.
   * @throws VdeError `EMSGSIZE` if the frame is shorter than 14 bytes or longer than `maxFrame`, `EPIPE` once closed.
   */
  send(frame: Uint8Array): boolean {
    if (this.#closed) throw new VdeError({ code: 'EPIPE', subject: this.name, cause: 'the end is closed' });
    if (frame.length < FRAME_MIN || frame.length > this.maxFrame) {
      throw new VdeError({
        code: 'EMSGSIZE',
        subject: this.name,
        cause: `a frame of ${frame.length} bytes, ${FRAME_MIN} to ${this.maxFrame} can be sent`,
      });
    }
    if (!this.#outgoing.add(frame)) {
      this.flush();
      this.#outgoing.add(frame);
    }
    if (!this.#flushing) {
      this.#flushing = true;
      queueMicrotask(() => {
        this.#flushing = false;
        this.flush();
      });
    }
    return !this.#plug.backlogged;
  }

  /** Sends what was collected now rather than when the running code has finished. */
  flush(): void {
    const { count } = this.#outgoing;
    if (count === 0) return;
    this.#outgoing.count = 0;
    if (!this.#closed) this.#plug.send(this.#outgoing, ALL_VIEWS, count);
  }

  #listen(): void {
    if (this.#plug.sink !== undefined || this.#closed) return;
    this.#plug.sink = (burst) => {
      // Listeners may use promises, timers and streams: they want their turn.
      loop().touch();
      for (let slot = 0; slot < burst.count; slot++) {
        const frame = Buffer.from(burst.frame(slot));
        if (this.#iterating > 0) this.#arrived.push(frame);
        this.emit('frame', frame);
      }
      if (this.#arrived.length === 0) return;
      if (this.#arrived.length > LAG_MAX) this.#plug.receiving = false;
      this.#wake();
    };
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** The frames as they arrive; with several iterators, each goes to one of them. Ends when the end is closed; throws if it was lost with an error. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    this.#iterating++;
    this.#listen();
    try {
      for (;;) {
        const frame = this.#arrived.shift();
        if (frame !== undefined) {
          if (this.#arrived.length === LAG_LOW) this.#plug.receiving = true;
          yield frame;
        } else if (this.#closed) {
          if (this.#error) throw this.#error;
          return;
        } else {
          await new Promise<void>((done) => {
            this.#waiting.push(done);
          });
        }
      }
    } finally {
      if (--this.#iterating === 0) {
        this.#arrived.length = 0;
        this.#plug.receiving = true;
      }
    }
  }

  /** Closes the end once the peer has read what was sent, after about `ms` at the latest. Idempotent. */
  async end(ms: number = PATIENCE_MS): Promise<void> {
    if (this.#closed) return;
    this.flush();
    await Cable.drain(this.#plug, ms);
    this.close();
  }

  /** Closes the end at once: what was sent and not yet read by the peer may be lost, see `end`. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#plug.close();
    this.#finish(undefined);
  }

  #finish(error: VdeError | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.emit('close', error);
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

/**
 * Opens an end of whatever a locator names: `open('vde:///tmp/sw')`, `open('tap://tap0')`.
 * @throws VdeError naming the locator, the cause and what to do about it.
 */
export async function open(locator: string, options: OpenOptions = {}): Promise<End> {
  return new End(await openPlug(locator, options));
}
