/**
 * The newer protocol of a point-to-point link (reference: plugs, section 5b): one end listens on a SOCK_SEQPACKET, the
 * other connects and is told by one byte whether it is taken: 0, or an errno. One record is one frame.
 */

import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import { callError, errnoNumber, VdeError } from '../sys/errors.js';
import { loop, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { tryAccept, tryReceive, trySend } from '../sys/socket.js';
import { DatagramPlug } from './datagram.js';
import type { Plug } from './plug.js';
import { C_FRAME_MAX, type Host, type Meeting } from './ptp-datagram.js';
import { type OwnFile, removeOwn, taken } from './ptp-place.js';

/** How long a listener may take to answer, in ms. */
const ANSWER_MS = 2000;
const EISCONN = errnoNumber('EISCONN');

const byte = new Memory(8);

function peerPlug(socket: Descriptor, { name, drops }: Host, onEnd: () => void): Plug {
  const peer = new DatagramPlug(socket, { name, maxFrame: C_FRAME_MAX, drops, onEmpty: onEnd });
  peer.onLost = onEnd;
  return peer;
}

/** The end that listens. While it has a peer, others are sent away. */
export class ListenerMeeting implements Meeting {
  readonly #watch: Watch;
  #peer: Plug | undefined;

  constructor(
    private readonly listener: Descriptor,
    private readonly own: OwnFile,
    private readonly host: Host,
  ) {
    this.#watch = loop().watch(listener.fd, EPOLLIN, () => {
      const stream = tryAccept(listener);
      if (typeof stream !== 'number') this.#welcome(stream);
      return undefined;
    });
  }

  #welcome(stream: Descriptor): void {
    byte.bytes[0] = this.#peer === undefined ? 0 : EISCONN;
    const told = trySend(stream, byte, 1) === 1;
    if (!told || this.#peer !== undefined) {
      stream.close();
      return;
    }
    this.#peer = peerPlug(stream, this.host, () => {
      this.#peer?.close();
      this.#peer = undefined;
      this.host.parted();
    });
    this.host.met(this.#peer);
  }

  reach(): void {}

  close(): void {
    this.#watch.close();
    this.#peer?.close();
    removeOwn(this.own);
    this.listener.close();
  }
}

/** The end that has connected. When its peer is gone, so is the link. */
export class CallerMeeting implements Meeting {
  #peer: Plug | undefined;
  #closed = false;

  constructor(
    private readonly socket: Descriptor,
    private readonly host: Host,
  ) {}

  /**
   * Waits for the listener's word.
   * @throws VdeError `EBUSY` if it has a peer, `ETIMEDOUT` if it says nothing.
   */
  async begin(): Promise<void> {
    try {
      const answer = await this.#answer();
      if (answer === EISCONN) throw taken(this.host.name);
      if (answer !== 0) throw callError('connect', answer, this.host.name, 'the other end refuses');
    } catch (error) {
      this.close();
      throw error;
    }
    if (this.#closed) return;
    this.#peer = peerPlug(this.socket, this.host, () => {
      this.close();
      this.host.parted();
      this.host.ended();
    });
    this.host.met(this.#peer);
  }

  #answer(): Promise<number> {
    return new Promise((done, fail) => {
      const settle = (finish: () => void) => {
        clearTimeout(timer);
        watch.close();
        finish();
      };
      const failure = (code: string, cause: string) =>
        settle(() => fail(new VdeError({ code, subject: this.host.name, cause, remedy: 'is it stopped?' })));
      const timer = setTimeout(
        () => failure('ETIMEDOUT', `the other end did not answer within ${ANSWER_MS / 1000} s`),
        ANSWER_MS,
      );
      const watch = loop().watch(this.socket.fd, EPOLLIN | EPOLLRDHUP, () => {
        const n = tryReceive(this.socket, byte);
        if (n === 1) settle(() => done(byte.bytes[0]));
        else failure('ECONNRESET', 'the other end has closed the connection');
        return undefined;
      });
    });
  }

  reach(): void {}

  close(): void {
    this.#closed = true;
    this.#peer?.close();
    this.socket.close();
  }
}
