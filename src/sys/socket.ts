/**
 * Sockets (socket(2), unix(7), ip(7)): made close-on-exec and non-blocking, addressed by path or by IP, asked for who is
 * at the other end. Moving bursts of datagrams is `batch.ts`, passing descriptors `ancillary.ts`.
 */

import { lstatSync, unlinkSync } from 'node:fs';
import { Descriptor } from './descriptor.js';
import { callError, errnoNumber, VdeError } from './errors.js';
import { check, errno, native } from './ffi.js';
import { receiveTo, sendFrom } from './io.js';
import { SOCKADDR_UN, UCRED } from './layout.js';
import { Memory } from './memory.js';

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_PACKET = 17;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

export const SOL_SOCKET = 1;
export const SO_TYPE = 3;
const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
const SO_PEERCRED = 17;
const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_PROTOCOL = 38;
export const SO_DOMAIN = 39;
const SO_PEERGROUPS = 59;
const SO_NETNS_COOKIE = 71;

export const MSG_PEEK = 0x2;
export const MSG_TRUNC = 0x20;

const socketCall = native<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const socketpairCall = native<(domain: number, type: number, protocol: number, pair: number) => number>(
  'int socketpair(int domain, int type, int protocol, size_t pair)',
);
const bindCall = native<(fd: number, address: number, length: number) => number>(
  'int bind(int fd, size_t address, unsigned int length)',
);
const connectCall = native<(fd: number, address: number, length: number) => number>(
  'int connect(int fd, size_t address, unsigned int length)',
);
const listenCall = native<(fd: number, backlog: number) => number>('int listen(int fd, int backlog)');
const accept4 = native<(fd: number, address: number, length: number, flags: number) => number>(
  'int accept4(int fd, size_t address, size_t length, int flags)',
);
const getsockopt = native<(fd: number, level: number, name: number, value: number, length: number) => number>(
  'int getsockopt(int fd, int level, int name, size_t value, size_t length)',
);
const setsockopt = native<(fd: number, level: number, name: number, value: number, length: number) => number>(
  'int setsockopt(int fd, int level, int name, size_t value, unsigned int length)',
);
const getpeername = native<(fd: number, address: number, length: number) => number>(
  'int getpeername(int fd, size_t address, size_t length)',
);
const ioctl = native<(fd: number, request: number, argument: number) => number>(
  'int ioctl(int fd, unsigned long request, size_t argument)',
);
const SIOCOUTQ = 0x5411;
const shutdownCall = native<(fd: number, how: number) => number>('int shutdown(int fd, int how)');

const scratch = new Memory(SOCKADDR_UN.size + 16);
const option = new Memory(16);

/** A new non-blocking, close-on-exec socket. */
export function socket(domain: number, type: number, subject: string, protocol = 0): Descriptor {
  return new Descriptor(
    check(socketCall(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), 'socket', subject),
    subject,
  );
}

/** Two AF_UNIX sockets connected to each other. */
export function socketPair(type: number, subject: string): [Descriptor, Descriptor] {
  check(socketpairCall(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, option.address), 'socketpair', subject);
  return [new Descriptor(option.words[0], subject), new Descriptor(option.words[1], subject)];
}

/** Most bytes that the path of an AF_UNIX socket may have (108 less the NUL). */
export const UNIX_PATH_MAX = SOCKADDR_UN.pathRoom - 1;

/** @throws VdeError ENAMETOOLONG if `path` does not fit an AF_UNIX address. */
export function checkUnixPath(path: string): void {
  const length = Buffer.byteLength(path);
  if (length > UNIX_PATH_MAX) {
    throw new VdeError({
      code: 'ENAMETOOLONG',
      subject: path,
      cause: `socket path of ${length} bytes, the kernel allows ${UNIX_PATH_MAX}`,
      remedy: 'choose a shorter directory',
      errno: errnoNumber('ENAMETOOLONG'),
    });
  }
}

/**
 * Writes a full 110-byte `sockaddr_un`, zero padded, at `memory[offset]`. A `path` that begins with NUL is an abstract
 * name: as the whole 110 bytes are passed to the kernel, its padding is part of the name (reference: VDE handshake).
 */
export function writeUnixAddress(memory: Memory, offset: number, path: string): void {
  checkUnixPath(path);
  memory.bytes.fill(0, offset, offset + SOCKADDR_UN.size);
  memory.view.setUint16(offset, AF_UNIX, true);
  new TextEncoder().encodeInto(path, memory.bytes.subarray(offset + SOCKADDR_UN.path, offset + SOCKADDR_UN.size - 1));
}

