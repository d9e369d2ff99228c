/**
 * `tap://NAME`: a tap interface of the kernel (reference: plugins, section 3). One read or write is one frame.
 *
 * An interface that is DOWN takes no frames: that is said once, since everything else looks right then.
 */

import { BURST_SIZE, Burst, FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN } from '../sys/epoll.js';
import { callError, errnoNumber, VdeError } from '../sys/errors.js';
import { readTo, writeGathered } from '../sys/io.js';
import { loop, PURE, type Watch } from '../sys/loop.js';
import { isInterfaceUp, openTap } from '../sys/tap.js';
import { PlugBase } from './base.js';
import type { Adoptable, Plug } from './plug.js';
import type { Scheme } from './scheme.js';

const EAGAIN = errnoNumber('EAGAIN');
const EBADFD = errnoNumber('EBADFD');
const ENODEV = errnoNumber('ENODEV');
const EIO = errnoNumber('EIO');
/** Frames read before the others get their turn; one system call each. */
const BURSTS_PER_TURN = 2;

// Run to completion: one slab serves all taps of the process.
const burst = new Burst();

/** See the head of this file. */
export class TapPlug extends PlugBase implements Plug {
  readonly maxFrame = FRAME_MAX;
  readonly takesOffloads = false;
  readonly backlogged = false;
  readonly #tap: Descriptor;
  #watch: Watch | undefined;
  /** Called once if frames are lost because the interface is DOWN. */
  onDown: (() => void) | undefined;
  #saidDown = false;

  constructor(
    tap: Descriptor,
    readonly name: string,
    readonly interfaceName: string,
  ) {
    super();
    this.#tap = tap;
  }

  protected override listen(): void {
    const events = this.wanted ? EPOLLIN : 0;
    if (this.#watch !== undefined) this.#watch.events = events;
    else this.#watch = loop().watch(this.#tap.fd, events, (ready) => this.#onReady(ready));
  }

  #onReady(events: number): boolean {
    if (!this.wanted && events !== EPOLLIN) {
      // An error is reported whether asked for or not, for ever: with nobody reading, find out what it is.
      const n = readTo(this.#tap.fd, burst.address, FRAME_MAX + 1);
      if (n < 0) this.#failed(-n, 'read');
      return PURE;
    }
    for (let turn = 0; turn < BURSTS_PER_TURN && this.#receive(); turn++);
    return PURE;
  }

  /** Reads a burst; false when nothing is left. */
  #receive(): boolean {
    const { sink } = this;
    if (sink === undefined || !this.wanted) return false;
    const { fd } = this.#tap;
    let count = 0;
    let error = 0;
    while (count < BURST_SIZE) {
      const n = readTo(fd, burst.addressAt(burst.home(count)), FRAME_MAX + 1);
      if (n < 0) {
        error = -n;
        break;
      }
      if (n < FRAME_MIN) this.drops.runt++;
      else if (n > FRAME_MAX) this.drops.oversize++;
      else burst.setLength(count++, n);
    }
    burst.count = count;
    if (count > 0) sink(burst);
    if (error !== 0 && error !== EAGAIN) this.#failed(error, 'read');
    return error === 0;
  }

  send(frames: Burst, views: Uint8Array, count: number): void {
    const { iovLow, iovHigh, pieces, length } = frames;
    for (let k = 0; k < count && !this.closed; k++) {
      const view = views[k];
      const n = writeGathered(this.#tap.fd, iovHigh[view] * 0x1_0000_0000 + iovLow[view], pieces[view]);
      if (n === length[view]) continue;
      if (-n === EAGAIN) this.drops.full++;
      else {
        this.drops.error++;
        this.#failed(-n, 'write');
      }
    }
  }

  #failed(error: number, call: string): void {
    if (error === EIO && isInterfaceUp(this.interfaceName) === false) {
      if (!this.#saidDown) this.onDown?.();
      this.#saidDown = true;
      return;
    }
    if (error === EBADFD || error === ENODEV || isInterfaceUp(this.interfaceName) === undefined) {
      this.lose(
        new VdeError({ code: 'ENODEV', subject: this.name, cause: `interface ${this.interfaceName} has been deleted` }),
      );
    } else if (call === 'read') {
      this.lose(callError(call, error, this.name));
    }
  }

  adoptable(): Adoptable {
    return { kind: 'tap', descriptor: this.#tap, offloadHeader: 0 };
  }

  protected override release(): void {
    this.#watch?.close();
    this.#tap.close();
  }
}

export const tapScheme: Scheme = {
  name: 'tap',
  syntax: 'INTERFACE',
  doc: 'a tap interface of the kernel: an existing one of yours, or a new one',
  params: [],
  open: async ({ body, locator }) => {
    const { descriptor, interfaceName } = openTap(body, locator);
    return new TapPlug(descriptor, locator, interfaceName);
  },
};
