/**
 * Cutting super-frames: what a network card does with a TCP or UDP packet of up to 64 kB (TSO, USO; Linux:
 * Documentation/networking/segmentation-offloads.rst), done where an end takes wire-sized frames only.
 *
 * Every segment gets the super-frame's headers and `gso_size` bytes of its payload (the last one what is left), and then
 * what differs: lengths (RFC 791, RFC 8200), the IPv4 identification counting up, the TCP sequence number (RFC 9293),
 * FIN and PSH on the last alone, CWR on the first alone (RFC 3168 section 6.1.2), and complete checksums. Where the
 * headers end is read from the frame itself: of the `struct virtio_net_hdr` only the type and the segment size count.
 */

import { BURST_SIZE, type Burst, FRAME_MAX } from './burst.js';
import { readU16, readU32, writeU16, writeU32 } from './bytes.js';
import { foldSum, sumBytes } from './checksum.js';
import { ETHERNET_HEADER, ETHERNET_TYPE_AT, EtherType } from './ethernet.js';
import { IPV4_HEADER, IpProtocol } from './ipv4.js';
import { EXTENSION_HEADERS_MAX, IPV6_HEADER } from './ipv6.js';
import { GsoType, OffloadHeader, TCP_CHECKSUM_AT, UDP_CHECKSUM_AT } from './offload.js';
import { parallelSum } from './parallel-sum.js';
import { UDP_HEADER } from './udp.js';
import { isTpid, VLAN_TAG, VLAN_TAGS_MAX } from './vlan.js';

/**
 * Segments of one super-frame at most: 64 kB in the smallest that a Linux TCP makes (RFC 879's 48 bytes of MSS, less
 * options). Without a bound one frame with a segment size of 1 would become 65 000.
 */
export const SEGMENTS_MAX = 2048;

/** Bytes of headers in a super-frame at most; more than any stack of tags, options and extension headers in use. */
export const HEADERS_MAX = 512;

/** Payload that a TCP segment is not made to fall short of for the sake of `Segmenter.longest`. */
const SEGMENT_MIN = 256;

const TCP_HEADER = 20;
const TCP_FLAGS_AT = 13;
const FIN = 0x01;
const PSH = 0x08;
const CWR = 0x80;
/** More fragments, and the fragment offset (RFC 791). */
const FRAGMENT = 0x3fff;

/** IPv6 extension headers that may stand before the transport header of a super-frame (IANA). */
const HOP_BY_HOP = 0;
const ROUTING = 43;
const DESTINATION = 60;

/** Cuts super-frames into bursts of wire-sized frames. One object serves many frames, one after the other. */
export class Segmenter {
  /** Frames refused: malformed, or of a kind that cannot be cut. */
  malformed = 0;
  /**
   * Where the frames go, in bytes, longer ones have a hard time (IP fragments, say): a TCP may send shorter segments than
   * it was asked for (RFC 9293 section 3.7.1), so its super-frames are cut into such. Datagrams keep their length.
   */
  longest = FRAME_MAX;
  readonly #header = new OffloadHeader();
  readonly #template = new Uint8Array(HEADERS_MAX);
  #headers = this.#template.subarray(0, 0);
  // What #parse has found; offsets from the start of the frame.
  #network = 0;
  #transport = 0;
  #payload = 0;
  /** End of the IP packet: what follows is padding. */
  #end = 0;
  /** Sum of the pseudo header, but for the length. */
  #pseudo = 0;

