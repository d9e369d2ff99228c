/**
 * Internet sockets (ip(7), ipv6(7), udp(7), tcp(7)): addresses between text and `struct sockaddr_in` or `sockaddr_in6`, UDP
 * sockets, and the options of multicast.
 *
 * Addresses are numeric here; names are looked up with `node:dns` before. A zone (`fe80::1%eth0`) becomes the
 * interface's index, and back.
 */

import { isIP } from 'node:net';
import type { Descriptor } from './descriptor.js';
import { callError, errnoNumber, VdeError } from './errors.js';
import { check, errno, native, viewAt } from './ffi.js';
import { SOCKADDR_IN, SOCKADDR_IN6 } from './layout.js';
import { Memory } from './memory.js';
import {
  AF_INET,
  AF_INET6,
  getOption,
  SO_DOMAIN,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  setOption,
  setRawOption,
  socket,
  takeError,
  tryBindRaw,
  tryConnectRaw,
} from './socket.js';

const inetPton = native<(family: number, text: string, address: number) => number>(
  'int inet_pton(int family, const char *text, size_t address)',
);
const inetNtop = native<(family: number, address: number, text: number, room: number) => number>(
  'size_t inet_ntop(int family, size_t address, size_t text, unsigned int room)',
);
const ifNameToIndex = native<(name: string) => number>('unsigned int if_nametoindex(const char *name)');
const ifIndexToName = native<(index: number, name: number) => number>(
  'size_t if_indextoname(unsigned int index, size_t name)',
);
const getsockname = native<(fd: number, address: number, length: number) => number>(
  'int getsockname(int fd, size_t address, size_t length)',
);

const getservbyname = native<(name: string, protocol: string) => number>(
  'size_t getservbyname(const char *name, const char *protocol)',
);
/** `struct servent`: name, aliases, port (in network order). */
const SERVENT = { size: 24, port: 16 } as const;

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const SO_REUSEADDR = 2;
const SO_KEEPALIVE = 9;
const IP_RECVERR = 11;
const IPV6_RECVERR = 25;
const IP_MULTICAST_IF = 32;
const IP_MULTICAST_TTL = 33;
const IP_MULTICAST_LOOP = 34;
const IP_ADD_MEMBERSHIP = 35;
const IP_DROP_MEMBERSHIP = 36;
const IP_MULTICAST_ALL = 49;
const IPV6_MULTICAST_IF = 17;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
const IPV6_ADD_MEMBERSHIP = 20;
const IPV6_DROP_MEMBERSHIP = 21;
const IPV6_V6ONLY = 26;
const IPV6_MULTICAST_ALL = 29;

/** `struct ip_mreqn` (ip(7)): group, local address, interface index. */
const IP_MREQN = { size: 12, group: 0, index: 8 } as const;
/** `struct ipv6_mreq` (ipv6(7)): group, interface index. */
const IPV6_MREQ = { size: 20, group: 0, index: 16 } as const;
/** Bytes of text that an address, and the name of an interface, may take with its NUL. */
const ADDRESS_ROOM = 46;
const NAME_ROOM = 16;

/** Room for the address of either family. */
export const SOCKADDR_ROOM = 32;

/** Where an Internet socket is, or its peer. */
export interface InetAddress {
  /** Numeric, IPv4 or IPv6, the latter with a zone if it is link-local: `fe80::1%eth0`. */
  address: string;
  /** 0 to 65 535. */
  port: number;
}

const scratch = new Memory(SOCKADDR_ROOM + ADDRESS_ROOM);
const option = new Memory(IPV6_MREQ.size);

function invalid(subject: string, cause: string, remedy?: string): VdeError {
  return new VdeError({ code: 'EINVAL', subject, cause, remedy });
}

/**
 * The number of an interface.
 * @param subject what the error speaks of.
 * @throws VdeError `ENODEV` if there is none of that name.
 */
