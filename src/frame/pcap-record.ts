/**
 * Classic capture files (pcap 2.4, draft-ietf-opsawg-pcap), written in place as `pcapng-packet.ts` does it: a header of 24
 * octets, then records of 16 octets and the packet. Little-endian, times in microseconds, Ethernet.
 */

import { LINKTYPE_ETHERNET } from './pcapng.js';

const MAGIC = 0xa1b2c3d4;
const HEADER_LENGTH = 24;
/** The longest packet that readers take (libpcap's MAXIMUM_SNAPLEN). */
const SNAPLEN_MAX = 262_144;

/** Where the packet lies in its record. */
export const RECORD_PACKET_AT = 16;

/** The header of a file. @param snaplen bytes kept of each packet; 0 for all. */
export function pcapFileHeader(snaplen = 0): Uint8Array {
  const bytes = new Uint8Array(HEADER_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, snaplen || SNAPLEN_MAX, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  return bytes;
}

/**
 * Writes the header of a record whose `kept` bytes of a packet lie, or will, at `at + RECORD_PACKET_AT`.
 * @param seconds since 1970-01-01 00:00 UTC.
 * @param original bytes that the packet had.
 */
export function putPcapRecord(
  view: DataView,
  at: number,
  seconds: number,
  nanoseconds: number,
  kept: number,
  original: number,
): void {
  view.setUint32(at, seconds >>> 0, true);
  view.setUint32(at + 4, Math.floor(nanoseconds / 1000), true);
  view.setUint32(at + 8, kept, true);
  view.setUint32(at + 12, original, true);
}
