/**
 * Merging: the TCP segments and UDP datagrams of a burst that belong together become super-frames, as the kernel's
 * generic receive offload does it (GRO; Linux: Documentation/networking/segmentation-offloads.rst), for an end that takes
 * them.
 *
 * The rules are GRO's and a little stricter, so that cutting the super-frame gives the same segments again: same headers
 * but for what counts up, in TCP no flag but ACK and PSH and payload that follows on, all segments as long as the first
 * and only the last shorter. The checksum of each is verified first, since a super-frame's are made anew by whoever cuts
 * it: merging a damaged segment would hide the damage. One that its sender left to be completed needs no look. A packet
 * that may not be fragmented is identified by nothing (RFC 6864 section 4.1), so only without DF must the identification
 * count up.
 *
 * No payload is copied. A super-frame is written as its headers, from memory of ours, and then a range of the burst for
 * each segment.
 */

import { VIRTIO_NET_HDR } from '../sys/layout.js';
import { Memory } from '../sys/memory.js';
import { BURST_SIZE, type Burst } from './burst.js';
import { readU16, readU32, writeU16 } from './bytes.js';
import { checksum, foldSum } from './checksum.js';
import { ETHERNET_HEADER, ETHERNET_TYPE_AT, EtherType } from './ethernet.js';
import { IPV4_HEADER, IpProtocol } from './ipv4.js';
import { IPV6_HEADER } from './ipv6.js';
import { GsoType, OffloadFlag, OffloadHeader, TCP_CHECKSUM_AT, UDP_CHECKSUM_AT } from './offload.js';
import { parallelSum } from './parallel-sum.js';
import { UDP_HEADER } from './udp.js';
import { isTpid, VLAN_TAG } from './vlan.js';

/** In `Coalescer.view`: the item is a super-frame. */
export const MERGED = 0xff;

/** Flows that can be merged side by side; one more ends the oldest. */
const FLOWS = 8;
const TAGS_MAX = 2;
const TCP_HEADER = 20;
const TCP_FLAGS_AT = 13;
const PSH = 0x08;
const ACK = 0x10;
/** The word of data offset, flags and window, without PSH. */
const EXCEPT_PSH = ~(PSH << 16);
const IP_PACKET_MAX = 0xffff;
const DONT_FRAGMENT = 0x4000;
const NONE = 0xff;

/**
 * Bytes of scratch memory for each super-frame: the `struct virtio_net_hdr` and at most 14 + 2 tags + 40 + 60 bytes of
 * headers, which begin at a multiple of 4.
 */
const HEADER_STRIDE = 160;
const HEADER_AT = 16;

/** What a frame is to the merging of others: neither TCP nor UDP; of a flow that cannot be told; of a flow; mergeable. */
const OTHER = 0;
const OBSCURE = 1;
const SEGMENT = 2;
const MERGEABLE = 3;

/** Merges the frames of one burst after the other; what `coalesce` says is good until its next call. */
export class Coalescer {
  /** Each item's view of the burst, or `MERGED`. */
  readonly view = new Uint8Array(BURST_SIZE);
  /** Bytes of each item's frame. */
  readonly length = new Uint32Array(BURST_SIZE);
  /** Where a super-frame's headers begin in `headers`; its `struct virtio_net_hdr` lies in the 10 bytes before. */
  readonly headerAt = new Uint32Array(BURST_SIZE);
  /** Bytes of a super-frame's headers, without the `struct virtio_net_hdr`. */
  readonly headerLength = new Uint16Array(BURST_SIZE);
  /** A super-frame's ranges of payload: `pieces` of them from `firstPiece` on. */
  readonly firstPiece = new Uint8Array(BURST_SIZE);
  readonly pieces = new Uint8Array(BURST_SIZE);
  /** Ranges of payload in the bytes of the burst. */
  readonly pieceAt = new Uint32Array(BURST_SIZE);
  readonly pieceLength = new Uint32Array(BURST_SIZE);
  readonly headers = new Memory((BURST_SIZE / 2) * HEADER_STRIDE);
  /** Super-frames made and segments merged into them, and segments that were not because of a wrong checksum. */
  readonly counts = { superFrames: 0, segments: 0, damaged: 0 };

  readonly #offload = new OffloadHeader();
  #burst!: Burst;
  #items = 0;
  /** Items that may still grow, the oldest first. */
  readonly #open = new Uint8Array(FLOWS);
  #openCount = 0;

  // Of each item: its first and last segment, what is to follow, and where it stands.
  readonly #first = new Uint8Array(BURST_SIZE);
  readonly #last = new Uint8Array(BURST_SIZE);
  readonly #segments = new Uint8Array(BURST_SIZE);
  readonly #sequence = new Uint32Array(BURST_SIZE);
  readonly #identification = new Uint16Array(BURST_SIZE);
  readonly #verified = new Uint8Array(BURST_SIZE);
  readonly #psh = new Uint8Array(BURST_SIZE);

