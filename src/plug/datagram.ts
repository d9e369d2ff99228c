/**
 * A plug over a connected datagram socket: one datagram is one frame. Both ends of the VDE protocol's data path are this
 * (reference: unix(7), recvmmsg(2)); so is any other socket with that property. Between two ends of ours that have agreed
 * on it, a `struct virtio_net_hdr` comes before each frame, so that super-frames pass whole.
 */

import { BURST_SIZE, Burst, FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { ReceiveVector, SendVector } from '../sys/batch.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from '../sys/epoll.js';
import { callError, ERRNO_NAMES, errnoNumber } from '../sys/errors.js';
import { VIRTIO_NET_HDR } from '../sys/layout.js';
import { loop, PURE, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { hasInput, sendBuffer, setSendBuffer, takeError, trySend, unreadBytes } from '../sys/socket.js';
import { isConnectedBack } from '../sys/unix-diag.js';
import { receiveRing, type SendRing, sendRing } from '../sys/uring.js';
import { PlugBase } from './base.js';
import type { Drops, Plug } from './plug.js';
import { FrameQueue } from './queue.js';

/**
 * Send buffer of a data socket, in bytes: about 1 400 small frames or 450 full ones wait in the kernel before our own
 * queue begins. The kernel counts some 768 bytes for a 64-byte frame (reference: SO_SNDBUF limits such a socket).
 */
const SEND_BUFFER = 1 << 20;
/** Bytes that the kernel counts at most for a frame of n bytes: this, and 2 n. Buffers of powers of two and their accounts. */
const FRAME_MEMORY = 2048;
/** How long to wait before the kernel is asked again whether a peer is connected back, doubled each time. */
const LOOK_AGAIN_MS = 250;
const LOOK_AGAIN_MAX_MS = 64_000;
/** Bursts read from one end before the others get their turn. */
const BURSTS_PER_TURN = 4;
/** Frames of a burst after which as many are expected of the next. */
const BUSY = (BURST_SIZE * 3) / 4;
/** Turns for what a peer that has left sent before: more than its socket can hold. */
const REST_TURNS = 64;

// Run to completion: a burst is worked off before the next is received, so one slab serves every datagram end.
const burst = new Burst();
const receiver = new ReceiveVector(burst.address, burst.stride, FRAME_MAX + 1, BURST_SIZE);
/** As `receiver`, for bursts that are full. */
const fullReceiver = receiveRing(burst.address, burst.stride, FRAME_MAX + 1, BURST_SIZE);
/** As `receiver`, with room for the offload header before each frame. */
let offloadReceiver: ReceiveVector | undefined;
const sender = new SendVector(BURST_SIZE * 2);
const sending = new Uint8Array(BURST_SIZE * 2);
const probeByte = new Memory(8);

const EAGAIN = errnoNumber('EAGAIN');
/** What the kernel says when the peer's socket is gone; nothing will ever arrive there again. */
const GONE = new Set(['ECONNREFUSED', 'ENOTCONN', 'ECONNRESET', 'EPIPE', 'EBADF', 'ENOENT', 'EDESTADDRREQ']);

function receiverWithHeaders(): ReceiveVector {
  const header = VIRTIO_NET_HDR.size;
  offloadReceiver ??= new ReceiveVector(burst.address - header, burst.stride, FRAME_MAX + 1 + header, BURST_SIZE);
  return offloadReceiver;
}

export interface DatagramOptions {
  name: string;
  /** Longest frame to send. */
  maxFrame: number;
  /** Whether each datagram begins with a `struct virtio_net_hdr`. */
  offloads?: boolean;
  /**
   * Whether the kernel's own limit is kept for what it holds for the peer (some 90 full frames). A C switch drops what
   * comes faster than it can pass on: what it has not read yet must hold its sender back.
   */
  shortQueue?: boolean;
  /** Most bytes that wait for the peer beside what the kernel holds; 4 MiB if not given. */
  queueBytes?: number;
  /**
   * What it means when the kernel says that nobody is there: `gone` (default) ends the plug; `unknown` does not, as a UDP
   * peer may be back a moment later.
   */
  reachable?: 'gone' | 'unknown';
  /** Counters to use in place of its own. */
  drops?: Drops;
  /** Called when a message without a byte arrives, once the frames before it are delivered; undefined: it is a runt. */
  onEmpty?: () => void;
}

/** See the head of this file. */
export class DatagramPlug extends PlugBase implements Plug {
  readonly name: string;
  readonly maxFrame: number;
  readonly takesOffloads: boolean;
  readonly #socket: Descriptor;
  readonly #queue: FrameQueue;
  readonly #receiver: ReceiveVector;
  readonly #patient: boolean;
  readonly #onEmpty: (() => void) | undefined;
  #watch: Watch | undefined;
  /** Whether the last burst was nearly full. */
  #busy = false;
  /** Bytes that may wait in the kernel for the peer, once it is known to be connected back; 0 until then. */
  #room = 0;
  #nextLook = 0;
  #lookAgain = LOOK_AGAIN_MS;

  /** Takes the socket over: it is closed with the plug. */
  constructor(socket: Descriptor, options: DatagramOptions) {
    super(options.drops);
    this.name = options.name;
    this.maxFrame = options.maxFrame;
    this.takesOffloads = options.offloads ?? false;
    this.#receiver = this.takesOffloads ? receiverWithHeaders() : receiver;
    this.#queue = new FrameQueue(this.takesOffloads, options.queueBytes);
    this.#patient = options.reachable === 'unknown';
    this.#onEmpty = options.onEmpty;
    this.#socket = socket;
    if (!options.shortQueue) setSendBuffer(socket, SEND_BUFFER);
  }

  get backlogged(): boolean {
    return this.#queue.frames > 0;
  }

  protected override listen(): void {
    const events = (this.wanted ? EPOLLIN : 0) | (this.#queue.frames > 0 ? EPOLLOUT : 0);
    if (this.#watch !== undefined) this.#watch.events = events;
    else if (events !== 0) this.#watch = loop().watch(this.#socket.fd, events, (ready) => this.#onReady(ready));
  }

  #onReady(events: number): boolean {
    if (events & EPOLLOUT) this.#flush();
    if (this.wanted) {
      if (events & ~EPOLLOUT) this.#receive();
    } else if (events & EPOLLERR && !this.closed) {
      // Nobody reads here now, so nobody else would take the error, and it would be reported for ever.
      this.#failed(takeError(this.#socket), 'recvmmsg');
    } else if (events & EPOLLHUP) {
      // The other end of a connection is closed: that too is reported for ever. What it sent before is still there.
      if (!hasInput(this.#socket)) this.lose();
      else {
        this.#watch?.close();
        this.#watch = undefined;
      }
    }
    return PURE;
  }

  #receive(): void {
    const header = this.takesOffloads ? VIRTIO_NET_HDR.size : 0;
    for (let turn = 0; turn < BURSTS_PER_TURN; turn++) {
      const { sink } = this;
      if (sink === undefined || !this.wanted) return;
      const ring = this.#busy && header === 0 ? fullReceiver() : undefined;
      const from = ring ?? this.#receiver;
      const n = from.receive(this.#socket.fd);
      const error = ring?.errno ?? Math.max(0, -n);
      this.#busy = n >= BUSY;
      let count = 0;
      let empty = false;
      for (let i = 0; i < n && !empty; i++) {
        const length = from.length(i) - header;
        if (length === -header && this.#onEmpty !== undefined) empty = true;
        else if (length < -header) continue;
        else if (length < FRAME_MIN) this.dropArrival('runt');
        else if (length > FRAME_MAX) this.dropArrival('oversize');
        else {
          // Frames keep the slot they were received in; one that is left out is closed up by moving those after it.
          if (count !== i)
            burst.bytes.copyWithin(burst.home(count) - header, burst.home(i) - header, burst.home(i) + length);
          burst.setLength(count++, length);
        }
      }
      burst.count = count;
      if (header > 0) burst.readOffloads();
      if (count > 0) sink(burst);
      if (header > 0) burst.clearOffloads();
      if (empty) this.#onEmpty?.();
      if (error !== 0 && error !== EAGAIN) this.#failed(error, 'recv');
      if (empty || n < BURST_SIZE) return;
    }
  }

  protected override transmit(frames: Burst, views: Uint8Array, count: number): void {
    if (this.closed) return;
    const { length } = frames;
    const { maxFrame } = this;
    if (this.#queue.frames > 0) {
      for (let k = 0; k < count; k++) this.#enqueue(frames, views[k]);
      return;
    }
    let n = 0;
    let bytes = 0;
    for (let k = 0; k < count; k++) {
      const view = views[k];
      if (length[view] > maxFrame) this.drops.oversize++;
      else if (length[view] < FRAME_MIN) this.drops.runt++;
      else {
        sending[n++] = view;
        bytes += length[view];
      }
    }
    const ring = n > 1 ? sendRing() : undefined;
    if (ring !== undefined && this.#takes(n, bytes)) this.#sendAtOnce(ring, frames, n);
    else this.#sendInTurn(frames, n);
  }

  /**
   * Whether the kernel will surely take so many frames of so many bytes together: of frames sent at once, those behind one
   * that it does not take may go before it. It takes few for a peer that is not connected back, or not yet.
   */
  #takes(frames: number, bytes: number): boolean {
    if (this.#room === 0) {
      const now = performance.now();
      if (now < this.#nextLook) return false;
      this.#nextLook = now + this.#lookAgain;
      this.#lookAgain = Math.min(2 * this.#lookAgain, LOOK_AGAIN_MAX_MS);
      if (!isConnectedBack(this.#socket)) return false;
      this.#room = sendBuffer(this.#socket);
    }
    return unreadBytes(this.#socket) + frames * FRAME_MEMORY + 2 * bytes < this.#room;
  }

  /** Sends the first `n` frames of `sending` so that the peer finds all of them at once. */
  #sendAtOnce(ring: SendRing, frames: Burst, n: number): void {
    const { length, start } = frames;
    for (let k = 0; k < n; k++) {
      const view = sending[k];
      if (view < BURST_SIZE && !this.takesOffloads) {
        ring.set(k, frames.addressAt(start[view]), length[view]);
      } else {
        frames.gather(view, sender, k, this.takesOffloads);
        ring.setMessage(k, sender.header(k));
      }
    }
    const failures = ring.send(this.#socket.fd, n);
    let gone = 0;
    for (let f = 0; f < failures; f++) {
      const errno = ring.errnos[f];
      if (errno === EAGAIN) {
        this.#enqueue(frames, sending[ring.failed[f]]);
      } else {
        this.drops.error++;
        if (gone === 0 && this.#isGone(errno)) gone = errno;
      }
    }
    if (gone !== 0) {
      this.#failed(gone, 'send');
    } else if (this.#queue.frames > 0) {
      // Not as was thought: the kernel is asked again before the next.
      this.#room = 0;
      this.listen();
    }
  }

  /** Sends the first `n` frames of `sending`, until the kernel takes no more. */
  #sendInTurn(frames: Burst, n: number): void {
    for (let k = 0; k < n; k++) frames.gather(sending[k], sender, k, this.takesOffloads);
    for (let sent = 0; sent < n; ) {
      const taken = sender.send(this.#socket.fd, sent, n - sent);
      if (taken > 0) {
        sent += taken;
      } else if (-taken === EAGAIN) {
        for (; sent < n; sent++) this.#enqueue(frames, sending[sent]);
        this.listen();
      } else {
        // Counted before the loss is told, so that it is in what the owner then reads.
        const gone = this.#isGone(-taken);
        this.drops.error += gone ? n - sent : 1;
        if (gone) {
          this.#failed(-taken, 'sendmmsg');
          return;
        }
        sent++;
      }
    }
  }

  #enqueue(frames: Burst, view: number): void {
    if (frames.length[view] > this.maxFrame) this.drops.oversize++;
    else if (frames.length[view] < FRAME_MIN) this.drops.runt++;
    else if (!this.#queue.push(frames, view)) this.drops.full++;
  }

  #flush(): void {
    for (;;) {
      const error = this.#queue.flush(this.#socket.fd);
      if (error === EAGAIN) return;
      if (error === 0) break;
      if (this.#failed(error, 'sendmmsg')) return;
      this.drops.error++;
      this.#queue.dropFirst();
    }
    this.listen();
    this.drained();
  }

  /**
   * A switch that learns of its client's end throws away what the client sent before: so its last frames are waited for.
   * The kernel has no event for this, but tells how much is unread.
   */
  async settled(ms: number): Promise<void> {
    const end = performance.now() + ms;
    while (!this.closed && unreadBytes(this.#socket) > 0 && performance.now() < end) {
      await new Promise((done) => setTimeout(done, 1));
    }
  }

  /** One byte, which every end drops as too short: only whether it can be sent matters (reference: plugins, section 17). */
  probe(): void {
    if (this.closed || this.#patient) return;
    const sent = trySend(this.#socket, probeByte, 1);
    if (sent < 0) this.#failed(-sent, 'send');
  }

  receiveRest(): void {
    for (let turn = 0; turn < REST_TURNS && this.wanted && hasInput(this.#socket); turn++) this.#receive();
  }

  #isGone(errno: number): boolean {
    return !this.#patient && GONE.has(ERRNO_NAMES.get(errno) ?? '');
  }

  /** Ends the plug if the peer is gone for good; true then. */
  #failed(errno: number, call: string): boolean {
    if (!this.#isGone(errno)) return false;
    this.lose(callError(call, errno, this.name));
    return true;
  }

  protected override release(): void {
    this.#watch?.close();
    this.#socket.close();
    this.#queue.clear();
  }
}
