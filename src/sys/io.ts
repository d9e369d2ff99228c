/** read(2), write(2), preadv2(2), pwritev2(2), recv(2) and send(2) on plain descriptors, at addresses. */

import { errno, native } from './ffi.js';

const read = native<(fd: number, buffer: number, size: number) => number>(
  'long read(int fd, size_t buffer, size_t size)',
);
const writeCall = native<(fd: number, buffer: number, size: number) => number>(
  'long write(int fd, size_t buffer, size_t size)',
);
const recv = native<(fd: number, buffer: number, size: number, flags: number) => number>(
  'long recv(int fd, size_t buffer, size_t size, int flags)',
);
const sendCall = native<(fd: number, buffer: number, size: number, flags: number) => number>(
  'long send(int fd, size_t buffer, size_t size, int flags)',
);

const preadv2 = native<(fd: number, iovecs: number, count: number, offset: number, flags: number) => number>(
  'long preadv2(int fd, size_t iovecs, int count, long offset, int flags)',
);
const pwritev2 = native<(fd: number, iovecs: number, count: number, offset: number, flags: number) => number>(
  'long pwritev2(int fd, size_t iovecs, int count, long offset, int flags)',
);

/** Fail with EAGAIN rather than wait, whatever O_NONBLOCK says (preadv2(2)). */
const RWF_NOWAIT = 0x8;
const CURRENT_OFFSET = -1;
/** Flags of recv(2) and send(2). */
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

/** Reads up to `size` bytes to an address of stable memory. Returns the bytes read (0: end), or minus the errno. */
export function readTo(fd: number, address: number, size: number): number {
  const n = read(fd, address, size);
  return n < 0 ? -errno() : n;
}

/** Writes `size` bytes from an address. Returns the bytes written, or minus the errno. */
export function writeFrom(fd: number, address: number, size: number): number {
  const n = writeCall(fd, address, size);
  return n < 0 ? -errno() : n;
}

/** Reads into `count` iovecs at an address without waiting, whatever mode the descriptor's other owners have put it in. */
export function readScattered(fd: number, iovecs: number, count: number): number {
  const n = preadv2(fd, iovecs, count, CURRENT_OFFSET, RWF_NOWAIT);
  return n < 0 ? -errno() : n;
}

/** Writes what `count` iovecs at an address gather, without waiting, as `readScattered`. */
export function writeGatheredNow(fd: number, iovecs: number, count: number): number {
  const n = pwritev2(fd, iovecs, count, CURRENT_OFFSET, RWF_NOWAIT);
  return n < 0 ? -errno() : n;
}

/** As `readTo`, from a socket: never waits, whatever mode its other owners have put it in. */
export function receiveTo(fd: number, address: number, size: number, flags = 0): number {
  const n = recv(fd, address, size, flags | MSG_DONTWAIT);
  return n < 0 ? -errno() : n;
}

/** As `writeFrom`, to a socket: never waits, whatever mode its other owners have put it in. */
export function sendFrom(fd: number, address: number, size: number): number {
  const n = sendCall(fd, address, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  return n < 0 ? -errno() : n;
}