  // Of each frame, by its place in the list: the item's next segment, and what #parse has found, as offsets in the burst.
  readonly #next = new Uint8Array(BURST_SIZE);
  readonly #start = new Uint32Array(BURST_SIZE);
  readonly #network = new Uint32Array(BURST_SIZE);
  readonly #transport = new Uint32Array(BURST_SIZE);
  readonly #payload = new Uint32Array(BURST_SIZE);
  readonly #end = new Uint32Array(BURST_SIZE);
  readonly #protocol = new Uint8Array(BURST_SIZE);
  /** 1 if the checksum is left to be completed: there is nothing to verify. */
  readonly #partial = new Uint8Array(BURST_SIZE);

  /** @param udp whether datagrams are merged too: kernels before 6.2 know no super-frames of them. */
  constructor(readonly udp: boolean = true) {}

  /**
   * Merges what can be merged of `count` views of a burst. A super-frame comes where its first segment was; the frames
   * of a flow keep their order. Views other than the frames as they arrived, and frames with offloads, pass as they are.
   * @param count at most `BURST_SIZE`.
   * @returns how many items there are now.
   */
  coalesce(burst: Burst, views: Uint8Array, count: number): number {
    this.#burst = burst;
    this.#items = 0;
    this.#openCount = 0;
    const frames = Math.min(count, BURST_SIZE);
    for (let frame = 0; frame < frames; frame++) this.#take(frame, views[frame]);
    this.#finish();
    return this.#items;
  }

  #take(frame: number, view: number): void {
    // A view with its tag changed is in pieces: which flow it is of is not looked for.
    const kind = view < BURST_SIZE ? this.#parse(frame, view) : OBSCURE;
    if (kind === OBSCURE) this.#openCount = 0;
    if (kind >= SEGMENT) {
      const flow = this.#find(frame);
      if (flow !== NONE) {
        const item = this.#open[flow];
        if (kind === MERGEABLE && this.#joins(item, frame)) {
          if (!this.#verify(frame)) {
            this.#close(flow);
            this.#single(view);
            return;
          }
          if (this.#verified[item] === 1 || this.#verify(this.#first[item])) {
            this.#verified[item] = 1;
            if (this.#append(item, frame)) this.#close(flow);
            return;
          }
        }
        this.#close(flow);
      }
    }
    const item = this.#single(view);
    // With PSH it is complete already.
    if (kind === MERGEABLE && this.#push(frame) === 0) this.#openItem(item, frame);
  }

  #single(view: number): number {
    const item = this.#items++;
    this.view[item] = view;
    this.length[item] = this.#burst.length[view];
    this.pieces[item] = 0;
    this.#segments[item] = 1;
    return item;
  }

  #openItem(item: number, frame: number): void {
    if (this.#openCount === FLOWS) this.#close(0);
    this.#open[this.#openCount++] = item;
    const { bytes } = this.#burst;
    const transport = this.#transport[frame];
    this.#first[item] = frame;
    this.#last[item] = frame;
    this.#sequence[item] = readU32(bytes, transport + 4) + this.#payloadLength(frame);
    this.#identification[item] = readU16(bytes, this.#network[frame] + 4) + 1;
    this.#verified[item] = 0;
    this.#psh[item] = 0;
  }

