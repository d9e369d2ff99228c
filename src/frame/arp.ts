/**
 * The Address Resolution Protocol for IPv4 over Ethernet: RFC 826.
 *
 * Of all that ARP can say, only hardware type 1 with 6-octet and protocol type 0x0800 with 4-octet addresses is read,
 * and only requests and replies.
 */

import { checkField, checkLength, readU16, readU32, writeU16, writeU32 } from './bytes.js';
import { EtherType } from './ethernet.js';
import { MAC_LENGTH, type MacAddress } from './mac.js';

/** Octets of an ARP packet for IPv4 over Ethernet. */
const ARP_LENGTH = 28;

const HARDWARE_ETHERNET = 1;
const IPV4_LENGTH = 4;
const OPERATIONS = ['request', 'reply'] as const;

/** An ARP packet as a value. IPv4 addresses are unsigned 32-bit numbers. */
export interface ArpPacket {
  operation: (typeof OPERATIONS)[number];
  senderMac: MacAddress;
  senderIp: number;
  /** All zero in a request, which ignores it. */
  targetMac: MacAddress;
  targetIp: number;
}

/** Reads the payload of an Ethernet frame of type 0x0806; padding behind it is ignored. */
export function parseArp(bytes: Uint8Array): ArpPacket | undefined {
  if (bytes.length < ARP_LENGTH) return undefined;
  if (readU16(bytes, 0) !== HARDWARE_ETHERNET || readU16(bytes, 2) !== EtherType.ipv4) return undefined;
  if (bytes[4] !== MAC_LENGTH || bytes[5] !== IPV4_LENGTH) return undefined;
  const operation = OPERATIONS[readU16(bytes, 6) - 1];
  if (operation === undefined) return undefined;
  return {
    operation,
    senderMac: bytes.subarray(8, 14),
    senderIp: readU32(bytes, 14),
    targetMac: bytes.subarray(18, 24),
    targetIp: readU32(bytes, 24),
  };
}

/** The packet's 28 bytes. @throws RangeError for addresses that are none. */
export function writeArp(packet: ArpPacket): Uint8Array {
  checkLength('senderMac', packet.senderMac, MAC_LENGTH);
  checkLength('targetMac', packet.targetMac, MAC_LENGTH);
  checkField('senderIp', packet.senderIp, 0xffffffff);
  checkField('targetIp', packet.targetIp, 0xffffffff);
  const bytes = new Uint8Array(ARP_LENGTH);
  writeU16(bytes, 0, HARDWARE_ETHERNET);
  writeU16(bytes, 2, EtherType.ipv4);
  bytes[4] = MAC_LENGTH;
  bytes[5] = IPV4_LENGTH;
  writeU16(bytes, 6, OPERATIONS.indexOf(packet.operation) + 1);
  bytes.set(packet.senderMac, 8);
  writeU32(bytes, 14, packet.senderIp);
  bytes.set(packet.targetMac, 18);
  writeU32(bytes, 24, packet.targetIp);
  return bytes;
}
