/**
 * A burst: up to 64 frames in one preallocated slab (docs/design.md, "bursts, run to completion").
 *
 * Each slot has headroom before its frame, so that a header can be put before it without a copy, and room for a 64 kB
 * super-frame. Frames begin at a multiple of 4, so that addresses can be read as words.
 *
 * A frame may be a *super-frame*: the 10 bytes before it are a `struct virtio_net_hdr` that says how it is to be cut and
 * which checksum is still to be completed (`offload`).
 *
 * What is sent is a *view*. View `i` is the frame of slot `i` as it arrived. Views `BURST_SIZE + i` and `2 * BURST_SIZE + i`
 * are the same frame with its VLAN tag changed (`retag`): no byte moves, the view is gathered from pieces. Lists of views
 * are what a switch hands to its egresses. A frame needs no more than three:
 *
 * | frame as it arrived | second view          | third view                              |
 * |---------------------|----------------------|-----------------------------------------|
 * | without a tag       | with a customer tag  | with a service tag (802.1ad)            |
 * | with a tag          | without it           | with the tag's protocol identifier (TPID) exchanged |
 */

import type { SendVector } from '../sys/batch.js';
import { IOVEC, VIRTIO_NET_HDR } from '../sys/layout.js';
import { Memory } from '../sys/memory.js';
import { EtherType } from './ethernet.js';
import type { Tpid } from './vlan.js';

/** Most frames in a burst. */
export const BURST_SIZE = 64;
/** Views of a burst: numbers below this. */
export const VIEWS = 3 * BURST_SIZE;
/** Most bytes of a frame: a 64 kB IP packet with an Ethernet header and a tag. */
export const FRAME_MAX = 65_535 + 14 + 4;
/** Bytes before each frame that a sender may use. */
export const HEADROOM = 128;
/** Shortest frame: an Ethernet header (IEEE 802.3, without FCS and padding). */
export const FRAME_MIN = 14;

// An odd number of cache lines, so that the headers of neighbouring slots do not compete for the same cache set.
const STRIDE = Math.ceil((HEADROOM + FRAME_MAX + 64) / 128) * 128 + 64;

// Per view: the offload header, for those who send one, then up to three pieces of the frame.
const VIEW_BYTES = 4 * IOVEC.size;
/** Bytes per view for a tag and for the offload header that goes with it, each at a multiple of 8. */
const EXTRA_BYTES = 24;
const EXTRA_HEADER = 8;
const COMPLETE_HEADER = EXTRA_BYTES * (VIEWS - BURST_SIZE);
/** Flag of `struct virtio_net_hdr`: a checksum is to be completed. */
const NEEDS_CHECKSUM = 1;

/** Up to `BURST_SIZE` frames with their lengths, their offload metadata and their views. */
export class Burst {
  /** Slots in use: frames 0 to `count - 1`. */
  count = 0;
  readonly bytes: Uint8Array;
  /** The slab as signed 32-bit words in host order. */
  readonly words: Int32Array;
  /** The slab as 16-bit words in host order. */
  readonly shorts: Uint16Array;
  /** Offset of each frame in `bytes`; a multiple of 4. */
  readonly start = new Uint32Array(BURST_SIZE);
  /** Bytes of each view. */
  readonly length = new Uint32Array(VIEWS);
  /**
   * 1 where the 10 bytes before the frame are a `struct virtio_net_hdr` that asks for segmentation or a checksum
   * (a super-frame), 0 where the frame is complete as it is.
   */
  readonly offload = new Uint8Array(BURST_SIZE);
  /** How many of the burst's frames have `offload` set. */
  superFrames = 0;
  /** How many pieces (iovecs) each view is gathered from. */
  readonly pieces = new Uint8Array(VIEWS);
  readonly #slab: Memory;
  readonly #iovecs: Memory;
  /** Tags and headers of changed views; at its end ten zero bytes, the offload header of a complete frame. */
  readonly #extras: Memory;
  /** Address of each view's iovecs, as two 32-bit words. */
  readonly iovLow = new Uint32Array(VIEWS);
  readonly iovHigh = new Uint32Array(VIEWS);
  /** The same with the offload header before them: one piece more, pointed to by `withOffloadHeader`. */
  readonly headedIovLow = new Uint32Array(VIEWS);
  readonly headedIovHigh = new Uint32Array(VIEWS);
  #scratch: Uint8Array | undefined;

