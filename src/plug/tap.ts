/**
 * `tap://NAME`: a tap interface of the kernel (reference: plugins, section 3). One read or write is one frame, or, with
 * offload headers, one super-frame of up to 64 kB.
 *
 * The descriptor may be another process's too, who can change its flags at any time: reads and writes say themselves
 * that they do not wait. An interface that is DOWN takes no frames: that is said once, since everything else looks
 * right then.
 */

import { BURST_SIZE, Burst, FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { Coalescer, MERGED } from '../frame/coalescing.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN } from '../sys/epoll.js';
import { callError, errnoNumber, VdeError } from '../sys/errors.js';
import { readScattered, writeGatheredNow } from '../sys/io.js';
import { IOVEC, VIRTIO_NET_HDR } from '../sys/layout.js';
import { loop, PURE, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { isInterfaceUp, openTap, setTapOffloads, TAP_OFFLOADS, takesUdpSuperFrames } from '../sys/tap.js';
import { PlugBase } from './base.js';
import type { Adoptable, Drops, Plug } from './plug.js';
import { INTERFACE_LIMIT, type Scheme } from './scheme.js';
import { applySettings, readTap, TAP_PARAMS } from './tap-params.js';

const EAGAIN = errnoNumber('EAGAIN');
const EBADFD = errnoNumber('EBADFD');
const ENODEV = errnoNumber('ENODEV');
const EIO = errnoNumber('EIO');
/** Bursts read before the others get their turn; one system call per frame. */
const BURSTS_PER_TURN = 2;
/** A burst ends early when it has this many bytes, so that it is still in the cache when it is sent. */
const BURST_BYTES = 256 << 10;
/** Super-frames with so many bytes in a burst are a stream, of which more is likely to come. */
const BULK_BYTES = 32 << 10;
const BULK_FRAME = 4 << 10;

// Run to completion: one slab serves all taps of the process.
const burst = new Burst();
let coalescer: Coalescer | undefined;
/** A merged super-frame: its headers, and a piece of each of its segments. */
const gathered = new Memory((BURST_SIZE + 1) * IOVEC.size);
/** Where the frames of each slot are read to, by whether an offload header comes before them. */
const readVectors = new Map<boolean, Memory>();

function readVector(offloads: boolean): Memory {
  let vector = readVectors.get(offloads);
  if (vector === undefined) {
    vector = new Memory(BURST_SIZE * IOVEC.size);
    const header = offloads ? VIRTIO_NET_HDR.size : 0;
    for (let slot = 0; slot < BURST_SIZE; slot++) {
      vector.setPointer(slot * IOVEC.size, burst.addressAt(burst.home(slot)) - header);
      vector.setPointer(slot * IOVEC.size + IOVEC.length, FRAME_MAX + 1 + header);
    }
    readVectors.set(offloads, vector);
  }
  return vector;
}

export interface TapPlugOptions {
  /** Name of the interface, if it lives in this network namespace. */
  interfaceName?: string;
  /** Whether frames have a `struct virtio_net_hdr` before them. */
  offloads?: boolean;
  /** Whether this process made the tap what it is, and leaves it as it was. */
  owner?: boolean;
  /** Counters to use in place of its own. */
  drops?: Drops;
}

/** See the head of this file. */
export class TapPlug extends PlugBase implements Plug {
  readonly maxFrame = FRAME_MAX;
  readonly takesOffloads: boolean;
  readonly backlogged = false;
  readonly interfaceName: string | undefined;
  readonly #tap: Descriptor;
  readonly #vector: Memory;
  readonly #owner: boolean;
  #watch: Watch | undefined;
  /** Called once if frames are lost because the interface is DOWN. */
  onDown: (() => void) | undefined;
  #saidDown = false;

  /** Takes the descriptor over. */
  constructor(
    tap: Descriptor,
    readonly name: string,
    options: TapPlugOptions = {},
  ) {
    super(options.drops);
    this.#tap = tap;
    this.interfaceName = options.interfaceName;
    this.takesOffloads = options.offloads ?? false;
    this.#owner = options.owner ?? false;
    this.#vector = readVector(this.takesOffloads);
  }

  protected override listen(): void {
    const events = this.wanted ? EPOLLIN : 0;
    if (this.#watch !== undefined) this.#watch.events = events;
    else this.#watch = loop().watch(this.#tap.fd, events, (ready) => this.#onReady(ready));
  }

  #onReady(events: number): boolean {
    if (!this.wanted && events !== EPOLLIN) {
      // An error is reported whether asked for or not, for ever: with nobody reading, find out what it is.
      const n = readScattered(this.#tap.fd, this.#vector.address, 1);
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
    const { address } = this.#vector;
    const header = this.takesOffloads ? VIRTIO_NET_HDR.size : 0;
    let count = 0;
    let bytes = 0;
    let error = 0;
    while (count < BURST_SIZE && bytes < BURST_BYTES) {
      const n = readScattered(fd, address + count * IOVEC.size, 1);
      if (n < 0) {
        error = -n;
        break;
      }
      const length = n - header;
      if (length < FRAME_MIN) this.dropArrival('runt');
      else if (length > FRAME_MAX) this.dropArrival('oversize');
      else {
        burst.setLength(count++, length);
        bytes += length;
      }
    }
    if (bytes >= BULK_BYTES && bytes >= count * BULK_FRAME) loop().bulk();
    burst.count = count;
    if (header > 0) burst.readOffloads();
    if (count > 0) sink(burst);
    if (header > 0) burst.clearOffloads();
    if (error !== 0 && error !== EAGAIN) this.#failed(error, 'read');
    return error === 0;
  }

  protected override transmit(frames: Burst, views: Uint8Array, count: number): void {
    if (this.takesOffloads && count > 1) {
      this.#transmitMerged(frames, views, count);
      return;
    }
    for (let k = 0; k < count && !this.closed; k++) this.#write(frames, views[k]);
  }

  /** Writes segments that belong together as one super-frame: one system call, and one walk through the kernel's stack. */
  #transmitMerged(frames: Burst, views: Uint8Array, count: number): void {
    coalescer ??= new Coalescer(takesUdpSuperFrames());
    const { view, length, headerAt, headerLength, firstPiece, pieces, pieceAt, pieceLength, headers } = coalescer;
    const items = coalescer.coalesce(frames, views, count);
    for (let item = 0; item < items && !this.closed; item++) {
      if (view[item] !== MERGED) {
        this.#write(frames, view[item]);
        continue;
      }
      const header = headerAt[item] - VIRTIO_NET_HDR.size;
      gathered.setPointer(IOVEC.base, headers.address + header);
      gathered.setPointer(IOVEC.length, VIRTIO_NET_HDR.size + headerLength[item]);
      const first = firstPiece[item];
      for (let k = 0; k < pieces[item]; k++) {
        const iovec = (k + 1) * IOVEC.size;
        gathered.setPointer(iovec + IOVEC.base, frames.addressAt(pieceAt[first + k]));
        gathered.setPointer(iovec + IOVEC.length, pieceLength[first + k]);
      }
      const n = writeGatheredNow(this.#tap.fd, gathered.address, pieces[item] + 1);
      if (n !== length[item] + VIRTIO_NET_HDR.size) this.#dropped(n, pieces[item]);
    }
  }

  #write(frames: Burst, view: number): void {
    const { iovLow, iovHigh, pieces, length } = frames;
    if (length[view] > FRAME_MAX) {
      this.drops.oversize++;
      return;
    }
    const header = this.takesOffloads ? VIRTIO_NET_HDR.size : 0;
    const n = this.takesOffloads
      ? writeGatheredNow(this.#tap.fd, frames.withOffloadHeader(view), pieces[view] + 1)
      : writeGatheredNow(this.#tap.fd, iovHigh[view] * 0x1_0000_0000 + iovLow[view], pieces[view]);
    if (n !== length[view] + header) this.#dropped(n, 1);
  }

  /** Counts frames that the kernel did not take, and finds out whether it ever will. */
  #dropped(result: number, frames: number): void {
    if (-result === EAGAIN) this.drops.full += frames;
    else {
      this.drops.error += frames;
      this.#failed(-result, 'write');
    }
  }

  #failed(error: number, call: string): void {
    const up = this.interfaceName === undefined ? undefined : isInterfaceUp(this.interfaceName);
    if (error === EIO) {
      // The interface is DOWN, here or in its own namespace.
      if (up === false && !this.#saidDown) this.onDown?.();
      this.#saidDown = true;
    } else if (error === EBADFD || error === ENODEV) {
      this.lose(
        new VdeError({
          code: 'ENODEV',
          subject: this.name,
          cause: `interface ${this.interfaceName ?? ''} has been deleted`,
        }),
      );
    } else if (call === 'read') {
      this.lose(callError(call, error, this.name));
    }
  }

  adoptable(): Adoptable {
    return { kind: 'tap', descriptor: this.#tap };
  }

  protected override release(): void {
    this.#watch?.close();
    // An interface that outlives us may next be opened by someone who takes no super-frames.
    if (this.#owner && this.takesOffloads) setTapOffloads(this.#tap, 0);
    this.#tap.close();
  }
}

/**
 * Opens a tap with super-frames both ways, where the kernel has them.
 * @throws VdeError as `openTap`.
 */
export function openTapPlug(interfaceName: string, subject: string): TapPlug {
  const tap = openTap(interfaceName, subject, { offloadHeader: true });
  setTapOffloads(tap.descriptor, TAP_OFFLOADS);
  return new TapPlug(tap.descriptor, subject, { interfaceName: tap.interfaceName, offloads: true, owner: true });
}

export const tapScheme: Scheme = {
  name: 'tap',
  syntax: 'INTERFACE[PARAMETERS]',
  doc: 'a tap interface of the kernel: an existing one of yours, or a new one',
  maxFrame: INTERFACE_LIMIT,
  params: TAP_PARAMS,
  adoptable: true,
  async open(locator) {
    const { interfaceName, settings } = readTap(locator);
    const plug = openTapPlug(interfaceName, locator.locator);
    try {
      await applySettings(plug, settings);
    } catch (error) {
      plug.close();
      throw error;
    }
    return plug;
  },
};
