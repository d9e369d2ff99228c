/**
 * A VXLAN tunnel end point (RFC 7348), the common half of `vxlan://` and `vxvde://` (reference: plugins, sections 7 and
 * 8). A frame travels in a UDP datagram behind an 8-octet header. To a station that was heard before it goes straight to the
 * member that it was heard from; anything else goes to the group, and so to all members.
 *
 * A burst leaves with one system call, each datagram with a destination of its own, and arrives with one. Where nobody
 * reads, the kernel drops: UDP has no way to hold a sender back, and the send buffer of the socket is the queue.
 */

import { BURST_SIZE, Burst, FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { ReceiveVector, SendVector } from '../sys/batch.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLERR, EPOLLIN } from '../sys/epoll.js';
import { errnoNumber } from '../sys/errors.js';
import { type InetAddress, SOCKADDR_ROOM, writeInetAddress } from '../sys/inet.js';
import { IOVEC, SOCKADDR_IN } from '../sys/layout.js';
import { loop, PURE, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { takeError } from '../sys/socket.js';
import { PlugBase } from './base.js';
import { PeerTable } from './peer-table.js';
import type { Plug } from './plug.js';
import { VXLAN_HEADER, VxlanFilter, vxlanHeader } from './vxlan-header.js';

/** Longest frame that is sent: the reading buffer of the C tools (reference: plugins, common limits). */
const FRAME_LIMIT = 9234;
/** Bursts read from one socket before the others get their turn. */
const BURSTS_PER_TURN = 4;
/** Views that a burst may be sent as. */
const VIEWS = BURST_SIZE * 2;
/** The header and up to three pieces of a frame. */
const PIECES = 4 * IOVEC.size;
const GROUP = -1;

const EAGAIN = errnoNumber('EAGAIN');
const EMSGSIZE = errnoNumber('EMSGSIZE');
const ENOBUFS = errnoNumber('ENOBUFS');

// Run to completion: one slab and one set of vectors serve all tunnel end points of the process.
class Tools {
  readonly burst = new Burst();
  readonly receiver: ReceiveVector;
  readonly sources: Memory;
  readonly sender = new SendVector(VIEWS);
  readonly iovecs = new Memory(VIEWS * PIECES);
  /** Where each message goes: a member, or `GROUP`. */
  readonly destination = new Int32Array(VIEWS);

  constructor() {
    const { address, stride } = this.burst;
    const room = VXLAN_HEADER + FRAME_MAX + 1;
    this.receiver = new ReceiveVector(address - VXLAN_HEADER, stride, room, BURST_SIZE, { sources: true });
    this.sources = this.receiver.sources as Memory;
    for (let i = 0; i < VIEWS; i++) this.iovecs.setPointer(i * PIECES + IOVEC.length, VXLAN_HEADER);
  }
}

let tools: Tools | undefined;

/** The sockets that an end point speaks through; it owns them. */
export interface VtepSockets {
  /** AF_INET or AF_INET6. */
  family: number;
  /** Sends everything, and receives what is sent to this member alone. */
  unicast: Descriptor;
  /** Receives what is sent to the group, if `unicast` does not. */
  multicast?: Descriptor;
  group: InetAddress;
  /**
   * Whether a socket address, `words` from `at`, is the one that `unicast` sends from; undefined if the sockets do not
   * hear themselves.
   */
  isSelf?: (words: Uint32Array, at: number) => boolean;
  /** Whether there may be a member at a socket address; asked when it is heard for the first time. */
  admits?: (words: Uint32Array, at: number) => boolean;
}

export interface VtepOptions {
  vni: number;
  /** As vxvde: reserved octets are 0, members are reached where they send from, and say when they leave. */
  vxvde: boolean;
  /** Most stations whose place is remembered. */
  hashsize: number;
  /** Seconds after which a station that was not heard is forgotten. */
  expiretime: number;
  /** Milliseconds that do not go back; the process's by default. */
  clock?: () => number;
  /** Source of the table's hash seed. */
  random?: () => number;
}

/** See the head of this file. */
export class Vtep extends PlugBase implements Plug {
  readonly maxFrame = FRAME_LIMIT;
  readonly takesOffloads = false;
  readonly backlogged = false;
  /** Datagrams with the header of another network, or none. */
  foreign = 0;
  /** Called once if the kernel refuses to send to the group, with the errno: nobody is reached then. */
  onUnreachable: ((errno: number) => void) | undefined;
  readonly table: PeerTable;
  readonly #sockets: VtepSockets;
  readonly #vxvde: boolean;
  readonly #filter: VxlanFilter;
  readonly #header = new Memory(VXLAN_HEADER);
  readonly #group = new Memory(SOCKADDR_ROOM);
  readonly #addressLength: number;
  readonly #clock: () => number;
  readonly #tools: Tools;
  #watches: Watch[] = [];

  /** Takes the sockets over. */
  constructor(
    sockets: VtepSockets,
    readonly name: string,
    options: VtepOptions,
  ) {
    super();
    tools ??= new Tools();
    this.#tools = tools;
    this.#sockets = sockets;
    this.#vxvde = options.vxvde;
    this.#filter = new VxlanFilter(options.vni, options.vxvde);
    this.#header.bytes.set(vxlanHeader(options.vni));
    this.#addressLength = writeInetAddress(this.#group, 0, sockets.group);
    this.#clock = options.clock ?? (() => performance.now());
    this.table = new PeerTable({
      family: sockets.family,
      capacity: options.hashsize,
      expire: options.expiretime * 1000,
      random: options.random ?? Math.random,
      admit: sockets.admits,
    });
  }

  protected override listen(): void {
    const events = this.wanted ? EPOLLIN : 0;
    if (this.#watches.length > 0) {
      for (const watch of this.#watches) watch.events = events;
      return;
    }
    const { multicast, unicast } = this.#sockets;
    // What was sent to all, before the sender knew better, is older than what it sends to us alone.
    const sockets = multicast === undefined ? [unicast] : [multicast, unicast];
    this.#watches = sockets.map((one) => loop().watch(one.fd, events, (ready) => this.#onReady(one, ready)));
  }

  #onReady(socket: Descriptor, events: number): boolean {
    // An error is reported for ever, whether asked for or not, until somebody takes it. It is of a datagram that is gone.
    if (events & EPOLLERR) takeError(socket);
    for (let turn = 0; turn < BURSTS_PER_TURN && this.#receive(socket); turn++);
    return PURE;
  }

  /** Reads a burst; false when nothing is left. */
  #receive(socket: Descriptor): boolean {
    const { sink } = this;
    if (sink === undefined || !this.wanted) return false;
    const { burst, receiver } = this.#tools;
    const n = receiver.receive(socket.fd);
    if (n <= 0) return false;
    burst.count = this.#collect(n);
    if (burst.count > 0) sink(burst);
    return n === BURST_SIZE;
  }

  /** Learns from the datagrams received, and puts their frames into the burst's first slots. Returns how many. */
  #collect(n: number): number {
    const { burst, receiver, sources } = this.#tools;
    const { words, shorts } = burst;
    const { isSelf } = this.#sockets;
    const now = this.#clock();
    let count = 0;
    for (let i = 0; i < n; i++) {
      const home = burst.home(i);
      const word = home >>> 2;
      const length = receiver.length(i) - VXLAN_HEADER;
      if (length < 0 || !this.#filter.accepts(words[word - 2], words[word - 1])) {
        this.foreign++;
        continue;
      }
      const source = receiver.sourceOffset(i) >>> 2;
      if (isSelf?.(sources.words, source)) continue;
      if (length === 0 && this.#vxvde) this.table.forget(sources.words, source);
      else if (length < FRAME_MIN) this.drops.runt++;
      else if (length > FRAME_MAX) this.drops.oversize++;
      else {
        if (!this.#vxvde) this.#setPort(i);
        // Bytes 6-7 | 8-11: the source. The lowest bit of its first byte marks a group address, which is never one.
        const short = (word << 1) + 3;
        const low = shorts[short] | (shorts[short + 1] << 16);
        if ((burst.bytes[home + 6] & 1) === 0) this.table.learn(low, shorts[short + 2], sources.words, source, now);
        const to = burst.home(count);
        if (count !== i) burst.bytes.copyWithin(to, home, home + length);
        burst.place(count++, to, length);
      }
    }
    return count;
  }

  /** A VXLAN member sends from any port, and listens at the group's (RFC 7348, section 5). */
  #setPort(i: number): void {
    const at = this.#tools.receiver.sourceOffset(i) + SOCKADDR_IN.port;
    this.#tools.sources.bytes[at] = this.#group.bytes[SOCKADDR_IN.port];
    this.#tools.sources.bytes[at + 1] = this.#group.bytes[SOCKADDR_IN.port + 1];
  }

  protected override transmit(frames: Burst, views: Uint8Array, count: number): void {
    if (this.closed) return;
    const { length, start, bytes, words, shorts } = frames;
    const { destination } = this.#tools;
    const now = this.#clock();
    let n = 0;
    for (let k = 0; k < count; k++) {
      const view = views[k];
      if (length[view] > FRAME_LIMIT) this.drops.oversize++;
      else if (length[view] < FRAME_MIN) this.drops.runt++;
      else {
        const at = start[view & (BURST_SIZE - 1)];
        const word = at >>> 2;
        const peer = bytes[at] & 1 ? GROUP : this.table.lookup(words[word], shorts[(word << 1) + 2], now);
        destination[n] = peer;
        this.#put(n++, frames, view, peer);
      }
    }
    if (n > 0) this.#send(n);
  }

  /** Message i is a view behind our header. */
  #put(i: number, frames: Burst, view: number, peer: number): void {
    const { iovecs, sender } = this.#tools;
    const at = i * PIECES;
    iovecs.setPointer(at + IOVEC.base, this.#header.address);
    const pieces = frames.copyPieces(view, iovecs, at + IOVEC.size);
    const address = iovecs.address + at;
    sender.set(i, address >>> 0, Math.floor(address / 0x1_0000_0000), pieces + 1);
    sender.setDestination(i, peer === GROUP ? this.#group.address : this.table.address(peer), this.#addressLength);
  }

  #send(n: number): void {
    const { sender, destination } = this.#tools;
    const { fd } = this.#sockets.unicast;
    for (let sent = 0; sent < n; ) {
      const taken = sender.send(fd, sent, n - sent);
      if (taken > 0) sent += taken;
      else if (taken === -EAGAIN || taken === -ENOBUFS) {
        this.drops.full += n - sent;
        return;
      } else this.#refused(destination[sent++], -taken);
    }
  }

  /** Counts a frame that the kernel did not take. A member that cannot be reached may be somewhere else by now. */
  #refused(peer: number, errno: number): void {
    if (errno === EMSGSIZE) {
      this.drops.oversize++;
      return;
    }
    this.drops.error++;
    if (peer !== GROUP) this.table.forgetPeer(peer);
    else if (this.onUnreachable !== undefined) {
      const tell = this.onUnreachable;
      this.onUnreachable = undefined;
      loop().touch();
      tell(errno);
    }
  }

  protected override release(): void {
    for (const watch of this.#watches) watch.close();
    const { multicast, unicast } = this.#sockets;
    if (this.#vxvde) this.#sayGoodbye();
    multicast?.close();
    unicast.close();
  }

  /** The header alone tells the others to forget what they have heard from here. */
  #sayGoodbye(): void {
    const { iovecs, sender } = this.#tools;
    iovecs.setPointer(IOVEC.base, this.#header.address);
    sender.set(0, iovecs.address >>> 0, Math.floor(iovecs.address / 0x1_0000_0000), 1);
    sender.setDestination(0, this.#group.address, this.#addressLength);
    sender.send(this.#sockets.unicast.fd, 0, 1);
  }
}
