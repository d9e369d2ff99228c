/**
 * Enhanced packet blocks (draft-ietf-opsawg-pcapng section 4.3) written in place, for those who record every frame of a
 * network: `pcapng-writer.ts` makes each block an array of its own.
 *
 * Blocks are little-endian, with their time in nanoseconds, and carry the packet's direction.
 */

import { BLOCK_OVERHEAD, BlockType, OptionCode, padded } from './pcapng.js';

/** Where the packet lies in its block. */
export const PACKET_AT = 28;
/** Packet flags with their header, and the end of options. */
const OPTIONS_LENGTH = 12;
const FIXED_LENGTH = 20;

/** `epb_flags`, bits 0 and 1. */
export const PacketDirection = { inbound: 1, outbound: 2 } as const;
export type PacketDirection = (typeof PacketDirection)[keyof typeof PacketDirection];

/** A point in time as a block has it: 64 bits of nanoseconds since 1970-01-01 00:00 UTC, in two halves. */
export class PacketTime {
  high = 0;
  low = 0;
  seconds = 0;
  nanoseconds = 0;

  /** @param nanoseconds beyond those seconds, 0 to 999 999 999. */
  set(seconds: number, nanoseconds: number): void {
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
    // A product of 2^61 is put together from halves that a double holds exactly.
    const upper = Math.floor(seconds / 0x1_0000) * 1e9;
    const lower = (seconds % 0x1_0000) * 1e9 + nanoseconds + (upper % 0x1_0000) * 0x1_0000;
    this.high = Math.floor(upper / 0x1_0000) + Math.floor(lower / 0x1_0000_0000);
    this.low = lower % 0x1_0000_0000;
  }
}

/** Bytes of a block that holds `kept` bytes of a packet. */
export function packetBlockLength(kept: number): number {
  return BLOCK_OVERHEAD + FIXED_LENGTH + padded(kept) + OPTIONS_LENGTH;
}

/**
 * Writes a block round the `kept` bytes of a packet that lie, or will, at `at + PACKET_AT`.
 * @param original bytes that the packet had.
 * @param interfaceId number of its interface description.
 */
export function putPacketBlock(
  view: DataView,
  at: number,
  time: PacketTime,
  kept: number,
  original: number,
  direction: PacketDirection,
  interfaceId = 0,
): void {
  const length = packetBlockLength(kept);
  view.setUint32(at, BlockType.enhancedPacket, true);
  view.setUint32(at + 4, length, true);
  view.setUint32(at + 8, interfaceId, true);
  view.setUint32(at + 12, time.high, true);
  view.setUint32(at + 16, time.low, true);
  view.setUint32(at + 20, kept, true);
  view.setUint32(at + 24, original, true);
  const options = at + PACKET_AT + padded(kept);
  for (let i = at + PACKET_AT + kept; i < options; i++) view.setUint8(i, 0);
  view.setUint16(options, OptionCode.packetFlags, true);
  view.setUint16(options + 2, 4, true);
  view.setUint32(options + 4, direction, true);
  view.setUint32(options + 8, OptionCode.endOfOptions, true);
  view.setUint32(options + OPTIONS_LENGTH, length, true);
}
