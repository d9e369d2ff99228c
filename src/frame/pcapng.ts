/**
 * Numbers of the capture file formats that both `pcapng-writer.ts` and `pcapng-reader.ts` need: pcapng
 * (draft-ietf-opsawg-pcapng) sections 3 and 4.
 *
 * A pcapng file is a row of blocks: type, total length, body padded to 4 octets, total length again. A section header
 * block comes first and sets the byte order; interface description blocks follow, numbered from 0; packet blocks name
 * their interface by that number.
 */

/** Block types. */
export const BlockType = {
  sectionHeader: 0x0a0d0d0a,
  interfaceDescription: 1,
  /** Obsolete, read only. */
  packet: 2,
  simplePacket: 3,
  enhancedPacket: 6,
} as const;

/** The section header's byte-order magic, as its writer's machine reads it. */
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** Option codes; the first two exist in every block. */
export const OptionCode = {
  endOfOptions: 0,
  comment: 1,
  sectionHardware: 2,
  sectionOs: 3,
  sectionApplication: 4,
  interfaceName: 2,
  interfaceDescription: 3,
  interfaceMac: 6,
  interfaceTimestampResolution: 9,
  interfaceTimestampOffset: 14,
  packetFlags: 2,
} as const;

/** Octets of a block around its body: type and both total lengths. */
export const BLOCK_OVERHEAD = 12;

/** The longest block that is read or written, in octets; the format itself has no limit. */
export const BLOCK_MAX = 16 * 1024 * 1024;

/** Interfaces in one section at most; the format itself has no limit. */
export const INTERFACES_MAX = 1024;

/** LINKTYPE_ETHERNET. */
export const LINKTYPE_ETHERNET = 1;

/** Which way a packet passed its interface: bits 0 and 1 of `epb_flags` are 1 or 2. */
export type Direction = 'inbound' | 'outbound';

/** `length` rounded up to a multiple of 4. */
export function padded(length: number): number {
  return (length + 3) & ~3;
}
