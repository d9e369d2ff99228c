/**
 * An end of a point-to-point link with a bound datagram socket (reference: plugs, section 5a), waiting for peers.
 *
 * While nobody is there the socket is unconnected: whoever sends to it becomes the peer, and who has bound the other file
 * is sent to as soon as there is something to send. With a peer it is connected, which keeps others out. A C end leaves
 * without a word, so its file is looked at now and then; the peer's empty datagram says the same at once.
 */

import { type FSWatcher, watch } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { receiveWithDescriptors, sendWithDescriptors } from '../sys/ancillary.js';
import { EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import { errnoNumber } from '../sys/errors.js';
import { loop, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { hasInput, MSG_PEEK, probeUnix, SOCK_DGRAM, tryConnectRaw, tryConnectUnix, tryReceive } from '../sys/socket.js';
import { DatagramPlug } from './datagram.js';
import type { Plug } from './plug.js';
import { answerHello, type Party, type Session, sayHello } from './ptp-hello.js';
import { identity, type Place, removeOwn } from './ptp-place.js';

/** How often it is looked whether a C peer is still there, in ms. */
const LOOK_MS = 200;
/** How long one who comes waits for an end that stayed to notice that its former peer has gone, in ms. */
const STALE_MS = LOOK_MS + 200;
const STALE_STEP_MS = 20;
/** Longest frame that a C end takes: libvdeplug's buffer. */
export const C_FRAME_MAX = 9234;
/** Messages looked at in one go while nobody is there. */
const MESSAGES_PER_TURN = 64;

const EAGAIN = errnoNumber('EAGAIN');
const EPERM = errnoNumber('EPERM');

const scratch = new Memory(16);
/** AF_UNSPEC: connecting to it takes a datagram socket's peer away. */
const nobody = new Memory(16);

/** What a meeting place tells the plug. */
export interface Host extends Party {
  /** A peer has come; `undefined`: one that serves the offer itself. */
  met(peer: Plug | undefined): void;
  /** The peer has left. Its plug is closed. */
  parted(): void;
  /** There is no link any more, and another place has to be taken: of the newer protocol if the peer spoke that. */
  ended(): void;
}

/** Where peers are met, by whatever protocol. */
export interface Meeting {
  /** There is something to send and nobody there: looks whether somebody can be reached. */
  reach(): void;
  /** Leaves the link and removes its file. */
  close(): void;
}

/** See the head of this file. */
export class DatagramMeeting implements Meeting {
  #watch: Watch | undefined;
  #peer: Plug | undefined;
  #session: Session | undefined;
  #inSession = false;
  #asking = false;
  #look: NodeJS.Timeout | undefined;
  /** Of the peer's file: that it is removed is noticed at once. */
  #fileWatch: FSWatcher | undefined;
  #closed = false;

  constructor(
    private readonly place: Place & { kind: 'datagram' },
    private readonly host: Host,
  ) {}

  /** Says hello to whom is there, and begins to wait for others. */
  async begin(): Promise<void> {
    this.#asking = true;
    const found = await this.#find();
    const session = found ? await sayHello(this.place.socket, this.host) : undefined;
    this.#asking = false;
    if (this.#closed) {
      session?.peer?.close();
      session?.control.close();
    } else if (session !== undefined) this.#begin(session);
    else if (found) this.#converse();
    else {
      this.#forget();
      this.#wait();
    }
  }

  /** Connects to whom is there. One who has a peer still may be about to notice that it has gone. */
  async #find(): Promise<boolean> {
    const { socket, other } = this.place;
    for (const end = Date.now() + STALE_MS; ; ) {
      const error = tryConnectUnix(socket, other);
      if (error === 0) return true;
      if (error !== EPERM || Date.now() > end) return false;
      await pause(STALE_STEP_MS);
      if (this.#closed) return false;
    }
  }

  #wait(): void {
    this.#watch = loop().watch(this.place.socket.fd, EPOLLIN, () => {
      this.#listen();
      loop().touch();
      return undefined;
    });
  }

  /** Looks at what has come: a hello, a C peer's first frame, or a word of leave, which means nothing here. */
  #listen(): void {
    const { socket } = this.place;
    for (let i = 0; i < MESSAGES_PER_TURN && !this.#inSession && !this.#closed; i++) {
      const n = tryReceive(socket, scratch, MSG_PEEK);
      if (n === -EAGAIN) return;
      if (n > 0) this.#converse();
      else if (n === 0) {
        const [control] = receiveWithDescriptors(socket, scratch, 1).descriptors;
        const session = control && answerHello(control, this.host);
        if (session !== undefined) {
          tryConnectUnix(socket, this.place.other);
          this.#begin(session);
        }
      }
    }
  }

  /** A session with an end of ours. The bound socket only keeps others out. */
  #begin(session: Session): void {
    this.#session = session;
    this.#join(session.peer);
    this.#watch = loop().watch(session.control.fd, EPOLLRDHUP, () => {
      // What the peer sent before it left is still to be delivered.
      const more = session.data !== undefined && !session.data.closed && hasInput(session.data);
      if (!more || session.peer?.sink === undefined || !session.peer.receiving) this.#end();
      return undefined;
    });
  }

  /** A C peer: frames go over the bound socket. */
  #converse(): void {
    const { socket, other } = this.place;
    // Looked at first: should it be replaced meanwhile, that will be seen.
    const file = identity(other);
    const connected = tryConnectUnix(socket, other) === 0;
    const { name, drops } = this.host;
    this.#join(
      new DatagramPlug(socket.duplicate(), { name, maxFrame: C_FRAME_MAX, drops, onEmpty: () => this.#end() }),
    );
    // Without a file of its own the peer can be heard, but neither reached nor missed.
    if (!connected) return;
    const look = () => {
      const there = identity(other) === file && probeUnix(other, SOCK_DGRAM) === 'alive';
      if (!there && !hasInput(socket)) this.#end();
    };
    this.#look = setInterval(look, LOOK_MS).unref();
    try {
      this.#fileWatch = watch(other, { persistent: false }, look);
      this.#fileWatch.on('error', () => {});
    } catch {
      // It has gone already, or there are too many watches: the interval will tell.
    }
  }

  #join(peer: Plug | undefined): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.#inSession = true;
    this.#peer = peer;
    if (peer !== undefined) peer.onLost = () => this.#end();
    this.host.met(peer);
  }

  #end(): void {
    if (!this.#inSession || this.#closed) return;
    this.#leave();
    this.#forget();
    this.host.parted();
    this.#wait();
  }

  #forget(): void {
    tryConnectRaw(this.place.socket, nobody, 0, 2);
  }

  #leave(): void {
    clearInterval(this.#look);
    this.#fileWatch?.close();
    this.#fileWatch = undefined;
    this.#watch?.close();
    this.#watch = undefined;
    this.#inSession = false;
    this.#peer?.close();
    this.#peer = undefined;
    this.#session?.control.close();
    this.#session = undefined;
  }

  reach(): void {
    if (this.#inSession || this.#asking || this.#closed) return;
    // A hello that waits comes first: who sent it must not be taken for a C end.
    this.#listen();
    if (this.#inSession || tryConnectUnix(this.place.socket, this.place.other) !== 0) return;
    this.#converse();
  }

  close(): void {
    if (this.#closed) return;
    const { socket, own } = this.place;
    const silent = this.#session !== undefined;
    this.#leave();
    this.#closed = true;
    // A C peer that is told forgets us at once, and lets the next one in.
    if (!silent) sendWithDescriptors(socket, new Uint8Array(0));
    removeOwn(own);
    socket.close();
  }
}
