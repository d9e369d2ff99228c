/**
 * Descriptors that travel with bytes over an AF_UNIX socket: SCM_RIGHTS (unix(7), cmsg(3)).
 *
 * What the kernel puts into the control memory is walked with every length checked. Descriptors arrive close-on-exec
 * and each gets an owner at once; those that nobody asked for are closed, so that a peer cannot fill our table.
 */

import { Descriptor } from './descriptor.js';
import { errno, native } from './ffi.js';
import { MSG_DONTWAIT, MSG_NOSIGNAL } from './io.js';
import { CMSGHDR, IOVEC, MSGHDR } from './layout.js';
import { Memory } from './memory.js';
import { SOL_SOCKET } from './socket.js';

const sendmsg = native<(fd: number, header: number, flags: number) => number>(
  'long sendmsg(int fd, size_t header, int flags)',
);
const recvmsg = native<(fd: number, header: number, flags: number) => number>(
  'long recvmsg(int fd, size_t header, int flags)',
);

const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** Most descriptors that the kernel lets travel with one message (SCM_MAX_FD). */
export const DESCRIPTORS_MAX = 253;
/** Room for what we do not ask for: SCM_CREDENTIALS, where the socket has SO_PASSCRED on. */
const OTHER_MESSAGES = 32;

const control = new Memory(CMSGHDR.size + DESCRIPTORS_MAX * 4 + OTHER_MESSAGES);
const header = new Memory(MSGHDR.size);
const iovec = new Memory(IOVEC.size);

function prepare(address: number, length: number, controlLength: number): void {
  header.bytes.fill(0);
  header.setPointer(MSGHDR.iov, iovec.address);
  header.setPointer(MSGHDR.iovLength, 1);
  iovec.setPointer(IOVEC.base, address);
  iovec.setPointer(IOVEC.length, length);
  if (controlLength === 0) return;
  header.setPointer(MSGHDR.control, control.address);
  header.setPointer(MSGHDR.controlLength, controlLength);
}

/**
 * Sends bytes with duplicates of `descriptors` (at most `DESCRIPTORS_MAX`), without waiting. They stay the caller's.
 * @param bytes at least one on a stream: there a message without bytes carries nothing.
 * @returns the bytes taken (the descriptors went with the first of them), or minus the errno.
 */
export function sendWithDescriptors(
  socket: Descriptor,
  bytes: Uint8Array,
  descriptors: readonly Descriptor[] = [],
): number {
  if (descriptors.length > DESCRIPTORS_MAX) throw new RangeError(`${descriptors.length} descriptors in one message`);
  const payload = new Memory(bytes.length);
  payload.bytes.set(bytes);
  const length = CMSGHDR.size + descriptors.length * 4;
  prepare(payload.address, bytes.length, descriptors.length === 0 ? 0 : length);
  control.bytes.fill(0);
  control.setPointer(CMSGHDR.length, length);
  control.view.setInt32(CMSGHDR.level, SOL_SOCKET, true);
  control.view.setInt32(CMSGHDR.type, SCM_RIGHTS, true);
  for (const [i, { fd }] of descriptors.entries()) control.view.setInt32(CMSGHDR.size + i * 4, fd, true);
  const n = sendmsg(socket.fd, header.address, MSG_DONTWAIT | MSG_NOSIGNAL);
  return n < 0 ? -errno() : n;
}

/** What one message brought. */
export interface Received {
  /** Bytes stored (0: end of the stream), or minus the errno. */
  length: number;
  /** The receiver's to close. */
  descriptors: Descriptor[];
  /** True if there were more descriptors than asked for, or than this process may open; the rest is closed. */
  truncated: boolean;
}

/** Receives bytes into `memory`, and up to `maxDescriptors` descriptors that came with them, without waiting. */
export function receiveWithDescriptors(socket: Descriptor, memory: Memory, maxDescriptors: number): Received {
  const wanted = Math.max(0, Math.min(maxDescriptors, DESCRIPTORS_MAX));
  prepare(memory.address, memory.size, CMSGHDR.size + wanted * 4 + OTHER_MESSAGES);
  const n = recvmsg(socket.fd, header.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return { length: -errno(), descriptors: [], truncated: false };
  const numbers = descriptorNumbers(control, header.words[MSGHDR.controlLength / 4]);
  for (const fd of numbers.splice(wanted)) {
    new Descriptor(fd, socket.subject).discard();
    header.words[MSGHDR.flags / 4] |= MSG_CTRUNC;
  }
  return {
    length: n,
    descriptors: numbers.map((fd) => new Descriptor(fd, `descriptor from ${socket.subject}`)),
    truncated: (header.words[MSGHDR.flags / 4] & MSG_CTRUNC) !== 0,
  };
}

/**
 * The descriptor numbers in control messages. Messages of other kinds are passed over; one whose length makes no sense
 * ends the walk.
 * @param length of the messages in bytes, as the kernel said.
 */
export function descriptorNumbers(messages: Memory, length: number): number[] {
  const numbers: number[] = [];
  const end = Math.min(length, messages.size);
  const { view } = messages;
  for (let at = 0; at + CMSGHDR.size <= end; ) {
    const size = Number(view.getBigUint64(at + CMSGHDR.length, true));
    if (size < CMSGHDR.size || size > end - at) break;
    const level = view.getInt32(at + CMSGHDR.level, true);
    const type = view.getInt32(at + CMSGHDR.type, true);
    if (level === SOL_SOCKET && type === SCM_RIGHTS) {
      for (let fd = at + CMSGHDR.size; fd + 4 <= at + size; fd += 4) numbers.push(view.getInt32(fd, true));
    }
    at += (size + 7) & ~7;
  }
  return numbers;
}
