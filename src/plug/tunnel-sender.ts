/**
 * The sending half of a UDP tunnel: frames and super-frames become datagrams, and datagrams messages.
 *
 * Consecutive datagrams of one length to one peer leave as one message, which the kernel or the network interface cuts
 * (`udp-offload.ts`): on the wire nothing is different. Where that cannot be done, because a datagram would have to be
 * fragmented or an interface on the way cannot, each is a message of its own. All messages leave with one call.
 */

import { BURST_SIZE, type Burst, FRAME_MIN } from '../frame/burst.js';
import { SendVector } from '../sys/batch.js';
import { errnoNumber } from '../sys/errors.js';
import { IOVEC, VIRTIO_NET_HDR } from '../sys/layout.js';
import { Memory } from '../sys/memory.js';
import { SEGMENTS_MAX, UDP_PAYLOAD_MAX } from '../sys/udp-offload.js';
import type { Drops } from './plug.js';
import { LAST, PIECES_MAX, PREFIX, TOTAL_MAX } from './tunnel-format.js';
import { TAG_SIZE } from './tunnel-hello.js';

const EAGAIN = errnoNumber('EAGAIN');
const EINVAL = errnoNumber('EINVAL');
const EIO = errnoNumber('EIO');
const EMSGSIZE = errnoNumber('EMSGSIZE');
const ENOBUFS = errnoNumber('ENOBUFS');

/** Messages that wait to be sent, iovecs that they are gathered from, and bytes of headers among these, at most. */
const MESSAGES = 2 * BURST_SIZE;
const IOVECS = 4096;
const HEADER_BYTES = 32 << 10;
/** Iovecs that one frame or piece takes at most: what comes before it, its offload header, three ranges of it. */
const IOVECS_EACH = 5;

/** Where datagrams go. */
export interface Destination {
  /** Socket address in stable memory; length 0 is the peer of a connected socket. */
  address: number;
  length: number;
  /** Bytes of the longest datagram that gets there unfragmented, as far as is known. Lowered when the kernel objects. */
  unfragmented: number;
}

// Run to completion: what is added is sent within the same call, so one arena serves every tunnel.
class Arena {
  readonly iovecs = new Memory(IOVECS * IOVEC.size);
  readonly headers = new Memory(HEADER_BYTES);
  /** Pieces of the super-frame that is being cut. */
  readonly pieces = new Memory(4 * IOVEC.size);
  readonly vector = new SendVector(MESSAGES);
  readonly single = new SendVector(1);
  usedIovecs = 0;
  usedHeaders = 0;
  messages = 0;
  // Of each message: its iovecs, bytes, datagrams and the length of all these but the last; frames it is the end of.
  readonly first = new Uint16Array(MESSAGES);
  readonly count = new Uint16Array(MESSAGES);
  readonly bytes = new Uint32Array(MESSAGES);
  readonly datagrams = new Uint8Array(MESSAGES);
  readonly segment = new Uint16Array(MESSAGES);
  readonly frames = new Uint8Array(MESSAGES);
  readonly complete = new Uint8Array(MESSAGES);
  readonly destinations: (Destination | undefined)[] = new Array(MESSAGES).fill(undefined);
}

let shared: Arena | undefined;

/** See the head of this file. */
export class TunnelSender {
  readonly #arena: Arena;
  readonly #header: Uint8Array;
  #offload = true;
  #number = 0;
  /** Bytes handed to the kernel by the last `flush`. */
  sent = 0;

  /**
   * @param fd of a UDP socket.
   * @param header comes before each frame or piece; may be changed in place.
   * @param onError is told of errors that say something about the peer or the path: ECONNREFUSED, EHOSTUNREACH, ...
   * @param maxFrame longest frame that may be sent as a datagram; at most what fits one, the default.
   */
  constructor(
    private readonly fd: number,
    header: Uint8Array,
    private readonly drops: Drops,
    private readonly onError: (errno: number, to: Destination) => void,
    readonly maxFrame = UDP_PAYLOAD_MAX - header.length,
  ) {
    shared ??= new Arena();
    this.#arena = shared;
    this.#header = header;
  }

