/**
 * What a sender leaves to be done: `struct virtio_net_hdr` (virtio 1.2, section 5.1.6), as it lies in the 10 bytes before
 * a frame in a burst and before each frame on a tap with vnet headers. Its integers are little-endian.
 *
 * A frame may still need its transport checksum (`NEEDS_CSUM`): the checksum field then holds the sum of the pseudo
 * header, and what it covers runs from `checksumStart` to the end of the frame. And it may be a super-frame that stands
 * for many (`gsoType`): `segmentation.ts` cuts those, `coalescing.ts` makes them. Offsets count from the frame's start.
 */

import { VIRTIO_NET_HDR } from '../sys/layout.js';
import { parallelSum } from './parallel-sum.js';

/** `flags` */
export const OffloadFlag = {
  /** The checksum is to be completed: VIRTIO_NET_HDR_F_NEEDS_CSUM. */
  needsChecksum: 1,
  /** The checksum has been verified: VIRTIO_NET_HDR_F_DATA_VALID. */
  dataValid: 2,
} as const;

/** `gso_type`: VIRTIO_NET_HDR_GSO_... */
export const GsoType = {
  none: 0,
  tcpv4: 1,
  /** One datagram to be sent as IP fragments (UFO). */
  udp: 3,
  tcpv6: 4,
  /** Many datagrams of one flow (USO), over IPv4 or IPv6. */
  udpL4: 5,
  /** Added to a TCP type: the first segment carries CWR. */
  ecn: 0x80,
} as const;

/** Offset of the checksum field in a TCP and in a UDP header. */
export const TCP_CHECKSUM_AT = 16;
export const UDP_CHECKSUM_AT = 6;

/** One `struct virtio_net_hdr` as a value, read and written in place so that one object serves all frames. */
export class OffloadHeader {
  /** Bits of `OffloadFlag`. */
  flags = 0;
  /** A `GsoType`, perhaps with its `ecn` bit. */
  gsoType = 0;
  /** Bytes of all headers of a super-frame; a hint that nobody may rely on. */
  headerLength = 0;
  /** Bytes of payload in each segment of a super-frame. */
  gsoSize = 0;
  /** Where the bytes under the checksum begin. */
  checksumStart = 0;
  /** Where the checksum field lies, from `checksumStart` on. */
  checksumOffset = 0;

  /** Takes over the header at `at`; false if it does not lie within the bytes. */
  read(bytes: Uint8Array, at: number): boolean {
    if (!(at >= 0 && at + VIRTIO_NET_HDR.size <= bytes.length)) return false;
    this.flags = bytes[at + VIRTIO_NET_HDR.flags];
    this.gsoType = bytes[at + VIRTIO_NET_HDR.gsoType];
    this.headerLength = readLittle(bytes, at + VIRTIO_NET_HDR.headerLength);
    this.gsoSize = readLittle(bytes, at + VIRTIO_NET_HDR.gsoSize);
    this.checksumStart = readLittle(bytes, at + VIRTIO_NET_HDR.checksumStart);
    this.checksumOffset = readLittle(bytes, at + VIRTIO_NET_HDR.checksumOffset);
    return true;
  }

  /** Stores the header at `at`. */
  write(bytes: Uint8Array, at: number): void {
    bytes[at + VIRTIO_NET_HDR.flags] = this.flags;
    bytes[at + VIRTIO_NET_HDR.gsoType] = this.gsoType;
    writeLittle(bytes, at + VIRTIO_NET_HDR.headerLength, this.headerLength);
    writeLittle(bytes, at + VIRTIO_NET_HDR.gsoSize, this.gsoSize);
    writeLittle(bytes, at + VIRTIO_NET_HDR.checksumStart, this.checksumStart);
    writeLittle(bytes, at + VIRTIO_NET_HDR.checksumOffset, this.checksumOffset);
  }

  get needsChecksum(): boolean {
    return (this.flags & OffloadFlag.needsChecksum) !== 0;
  }

  /** The `GsoType` without its `ecn` bit. */
  get gso(): number {
    return this.gsoType & ~GsoType.ecn;
  }

  /**
   * Whether a frame of `frameLength` bytes can have this header: the type is known, a super-frame has a segment size and
   * needs its checksums (section 5.1.6.2.1), and the checksum field lies in the frame.
   */
  isValid(frameLength: number): boolean {
    const { gso } = this;
    switch (gso) {
      case GsoType.none:
      case GsoType.udp:
      case GsoType.udpL4:
        if (this.gsoType !== gso) return false;
        break;
      case GsoType.tcpv4:
      case GsoType.tcpv6:
        break;
      default:
        return false;
    }
    if (gso !== GsoType.none && (this.gsoSize === 0 || !this.needsChecksum)) return false;
    return !this.needsChecksum || this.checksumStart + this.checksumOffset + 2 <= frameLength;
  }

  /**
   * Computes and stores the checksum of a frame that is no super-frame; nothing if it needs none. A checksum of 0 goes
   * as 0xffff, its other form, since 0 says "none" in UDP (RFC 768).
   * @returns false if the header cannot be this frame's.
   */
  complete(bytes: Uint8Array, frameStart: number, frameLength: number): boolean {
    const end = frameStart + frameLength;
    if (!(frameStart >= 0 && end <= bytes.length) || this.gso !== GsoType.none || !this.isValid(frameLength))
      return false;
    if (!this.needsChecksum) return true;
    const start = frameStart + this.checksumStart;
    const field = start + this.checksumOffset;
    const value = ~parallelSum(bytes, start, end) & 0xffff || 0xffff;
    bytes[field] = value >>> 8;
    bytes[field + 1] = value;
    return true;
  }
}

const header = new OffloadHeader();

/** Whether the header at `headerAt` says that its frame stands for many. */
export function isSuperFrame(bytes: Uint8Array, headerAt: number): boolean {
  return header.read(bytes, headerAt) && header.gso !== GsoType.none;
}

/** Whether the header at `headerAt` can be that of a frame of `frameLength` bytes (`OffloadHeader.isValid`). */
export function isValidOffload(bytes: Uint8Array, headerAt: number, frameLength: number): boolean {
  return header.read(bytes, headerAt) && header.isValid(frameLength);
}

/**
 * Completes, in place, the checksum of a frame that is no super-frame. Afterwards the frame is complete as it is.
 * @param headerAt where its `struct virtio_net_hdr` lies in `bytes`.
 * @returns false, with nothing changed, for a super-frame or a header that cannot be this frame's.
 */
export function completeChecksum(
  bytes: Uint8Array,
  frameStart: number,
  frameLength: number,
  headerAt: number,
): boolean {
  return header.read(bytes, headerAt) && header.complete(bytes, frameStart, frameLength);
}

function readLittle(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8);
}

function writeLittle(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}