  constructor() {
    this.#slab = new Memory(STRIDE * BURST_SIZE);
    this.bytes = this.#slab.bytes;
    this.words = new Int32Array(this.#slab.buffer);
    this.shorts = new Uint16Array(this.#slab.buffer);
    this.#iovecs = new Memory(VIEW_BYTES * VIEWS);
    this.#extras = new Memory(COMPLETE_HEADER + VIRTIO_NET_HDR.size);
    for (let view = 0; view < VIEWS; view++) {
      this.#iovecs.setPointer(view * VIEW_BYTES + IOVEC.length, VIRTIO_NET_HDR.size);
      const headed = this.#iovecs.address + view * VIEW_BYTES;
      this.headedIovLow[view] = headed >>> 0;
      this.headedIovHigh[view] = Math.floor(headed / 0x1_0000_0000);
      this.iovLow[view] = (headed + IOVEC.size) >>> 0;
      this.iovHigh[view] = Math.floor((headed + IOVEC.size) / 0x1_0000_0000);
    }
    this.pieces.fill(1, 0, BURST_SIZE);
    for (let slot = 0; slot < BURST_SIZE; slot++) this.place(slot, this.home(slot), 0);
  }

  /** Where the frame of a slot lies unless it is placed elsewhere. */
  home(slot: number): number {
    return slot * STRIDE + HEADROOM;
  }

  /** Address of slot 0's home and the distance from slot to slot, for receive vectors. */
  get address(): number {
    return this.#slab.address + HEADROOM;
  }

  get stride(): number {
    return STRIDE;
  }

  /** Address of a byte of the slab. */
  addressAt(offset: number): number {
    return this.#slab.address + offset;
  }

  /** Says where the frame of a slot lies in the slab (a multiple of 4, within the slot) and how long it is. */
  place(slot: number, start: number, length: number): void {
    this.start[slot] = start;
    this.length[slot] = length;
    const iovec = slot * VIEW_BYTES + IOVEC.size;
    this.#iovecs.setPointer(iovec + IOVEC.base, this.#slab.address + start);
    this.#iovecs.words[(iovec + IOVEC.length) >>> 2] = length;
  }

  /** Says how long the frame of a slot is; it stays where it lies. */
  setLength(slot: number, length: number): void {
    this.length[slot] = length;
    this.#iovecs.words[(slot * VIEW_BYTES + IOVEC.size + IOVEC.length) >>> 2] = length;
  }

  /** Copies a frame into the next free slot. False if the burst is full or the frame does not fit. */
  add(frame: Uint8Array): boolean {
    const slot = this.count;
    if (slot === BURST_SIZE || frame.length > FRAME_MAX) return false;
    const home = this.home(slot);
    this.bytes.set(frame, home);
    this.place(slot, home, frame.length);
    this.offload[slot] = 0;
    this.count = slot + 1;
    return true;
  }

  /** The bytes of a slot's frame, in place. */
  frame(slot: number): Uint8Array {
    const start = this.start[slot];
    return this.bytes.subarray(start, start + this.length[slot]);
  }

  /** The `struct virtio_net_hdr` of a slot. */
  offloadHeader(slot: number): Uint8Array {
    const start = this.start[slot];
    return this.bytes.subarray(start - VIRTIO_NET_HDR.size, start);
  }

  /**
   * Makes the second view of a slot: without its tag if it has one, else with a customer tag (802.1Q).
   * @param tci what the tag says: PCP, DEI and VLAN identifier (IEEE 802.1Q, 9.6).
   * @param tagged whether the frame as it arrived carries a tag.
   */
  retag(slot: number, tci: number, tagged: boolean): number {
    const view = BURST_SIZE + slot;
    if (tagged) this.#withoutTag(slot, view);
    else this.#withTag(slot, view, EtherType.customerTag, tci);
    return view;
  }

  /**
   * Makes the third view of a slot: with its tag's protocol identifier exchanged for `tpid`, priority and VLAN as they
   * are, if it has a tag, else with a service tag (802.1ad).
   * @param tci as for `retag`.
   * @param tagged whether the frame as it arrived carries a tag.
   */
  retagService(slot: number, tci: number, tagged: boolean, tpid: Tpid): number {
    const view = 2 * BURST_SIZE + slot;
    if (tagged) this.#withProtocol(slot, view, tpid);
    else this.#withTag(slot, view, EtherType.serviceTag, tci);
    return view;
  }

  #withoutTag(slot: number, view: number): void {
    const frame = this.#slab.address + this.start[slot];
    const rest = this.length[slot] - 16;
    this.#piece(view, 0, frame, 12);
    this.#piece(view, 1, frame + 16, rest);
    this.#complete(slot, view, 2, -4);
  }

  #withTag(slot: number, view: number, tpid: Tpid, tci: number): void {
    const tag = extra(view);
    this.#extras.view.setUint16(tag, tpid);
    this.#extras.view.setUint16(tag + 2, tci);
    this.#around(slot, view, tag, 4, 12);
    this.#complete(slot, view, 3, 4);
  }