  /** Bytes of the header. */
  get headerLength(): number {
    return this.#header.length;
  }

  /** Adds a frame that is complete as it is. */
  add(frames: Burst, view: number, to: Destination): void {
    const length = frames.length[view];
    if (length > this.maxFrame) this.drops.oversize++;
    else if (length < FRAME_MIN) this.drops.runt++;
    else {
      const message = this.#open(this.#header.length + length, to);
      const arena = this.#arena;
      this.#addHeader(this.#header.length);
      arena.usedIovecs += frames.copyPieces(view, arena.iovecs, arena.usedIovecs * IOVEC.size);
      this.#close(message);
      arena.frames[message]++;
    }
  }

  /**
   * Adds a frame whole, with its offload header, for a peer of that tag.
   * @returns false if it is too long for that: nothing is added then.
   */
  addWhole(frames: Burst, view: number, to: Destination, tag: Uint8Array): boolean {
    const total = VIRTIO_NET_HDR.size + frames.length[view];
    const before = this.#header.length + PREFIX.size;
    const room = to.unfragmented - before;
    if (total > TOTAL_MAX || room <= VIRTIO_NET_HDR.size || total > room * PIECES_MAX) return false;
    const arena = this.#arena;
    const { words } = arena.pieces;
    frames.copyPieces(view, arena.pieces, 0, true);
    const number = this.#number++;
    let piece = 0;
    let done = 0;
    let message = 0;
    for (let index = 0, left = total; left > 0; index++) {
      const size = Math.min(room, left);
      left -= size;
      message = this.#open(before + size, to);
      const at = this.#addHeader(before) + this.#header.length;
      const { bytes } = arena.headers;
      for (let i = 0; i < TAG_SIZE; i++) bytes[at + i] = tag[i];
      bytes[at + PREFIX.number] = number;
      bytes[at + PREFIX.index] = index | (left === 0 ? LAST : 0);
      bytes[at + PREFIX.total] = total >>> 8;
      bytes[at + PREFIX.total + 1] = total;
      for (let missing = size; missing > 0; ) {
        const word = (piece * IOVEC.size) >>> 2;
        const have = words[word + IOVEC.length / 4] - done;
        const taken = Math.min(have, missing);
        const base = words[word + 1] * 0x1_0000_0000 + words[word] + done;
        this.#addIovec(base, taken);
        missing -= taken;
        if (taken < have) done += taken;
        else {
          piece++;
          done = 0;
        }
      }
      this.#close(message);
    }
    arena.frames[message]++;
    return true;
  }