/** Binds to a path. The file is made with no access for others than the owner, whatever the umask; `chmod` widens it. */
export function bindUnix(socket: Descriptor, path: string): void {
  writeUnixAddress(scratch, 0, path);
  const umask = process.umask(0o177);
  try {
    check(bindCall(socket.fd, scratch.address, SOCKADDR_UN.size), 'bind', path);
  } finally {
    process.umask(umask);
  }
}

/** Connects to a path. Returns 0, or the errno (AF_UNIX never connects in the background). */
export function tryConnectUnix(socket: Descriptor, path: string): number {
  writeUnixAddress(scratch, 0, path);
  return connectCall(socket.fd, scratch.address, SOCKADDR_UN.size) < 0 ? errno() : 0;
}

/** @throws VdeError if nobody can be reached there. */
export function connectUnix(socket: Descriptor, path: string, remedy?: string): void {
  const error = tryConnectUnix(socket, path);
  if (error !== 0) throw callError('connect', error, path, remedy);
}

/** Connects to a raw socket address of `length` bytes at `memory[offset]`; 0 or the errno. */
export function tryConnectRaw(socket: Descriptor, memory: Memory, offset: number, length: number): number {
  return tryConnectAt(socket, memory.address + offset, length);
}

/** The same, the address being at an address of memory. */
export function tryConnectAt(socket: Descriptor, address: number, length: number): number {
  return connectCall(socket.fd, address, length) < 0 ? errno() : 0;
}

/** Binds to a raw socket address of `length` bytes at `memory[offset]`; 0 or the errno. */
export function tryBindRaw(socket: Descriptor, memory: Memory, offset: number, length: number): number {
  return bindCall(socket.fd, memory.address + offset, length) < 0 ? errno() : 0;
}

export function listen(socket: Descriptor, backlog: number): void {
  check(listenCall(socket.fd, backlog), 'listen', socket.subject);
}

/** The next connection waiting on a listening socket, or the errno (EAGAIN: none; EMFILE: no descriptor left). */
export function tryAccept(listener: Descriptor): Descriptor | number {
  const fd = accept4(listener.fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return fd < 0 ? errno() : new Descriptor(fd, listener.subject);
}

/** Reads what is there into `memory`. Returns the bytes read (0: end of stream), or minus the errno. */
export function tryReceive(socket: Descriptor, memory: Memory, flags = 0): number {
  return receiveTo(socket.fd, memory.address, memory.size, flags);
}

/** Whether a message or bytes wait to be received; the end of a connection is nothing. */
export function hasInput(socket: Descriptor): boolean {
  return receiveTo(socket.fd, option.address, 1, MSG_PEEK) > 0;
}

/** Bytes of kernel memory in what was sent over an AF_UNIX socket and the other end has not read yet (SIOCOUTQ); 0 if unknown. */
export function unreadBytes(socket: Descriptor): number {
  return ioctl(socket.fd, SIOCOUTQ, option.address) < 0 ? 0 : option.view.getInt32(0, true);
}

/** Sends `length` bytes of `memory`. Returns the bytes taken, or minus the errno. */
export function trySend(socket: Descriptor, memory: Memory, length: number): number {
  return sendFrom(socket.fd, memory.address, length);
}

/** No more sending: the other end reads the end of the stream. */
export function shutdownWrite(socket: Descriptor): void {
  shutdownCall(socket.fd, 1);
}

export function setOption(socket: Descriptor, level: number, name: number, value: number): boolean {
  option.view.setInt32(0, value, true);
  return setsockopt(socket.fd, level, name, option.address, 4) === 0;
}

/** Sets an option whose value is a structure, the first `length` bytes of `memory`; 0 or the errno. */
export function setRawOption(socket: Descriptor, level: number, name: number, memory: Memory, length: number): number {
  return setsockopt(socket.fd, level, name, memory.address, length) < 0 ? errno() : 0;
}

/** The value of an integer option, or minus the errno. */
export function getOption(fd: number, level: number, name: number): number {
  option.view.setUint32(8, 4, true);
  return getsockopt(fd, level, name, option.address, option.address + 8) < 0 ? -errno() : option.view.getInt32(0, true);
}

/** What tells a socket's network namespace from others (SO_NETNS_COOKIE, Linux 5.14); undefined if the kernel does not say. */
export function networkCookie(fd: number): bigint | undefined {
  option.view.setUint32(8, 8, true);
  const error = getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, option.address, option.address + 8);
  return error < 0 ? undefined : option.view.getBigUint64(0, true);
}

