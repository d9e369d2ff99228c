/**
 * The bounded queue in front of an egress: frames copied into a ring of bytes, each with a ready-made iovec, so that the
 * waiting ones go out with one `sendmmsg` when the peer reads again.
 *
 * Its memory is taken when the first frame has to wait and given back when the last has gone. All queues of the process
 * share one allowance, so that a thousand stopped peers cannot eat the machine.
 */

import type { Burst } from '../frame/burst.js';
import { SendVector } from '../sys/batch.js';
import { IOVEC, VIRTIO_NET_HDR } from '../sys/layout.js';
import { Memory } from '../sys/memory.js';

/** Most frames that wait at one egress. */
export const QUEUE_FRAMES = 16_384;
/** Most bytes that wait at one egress. */
export const QUEUE_BYTES = 4 << 20;
/** Most bytes of queue memory in the whole process. */
const ALLOWANCE = 64 << 20;
const FIRST_SIZE = 128 << 10;

let allocated = 0;
/** One emptied ring of the first size is kept for the next egress in need: queues come and go often under load. */
let spare: Memory | undefined;

function take(size: number): Memory | undefined {
  if (allocated + size > ALLOWANCE) return undefined;
  allocated += size;
  if (size === FIRST_SIZE && spare !== undefined) {
    const memory = spare;
    spare = undefined;
    return memory;
  }
  return new Memory(size);
}

function give(memory: Memory): void {
  allocated -= memory.size;
  if (memory.size === FIRST_SIZE) spare = memory;
}

const SEND_FRAMES = 128;
const vector = new SendVector(SEND_FRAMES);

/** Frames waiting for one peer, first in first out. */
export class FrameQueue {
  #ring: Memory | undefined;
  /** Offset and length of each waiting frame, by position modulo QUEUE_FRAMES. */
  #offsets: Uint32Array | undefined;
  #lengths: Uint32Array | undefined;
  #iovecs: Memory | undefined;
  /** Position of the first waiting frame; grows for ever, like `#tail`. */
  #head = 0;
  #tail = 0;
  /** Where the next byte goes. */
  #write = 0;
  #bytes = 0;

  /**
   * @param offloads whether each frame is to be sent with its offload header before it.
   * @param limit most bytes that wait here.
   */
  constructor(
    private readonly offloads = false,
    private readonly limit = QUEUE_BYTES,
  ) {}

  get frames(): number {
    return this.#tail - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Copies a view to the end of the queue; false if there is no room. */
  push(burst: Burst, view: number): boolean {
    const header = this.offloads ? VIRTIO_NET_HDR.size : 0;
    const length = header + burst.length[view];
    if (this.frames === QUEUE_FRAMES || this.#bytes + length > this.limit) return false;
    const offset = this.#place(length);
    if (offset < 0) return false;
    const { bytes } = this.#ring as Memory;
    if (header > 0) burst.copyOffloadHeader(view, bytes, offset);
    burst.copyView(view, bytes, offset + header);
    const index = this.#tail++ % QUEUE_FRAMES;
    (this.#offsets as Uint32Array)[index] = offset;
    (this.#lengths as Uint32Array)[index] = length;
    this.#point(index, offset, length);
    this.#write = offset + length;
    this.#bytes += length;
    return true;
  }

  #point(index: number, offset: number, length: number): void {
    const iovecs = this.#iovecs as Memory;
    iovecs.setPointer(index * IOVEC.size, (this.#ring as Memory).address + offset);
    iovecs.setPointer(index * IOVEC.size + IOVEC.length, length);
  }

  /** Finds room for `length` bytes in one piece, growing the ring if it must; -1 if there is none. */
  #place(length: number): number {
    if (this.#ring === undefined) {
      const ring = take(FIRST_SIZE);
      if (ring === undefined) return -1;
      this.#ring = ring;
      this.#offsets ??= new Uint32Array(QUEUE_FRAMES);
      this.#lengths ??= new Uint32Array(QUEUE_FRAMES);
      this.#iovecs ??= new Memory(QUEUE_FRAMES * IOVEC.size);
    }
    for (;;) {
      const { size } = this.#ring;
      if (this.frames === 0) {
        if (length <= size) return 0;
      } else {
        const first = (this.#offsets as Uint32Array)[this.#head % QUEUE_FRAMES];
        if (this.#write > first) {
          if (this.#write + length <= size) return this.#write;
          if (length <= first) return 0;
        } else if (this.#write + length <= first) {
          return this.#write;
        }
      }
      if (!this.#grow()) return -1;
    }
  }

  #grow(): boolean {
    const old = this.#ring as Memory;
    const size = old.size * 4;
    const ring = size > QUEUE_BYTES * 4 ? undefined : take(size);
    if (ring === undefined) return false;
    this.#ring = ring;
    let write = 0;
    for (let position = this.#head; position < this.#tail; position++) {
      const index = position % QUEUE_FRAMES;
      const offset = (this.#offsets as Uint32Array)[index];
      const length = (this.#lengths as Uint32Array)[index];
      ring.bytes.set(old.bytes.subarray(offset, offset + length), write);
      (this.#offsets as Uint32Array)[index] = write;
      this.#point(index, write, length);
      write += length;
    }
    this.#write = write;
    give(old);
    return true;
  }

  /**
   * Sends what the peer takes, without waiting.
   * @returns 0 if the queue is empty now, or the errno that stopped it.
   */
  flush(fd: number): number {
    while (this.frames > 0) {
      const first = this.#head % QUEUE_FRAMES;
      const count = Math.min(this.frames, SEND_FRAMES, QUEUE_FRAMES - first);
      const address = (this.#iovecs as Memory).address + first * IOVEC.size;
      const high = Math.floor(address / 0x1_0000_0000);
      // The iovecs of a queue never straddle a 4 GiB boundary often enough to be worth a special case: compute each.
      for (let i = 0; i < count; i++) {
        const iovec = address + i * IOVEC.size;
        vector.set(i, iovec >>> 0, iovec >= (high + 1) * 0x1_0000_0000 ? high + 1 : high, 1);
      }
      const sent = vector.send(fd, 0, count);
      if (sent < 0) return -sent;
      for (let i = 0; i < sent; i++) this.dropFirst();
    }
    return 0;
  }

  /** Takes the first frame out. */
  dropFirst(): void {
    if (this.frames === 0) return;
    this.#bytes -= (this.#lengths as Uint32Array)[this.#head % QUEUE_FRAMES];
    this.#head++;
    if (this.frames === 0) this.#empty();
  }

  #empty(): void {
    this.#head = 0;
    this.#tail = 0;
    this.#write = 0;
    this.#bytes = 0;
    if (this.#ring !== undefined) give(this.#ring);
    this.#ring = undefined;
  }

  /** Drops everything and gives the memory back. Returns how many frames were waiting. */
  clear(): number {
    const { frames } = this;
    this.#empty();
    this.#offsets = undefined;
    this.#lengths = undefined;
    this.#iovecs = undefined;
    return frames;
  }
}