  #close(flow: number): void {
    this.#open.copyWithin(flow, flow + 1, this.#openCount--);
  }

  /** The PSH bit of a segment; a datagram has none. */
  #push(frame: number): number {
    if (this.#protocol[frame] === IpProtocol.udp) return 0;
    return this.#burst.bytes[this.#transport[frame] + TCP_FLAGS_AT] & PSH;
  }

  #payloadLength(frame: number): number {
    return this.#end[frame] - this.#payload[frame];
  }

  /** Adds a frame that joins to an item; true if the item is complete with it. */
  #append(item: number, frame: number): boolean {
    const length = this.#payloadLength(frame);
    this.#next[this.#last[item]] = frame;
    this.#last[item] = frame;
    this.#segments[item]++;
    this.#sequence[item] += length;
    this.#identification[item]++;
    this.length[item] += length;
    this.#psh[item] = this.#push(frame);
    return this.#psh[item] !== 0 || length < this.#payloadLength(this.#first[item]);
  }

  /** Finds the headers of a frame and says what it is. */
  #parse(frame: number, slot: number): number {
    const burst = this.#burst;
    const { bytes } = burst;
    const start = burst.start[slot];
    const limit = start + burst.length[slot];
    if (limit - start < ETHERNET_HEADER) return OTHER;
    let at = start + ETHERNET_TYPE_AT;
    for (let tags = 0; isTpid(readU16(bytes, at)); tags++) {
      at += VLAN_TAG;
      if (tags === TAGS_MAX) return OBSCURE;
      if (at + 2 > limit) return OTHER;
    }
    const type = readU16(bytes, at);
    at += 2;
    let transport: number;
    let end: number;
    let protocol: number;
    if (type === EtherType.ipv4) {
      transport = at + IPV4_HEADER;
      if (transport > limit) return OTHER;
      protocol = bytes[at + 9];
      if (protocol !== IpProtocol.tcp && (protocol !== IpProtocol.udp || !this.udp)) return OTHER;
      // Another version, options or a fragment.
      if (bytes[at] !== 0x45 || (readU16(bytes, at + 6) & ~DONT_FRAGMENT) !== 0) return OBSCURE;
      if (checksum(bytes, at, transport) !== 0) return OBSCURE;
      end = at + readU16(bytes, at + 2);
    } else if (type === EtherType.ipv6) {
      transport = at + IPV6_HEADER;
      if (transport > limit) return OTHER;
      protocol = bytes[at + 6];
      if (protocol === IpProtocol.icmpv6 || (protocol === IpProtocol.udp && !this.udp)) return OTHER;
      if ((protocol !== IpProtocol.tcp && protocol !== IpProtocol.udp) || bytes[at] >>> 4 !== 6) return OBSCURE;
      end = transport + readU16(bytes, at + 4);
    } else return OTHER;
    const isTcp = protocol === IpProtocol.tcp;
    const least = transport + (isTcp ? TCP_HEADER : UDP_HEADER);
    if (end > limit || least > end) return OBSCURE;
    const payload = isTcp ? transport + (bytes[transport + 12] >>> 4) * 4 : least;
    if (payload < least || payload > end) return OBSCURE;
    this.#start[frame] = start;
    this.#network[frame] = at;
    this.#transport[frame] = transport;
    this.#payload[frame] = payload;
    this.#end[frame] = end;
    this.#protocol[frame] = protocol;
    this.#partial[frame] = burst.offload[slot];
    const plain = isTcp
      ? (bytes[transport + TCP_FLAGS_AT] & ~PSH) === ACK
      : readU16(bytes, transport + 4) === end - transport && readU16(bytes, transport + UDP_CHECKSUM_AT) !== 0;
    // Padding behind the packet would be lost.
    if (!plain || payload === end || end !== limit) return SEGMENT;
    return burst.offload[slot] === 0 || this.#onlyChecksum(start, transport - start, isTcp) ? MERGEABLE : SEGMENT;
  }

  /** Whether all that a frame's sender left to be done is the checksum of its transport header, `transport` bytes on. */
  #onlyChecksum(start: number, transport: number, isTcp: boolean): boolean {
    const offload = this.#offload;
    if (!offload.read(this.#burst.bytes, start - VIRTIO_NET_HDR.size)) return false;
    if (offload.gsoType !== GsoType.none || !offload.needsChecksum) return false;
    return (
      offload.checksumStart === transport && offload.checksumOffset === (isTcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT)
    );
  }

  /** Which of the open flows a segment belongs to, or `NONE`. */
  #find(frame: number): number {
    for (let flow = 0; flow < this.#openCount; flow++) {
      if (this.#sameFlow(this.#first[this.#open[flow]], frame)) return flow;
    }
    return NONE;
  }

  /** Same protocol, ports, IP addresses and Ethernet header with its tags. */
  #sameFlow(a: number, b: number): boolean {
    const { bytes } = this.#burst;
    if (this.#protocol[a] !== this.#protocol[b]) return false;
    if (readU32(bytes, this.#transport[a]) !== readU32(bytes, this.#transport[b])) return false;
    const network = this.#network[a];
    const other = this.#network[b];
    if (network - this.#start[a] !== other - this.#start[b]) return false;
    const isIpv4 = bytes[network] === 0x45;
    const from = isIpv4 ? 12 : 8;
    if (!equalAt(bytes, network + from, other + from, isIpv4 ? 8 : 32)) return false;
    return equalAt(bytes, this.#start[a], this.#start[b], network - this.#start[a]);
  }

  /** Whether a segment of the flow carries on what an item has, and could be cut from it again. */
  #joins(item: number, frame: number): boolean {
    const { bytes } = this.#burst;
    const first = this.#first[item];
    const a = this.#network[first];
    const b = this.#network[frame];
    if (bytes[a] === 0x45) {
      // Type of service, DF, time to live.
      if (bytes[a + 1] !== bytes[b + 1] || bytes[a + 6] !== bytes[b + 6] || bytes[a + 8] !== bytes[b + 8]) return false;
      if ((bytes[a + 6] & (DONT_FRAGMENT >>> 8)) === 0 && readU16(bytes, b + 4) !== this.#identification[item])
        return false;
    } else if (readU32(bytes, a) !== readU32(bytes, b) || bytes[a + 7] !== bytes[b + 7]) {
      return false;
    }
    const length = this.#payloadLength(frame);
    if (length > this.#payloadLength(first)) return false;
    if (this.length[item] + length - (a - this.#start[first]) > IP_PACKET_MAX) return false;
    if (this.#protocol[frame] === IpProtocol.udp) return true;
    const s = this.#transport[first];
    const t = this.#transport[frame];
    if (readU32(bytes, t + 4) !== this.#sequence[item]) return false;
    if (readU32(bytes, s + 8) !== readU32(bytes, t + 8)) return false;
    // Also the length of the options, and the window.
    if (((readU32(bytes, s + 12) ^ readU32(bytes, t + 12)) & EXCEPT_PSH) !== 0) return false;
    if (readU16(bytes, s + 18) !== readU16(bytes, t + 18)) return false;
    return equalAt(bytes, s + TCP_HEADER, t + TCP_HEADER, this.#payload[first] - s - TCP_HEADER);
  }

  /** Whether the transport checksum of a frame is right, or still to be made. */
  #verify(frame: number): boolean {
    if (this.#partial[frame] === 1) return true;
    const { bytes } = this.#burst;
    const transport = this.#transport[frame];
    const end = this.#end[frame];
    const pseudo = this.#addressSum(frame) + this.#protocol[frame] + (end - transport);
    const right = foldSum(pseudo + parallelSum(bytes, transport, end)) === 0xffff;
    if (!right) this.counts.damaged++;
    return right;
  }

  #addressSum(frame: number): number {
    const network = this.#network[frame];
    const { bytes } = this.#burst;
    return parallelSum(bytes, network + (bytes[network] === 0x45 ? 12 : 8), this.#transport[frame]);
  }

  /** Lists the pieces of each item of more than one segment and writes its headers. */
  #finish(): void {
    let piece = 0;
    let superFrames = 0;
    for (let item = 0; item < this.#items; item++) {
      const segments = this.#segments[item];
      if (segments < 2) continue;
      this.view[item] = MERGED;
      this.firstPiece[item] = piece;
      this.pieces[item] = segments;
      for (let k = 0, frame = this.#first[item]; k < segments; k++, frame = this.#next[frame]) {
        this.pieceAt[piece] = this.#payload[frame];
        this.pieceLength[piece++] = this.#payloadLength(frame);
      }
      this.#writeHeaders(item, superFrames++ * HEADER_STRIDE + HEADER_AT);
      this.counts.segments += segments;
    }
    this.counts.superFrames += superFrames;
  }

  #writeHeaders(item: number, at: number): void {
    const { bytes } = this.#burst;
    const target = this.headers.bytes;
    const first = this.#first[item];
    const start = this.#start[first];
    const headerLength = this.#payload[first] - start;
    for (let i = 0; i < headerLength; i++) target[at + i] = bytes[start + i];
    this.headerAt[item] = at;
    this.headerLength[item] = headerLength;

    const ip = at + this.#network[first] - start;
    const transport = at + this.#transport[first] - start;
    const transportLength = this.length[item] - (transport - at);
    const isTcp = this.#protocol[first] === IpProtocol.tcp;
    const checksumAt = isTcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT;
    const isIpv4 = target[ip] === 0x45;
    if (isIpv4) {
      writeU16(target, ip + 2, transportLength + IPV4_HEADER);
      writeU16(target, ip + 10, 0);
      writeU16(target, ip + 10, checksum(target, ip, transport));
    } else {
      writeU16(target, ip + 4, transportLength);
    }
    if (isTcp) target[transport + TCP_FLAGS_AT] |= this.#psh[item];
    else writeU16(target, transport + 4, transportLength);
    const pseudo = this.#addressSum(first) + this.#protocol[first] + transportLength;
    writeU16(target, transport + checksumAt, foldSum(pseudo));

    const offload = this.#offload;
    offload.flags = OffloadFlag.needsChecksum;
    offload.gsoType = isTcp ? (isIpv4 ? GsoType.tcpv4 : GsoType.tcpv6) : GsoType.udpL4;
    offload.gsoSize = this.#payloadLength(first);
    offload.headerLength = headerLength;
    offload.checksumStart = transport - at;
    offload.checksumOffset = checksumAt;
    offload.write(target, at - VIRTIO_NET_HDR.size);
  }
}

function equalAt(bytes: Uint8Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (bytes[a + i] !== bytes[b + i]) return false;
  return true;
}