  /**
   * The longest frame that `segment` would make of this one, in bytes; 0 if it would refuse it. For a frame that is no
   * super-frame, its length.
   */
  wireSize(bytes: Uint8Array, frameStart: number, frameLength: number, headerAt: number): number {
    if (!this.#read(bytes, frameStart, frameLength, headerAt)) return 0;
    if (this.#header.gso === GsoType.none) return frameLength;
    if (!this.#parse(bytes, frameStart, frameLength)) return 0;
    return Math.min(this.#payload + this.#header.gsoSize, this.#end);
  }

  /**
   * Appends to `out` the complete wire-sized frames that a frame with a `struct virtio_net_hdr` stands for. One that is
   * no super-frame is copied and its checksum completed.
   * @param bytes not the bytes of `out`; left as they are.
   * @param headerAt where the `struct virtio_net_hdr` lies in `bytes`.
   * @param out gets its slots from `out.count` on; they are placed at home.
   * @param flush called, synchronously, whenever `out` is full and one more frame comes; `out.count` is then set to 0. It
   *   must not call this segmenter. What is in `out` in the end is the caller's to flush.
   * @returns how many frames were appended: 0 for a malformed frame, counted in `malformed`.
   */
  segment(
    bytes: Uint8Array,
    frameStart: number,
    frameLength: number,
    headerAt: number,
    out: Burst,
    flush: (out: Burst) => void,
  ): number {
    const known = this.#read(bytes, frameStart, frameLength, headerAt);
    const count = known ? this.#cut(bytes, frameStart, frameLength, out, flush) : 0;
    if (count === 0) this.malformed++;
    return count;
  }

  #read(bytes: Uint8Array, frameStart: number, frameLength: number, headerAt: number): boolean {
    if (!(frameStart >= 0 && frameLength >= ETHERNET_HEADER && frameLength <= FRAME_MAX)) return false;
    if (frameStart + frameLength > bytes.length) return false;
    return this.#header.read(bytes, headerAt) && this.#header.isValid(frameLength);
  }

  #cut(bytes: Uint8Array, frameStart: number, frameLength: number, out: Burst, flush: (out: Burst) => void): number {
    const { gso, gsoSize } = this.#header;
    if (gso === GsoType.none) return this.#copy(bytes, frameStart, frameLength, out, flush);
    if (!this.#parse(bytes, frameStart, frameLength)) return 0;
    const network = this.#network;
    const transport = this.#transport;
    const payload = this.#payload;
    const payloadLength = this.#end - payload;
    const isTcp = gso !== GsoType.udpL4;
    const each = isTcp ? this.#bounded(gsoSize) : gsoSize;
    const count = Math.max(1, Math.ceil(payloadLength / each));

    const headers = this.#prepare(bytes, frameStart);
    const isIpv4 = headers[network] >>> 4 === 4;
    const identification = isIpv4 ? readU16(bytes, frameStart + network + 4) : 0;
    const networkSum = isIpv4 ? sumBytes(headers, network, transport) : 0;
    const sequence = isTcp ? readU32(bytes, frameStart + transport + 4) : 0;
    const flags = isTcp ? bytes[frameStart + transport + TCP_FLAGS_AT] : 0;
    const target = out.bytes;

    for (let index = 0, done = 0; index < count; index++, done += each) {
      const size = Math.min(each, payloadLength - done);
      const slot = claim(out, flush);
      const start = out.home(slot);
      const length = payload + size;
      target.set(headers, start);
      const from = frameStart + payload + done;
      target.set(bytes.subarray(from, from + size), start + payload);

      const ip = start + network;
      if (isIpv4) {
        const total = length - network;
        const id = (identification + index) & 0xffff;
        writeU16(target, ip + 2, total);
        writeU16(target, ip + 4, id);
        writeU16(target, ip + 10, ~foldSum(networkSum + total + id));
      } else {
        writeU16(target, ip + 4, length - network - IPV6_HEADER);
      }
      const segment = start + transport;
      const segmentLength = length - transport;
      if (isTcp) {
        writeU32(target, segment + 4, sequence + done);
        const notHere = (index > 0 ? CWR : 0) | (index < count - 1 ? FIN | PSH : 0);
        target[segment + TCP_FLAGS_AT] = flags & ~notHere;
      } else {
        writeU16(target, segment + 4, segmentLength);
      }
      const sum = foldSum(this.#pseudo + segmentLength + parallelSum(target, segment, start + length));
      if (isTcp) writeU16(target, segment + TCP_CHECKSUM_AT, ~sum);
      else writeU16(target, segment + UDP_CHECKSUM_AT, sum === 0xffff ? sum : ~sum);

      out.place(slot, start, length);
      out.offload[slot] = 0;
    }
    return count;
  }

  #copy(bytes: Uint8Array, frameStart: number, frameLength: number, out: Burst, flush: (out: Burst) => void): number {
    const slot = claim(out, flush);
    const start = out.home(slot);
    out.bytes.set(bytes.subarray(frameStart, frameStart + frameLength), start);
    this.#header.complete(out.bytes, start, frameLength);
    out.place(slot, start, frameLength);
    out.offload[slot] = 0;
    return 1;
  }

  /** Bytes of payload in each TCP segment, so that none becomes longer than `longest`. */
  #bounded(gsoSize: number): number {
    const size = this.longest - this.#payload;
    const sensible = size >= SEGMENT_MIN && this.#end - this.#payload <= SEGMENTS_MAX * size;
    return sensible ? Math.min(size, gsoSize) : gsoSize;
  }

  /** The headers, with zeros for what differs from segment to segment and goes into a sum. */
  #prepare(bytes: Uint8Array, frameStart: number): Uint8Array {
    const template = this.#template;
    for (let at = 0; at < this.#payload; at++) template[at] = bytes[frameStart + at];
    if (this.#headers.length !== this.#payload) this.#headers = template.subarray(0, this.#payload);
    const network = this.#network;
    if (template[network] >>> 4 === 4) {
      writeU16(template, network + 2, 0);
      writeU16(template, network + 4, 0);
      writeU16(template, network + 10, 0);
    }
    const checksumAt = this.#header.gso === GsoType.udpL4 ? UDP_CHECKSUM_AT : TCP_CHECKSUM_AT;
    writeU16(template, this.#transport + checksumAt, 0);
    return this.#headers;
  }

  /** Finds the headers of a super-frame; false unless they are complete and what its type says, or if too much is asked. */
  #parse(bytes: Uint8Array, frameStart: number, frameLength: number): boolean {
    const { gso } = this.#header;
    const limit = frameStart + frameLength;
    let at = frameStart + ETHERNET_TYPE_AT;
    for (let tags = 0; isTpid(readU16(bytes, at)); tags++) {
      at += VLAN_TAG;
      if (tags === VLAN_TAGS_MAX || at + 2 > limit) return false;
    }
    const type = readU16(bytes, at);
    at += 2;
    this.#network = at - frameStart;
    let protocol = -1;
    if (type === EtherType.ipv4 && gso !== GsoType.tcpv6) protocol = this.#parseIpv4(bytes, frameStart, at, limit);
    else if (type === EtherType.ipv6 && gso !== GsoType.tcpv4) protocol = this.#parseIpv6(bytes, frameStart, at, limit);
    const transport = frameStart + this.#transport;
    const end = frameStart + this.#end;
    if (gso === GsoType.udpL4) {
      if (protocol !== IpProtocol.udp || transport + UDP_HEADER > end) return false;
      this.#payload = this.#transport + UDP_HEADER;
    } else {
      if (gso === GsoType.udp || protocol !== IpProtocol.tcp || transport + TCP_HEADER > end) return false;
      const length = (bytes[transport + 12] >>> 4) * 4;
      if (length < TCP_HEADER || transport + length > end) return false;
      this.#payload = this.#transport + length;
    }
    return this.#payload <= HEADERS_MAX && this.#end - this.#payload <= SEGMENTS_MAX * this.#header.gsoSize;
  }

  /** The protocol that a whole IPv4 packet carries, or -1. Whether its header has room is for the caller to see. */
  #parseIpv4(bytes: Uint8Array, frameStart: number, at: number, limit: number): number {
    if (at + IPV4_HEADER > limit || bytes[at] >>> 4 !== 4) return -1;
    const length = headerLength(bytes[at]);
    const end = at + readU16(bytes, at + 2);
    if (length < IPV4_HEADER || end > limit) return -1;
    if ((readU16(bytes, at + 6) & FRAGMENT) !== 0) return -1;
    this.#transport = at + length - frameStart;
    this.#end = end - frameStart;
    const protocol = bytes[at + 9];
    this.#pseudo = sumBytes(bytes, at + 12, at + 20, protocol);
    return protocol;
  }

  /** The same behind the extension headers of a whole IPv6 packet. */
  #parseIpv6(bytes: Uint8Array, frameStart: number, at: number, limit: number): number {
    if (at + IPV6_HEADER > limit || bytes[at] >>> 4 !== 6) return -1;
    const end = at + IPV6_HEADER + readU16(bytes, at + 4);
    if (end > limit) return -1;
    let protocol = bytes[at + 6];
    let next = at + IPV6_HEADER;
    let underWay = false;
    for (let count = 0; protocol === HOP_BY_HOP || protocol === ROUTING || protocol === DESTINATION; count++) {
      if (count === EXTENSION_HEADERS_MAX || next + 8 > end || (protocol === HOP_BY_HOP && count > 0)) return -1;
      if (protocol === ROUTING && bytes[next + 3] > 0) underWay = true;
      protocol = bytes[next];
      next += (bytes[next + 1] + 1) * 8;
    }
    this.#transport = next - frameStart;
    this.#end = end - frameStart;
    if (!underWay) {
      this.#pseudo = sumBytes(bytes, at + 8, at + 40, protocol);
    } else {
      // The pseudo header has the final destination (RFC 8200 section 8.1), which only the sender's sum tells.
      const field = next + (protocol === IpProtocol.udp ? UDP_CHECKSUM_AT : TCP_CHECKSUM_AT);
      this.#pseudo = foldSum(readU16(bytes, field) + (~(end - next) & 0xffff));
    }
    return protocol;
  }
}

/** Octets of an IPv4 header, by its first octet. */
function headerLength(first: number): number {
  return (first & 0xf) * 4;
}

/** The next free slot, after a flush if there is none. */
function claim(out: Burst, flush: (out: Burst) => void): number {
  if (out.count === BURST_SIZE) {
    flush(out);
    out.count = 0;
  }
  return out.count++;
}