  /** The message that a datagram of `length` bytes goes into. */
  #open(length: number, to: Destination): number {
    const arena = this.#arena;
    const full =
      arena.usedIovecs + IOVECS_EACH > IOVECS || arena.usedHeaders + this.#header.length + PREFIX.size > HEADER_BYTES;
    if (full) this.flush();
    const last = arena.messages - 1;
    if (
      last >= 0 &&
      arena.complete[last] === 0 &&
      arena.destinations[last] === to &&
      length <= arena.segment[last] &&
      arena.datagrams[last] < SEGMENTS_MAX &&
      arena.bytes[last] + length <= UDP_PAYLOAD_MAX
    ) {
      if (length < arena.segment[last]) arena.complete[last] = 1;
      arena.datagrams[last]++;
      arena.bytes[last] += length;
      return last;
    }
    if (arena.messages === MESSAGES) this.flush();
    const message = arena.messages++;
    arena.first[message] = arena.usedIovecs;
    arena.bytes[message] = length;
    arena.datagrams[message] = 1;
    arena.segment[message] = length;
    arena.frames[message] = 0;
    arena.complete[message] = this.#offload && length <= to.unfragmented ? 0 : 1;
    arena.destinations[message] = to;
    return message;
  }

  #close(message: number): void {
    this.#arena.count[message] = this.#arena.usedIovecs - this.#arena.first[message];
  }

  #addIovec(address: number, length: number): void {
    const arena = this.#arena;
    const at = arena.usedIovecs++ * IOVEC.size;
    arena.iovecs.setPointer(at + IOVEC.base, address);
    arena.iovecs.setPointer(at + IOVEC.length, length);
  }

  /** Begins a datagram with the header and room up to `length` bytes. Returns where in the arena's headers it lies. */
  #addHeader(length: number): number {
    const { headers, usedHeaders: at } = this.#arena;
    if (length === 0) return at;
    const header = this.#header;
    for (let i = 0; i < header.length; i++) headers.bytes[at + i] = header[i];
    this.#arena.usedHeaders += length;
    this.#addIovec(headers.address + at, length);
    return at;
  }

  /**
   * Sends what was added.
   * @returns false if the kernel holds as much as it may for this socket; what did not go is dropped, counted.
   */
  flush(): boolean {
    const arena = this.#arena;
    const { vector, messages } = arena;
    const iovecs = arena.iovecs.address;
    this.sent = 0;
    for (let i = 0; i < messages; i++) {
      const address = iovecs + arena.first[i] * IOVEC.size;
      const to = arena.destinations[i] as Destination;
      vector.set(i, address >>> 0, Math.floor(address / 0x1_0000_0000), arena.count[i]);
      vector.setDestination(i, to.address, to.length);
      vector.setSegmentSize(i, arena.datagrams[i] > 1 ? arena.segment[i] : 0);
    }
    let room = true;
    for (let done = 0, tries = 0; done < messages; ) {
      const n = vector.send(this.fd, done, messages - done);
      if (n > 0) {
        for (const end = done + n; done < end; done++) this.sent += arena.bytes[done];
        tries = 0;
      } else if (n === -EAGAIN || n === -ENOBUFS) {
        for (; done < messages; done++) this.drops.full += arena.frames[done];
        room = false;
      } else if (arena.datagrams[done] > 1 && (n === -EIO || n === -EINVAL || n === -EMSGSIZE)) {
        this.#cannotCut(done, -n);
        this.#sendSingly(done++);
      } else if (tries++ > 0 || n === -EMSGSIZE) {
        if (n === -EMSGSIZE) this.drops.oversize += arena.frames[done++];
        else this.drops.error += arena.frames[done++];
        tries = 0;
      } else {
        // An error of a datagram sent before is told once, in place of sending this one.
        this.onError(-n, arena.destinations[done] as Destination);
      }
    }
    arena.messages = 0;
    arena.usedIovecs = 0;
    arena.usedHeaders = 0;
    return room;
  }

  /** The kernel has refused to cut a message: the interface cannot, or its datagrams are too long for the path. */
  #cannotCut(message: number, errno: number): void {
    const { segment, destinations } = this.#arena;
    const to = destinations[message] as Destination;
    if (errno === EIO) this.#offload = false;
    else to.unfragmented = Math.min(to.unfragmented, segment[message] - 1);
    this.onError(errno, to);
  }

  /** Sends the datagrams of a message one by one. */
  #sendSingly(message: number): void {
    const arena = this.#arena;
    const { single } = arena;
    const { words } = arena.iovecs;
    const { address, length } = arena.destinations[message] as Destination;
    single.setDestination(0, address, length);
    const end = arena.first[message] + arena.count[message];
    for (let from = arena.first[message], left = arena.bytes[message]; from < end; ) {
      const size = Math.min(left, arena.segment[message]);
      let count = 0;
      for (let bytes = 0; bytes < size; count++) bytes += words[((from + count) * IOVEC.size + IOVEC.length) >>> 2];
      const iovec = arena.iovecs.address + from * IOVEC.size;
      single.set(0, iovec >>> 0, Math.floor(iovec / 0x1_0000_0000), count);
      if (single.send(this.fd, 0, 1) < 0) this.drops.error++;
      else this.sent += size;
      from += count;
      left -= size;
    }
  }
}
