/**
 * The User Datagram Protocol: RFC 768; over IPv6: RFC 8200 section 8.1.
 */

import { checkField, readU16, writeU16 } from './bytes.js';
import { checksum, type IpEndpoints, pseudoHeaderSum } from './checksum.js';
import { IpProtocol } from './ipv4.js';

/** Octets of the header. */
export const UDP_HEADER = 8;

/** A datagram as a value. */
export interface UdpDatagram {
  srcPort: number;
  dstPort: number;
  /** At most 65527 octets. */
  payload: Uint8Array;
}

/**
 * Reads a datagram; what follows its length is not part of it. `undefined` if truncated or its length is impossible.
 * Given the addresses of the packet that carried it, also if the checksum is wrong, or absent (0) over IPv6.
 */
export function parseUdp(bytes: Uint8Array, ip?: IpEndpoints): UdpDatagram | undefined {
  if (bytes.length < UDP_HEADER) return undefined;
  const length = readU16(bytes, 4);
  if (length < UDP_HEADER || length > bytes.length) return undefined;
  if (ip) {
    const absent = readU16(bytes, 6) === 0;
    if (absent && typeof ip.src !== 'number') return undefined;
    if (!absent && checksum(bytes, 0, length, pseudoHeaderSum(ip, IpProtocol.udp, length)) !== 0) return undefined;
  }
  return { srcPort: readU16(bytes, 0), dstPort: readU16(bytes, 2), payload: bytes.subarray(UDP_HEADER, length) };
}

/** The datagram's bytes, with the checksum that it has between `ip`'s addresses. @throws RangeError if it does not fit. */
export function writeUdp(datagram: UdpDatagram, ip: IpEndpoints): Uint8Array {
  const length = UDP_HEADER + datagram.payload.length;
  checkField('srcPort', datagram.srcPort, 0xffff);
  checkField('dstPort', datagram.dstPort, 0xffff);
  checkField('UDP length', length, 0xffff);
  const bytes = new Uint8Array(length);
  writeU16(bytes, 0, datagram.srcPort);
  writeU16(bytes, 2, datagram.dstPort);
  writeU16(bytes, 4, length);
  bytes.set(datagram.payload, UDP_HEADER);
  // A computed 0 goes as all ones, its other form in one's complement: 0 says that there is no checksum.
  writeU16(bytes, 6, checksum(bytes, 0, length, pseudoHeaderSum(ip, IpProtocol.udp, length)) || 0xffff);
  return bytes;
}