/** Whether a socket has a peer: one that it was connected to, or that connected to it. */
export function isConnected(fd: number): boolean {
  scratch.view.setUint32(0, scratch.size - 8, true);
  return getpeername(fd, scratch.address + 8, scratch.address) === 0;
}

/** Reads and clears the error that the kernel has kept for a socket (SO_ERROR); 0 if none. */
export function takeError(socket: Descriptor): number {
  return getOption(socket.fd, SOL_SOCKET, SO_ERROR);
}

/** Asks for `bytes` of send buffer, beyond the system's limit if this process may (CAP_NET_ADMIN). */
export function setSendBuffer(socket: Descriptor, bytes: number): void {
  if (!setOption(socket, SOL_SOCKET, SO_SNDBUFFORCE, bytes)) setOption(socket, SOL_SOCKET, SO_SNDBUF, bytes);
}

/** Bytes of kernel memory that a socket's send buffer may take, the kernel's own accounts included. */
export function sendBuffer(socket: Descriptor): number {
  return getOption(socket.fd, SOL_SOCKET, SO_SNDBUF);
}

/** As `setSendBuffer`, for the receive buffer. */
export function setReceiveBuffer(socket: Descriptor, bytes: number): void {
  if (!setOption(socket, SOL_SOCKET, SO_RCVBUFFORCE, bytes)) setOption(socket, SOL_SOCKET, SO_RCVBUF, bytes);
}

/** Who opened the other end of a connected AF_UNIX stream, as the kernel knows it. */
export interface Credentials {
  pid: number;
  uid: number;
  gid: number;
}

/** SO_PEERCRED (unix(7)): ids are those of this process's user namespace. */
export function peerCredentials(socket: Descriptor): Credentials {
  option.view.setUint32(12, UCRED.size, true);
  check(
    getsockopt(socket.fd, SOL_SOCKET, SO_PEERCRED, option.address, option.address + 12),
    'getsockopt',
    socket.subject,
  );
  const { view } = option;
  return {
    pid: view.getInt32(UCRED.pid, true),
    uid: view.getUint32(UCRED.uid, true),
    gid: view.getUint32(UCRED.gid, true),
  };
}

/** SO_PEERGROUPS (unix(7)): the supplementary groups of the other end, empty if there are more than 1024. */
export function peerGroups(socket: Descriptor): number[] {
  const groups = new Memory(4096 + 8);
  groups.view.setUint32(4096, 4096, true);
  const { address, view } = groups;
  if (getsockopt(socket.fd, SOL_SOCKET, SO_PEERGROUPS, address, address + 4096) < 0) return [];
  return Array.from({ length: view.getUint32(4096, true) / 4 }, (_, i) => view.getUint32(i * 4, true));
}

/** Whether somebody answers at an AF_UNIX path. */
export type SocketState = 'absent' | 'alive' | 'stale' | 'foreign';

/** Asks who answers at `path`: `stale` is a socket that nobody has open, `foreign` a file that is no socket. */
export function probeUnix(path: string, type: number): SocketState {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 'absent';
  if (!stat.isSocket()) return 'foreign';
  const probe = socket(AF_UNIX, type, path);
  try {
    const error = tryConnectUnix(probe, path);
    if (error === errnoNumber('ECONNREFUSED')) return 'stale';
    return error === errnoNumber('ENOENT') ? 'absent' : 'alive';
  } finally {
    probe.close();
  }
}

/** Removes a file if it is there; a path that cannot be removed is left alone. */
export function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Already gone, or not ours to remove: nothing that the caller could do about it.
  }
}

/** What to say of a path that cannot be listened at. */
export interface PathRefusal {
  /** Why, if somebody answers there; `Address already in use` if not given. */
  cause?: string;
  /** What to do if somebody answers there. */
  alive: string;
  /** What to do about a file that is no socket. */
  foreign: string;
}

/**
 * Makes room to listen at an AF_UNIX path: the socket of a program that has died is removed.
 * @throws VdeError `EADDRINUSE` if somebody answers there, `EEXIST` if there is a file that is no socket.
 */
export function clearUnixPath(path: string, type: number, refusal: PathRefusal): void {
  const state = probeUnix(path, type);
  if (state === 'stale') unlinkQuietly(path);
  if (state === 'alive') {
    const { cause = 'Address already in use', alive: remedy } = refusal;
    throw new VdeError({ code: 'EADDRINUSE', subject: path, cause, remedy, errno: errnoNumber('EADDRINUSE') });
  }
  if (state === 'foreign') {
    const { foreign: remedy } = refusal;
    const errno = errnoNumber('EEXIST');
    throw new VdeError({ code: 'EEXIST', subject: path, cause: 'a file that is no socket', remedy, errno });
  }
}
