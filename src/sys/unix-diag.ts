/**
 * What the kernel knows of AF_UNIX sockets beside what it tells their owners: sock_diag(7), asked through netlink(7).
 *
 * It needs no privilege, and tells of the sockets of this network namespace alone.
 */

import { fstatSync } from 'node:fs';
import type { Descriptor } from './descriptor.js';
import { VdeError } from './errors.js';
import { Memory } from './memory.js';
import { AF_UNIX, SOCK_RAW, socket, tryReceive, trySend } from './socket.js';

const AF_NETLINK = 16;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const UDIAG_SHOW_PEER = 4;
const UNIX_DIAG_PEER = 2;

/** `struct nlmsghdr`: length, type, flags, sequence number, port. */
const HEADER = 16;
/** `struct unix_diag_req`: family, protocol, states, inode, what to show, cookie. */
const REQUEST = HEADER + 24;
/** Where attributes begin in an answer: behind `struct unix_diag_msg`. */
const ATTRIBUTES = HEADER + 16;
const ATTRIBUTE_HEADER = 4;
const ANSWER_ROOM = 512;

/**
 * Whether the peer of an AF_UNIX socket is connected to that very socket, as the ends of a socket pair are. One that is not
 * takes a few datagrams only before it has to be waited for (`net.unix.max_dgram_qlen`). False if the kernel does not say.
 */
export function isConnectedBack(end: Descriptor): boolean {
  const own = fstatSync(end.fd).ino;
  const peer = peerInode(own);
  return peer !== undefined && peerInode(peer) === own;
}

/** The inode of the AF_UNIX socket that the one of an inode is connected to; undefined if none, or if the kernel does not say. */
export function peerInode(inode: number): number | undefined {
  let query: Descriptor | undefined;
  try {
    query = socket(AF_NETLINK, SOCK_RAW, 'sock_diag', NETLINK_SOCK_DIAG);
    return ask(query, inode);
  } catch (error) {
    if (error instanceof VdeError) return undefined;
    throw error;
  } finally {
    query?.close();
  }
}

function ask(query: Descriptor, inode: number): number | undefined {
  const message = new Memory(ANSWER_ROOM);
  const { view } = message;
  view.setUint32(0, REQUEST, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, NLM_F_REQUEST, true);
  view.setUint8(HEADER, AF_UNIX);
  view.setUint32(HEADER + 4, 0xffff_ffff, true);
  view.setUint32(HEADER + 8, inode, true);
  view.setUint32(HEADER + 12, UDIAG_SHOW_PEER, true);
  // No cookie: whichever socket has that inode now.
  view.setUint32(HEADER + 16, 0xffff_ffff, true);
  view.setUint32(HEADER + 20, 0xffff_ffff, true);
  if (trySend(query, message, REQUEST) !== REQUEST) return undefined;
  // The kernel answers before the call returns.
  const size = tryReceive(query, message);
  if (size < ATTRIBUTES || view.getUint16(4, true) !== SOCK_DIAG_BY_FAMILY) return undefined;
  const end = Math.min(size, view.getUint32(0, true));
  for (let at = ATTRIBUTES; at + ATTRIBUTE_HEADER + 4 <= end; ) {
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER) return undefined;
    if (view.getUint16(at + 2, true) === UNIX_DIAG_PEER) return view.getUint32(at + ATTRIBUTE_HEADER, true);
    at += (length + 3) & ~3;
  }
  return undefined;
}