export function interfaceIndex(name: string, subject = name): number {
  const index = ifNameToIndex(name);
  if (index === 0) throw callError('if_nametoindex', errnoNumber('ENODEV'), subject, 'ip link lists the interfaces');
  return index;
}

/** The family of a numeric address. @throws VdeError `EINVAL` if it is none. */
export function addressFamily(address: string): typeof AF_INET | typeof AF_INET6 {
  const version = isIP(address);
  if (version === 0) throw invalid(address, 'not a numeric IPv4 or IPv6 address');
  return version === 4 ? AF_INET : AF_INET6;
}

/** The address that stands for all of this machine's. */
export function anyAddress(family: typeof AF_INET | typeof AF_INET6): string {
  return family === AF_INET ? '0.0.0.0' : '::';
}

/**
 * Writes a socket address at `memory[offset]`, which has room for `SOCKADDR_ROOM` bytes.
 * @returns its length: that of the address's family.
 * @throws VdeError `EINVAL` for what is no address or no port, `ENODEV` for a zone that is no interface.
 */
export function writeInetAddress(memory: Memory, offset: number, { address, port }: InetAddress): number {
  const family = addressFamily(address);
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw invalid(`port ${port}`, 'ports are 0 to 65535');
  const [numeric, zone] = address.split('%');
  const layout = family === AF_INET ? SOCKADDR_IN : SOCKADDR_IN6;
  memory.bytes.fill(0, offset, offset + layout.size);
  memory.view.setUint16(offset, family, true);
  memory.view.setUint16(offset + layout.port, port);
  if (inetPton(family, numeric, memory.address + offset + layout.address) !== 1)
    throw invalid(address, 'not an address');
  if (zone !== undefined) memory.view.setUint32(offset + SOCKADDR_IN6.scope, zoneIndex(zone), true);
  return layout.size;
}

function zoneIndex(zone: string): number {
  return /^\d{1,9}$/.test(zone) ? Number(zone) : interfaceIndex(zone);
}

/** The socket address of `length` bytes at `memory[offset]`; undefined if it is not an Internet one. */
export function readInetAddress(memory: Memory, offset: number, length: number): InetAddress | undefined {
  if (length < 2 || offset + length > memory.size) return undefined;
  const family = memory.view.getUint16(offset, true);
  const layout = family === AF_INET ? SOCKADDR_IN : family === AF_INET6 ? SOCKADDR_IN6 : undefined;
  if (layout === undefined || length < layout.size) return undefined;
  if (inetNtop(family, memory.address + offset + layout.address, scratch.address, ADDRESS_ROOM) === 0) return undefined;
  const address = scratch.cString(0, ADDRESS_ROOM);
  const scope = family === AF_INET6 ? memory.view.getUint32(offset + SOCKADDR_IN6.scope, true) : 0;
  return {
    address: scope === 0 ? address : `${address}%${interfaceName(scope) ?? scope}`,
    port: memory.view.getUint16(offset + layout.port),
  };
}

/** The name of an interface; undefined if there is none of that number. */
export function interfaceName(index: number): string | undefined {
  return ifIndexToName(index, scratch.address) === 0 ? undefined : scratch.cString(0, NAME_ROOM);
}

