/**
 * A plug over a connected UDP socket: a cable to one peer (`tunnel-peer.ts`), who may come, go and come back unseen. Errors that the network reports are soft: they are taken, so that they are not reported
 * for ever, and otherwise only mean that what is known of the peer may be old.
 */

import { randomFillSync } from 'node:crypto';
import { BURST_SIZE, type Burst } from '../frame/burst.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from '../sys/epoll.js';
import { errnoNumber, VdeError } from '../sys/errors.js';
import { loop, PURE, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import {
  getOption,
  SO_SNDBUF,
  SOL_SOCKET,
  setReceiveBuffer,
  setSendBuffer,
  takeError,
  trySend,
  unreadBytes,
} from '../sys/socket.js';
import { enableReceiveOffload, unfragmentedPayload } from '../sys/udp-offload.js';
import { PlugBase } from './base.js';
import type { Adoptable, Drops, Plug } from './plug.js';
import { HELLO_SIZE, KEEP_ALIVE, makeTag, TunnelHello } from './tunnel-hello.js';
import { TunnelPeer } from './tunnel-peer.js';
import { TunnelReceiver } from './tunnel-receiver.js';
import { TunnelSender } from './tunnel-sender.js';

/** Buffers of a tunnel's socket, in bytes: what arrives while we do something else. The system's limit may be lower. */
const BUFFER = 4 << 20;
/** Bursts read before the others get their turn. */
const BURSTS_PER_TURN = 4;
/** As much in a burst is a stream, of which more is likely to come. */
const BULK_BYTES = 32 << 10;
/** Wake-ups in a row with nothing to read after which the socket is taken for a trick of who gave it. */
const IDLE_MAX = 10_000;

const EAGAIN = errnoNumber('EAGAIN');
const ECONNREFUSED = errnoNumber('ECONNREFUSED');

const NO_HEADER = new Uint8Array(0);
let outbox: Memory | undefined;

export interface TunnelPlugOptions {
  name: string;
  /** Whether super-frames may go whole, if the peer is an end of ours (default). */
  hello?: boolean;
  /** Counters to use in place of its own. */
  drops?: Drops;
  /** Seconds after which something is sent that says nothing, again and again, also if another process serves the end. */
  keepAlive?: number;
}

/** See the head of this file. */
export class TunnelPlug extends PlugBase implements Plug {
  readonly name: string;
  readonly takesOffloads = true;
  readonly #socket: Descriptor;
  readonly #peer: TunnelPeer;
  readonly #sender: TunnelSender;
  readonly #receiver: TunnelReceiver;
  /** As much may wait in the kernel before its event for room comes. */
  readonly #half: number;
  #watch: Watch | undefined;
  readonly #keepAlive: NodeJS.Timeout | undefined;
  #blocked = false;
  #idle = 0;

  /** Takes the socket over. */
  constructor(socket: Descriptor, { name, hello = true, drops, keepAlive }: TunnelPlugOptions) {
    super(drops);
    this.name = name;
    this.#socket = socket;
    setSendBuffer(socket, BUFFER);
    setReceiveBuffer(socket, BUFFER);
    enableReceiveOffload(socket);
    this.#half = getOption(socket.fd, SOL_SOCKET, SO_SNDBUF) / 2;
    const tag = makeTag(randomFillSync);
    this.#sender = new TunnelSender(socket.fd, NO_HEADER, this.drops, (error) => this.#onError(error));
    this.#receiver = new TunnelReceiver({
      header: 0,
      tag,
      drops: this.drops,
      arrivalDrops: this.arrivalDrops,
      onFrames: (burst) => {
        if (!this.closed) this.sink?.(burst);
      },
      onHello: (bytes, at) => this.#onHello(bytes, at),
    });
    const end = {
      drops: this.drops,
      sender: this.#sender,
      flush: () => this.#flush(),
      post: (message: Uint8Array) => this.#post(message),
      pathTo: () => unfragmentedPayload(socket.fd),
    };
    this.#peer = new TunnelPeer(end, 0, 0, hello ? new TunnelHello(tag, randomFillSync) : undefined);
    this.#peer.findPath(performance.now());
    if (keepAlive !== undefined) {
      this.#keepAlive = setInterval(() => this.#post(KEEP_ALIVE), keepAlive * 1000).unref();
    }
  }

  get maxFrame(): number {
    return this.#sender.maxFrame;
  }

  get backlogged(): boolean {
    return this.#blocked;
  }

  protected override listen(): void {
    const events = (this.wanted ? EPOLLIN : 0) | (this.#blocked ? EPOLLOUT : 0);
    if (this.#watch !== undefined) this.#watch.events = events;
    else this.#watch = loop().watch(this.#socket.fd, events, (ready) => this.#onReady(ready));
  }

  #onReady(events: number): boolean {
    if (events & EPOLLERR) this.#onError(takeError(this.#socket));
    if (events & EPOLLHUP) this.#shutDown();
    if (events & EPOLLOUT && this.#blocked) {
      this.#blocked = false;
      this.listen();
      this.drained();
    }
    if (events & EPOLLIN) this.#receive();
    return PURE;
  }

  #receive(): void {
    const receiver = this.#receiver;
    for (let turn = 0; turn < BURSTS_PER_TURN && this.wanted; turn++) {
      const { max } = receiver;
      const n = receiver.receive(this.#socket.fd);
      if (n <= 0) {
        if (n !== -EAGAIN) this.#onError(-n);
        else if (turn === 0 && ++this.#idle > IDLE_MAX) this.#shutDown();
        return;
      }
      this.#idle = 0;
      if (receiver.bytes >= BULK_BYTES) loop().bulk();
      if (n < max) return;
    }
  }

  protected override transmit(burst: Burst, views: Uint8Array, count: number): void {
    if (this.closed) return;
    const now = burst.superFrames > 0 ? performance.now() : 0;
    for (let k = 0; k < count; k++) {
      const view = views[k];
      if (burst.superFrames > 0 && burst.offload[view & (BURST_SIZE - 1)]) this.#peer.addSuperFrame(burst, view, now);
      else this.#sender.add(burst, view, this.#peer);
    }
    this.#flush();
  }

  #flush(): void {
    const room = this.#sender.flush();
    if (this.#blocked || this.closed) return;
    if (room && (this.#sender.sent < BULK_BYTES || unreadBytes(this.#socket) < this.#half)) return;
    this.#blocked = true;
    this.listen();
  }

  #post(message: Uint8Array): void {
    outbox ??= new Memory(HELLO_SIZE);
    outbox.bytes.set(message);
    trySend(this.#socket, outbox, message.length);
  }

  #onHello(bytes: Uint8Array, at: number): void {
    const answer = this.#peer.hello?.receive(bytes, at, performance.now());
    if (answer !== undefined && !this.closed) this.#post(answer);
  }

  #onError(error: number): void {
    if (error === ECONNREFUSED) this.#peer.hello?.forget();
    else this.#peer.forgetPath();
  }

  /** Nobody but a process that gave the socket away can do that; it would be reported for ever. */
  #shutDown(): void {
    this.lose(new VdeError({ code: 'ESHUTDOWN', subject: this.name, cause: 'its socket has been shut down' }));
  }

  adoptable(): Adoptable {
    return { kind: 'udp', descriptor: this.#socket };
  }

  protected override release(): void {
    clearInterval(this.#keepAlive);
    this.#watch?.close();
    this.#socket.close();
  }
}
