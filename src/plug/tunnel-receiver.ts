/**
 * The receiving half of a UDP tunnel: messages become datagrams again, and datagrams frames, super-frames and hellos.
 *
 * Datagrams that arrive one by one stay where they were received. Of those that arrive joined (`udp-offload.ts`), plain
 * frames are copied apart, and pieces of a super-frame moved together. A super-frame whose pieces come in several
 * messages is put together elsewhere (`tunnel-reassembly.ts`).
 */

import { BURST_SIZE, Burst, FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { OffloadFlag } from '../frame/offload.js';
import { ReceiveVector } from '../sys/batch.js';
import { VIRTIO_NET_HDR } from '../sys/layout.js';
import type { Memory } from '../sys/memory.js';
import { SEGMENT_CONTROL_ROOM, segmentSize } from '../sys/udp-offload.js';
import type { ArrivalDrops, Drops } from './plug.js';
import { LAST, PIECES_MAX, PREFIX, PREFIX_AND_OFFLOAD } from './tunnel-format.js';
import { isHello, isKeepAlive, TAG_SIZE } from './tunnel-hello.js';
import { Reassembly } from './tunnel-reassembly.js';

/** Messages asked for at a time while they are long: a burst's worth of bytes is to stay in the cache. */
const LONG_MESSAGES = 4;
const LONG = 16 << 10;
const OFFLOAD = VIRTIO_NET_HDR.size;
/** Peers whose super-frames may come in pieces at the same time, where there are many peers. */
const SENDERS_MAX = 8;

// Run to completion: a message is worked off before the next are received, so one set serves every tunnel.
const bursts: { arrived?: Burst; apart?: Burst } = {};
const vectors = new Map<string, ReceiveVector>();

function vectorFor(burst: Burst, header: number, sources: boolean): ReceiveVector {
  const key = `${header} ${sources}`;
  let vector = vectors.get(key);
  if (vector === undefined) {
    const before = header + PREFIX_AND_OFFLOAD;
    const options = { sources, control: SEGMENT_CONTROL_ROOM };
    vector = new ReceiveVector(burst.address - before, burst.stride, FRAME_MAX + 1 + before, BURST_SIZE, options);
    vectors.set(key, vector);
  }
  return vector;
}

export interface TunnelReceiverOptions {
  /** Bytes of header before each frame; at most `HEADROOM - PREFIX_AND_OFFLOAD`. */
  header: number;
  /** Begins what is no plain frame: see `tunnel-hello.ts`. */
  tag: Uint8Array;
  drops: Drops;
  /** Counts datagrams that are too long or too short beside `drops`. */
  arrivalDrops?: ArrivalDrops;
  /** Keeps where each datagram came from. */
  sources?: boolean;
  /** Takes frames; `TunnelReceiver.source` says of each slot which message it came with. */
  onFrames(burst: Burst): void;
  /** Takes a datagram for which `isHello` holds; `message` as in `source`. */
  onHello(bytes: Uint8Array, at: number, message: number): void;
  /**
   * Looks at the header of a datagram, and at where it came from; false if it is not to be read. What follows the header
   * has `length` bytes, less than none if the header is not all there.
   */
  accepts?(bytes: Uint8Array, at: number, length: number, message: number): boolean;
}

/** See the head of this file. */
export class TunnelReceiver {
  /** Of each slot of the burst in hand: the number of its message. */
  readonly source = new Uint8Array(BURST_SIZE);
  readonly #options: TunnelReceiverOptions;
  readonly #header: number;
  readonly #tag: Uint8Array;
  readonly #vector: ReceiveVector;
  readonly #arrived: Burst;
  readonly #apart: Burst;
  #long = false;

  readonly #reassembly: Reassembly;

  constructor(options: TunnelReceiverOptions) {
    this.#options = options;
    this.#header = options.header;
    this.#tag = options.tag;
    bursts.arrived ??= new Burst();
    bursts.apart ??= new Burst();
    this.#arrived = bursts.arrived;
    this.#apart = bursts.apart;
    this.#vector = vectorFor(this.#arrived, options.header, options.sources ?? false);
    this.#reassembly = new Reassembly(options.drops, options.sources ? SENDERS_MAX : 1, this.sources);
  }

  /** Socket addresses of the last messages' senders. */
  get sources(): Memory | undefined {
    return this.#vector.sources;
  }

  sourceOffset(message: number): number {
    return this.#vector.sourceOffset(message);
  }

  sourceLength(message: number): number {
    return this.#vector.sourceLength(message);
  }

  /** Bytes received by the last call of `receive`. */
  bytes = 0;

  /**
   * Receives what is there, up to a bound, and hands it on.
   * @returns how many messages there were, `max` of them if there may be more; or minus the errno.
   */
  receive(fd: number): number {
    const vector = this.#vector;
    const max = this.max;
    const n = vector.receive(fd, max);
    this.bytes = 0;
    if (n <= 0) return n;
    const burst = this.#arrived;
    const control = vector.control as Memory;
    const before = this.#header + PREFIX_AND_OFFLOAD;
    burst.count = 0;
    for (let i = 0; i < n; i++) {
      const length = vector.length(i);
      this.bytes += length;
      const at = burst.home(i) - before;
      const size = segmentSize(control, vector.controlOffset(i), vector.controlLength(i));
      if (vector.truncated(i)) this.#drop('oversize');
      else if (size <= 0 || size >= length) this.#datagram(at, length, i);
      else if (!this.#joinWhole(at, length, size, i)) this.#takeApart(at, length, size, i);
    }
    this.#deliver(burst);
    this.#long = this.bytes > n * LONG;
    return n;
  }

  #drop(reason: keyof ArrivalDrops): void {
    const { drops, arrivalDrops } = this.#options;
    drops[reason]++;
    if (arrivalDrops) arrivalDrops[reason]++;
  }

  /** How many messages the next `receive` asks for. */
  get max(): number {
    return this.#long ? LONG_MESSAGES : BURST_SIZE;
  }

  #deliver(burst: Burst): void {
    if (burst.count > 0) {
      burst.superFrames = 0;
      for (let slot = 0; slot < burst.count; slot++) burst.superFrames += burst.offload[slot];
      this.#options.onFrames(burst);
      burst.clearOffloads();
    }
    burst.count = 0;
  }

  /** A datagram by itself: its frame stays where it lies. */
  #datagram(start: number, bytes: number, message: number): void {
    const at = start + this.#header;
    const length = bytes - this.#header;
    const kind = this.#kind(start, at, length, message);
    if (kind === PLAIN) this.#put(at, length, 0, message);
    else if (kind === HELLO) this.#options.onHello(this.#arrived.bytes, at, message);
    else if (kind === PIECE) {
      const index = this.#arrived.bytes[at + PREFIX.index];
      if (index === LAST && this.#totalAt(at) === length - PREFIX.size) {
        this.#putWhole(at + PREFIX.size, length - PREFIX.size, message);
      } else this.#piece(at, length, message);
    }
  }

  #kind(start: number, at: number, length: number, message: number): Kind {
    const { bytes } = this.#arrived;
    const { drops, accepts } = this.#options;
    if (accepts !== undefined && !accepts(bytes, start, length, message)) return NOTHING;
    if (length < FRAME_MIN) {
      if (isHello(bytes, at, length)) return HELLO;
      if (!isKeepAlive(bytes, at, length)) this.#drop('runt');
      return NOTHING;
    }
    if (this.#isTagged(at)) {
      if (length > PREFIX.size) return PIECE;
      drops.error++;
      return NOTHING;
    }
    return PLAIN;
  }

  #isTagged(at: number): boolean {
    const { bytes } = this.#arrived;
    const tag = this.#tag;
    if (bytes[at] !== tag[0]) return false;
    for (let i = 1; i < TAG_SIZE; i++) if (bytes[at + i] !== tag[i]) return false;
    return true;
  }

  /** Whether two headers are the same. */
  #isHeader(at: number, other: number): boolean {
    const { bytes } = this.#arrived;
    for (let i = 0; i < this.#header; i++) if (bytes[at + i] !== bytes[other + i]) return false;
    return true;
  }

  #totalAt(at: number): number {
    const { bytes } = this.#arrived;
    return (bytes[at + PREFIX.total] << 8) | bytes[at + PREFIX.total + 1];
  }

  /** Adds a frame that lies in the burst already. */
  #put(start: number, length: number, offload: number, message: number): void {
    const burst = this.#arrived;
    const slot = burst.count++;
    burst.place(slot, start, length);
    burst.offload[slot] = offload;
    this.source[slot] = message;
  }

  #putWhole(at: number, total: number, message: number): void {
    const length = total - OFFLOAD;
    if (length < FRAME_MIN || length > FRAME_MAX) this.#options.drops.error++;
    else this.#put(at + OFFLOAD, length, asks(this.#arrived.bytes, at), message);
  }

  /** A message that is all the pieces of one super-frame, in order: they are moved together. False if it is not that. */
  #joinWhole(start: number, bytes: number, size: number, message: number): boolean {
    const before = this.#header + PREFIX.size;
    const room = size - before;
    const first = start + this.#header;
    if (room <= 0 || !this.#isTagged(first)) return false;
    const { bytes: data } = this.#arrived;
    const count = Math.ceil(bytes / size);
    const total = this.#totalAt(first);
    if (count > PIECES_MAX || total !== bytes - count * before || total - (count - 1) * room <= 0) return false;
    for (let index = 0; index < count; index++) {
      const at = start + index * size;
      const prefix = at + this.#header;
      if (!this.#isHeader(at, start) || !this.#isTagged(prefix)) return false;
      if (data[prefix + PREFIX.number] !== data[first + PREFIX.number]) return false;
      if (data[prefix + PREFIX.index] !== (index | (index === count - 1 ? LAST : 0))) return false;
      if (this.#totalAt(prefix) !== total) return false;
    }
    if (this.#options.accepts?.(data, start, size - this.#header, message) === false) return true;
    const whole = start + before;
    for (let index = 1; index < count; index++) {
      const from = start + index * size + before;
      data.copyWithin(whole + index * room, from, from + Math.min(room, total - index * room));
    }
    this.#putWhole(whole, total, message);
    return true;
  }

  /** A message of several datagrams: each frame is copied to a slot of its own, where it is aligned and has headroom. */
  #takeApart(start: number, bytes: number, size: number, message: number): void {
    this.#deliver(this.#arrived);
    const { bytes: data } = this.#arrived;
    const apart = this.#apart;
    for (let done = 0; done < bytes; done += size) {
      const at = start + done + this.#header;
      const length = Math.min(size, bytes - done) - this.#header;
      const kind = this.#kind(start + done, at, length, message);
      if (kind === PLAIN) {
        if (apart.count === BURST_SIZE) this.#deliver(apart);
        this.source[apart.count] = message;
        apart.add(data.subarray(at, at + length));
      } else if (kind === HELLO) this.#options.onHello(data, at, message);
      else if (kind === PIECE) {
        this.#deliver(apart);
        this.#piece(at, length, message);
      }
    }
    this.#deliver(apart);
  }

  /** A piece of a super-frame; the others come or came in other messages. */
  #piece(at: number, bytes: number, message: number): void {
    const { bytes: data } = this.#arrived;
    const whole = this.#reassembly.add(data, at, bytes, this.sourceOffset(message), this.sourceLength(message));
    if (whole === undefined) return;
    const length = whole.length - OFFLOAD;
    if (length < FRAME_MIN || length > FRAME_MAX) {
      this.#options.drops.error++;
      return;
    }
    this.#deliver(this.#arrived);
    const apart = this.#apart;
    const home = apart.home(0);
    apart.bytes.set(whole, home - OFFLOAD);
    apart.place(0, home, length);
    apart.offload[0] = asks(whole, 0);
    this.source[0] = message;
    apart.count = 1;
    this.#deliver(apart);
  }
}

const NOTHING = 0;
const PLAIN = 1;
const PIECE = 2;
const HELLO = 3;
type Kind = typeof NOTHING | typeof PLAIN | typeof PIECE | typeof HELLO;

/** 1 if an offload header asks for anything. */
function asks(bytes: Uint8Array, at: number): number {
  const checksum = (bytes[at + VIRTIO_NET_HDR.flags] & OffloadFlag.needsChecksum) !== 0;
  return checksum || bytes[at + VIRTIO_NET_HDR.gsoType] !== 0 ? 1 : 0;
}