/** An address and a port as people write them: `127.0.0.1:53`, `[::1]:53`. */
export function formatInetAddress({ address, port }: InetAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The UDP port of a service, as /etc/services has it (getservbyname(3)); undefined if there is none of that name. */
export function servicePort(name: string): number | undefined {
  const entry = getservbyname(name, 'udp');
  return entry === 0 ? undefined : new DataView(viewAt(entry, SERVENT.size)).getUint16(SERVENT.port);
}

export interface UdpOptions {
  /** Lets several sockets bind to the same port, as the members of a multicast group on one machine do. */
  reuseAddress?: boolean;
  /** IPv6 only; without it an IPv6 socket takes IPv4 too. */
  v6Only?: boolean;
}

/** A non-blocking, close-on-exec UDP socket. */
export function udpSocket(
  family: typeof AF_INET | typeof AF_INET6,
  subject: string,
  options: UdpOptions = {},
): Descriptor {
  const udp = socket(family, SOCK_DGRAM, subject);
  try {
    if (options.reuseAddress) mustSet(udp, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family === AF_INET6) mustSet(udp, IPPROTO_IPV6, IPV6_V6ONLY, options.v6Only ? 1 : 0);
    return udp;
  } catch (error) {
    udp.close();
    throw error;
  }
}

/** A non-blocking, close-on-exec TCP socket; an IPv6 one takes no IPv4. Its port can be bound to again at once. */
export function tcpSocket(family: typeof AF_INET | typeof AF_INET6, subject: string): Descriptor {
  const tcp = socket(family, SOCK_STREAM, subject);
  try {
    mustSet(tcp, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family === AF_INET6) mustSet(tcp, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    return tcp;
  } catch (error) {
    tcp.close();
    throw error;
  }
}

/** Has a connected TCP socket send at once what it is given, and notice a peer that has vanished. */
export function tuneTcp(tcp: Descriptor): void {
  setOption(tcp, IPPROTO_TCP, TCP_NODELAY, 1);
  setOption(tcp, SOL_SOCKET, SO_KEEPALIVE, 1);
}

function mustSet(socket: Descriptor, level: number, name: number, value: number): void {
  if (!setOption(socket, level, name, value)) throw callError('setsockopt', errno(), socket.subject);
}

/** @throws VdeError `EADDRINUSE`, `EADDRNOTAVAIL` and the like, naming the address. */
export function bindInet(socket: Descriptor, address: InetAddress, remedy?: string): void {
  const error = tryBindRaw(socket, scratch, 0, writeInetAddress(scratch, 0, address));
  if (error !== 0) throw callError('bind', error, formatInetAddress(address), remedy);
}

/** Begins to connect: 0, or the errno (EINPROGRESS: it will show when the socket can be written to). */
export function tryConnectInet(socket: Descriptor, address: InetAddress): number {
  return tryConnectRaw(socket, scratch, 0, writeInetAddress(scratch, 0, address));
}

/** Sets where a UDP socket sends to, and from whom alone it receives. @throws VdeError `ENETUNREACH` and the like. */
export function connectInet(socket: Descriptor, address: InetAddress, remedy?: string): void {
  const error = tryConnectInet(socket, address);
  if (error !== 0) throw callError('connect', error, formatInetAddress(address), remedy);
}

/** The address that a socket is bound to; undefined if it is not an Internet socket. */
export function localAddress(fd: number): InetAddress | undefined {
  const memory = new Memory(SOCKADDR_ROOM + 4);
  memory.view.setUint32(SOCKADDR_ROOM, SOCKADDR_ROOM, true);
  check(getsockname(fd, memory.address, memory.address + SOCKADDR_ROOM), 'getsockname', `descriptor ${fd}`);
  return readInetAddress(memory, 0, Math.min(memory.view.getUint32(SOCKADDR_ROOM, true), SOCKADDR_ROOM));
}

/**
 * Whether a socket address (`struct sockaddr_in` or `sockaddr_in6`) has an IP address of this machine, of this network
 * namespace: one that can be bound to, whatever interface it is of.
 */
export function isLocalAddress(raw: Uint8Array): boolean {
  scratch.bytes.fill(0, 0, SOCKADDR_ROOM);
  scratch.bytes.set(raw.subarray(0, SOCKADDR_ROOM));
  scratch.view.setUint16(SOCKADDR_IN.port, 0);
  const family = scratch.view.getUint16(0, true);
  if (family !== AF_INET && family !== AF_INET6) return false;
  const probe = socket(family, SOCK_DGRAM, 'local address');
  try {
    return tryBindRaw(probe, scratch, 0, family === AF_INET ? SOCKADDR_IN.size : SOCKADDR_IN6.size) === 0;
  } finally {
    probe.close();
  }
}

/**
 * Joins a multicast group. From then on the socket gets the groups that it has joined itself, not those that any other
 * socket of the machine has (which is Linux's default).
 * @param interfaceName which interface to listen at; the kernel's routes choose if it is not given.
 * @throws VdeError `EINVAL` if `group` is no multicast address, `ENODEV` if there is no such interface or no route.
 */
export function joinMulticast(socket: Descriptor, group: string, interfaceName?: string): void {
  if (isV6(socket)) mustSet(socket, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
  else mustSet(socket, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  changeMembership(socket, group, interfaceName, IP_ADD_MEMBERSHIP, IPV6_ADD_MEMBERSHIP);
}

/** Leaves a multicast group, by the same interface. @throws VdeError `EADDRNOTAVAIL` if it was not joined. */
export function leaveMulticast(socket: Descriptor, group: string, interfaceName?: string): void {
  changeMembership(socket, group, interfaceName, IP_DROP_MEMBERSHIP, IPV6_DROP_MEMBERSHIP);
}

function changeMembership(socket: Descriptor, group: string, name: string | undefined, v4: number, v6: number): void {
  const family = addressFamily(group);
  const [numeric, zone] = group.split('%');
  const index = name !== undefined ? interfaceIndex(name) : zone !== undefined ? zoneIndex(zone) : 0;
  option.bytes.fill(0);
  inetPton(family, numeric, option.address);
  const error =
    family === AF_INET
      ? setIndexed(socket, IPPROTO_IP, v4, IP_MREQN.index, index, IP_MREQN.size)
      : setIndexed(socket, IPPROTO_IPV6, v6, IPV6_MREQ.index, index, IPV6_MREQ.size);
  if (error !== 0) {
    const remedy = error === errnoNumber('ENODEV') ? 'no route for multicast: name an interface' : undefined;
    throw callError('setsockopt', error, group, remedy);
  }
}

/** Sets an option of a structure in `option` after storing an interface's index in it. */
function setIndexed(socket: Descriptor, level: number, name: number, at: number, index: number, size: number): number {
  option.view.setUint32(at, index, true);
  return setRawOption(socket, level, name, option, size);
}

function isV6(socket: Descriptor): boolean {
  return getOption(socket.fd, SOL_SOCKET, SO_DOMAIN) === AF_INET6;
}

/** Through how many routers multicast may go: 0 stays on this machine, 1 (the default) on its network, at most 255. */
export function setMulticastTtl(socket: Descriptor, hops: number): void {
  if (isV6(socket)) mustSet(socket, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops);
  else mustSet(socket, IPPROTO_IP, IP_MULTICAST_TTL, hops);
}

/**
 * Takes the errors that the kernel has kept for a socket, those of its error queue too, which only a process that has given
 * the socket away can have asked for (IP_RECVERR, SO_TIMESTAMPING): they would be reported for ever.
 */
export function purgeErrors(socket: Descriptor): void {
  takeError(socket);
  if (isV6(socket)) setOption(socket, IPPROTO_IPV6, IPV6_RECVERR, 0);
  else setOption(socket, IPPROTO_IP, IP_RECVERR, 0);
}

/** Whether members on this machine get what it sends to a group (on by default). */
export function setMulticastLoop(socket: Descriptor, on: boolean): void {
  if (isV6(socket)) mustSet(socket, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, on ? 1 : 0);
  else mustSet(socket, IPPROTO_IP, IP_MULTICAST_LOOP, on ? 1 : 0);
}

/** By which interface multicast leaves. @throws VdeError `ENODEV` if there is none of that name. */
export function setMulticastInterface(socket: Descriptor, interfaceName: string): void {
  const index = interfaceIndex(interfaceName);
  if (isV6(socket)) {
    mustSet(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
    return;
  }
  option.bytes.fill(0);
  const error = setIndexed(socket, IPPROTO_IP, IP_MULTICAST_IF, IP_MREQN.index, index, IP_MREQN.size);
  if (error !== 0) throw callError('setsockopt', error, interfaceName);
}
