/**
 * Bursts of datagrams with one system call: recvmmsg(2) and sendmmsg(2).
 *
 * The headers are built once. A `ReceiveVector` points at the slots of a slab; a `SendVector` is pointed, per message,
 * at whatever iovecs the sender has prepared.
 */

import { errno, native } from './ffi.js';
import { MSG_DONTWAIT, MSG_NOSIGNAL } from './io.js';
import { CMSGHDR, IOVEC, MMSGHDR, MSGHDR } from './layout.js';
import { LITTLE_ENDIAN, Memory } from './memory.js';
import { MSG_TRUNC } from './socket.js';

const recvmmsg = native<(fd: number, headers: number, count: number, flags: number, timeout: number) => number>(
  'int recvmmsg(int fd, size_t headers, unsigned int count, int flags, size_t timeout)',
);
const sendmmsg = native<(fd: number, headers: number, count: number, flags: number) => number>(
  'int sendmmsg(int fd, size_t headers, unsigned int count, int flags)',
);

const WORDS = MMSGHDR.size / 4;
const LENGTH_WORD = MMSGHDR.length / 4;
const FLAGS_WORD = MSGHDR.flags / 4;
const NAME_LENGTH_WORD = MSGHDR.nameLength / 4;
const IOV_WORD = MSGHDR.iov / 4;
const IOV_COUNT_WORD = MSGHDR.iovLength / 4;
const CONTROL_LENGTH_WORD = MSGHDR.controlLength / 4;
/** Bytes kept for one source address; an Internet address of either family fits. */
const SOURCE_ROOM = 32;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
/** A control message with 16 bits. */
const SEGMENT_ROOM = CMSGHDR.size + 8;

export interface ReceiveOptions {
  /** Keeps where each datagram came from (`sourceOffset`, `sourceLength`). */
  sources?: boolean;
  /** Bytes kept of each message's control messages (`controlOffset`, `controlLength`); a multiple of 8. */
  control?: number;
}

/** Room for `count` datagrams: message i goes to `address + i * stride`, at most `room` bytes of it. */
export class ReceiveVector {
  readonly #headers: Memory;
  readonly #iovecs: Memory;
  readonly #words: Uint32Array;
  readonly count: number;
  /** Source addresses (`struct sockaddr`) of the last burst, if they are kept. */
  readonly sources: Memory | undefined;
  /** Control messages (cmsg(3)) of the last burst, if they are kept. */
  readonly control: Memory | undefined;
  readonly #controlRoom: number;

  constructor(address: number, stride: number, room: number, count: number, options: ReceiveOptions = {}) {
    this.count = count;
    this.sources = options.sources ? new Memory(SOURCE_ROOM * count) : undefined;
    this.#controlRoom = options.control ?? 0;
    this.control = options.control ? new Memory(options.control * count) : undefined;
    this.#headers = new Memory(MMSGHDR.size * count);
    this.#iovecs = new Memory(IOVEC.size * count);
    this.#words = this.#headers.words;
    for (let i = 0; i < count; i++) {
      const iovec = i * IOVEC.size;
      this.#iovecs.setPointer(iovec + IOVEC.base, address + i * stride);
      this.#iovecs.setPointer(iovec + IOVEC.length, room);
      const header = i * MMSGHDR.size;
      this.#headers.setPointer(header + MSGHDR.iov, this.#iovecs.address + iovec);
      this.#headers.setPointer(header + MSGHDR.iovLength, 1);
      if (this.sources) this.#headers.setPointer(header + MSGHDR.name, this.sources.address + this.sourceOffset(i));
      if (this.control) this.#headers.setPointer(header + MSGHDR.control, this.control.address + this.controlOffset(i));
    }
  }

