/**
 * What the kernel does for those who move many UDP datagrams (udp(7)): many of one length leave as one message
 * (UDP_SEGMENT, Linux 4.18) and arrive as one (UDP_GRO, Linux 5.0). On the wire they are datagrams like any others: the
 * network interface cuts and joins, or the kernel does just before and after it.
 */

import type { Descriptor } from './descriptor.js';
import { CMSGHDR } from './layout.js';
import type { Memory } from './memory.js';
import { AF_INET6, getOption, SO_DOMAIN, SOCK_DGRAM, SOL_SOCKET, setOption, socket, tryConnectAt } from './socket.js';

const SOL_UDP = 17;
const UDP_GRO = 104;
const IPPROTO_IP = 0;
const IP_MTU = 14;
const IPPROTO_IPV6 = 41;
const IPV6_MTU = 24;
const IPV4_HEADERS = 20 + 8;
const IPV6_HEADERS = 40 + 8;

/** Datagrams that one message may be cut into (UDP_MAX_SEGMENTS; 128 from Linux 6.6 on). */
export const SEGMENTS_MAX = 64;
/** Most bytes that a UDP datagram over IPv4 carries, and a message that is to be cut. */
export const UDP_PAYLOAD_MAX = 65_535 - IPV4_HEADERS;
/** Room for the control messages of a received message; the one with the segment size takes 24 bytes. */
export const SEGMENT_CONTROL_ROOM = 64;

/** Lets datagrams of one length arrive as one message. False if the kernel cannot. */
export function enableReceiveOffload(socket: Descriptor): boolean {
  return setOption(socket, SOL_UDP, UDP_GRO, 1);
}

/**
 * The length of each datagram in a message (the last may be shorter), from its control messages; 0 if it is one datagram.
 * @param length of the control messages in bytes, as the kernel said.
 */
export function segmentSize(control: Memory, offset: number, length: number): number {
  const end = Math.min(offset + length, control.size);
  const { words } = control;
  for (let at = offset; at + CMSGHDR.size + 4 <= end; ) {
    const size = words[(at + CMSGHDR.length) >>> 2];
    if (size < CMSGHDR.size || size > end - at) return 0;
    if (words[(at + CMSGHDR.level) >>> 2] === SOL_UDP && words[(at + CMSGHDR.type) >>> 2] === UDP_GRO) {
      return size < CMSGHDR.size + 4 ? 0 : words[(at + CMSGHDR.size) >>> 2];
    }
    at += (size + 7) & ~7;
  }
  return 0;
}

/** Bytes of the longest datagram that reaches the peer of a connected UDP socket unfragmented, as far as the kernel knows. */
export function unfragmentedPayload(fd: number): number {
  const v6 = getOption(fd, SOL_SOCKET, SO_DOMAIN) === AF_INET6;
  const mtu = v6 ? getOption(fd, IPPROTO_IPV6, IPV6_MTU) : getOption(fd, IPPROTO_IP, IP_MTU);
  // An IPv6 socket may be connected to a mapped IPv4 address, whose path has the shorter headers.
  const payload = mtu - (v6 ? IPV6_HEADERS : IPV4_HEADERS);
  return Math.max(0, Math.min(payload, UDP_PAYLOAD_MAX));
}

/**
 * The same for a socket that is not connected, and the socket address of `length` bytes at `address`; 0 if no route leads
 * there.
 * @param prepare sets options that the route depends on.
 */
export function unfragmentedPayloadTo(
  family: number,
  address: number,
  length: number,
  prepare?: (probe: Descriptor) => void,
): number {
  const probe = socket(family, SOCK_DGRAM, 'path MTU');
  try {
    prepare?.(probe);
    return tryConnectAt(probe, address, length) === 0 ? unfragmentedPayload(probe.fd) : 0;
  } finally {
    probe.close();
  }
}
