/**
 * A plug over a packet socket: the Ethernet interface of the kernel that the socket is bound to (packet(7)). One message
 * is one frame, or, with offload headers, one super-frame.
 *
 * The kernel takes the 802.1Q tag off what arrives; it is put back in front of the rest of the frame, where the burst has
 * room for it. The interface may go down, which is waited for, or away, which ends the plug. The descriptor may be
 * another process's too: nothing here waits, whatever its flags say.
 */

import { BURST_SIZE, Burst, FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { OffloadFlag } from '../frame/offload.js';
import { ReceiveVector, SendVector } from '../sys/batch.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLERR, EPOLLIN, EPOLLOUT } from '../sys/epoll.js';
import { errnoNumber, VdeError } from '../sys/errors.js';
import { VIRTIO_NET_HDR } from '../sys/layout.js';
import { loop, PURE, type Watch } from '../sys/loop.js';
import { LITTLE_ENDIAN } from '../sys/memory.js';
import { AUXDATA_ROOM, packetKind, strippedTag } from '../sys/packet.js';
import { takeError } from '../sys/socket.js';
import { PlugBase } from './base.js';
import type { Adoptable, Drops, Plug } from './plug.js';
import { FrameQueue } from './queue.js';

const EAGAIN = errnoNumber('EAGAIN');
const EMSGSIZE = errnoNumber('EMSGSIZE');
const ENETDOWN = errnoNumber('ENETDOWN');
const ENOBUFS = errnoNumber('ENOBUFS');
const ENXIO = errnoNumber('ENXIO');
/** Bursts read before the others get their turn. */
const BURSTS_PER_TURN = 4;
/** Wake-ups in a row with nothing to read after which the descriptor is taken for a trick of who gave it. */
const IDLE_MAX = 10_000;
const HEADER = VIRTIO_NET_HDR.size;
const TAG = 4;

// Run to completion: one slab serves all packet sockets of the process.
let tools: { burst: Burst; plain: ReceiveVector; headed: ReceiveVector } | undefined;
const sender = new SendVector(BURST_SIZE * 2);
const sending = new Uint8Array(BURST_SIZE * 2);

function shared(): { burst: Burst; plain: ReceiveVector; headed: ReceiveVector } {
  if (tools === undefined) {
    const burst = new Burst();
    const { address, stride } = burst;
    const options = { control: AUXDATA_ROOM };
    tools = {
      burst,
      plain: new ReceiveVector(address, stride, FRAME_MAX + 1, BURST_SIZE, options),
      headed: new ReceiveVector(address - HEADER, stride, FRAME_MAX + 1 + HEADER, BURST_SIZE, options),
    };
  }
  return tools;
}

export interface PacketPlugOptions {
  /** Name of the interface, if it lives in this network namespace. */
  interfaceName?: string;
  /** Whether frames have a `struct virtio_net_hdr` before them. */
  offloads: boolean;
  /** Counters to use in place of its own. */
  drops?: Drops;
}

/** See the head of this file. */
export class PacketPlug extends PlugBase implements Plug {
  /** The interface's own limit is its MTU, which may change: the kernel says so of a frame that is too long. */
  readonly maxFrame = FRAME_MAX;
  readonly takesOffloads: boolean;
  readonly interfaceName: string | undefined;
  readonly #socket: Descriptor;
  readonly #queue: FrameQueue;
  readonly #burst: Burst;
  readonly #receiver: ReceiveVector;
  #watch: Watch | undefined;
  #idle = 0;
  /** Called once if frames are lost because the interface is DOWN. */
  onDown: (() => void) | undefined;
  #saidDown = false;

  /** Takes the socket over. */
  constructor(
    socket: Descriptor,
    readonly name: string,
    options: PacketPlugOptions,
  ) {
    super(options.drops);
    const { burst, plain, headed } = shared();
    this.#socket = socket;
    this.interfaceName = options.interfaceName;
    this.takesOffloads = options.offloads;
    this.#burst = burst;
    this.#receiver = options.offloads ? headed : plain;
    this.#queue = new FrameQueue(options.offloads);
  }

  get backlogged(): boolean {
    return this.#queue.frames > 0;
  }

  protected override listen(): void {
    const events = (this.wanted ? EPOLLIN : 0) | (this.#queue.frames > 0 ? EPOLLOUT : 0);
    if (this.#watch !== undefined) this.#watch.events = events;
    else this.#watch = loop().watch(this.#socket.fd, events, (ready) => this.#onReady(ready));
  }

  #onReady(events: number): boolean {
    // An error is reported for ever, whether asked for or not, until somebody takes it.
    if (events & EPOLLERR) this.#failed(takeError(this.#socket));
    if (!this.closed && events & EPOLLOUT) this.#flush();
    if (events & EPOLLIN && this.wanted) this.#receive();
    return PURE;
  }

  #receive(): void {
    for (let turn = 0; turn < BURSTS_PER_TURN; turn++) {
      const { sink } = this;
      if (sink === undefined || !this.wanted) return;
      const n = this.#receiver.receive(this.#socket.fd);
      if (n <= 0) {
        if (n !== -EAGAIN) {
          // Anything else is about one frame: the kernel cannot describe it, say.
          if (n !== -ENETDOWN) this.drops.error++;
          this.#failed(-n);
        } else if (turn === 0 && ++this.#idle > IDLE_MAX)
          this.lose(this.#error('EPROTO', 'it is never done being read'));
        return;
      }
      this.#idle = 0;
      this.#collect(n);
      if (this.#burst.count > 0) sink(this.#burst);
      this.#burst.clearOffloads();
      if (n < BURST_SIZE) return;
    }
  }

  /** Puts what was received into the burst's first slots, tags and all. */
  #collect(n: number): void {
    const burst = this.#burst;
    const receiver = this.#receiver;
    const header = this.takesOffloads ? HEADER : 0;
    const control = receiver.control as NonNullable<typeof receiver.control>;
    let count = 0;
    for (let i = 0; i < n; i++) {
      const length = receiver.length(i) - header;
      const tag = strippedTag(control, receiver.controlOffset(i), receiver.controlLength(i));
      if (length < FRAME_MIN) this.dropArrival('runt');
      else if (length + (tag === 0 ? 0 : TAG) > FRAME_MAX) this.dropArrival('oversize');
      else {
        const from = burst.home(i);
        const to = burst.home(count);
        if (count !== i) burst.bytes.copyWithin(to - header, from - header, from + length);
        if (tag === 0) burst.place(count, to, length);
        else this.#putTag(count, to, length, tag);
        count++;
      }
    }
    burst.count = count;
    if (header > 0) burst.readOffloads();
  }

  /** Puts a tag behind the addresses of the frame of a slot, which begins four bytes earlier then. */
  #putTag(slot: number, home: number, length: number, tag: number): void {
    const { bytes } = this.#burst;
    const header = this.takesOffloads ? HEADER : 0;
    const start = home - TAG;
    bytes.copyWithin(start - header, home - header, home + 12);
    bytes[start + 12] = tag >>> 24;
    bytes[start + 13] = tag >>> 16;
    bytes[start + 14] = tag >>> 8;
    bytes[start + 15] = tag;
    this.#burst.place(slot, start, length + TAG);
    if (header === 0) return;
    const at = start - HEADER;
    if (bytes[at + VIRTIO_NET_HDR.flags] & OffloadFlag.needsChecksum) {
      addToField(bytes, at + VIRTIO_NET_HDR.checksumStart, TAG);
    }
    if (bytes[at + VIRTIO_NET_HDR.gsoType] !== 0) addToField(bytes, at + VIRTIO_NET_HDR.headerLength, TAG);
  }

  protected override transmit(frames: Burst, views: Uint8Array, count: number): void {
    if (this.closed) return;
    const { length } = frames;
    let n = 0;
    for (let k = 0; k < count; k++) {
      const view = views[k];
      if (length[view] > FRAME_MAX) this.drops.oversize++;
      else if (length[view] < FRAME_MIN) this.drops.runt++;
      else if (this.#queue.frames > 0) this.#enqueue(frames, view);
      else {
        sending[n] = view;
        frames.gather(view, sender, n++, this.takesOffloads);
      }
    }
    for (let sent = 0; sent < n && !this.closed; ) {
      const taken = sender.send(this.#socket.fd, sent, n - sent);
      if (taken > 0) sent += taken;
      else if (taken === -EAGAIN) {
        for (; sent < n; sent++) this.#enqueue(frames, sending[sent]);
        this.listen();
      } else {
        sent++;
        this.#refused(-taken);
      }
    }
  }

  #enqueue(frames: Burst, view: number): void {
    if (!this.#queue.push(frames, view)) this.drops.full++;
  }

  #flush(): void {
    for (;;) {
      const error = this.#queue.flush(this.#socket.fd);
      if (error === EAGAIN || this.closed) return;
      if (error === 0) break;
      this.#queue.dropFirst();
      this.#refused(error);
    }
    this.listen();
    this.drained();
  }

  /** Counts a frame that the kernel did not take. */
  #refused(errno: number): void {
    if (errno === EMSGSIZE) this.drops.oversize++;
    else if (errno === ENOBUFS) this.drops.full++;
    else {
      this.drops.error++;
      this.#failed(errno);
    }
  }

  /** Finds out what an error means: an interface that is down may come up again, one that is gone does not. */
  #failed(errno: number): void {
    if (errno !== ENETDOWN && errno !== ENXIO) return;
    if (!packetKind(this.#socket.fd).ethernet) {
      this.lose(this.#error('ENODEV', `interface ${this.interfaceName ?? ''} has been deleted`.replace('  ', ' ')));
    } else if (!this.#saidDown) {
      this.#saidDown = true;
      this.onDown?.();
    }
  }

  #error(code: string, cause: string): VdeError {
    return new VdeError({ code, subject: this.name, cause });
  }

  adoptable(): Adoptable {
    return { kind: 'packet', descriptor: this.#socket };
  }

  protected override release(): void {
    this.#watch?.close();
    this.#socket.close();
    this.#queue.clear();
  }
}

/** Adds to a 16-bit field of a `struct virtio_net_hdr` that has no alignment. */
function addToField(bytes: Uint8Array, at: number, by: number): void {
  const [low, high] = LITTLE_ENDIAN ? [at, at + 1] : [at + 1, at];
  const value = (bytes[low] | (bytes[high] << 8)) + by;
  bytes[low] = value;
  bytes[high] = value >>> 8;
}