  /** Receives up to `max` datagrams without waiting. Returns how many, or minus the errno (EAGAIN: none there). */
  receive(fd: number, max = this.count): number {
    // The kernel leaves the lengths there in place of the room that it had.
    if (this.sources) for (let i = 0; i < max; i++) this.#words[i * WORDS + NAME_LENGTH_WORD] = SOURCE_ROOM;
    if (this.control) {
      for (let i = 0; i < max; i++) this.#words[i * WORDS + CONTROL_LENGTH_WORD] = this.#controlRoom;
    }
    const n = recvmmsg(fd, this.#headers.address, max, MSG_DONTWAIT, 0);
    return n < 0 ? -errno() : n;
  }

  /** Bytes of message i that were stored. */
  length(i: number): number {
    return this.#words[i * WORDS + LENGTH_WORD];
  }

  /** True if message i was longer than its room. */
  truncated(i: number): boolean {
    return (this.#words[i * WORDS + FLAGS_WORD] & MSG_TRUNC) !== 0;
  }

  /** Where in `sources` the address of message i lies. */
  sourceOffset(i: number): number {
    return i * SOURCE_ROOM;
  }

  /** Bytes of message i's source address; 0 if the sender has none. */
  sourceLength(i: number): number {
    return Math.min(this.#words[i * WORDS + NAME_LENGTH_WORD], SOURCE_ROOM);
  }

  /** Where in `control` the control messages of message i lie. */
  controlOffset(i: number): number {
    return i * this.#controlRoom;
  }

  /** Bytes of message i's control messages. */
  controlLength(i: number): number {
    return Math.min(this.#words[i * WORDS + CONTROL_LENGTH_WORD], this.#controlRoom);
  }
}

/** Up to `count` datagrams to be sent, each gathered from iovecs. */
export class SendVector {
  readonly #headers: Memory;
  readonly #words: Uint32Array;
  /** A control message for each message that is to be cut. */
  #segments: Memory | undefined;
  readonly count: number;

  constructor(count: number) {
    this.count = count;
    this.#headers = new Memory(MMSGHDR.size * count);
    this.#words = this.#headers.words;
  }

  /** Message i is the `iovecs` iovecs at a 64-bit address, given as its two words. */
  set(i: number, addressLow: number, addressHigh: number, iovecs: number): void {
    const word = i * WORDS;
    this.#words[word + IOV_WORD] = addressLow;
    this.#words[word + IOV_WORD + 1] = addressHigh;
    this.#words[word + IOV_COUNT_WORD] = iovecs;
  }

  /** Address of the `struct msghdr` of message i. */
  header(i: number): number {
    return this.#headers.address + i * MMSGHDR.size;
  }

  /**
   * Message i goes to the socket address of `length` bytes at `address`, until it is given another; length 0: to the
   * socket's peer, as at first.
   */
  setDestination(i: number, address: number, length: number): void {
    this.#headers.setPointer(i * MMSGHDR.size + MSGHDR.name, length === 0 ? 0 : address);
    this.#words[i * WORDS + NAME_LENGTH_WORD] = length;
  }

  /**
   * Message i is cut by the kernel into datagrams of `bytes` each, the last perhaps shorter (UDP_SEGMENT, udp(7)), until
   * it is told otherwise; 0: it is one datagram, as at first.
   */
  setSegmentSize(i: number, bytes: number): void {
    const header = i * MMSGHDR.size;
    this.#headers.setPointer(header + MSGHDR.controlLength, bytes === 0 ? 0 : SEGMENT_ROOM);
    if (bytes === 0) return;
    this.#segments ??= new Memory(SEGMENT_ROOM * this.count);
    const at = i * SEGMENT_ROOM;
    this.#headers.setPointer(header + MSGHDR.control, this.#segments.address + at);
    this.#segments.setPointer(at + CMSGHDR.length, CMSGHDR.size + 2);
    this.#segments.words[(at + CMSGHDR.level) >>> 2] = SOL_UDP;
    this.#segments.words[(at + CMSGHDR.type) >>> 2] = UDP_SEGMENT;
    this.#segments.view.setUint16(at + CMSGHDR.size, bytes, LITTLE_ENDIAN);
  }

  /** Sends messages `first` to `first + count - 1` without waiting. Returns how many went, or minus the errno. */
  send(fd: number, first: number, count: number): number {
    const n = sendmmsg(fd, this.#headers.address + first * MMSGHDR.size, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno() : n;
  }
}