  #withProtocol(slot: number, view: number, tpid: Tpid): void {
    const tag = extra(view);
    this.#extras.view.setUint16(tag, tpid);
    this.#around(slot, view, tag, 2, 14);
    this.#complete(slot, view, 3, 0);
  }

  /** A view of the addresses, `size` bytes of a tag, and the frame from `rest` on. */
  #around(slot: number, view: number, tag: number, size: number, rest: number): void {
    const frame = this.#slab.address + this.start[slot];
    this.#piece(view, 0, frame, 12);
    this.#piece(view, 1, this.#extras.address + tag, size);
    this.#piece(view, 2, frame + rest, this.length[slot] - rest);
  }

  #piece(view: number, index: number, address: number, length: number): void {
    const iovec = view * VIEW_BYTES + (index + 1) * IOVEC.size;
    this.#iovecs.setPointer(iovec + IOVEC.base, address);
    this.#iovecs.setPointer(iovec + IOVEC.length, length);
  }

  #complete(slot: number, view: number, pieces: number, growth: number): void {
    this.pieces[view] = pieces;
    this.length[view] = this.length[slot] + growth;
    if (this.offload[slot]) this.#shiftOffload(slot, view, growth);
  }

  /** Makes the offload header of a changed view, whose headers are `by` bytes longer. */
  #shiftOffload(slot: number, view: number, by: number): void {
    const at = extra(view) + EXTRA_HEADER;
    this.#extras.bytes.set(this.offloadHeader(slot), at);
    this.#addTo(at + VIRTIO_NET_HDR.headerLength, by);
    this.#addTo(at + VIRTIO_NET_HDR.checksumStart, by);
  }

  #addTo(field: number, by: number): void {
    const { view } = this.#extras;
    view.setUint16(field, view.getUint16(field, true) + by, true);
  }

  /** Address of the offload header of a view: zeros for a complete frame. */
  offloadHeaderAddress(view: number): number {
    const slot = view & (BURST_SIZE - 1);
    if (this.offload[slot] === 0) return this.#extras.address + COMPLETE_HEADER;
    if (view < BURST_SIZE) return this.#slab.address + this.start[slot] - VIRTIO_NET_HDR.size;
    return this.#extras.address + extra(view) + EXTRA_HEADER;
  }

  /** Points the first of a view's iovecs to its offload header. Returns their address: `pieces[view] + 1` of them. */
  withOffloadHeader(view: number): number {
    const iovec = view * VIEW_BYTES;
    this.#iovecs.setPointer(iovec, this.offloadHeaderAddress(view));
    return this.#iovecs.address + iovec;
  }

  /** Message i of a vector is a view, with its offload header before it if `headed`. */
  gather(view: number, vector: SendVector, i: number, headed: boolean): void {
    if (headed) {
      this.withOffloadHeader(view);
      vector.set(i, this.headedIovLow[view], this.headedIovHigh[view], this.pieces[view] + 1);
    } else {
      vector.set(i, this.iovLow[view], this.iovHigh[view], this.pieces[view]);
    }
  }

  /**
   * Copies the iovecs of a view to `target[offset]`, with that of its offload header before them if `headed`.
   * @returns how many; at most 4.
   */
  copyPieces(view: number, target: Memory, offset: number, headed = false): number {
    const iovec = headed ? 0 : IOVEC.size;
    if (headed) this.withOffloadHeader(view);
    const count = this.pieces[view] + (headed ? 1 : 0);
    const { words } = this.#iovecs;
    const from = (view * VIEW_BYTES + iovec) >>> 2;
    const to = offset >>> 2;
    const end = (count * IOVEC.size) >>> 2;
    for (let word = 0; word < end; word++) target.words[to + word] = words[from + word];
    return count;
  }

  /** Looks at the offload headers that arrived with the frames: which of them are super-frames. */
  readOffloads(): void {
    const { bytes, start, offload } = this;
    let superFrames = 0;
    for (let slot = 0; slot < this.count; slot++) {
      const at = start[slot] - VIRTIO_NET_HDR.size;
      const asks = (bytes[at] & NEEDS_CHECKSUM) !== 0 || bytes[at + VIRTIO_NET_HDR.gsoType] !== 0 ? 1 : 0;
      offload[slot] = asks;
      superFrames += asks;
    }
    this.superFrames = superFrames;
  }

  /** The burst holds complete frames again. */
  clearOffloads(): void {
    if (this.superFrames > 0) this.offload.fill(0);
    this.superFrames = 0;
  }

  /** Copies the offload header of a view to `target[offset]`. */
  copyOffloadHeader(view: number, target: Uint8Array, offset: number): void {
    const slot = view & (BURST_SIZE - 1);
    if (this.offload[slot] === 0) target.fill(0, offset, offset + VIRTIO_NET_HDR.size);
    else if (view < BURST_SIZE) target.set(this.offloadHeader(slot), offset);
    else {
      const at = extra(view) + EXTRA_HEADER;
      target.set(this.#extras.bytes.subarray(at, at + VIRTIO_NET_HDR.size), offset);
    }
  }

  /** Copies a view to `target[offset]`, which must have `length[view]` bytes of room. Returns that length. */
  copyView(view: number, target: Uint8Array, offset: number): number {
    const length = this.length[view];
    if (view < BURST_SIZE) {
      const start = this.start[view];
      target.set(this.bytes.subarray(start, start + length), offset);
      return length;
    }
    const slot = view & (BURST_SIZE - 1);
    const start = this.start[slot];
    const growth = length - this.length[slot];
    target.set(this.bytes.subarray(start, start + 12), offset);
    if (growth < 0) target.set(this.bytes.subarray(start + 16, start + 4 + length), offset + 12);
    else {
      // A whole tag, or the two bytes that were exchanged.
      const size = growth === 0 ? 2 : 4;
      const tag = extra(view);
      target.set(this.#extras.bytes.subarray(tag, tag + size), offset + 12);
      target.set(this.bytes.subarray(start + 12 + size - growth, start + length - growth), offset + 12 + size);
    }
    return length;
  }

  /** The bytes of a view: in place where they lie together, else copied to scratch memory good until the next call. */
  viewBytes(view: number): Uint8Array {
    if (view < BURST_SIZE) return this.frame(view);
    this.#scratch ??= new Uint8Array(FRAME_MAX + 4);
    return this.#scratch.subarray(0, this.copyView(view, this.#scratch, 0));
  }
}

/** Where the tag of a changed view lies. */
function extra(view: number): number {
  return (view - BURST_SIZE) * EXTRA_BYTES;
}

/** The list of all frames of a burst as they arrived: views 0 to 63. */
export const ALL_VIEWS: Uint8Array = Uint8Array.from({ length: BURST_SIZE }, (_, i) => i);
