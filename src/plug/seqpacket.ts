/**
 * `seqpacket://FD`: a connected socket that the process was started with, of type SOCK_SEQPACKET or SOCK_DGRAM; one
 * message is one frame (reference: plugins, section 10). It becomes the end's own, and is closed with it.
 *
 * The end of a SOCK_SEQPACKET is told by its peer's close. Of the close of a datagram socket the kernel tells nothing: it
 * shows when the next frame is sent.
 */

import { Descriptor, isOpen } from '../sys/descriptor.js';
import { errnoText, VdeError } from '../sys/errors.js';
import { setCloseOnExec } from '../sys/process.js';
import { getOption, isConnected, SO_TYPE, SOCK_DGRAM, SOCK_SEQPACKET, SOL_SOCKET } from '../sys/socket.js';
import { DatagramPlug } from './datagram.js';
import type { Scheme } from './scheme.js';

/** Longest frame: who is at the other end is not known, and this is libvdeplug's buffer. */
const MAX_FRAME = 9234;
/** The kernel's own limit for descriptors (nr_open may be lower). */
const FD_MAX = 0x7fff_ffff;
/** What the kernel says to a sender whose peer has closed: no more than the end of a connection. */
const ENDED = new Set(['EPIPE', 'ECONNRESET', 'ECONNREFUSED', 'ENOTCONN']);
const TYPES = new Map([
  [SOCK_SEQPACKET, true],
  [SOCK_DGRAM, false],
]);

/** Descriptors that are an end's already. */
const taken = new Set<number>();

/** See the head of this file. */
class SeqpacketPlug extends DatagramPlug {
  readonly #fd: number;

  constructor(fd: number, name: string, sequenced: boolean) {
    // A message without a byte cannot be told from the end of a connection; as a datagram it is nothing.
    super(new Descriptor(fd, name), { name, maxFrame: MAX_FRAME, onEmpty: sequenced ? () => this?.lose() : undefined });
    this.#fd = fd;
    taken.add(fd);
  }

  protected override lose(error?: VdeError): void {
    super.lose(error !== undefined && ENDED.has(error.code) ? undefined : error);
  }

  protected override release(): void {
    taken.delete(this.#fd);
    super.release();
  }
}

/** A number as C's strtol with base 0 reads it; undefined if it is none. */
function parseNumber(text: string): number | undefined {
  if (/^0[xX][0-9a-fA-F]+$/.test(text)) return Number(text);
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  return /^(0|[1-9][0-9]*)$/.test(text) ? Number(text) : undefined;
}

export const seqpacketScheme: Scheme = {
  name: 'seqpacket',
  syntax: 'FD',
  doc: 'a connected packet or datagram socket that this process was started with',
  maxFrame: MAX_FRAME,
  params: [],
  async open({ body, locator }) {
    const refuse = (code: string, cause: string, remedy: string): VdeError =>
      new VdeError({ code, subject: locator, cause, remedy });
    const fd = parseNumber(body);
    if (fd === undefined || fd > FD_MAX) {
      throw refuse('EINVAL', `"${body}" is not the number of a descriptor`, 'as in seqpacket://3');
    }
    if (!isOpen(fd)) throw refuse('EBADF', errnoText(9), `there is no descriptor ${fd} in this process`);
    if (taken.has(fd)) throw refuse('EBUSY', `descriptor ${fd} is another end already`, 'each end needs its own');
    const type = getOption(fd, SOL_SOCKET, SO_TYPE);
    const needs = 'a connected SOCK_SEQPACKET or SOCK_DGRAM is needed, as socketpair(2) makes them';
    if (type < 0) throw refuse('ENOTSOCK', `descriptor ${fd} is not a socket`, needs);
    const sequenced = TYPES.get(type);
    if (sequenced === undefined) throw refuse('EPROTOTYPE', `descriptor ${fd} is a socket of another type`, needs);
    if (!isConnected(fd)) throw refuse('ENOTCONN', `descriptor ${fd} is not connected`, needs);
    setCloseOnExec(fd, true);
    return new SeqpacketPlug(fd, locator, sequenced);
  },
};
