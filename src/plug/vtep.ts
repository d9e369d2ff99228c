/**
 * A VXLAN tunnel end point (RFC 7348), the common half of `vxlan://` and `vxvde://` (reference: plugins, sections 7 and
 * 8). A frame travels in a UDP datagram behind an 8-octet header. To a station that was heard before it goes straight to the
 * member that it was heard from; anything else goes to the group, and so to all members.
 *
 * A burst leaves with one system call, each datagram with a destination of its own, and arrives with one. Where nobody
 * reads, the kernel drops: UDP has no way to hold a sender back, and the send buffer of the socket is the queue.
 *
 * Members of a vxvde cloud that are ends of ours find each other out by hellos (`tunnel-hello.ts`) behind the same header,
 * one to one: what goes to the group is for everybody. No word of them is a frame, so nothing is learned from it, and what
 * one is told of a member is forgotten with it.
 */

import { randomFillSync } from 'node:crypto';
import { BURST_SIZE, type Burst } from '../frame/burst.js';
import { SendVector } from '../sys/batch.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import { errnoNumber, VdeError } from '../sys/errors.js';
import { type InetAddress, purgeErrors, SOCKADDR_ROOM, setMulticastInterface, writeInetAddress } from '../sys/inet.js';
import { IOVEC, SOCKADDR_IN } from '../sys/layout.js';
import { loop, PURE, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { enableReceiveOffload, unfragmentedPayloadTo } from '../sys/udp-offload.js';
import { PlugBase } from './base.js';
import type { Family } from './multicast-group.js';
import { PeerTable } from './peer-table.js';
import type { Adoptable, Drops, Plug } from './plug.js';
import type { SenderNetworks } from './sender-networks.js';
import { HELLO_SIZE, makeTag, TunnelHello } from './tunnel-hello.js';
import { type TunnelEnd, TunnelPeer } from './tunnel-peer.js';
import { TunnelReceiver } from './tunnel-receiver.js';
import { type Destination, TunnelSender } from './tunnel-sender.js';
import { encodeVtepSettings } from './vtep-settings.js';
import { VXLAN_HEADER, VxlanFilter, vxlanHeader } from './vxlan-header.js';

/** Longest frame that is sent: the reading buffer of the C tools (reference: plugins, common limits). */
const FRAME_LIMIT = 9234;
/** Bursts read from one socket before the others get their turn. */
const BURSTS_PER_TURN = 4;
/** As much in a burst is a stream, of which more is likely to come. */
const BULK_BYTES = 32 << 10;

/** Words of leave that wait until the frames that arrived with them have been learned from. */
const LEAVERS_MAX = 64;

/** Errors of a message that is too long, or not to be cut by the kernel. */
const TOO_LONG = ['EMSGSIZE', 'EINVAL', 'EIO'].map(errnoNumber);

/** A message that is no frame. Sent when it is made, so one serves all end points. */
class Outbox {
  readonly #memory = new Memory(IOVEC.size + VXLAN_HEADER + HELLO_SIZE);
  readonly #vector = new SendVector(1);

  constructor() {
    const { address } = this.#memory;
    this.#memory.setPointer(IOVEC.base, address + IOVEC.size);
    this.#vector.set(0, address >>> 0, Math.floor(address / 0x1_0000_0000), 1);
  }

  /** Sends `message` behind `header` to the socket address of `length` bytes at `address`. */
  send(fd: number, header: Uint8Array, message: Uint8Array, address: number, length: number): void {
    this.#memory.bytes.set(header, IOVEC.size);
    this.#memory.bytes.set(message, IOVEC.size + header.length);
    this.#memory.setPointer(IOVEC.length, header.length + message.length);
    this.#vector.setDestination(0, address, length);
    this.#vector.send(fd, 0, 1);
  }
}

const NO_MESSAGE = new Uint8Array(0);
let outbox: Outbox | undefined;

/** The sockets that an end point speaks through; it owns them. */
export interface VtepSockets {
  family: Family;
  /** Sends everything, and receives what is sent to this member alone. */
  unicast: Descriptor;
  /** Receives what is sent to the group, if `unicast` does not. */
  multicast?: Descriptor;
  /** With the interface that leads to it, if the routes do not. */
  group: InetAddress & { interfaceName?: string };
  /**
   * Whether a socket address, `words` from `at`, is the one that `unicast` sends from; undefined if the sockets do not
   * hear themselves.
   */
  isSelf?: (words: Uint32Array, at: number) => boolean;
  /** Whence members are heard; from anywhere if undefined. */
  from?: SenderNetworks;
  /** Whether there may be a member at a socket address; asked when it is heard for the first time. */
  admits?: (words: Uint32Array, at: number) => boolean;
}

export interface VtepOptions {
  vni: number;
  /** As vxvde: reserved octets are 0, members are reached where they send from, and say when they leave. */
  vxvde: boolean;
  /** Whether super-frames may go whole to members that are ends of ours; with vxvde only, and there by default. */
  hello?: boolean;
  /** Most stations whose place is remembered. */
  hashsize: number;
  /** Seconds after which a station that was not heard is forgotten. */
  expiretime: number;
  /** Counters to use in place of its own. */
  drops?: Drops;
  /** Milliseconds that do not go back; the process's by default. */
  clock?: () => number;
  /** Source of the table's hash seed. */
  random?: () => number;
}

/** See the head of this file. */
export class Vtep extends PlugBase implements Plug {
  readonly maxFrame = FRAME_LIMIT;
  readonly takesOffloads = true;
  readonly backlogged = false;
  /** Datagrams with the header of another network, or none, or of senders that are not to be heard. */
  foreign = 0;
  /** Called once if the kernel refuses to send to the group, with the errno: nobody is reached then. */
  onUnreachable: ((errno: number) => void) | undefined;
  readonly table: PeerTable;
  readonly #sockets: VtepSockets;
  readonly #options: VtepOptions;
  readonly #vxvde: boolean;
  readonly #filter: VxlanFilter;
  readonly #header: Uint8Array;
  readonly #group = new Memory(SOCKADDR_ROOM);
  readonly #addressLength: number;
  readonly #clock: () => number;
  readonly #tag = makeTag(randomFillSync);
  /** Answers those who are no members; undefined if hellos mean nothing here. */
  readonly #greeter: TunnelHello | undefined;
  readonly #sender: TunnelSender;
  readonly #receiver: TunnelReceiver;
  readonly #end: TunnelEnd;
  readonly #all: TunnelPeer;
  /** By its number in the table: each member that something was sent to. */
  readonly #members: (TunnelPeer | undefined)[] = [];
  #watches: Watch[] = [];
  /** Where in the sources those are who say that they leave: after the frames that arrived with their word. */
  readonly #leaving = new Uint32Array(LEAVERS_MAX);
  #leavers = 0;
  /** What is being read was sent to this member alone. */
  #alone = false;

  /** Takes the sockets over. */
  constructor(
    sockets: VtepSockets,
    readonly name: string,
    options: VtepOptions,
  ) {
    super(options.drops);
    const { multicast, unicast } = sockets;
    this.#sockets = sockets;
    this.#options = options;
    this.#vxvde = options.vxvde;
    this.#filter = new VxlanFilter(options.vni, options.vxvde);
    this.#header = vxlanHeader(options.vni);
    this.#addressLength = writeInetAddress(this.#group, 0, sockets.group);
    this.#clock = options.clock ?? (() => performance.now());
    const greets = options.vxvde && (options.hello ?? true);
    this.#greeter = greets ? new TunnelHello(this.#tag, randomFillSync) : undefined;
    this.table = new PeerTable({
      family: sockets.family,
      capacity: options.hashsize,
      expire: options.expiretime * 1000,
      random: options.random ?? Math.random,
      admit: sockets.admits,
      onForgotten: (peer) => {
        this.#members[peer] = undefined;
      },
    });
    const onError = (errno: number, to: Destination) => this.#onError(errno, to as TunnelPeer);
    this.#sender = new TunnelSender(unicast.fd, this.#header, this.drops, onError, FRAME_LIMIT);
    this.#receiver = new TunnelReceiver({
      header: VXLAN_HEADER,
      tag: this.#tag,
      drops: this.drops,
      arrivalDrops: this.arrivalDrops,
      sources: true,
      accepts: (bytes, at, length, message) => this.#accepts(bytes, at, length, message),
      onFrames: (burst) => this.#onFrames(burst),
      onHello: (bytes, at, message) => this.#onHello(bytes, at, message),
    });
    for (const socket of [multicast, unicast]) if (socket !== undefined) enableReceiveOffload(socket);
    this.#end = {
      drops: this.drops,
      sender: this.#sender,
      flush: () => this.#sender.flush(),
      post: (message, { address, length }) => this.#post(message, address, length),
      pathTo: (peer) => this.#pathTo(peer),
    };
    this.#all = new TunnelPeer(this.#end, this.#group.address, this.#addressLength, undefined);
  }

  protected override listen(): void {
    const events = this.wanted ? EPOLLIN | EPOLLRDHUP : 0;
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
    if (events & EPOLLERR) purgeErrors(socket);
    if (events & (EPOLLHUP | EPOLLRDHUP)) {
      // Nobody but a process that gave the socket away can do that; it would be reported for ever.
      this.lose(new VdeError({ code: 'ESHUTDOWN', subject: this.name, cause: 'its socket has been shut down' }));
      return PURE;
    }
    const receiver = this.#receiver;
    for (let turn = 0; turn < BURSTS_PER_TURN && this.wanted; turn++) {
      const { max } = receiver;
      this.#alone = socket !== this.#sockets.multicast;
      const n = receiver.receive(socket.fd);
      this.#forgetLeavers();
      if (n > 0 && receiver.bytes >= BULK_BYTES) loop().bulk();
      if (n < max) break;
    }
    return PURE;
  }

  /** Whether there may be a frame or a hello in a datagram; one that is neither is dealt with. */
  #accepts(bytes: Uint8Array, at: number, length: number, message: number): boolean {
    if (length < 0 || !this.#filter.accepts(bytes, at)) {
      this.foreign++;
      return false;
    }
    const { words } = this.#receiver.sources as Memory;
    const source = this.#receiver.sourceOffset(message) >>> 2;
    if (this.#sockets.isSelf?.(words, source)) return false;
    if (this.#sockets.from?.has(words, source) === false) {
      this.foreign++;
      return false;
    }
    if (length > 0 || !this.#vxvde) return true;
    this.#leaving[this.#leavers++] = source;
    if (this.#leavers === LEAVERS_MAX) this.#forgetLeavers();
    return false;
  }

  #forgetLeavers(): void {
    const { words } = this.#receiver.sources as Memory;
    for (let i = 0; i < this.#leavers; i++) this.table.forget(words, this.#leaving[i]);
    this.#leavers = 0;
  }

  /** Learns where stations are, and hands their frames on. */
  #onFrames(burst: Burst): void {
    const { source } = this.#receiver;
    const { shorts, bytes, start } = burst;
    const sources = this.#receiver.sources as Memory;
    const now = this.#clock();
    for (let slot = 0; slot < burst.count; slot++) {
      const offset = this.#receiver.sourceOffset(source[slot]);
      if (!this.#vxvde) this.#setPort(sources, offset);
      // Bytes 6-7 | 8-11: the source. The lowest bit of its first byte marks a group address, which is never one.
      const short = (start[slot] >>> 1) + 3;
      if ((bytes[start[slot] + 6] & 1) !== 0) continue;
      this.table.learn(shorts[short] | (shorts[short + 1] << 16), shorts[short + 2], sources.words, offset >>> 2, now);
    }
    if (!this.closed) this.sink?.(burst);
  }

  /** A VXLAN member sends from any port, and listens at the group's (RFC 7348, section 5). */
  #setPort(sources: Memory, offset: number): void {
    const at = offset + SOCKADDR_IN.port;
    sources.bytes[at] = this.#group.bytes[SOCKADDR_IN.port];
    sources.bytes[at + 1] = this.#group.bytes[SOCKADDR_IN.port + 1];
  }

  /** One that was sent to the group is not answered: all members would be. */
  #onHello(bytes: Uint8Array, at: number, message: number): void {
    if (this.#greeter === undefined || !this.#alone || this.closed) {
      this.dropArrival('runt');
      return;
    }
    const sources = this.#receiver.sources as Memory;
    const offset = this.#receiver.sourceOffset(message);
    const peer = this.table.findPeer(sources.words, offset >>> 2);
    const hello = this.#members[peer]?.hello ?? this.#greeter;
    const answer = hello.receive(bytes, at, this.#clock());
    if (answer !== undefined) this.#post(answer, sources.address + offset, this.#receiver.sourceLength(message));
  }

  protected override transmit(frames: Burst, views: Uint8Array, count: number): void {
    if (this.closed) return;
    const { start, bytes, words, shorts, offload, superFrames } = frames;
    const now = this.#clock();
    for (let k = 0; k < count; k++) {
      const view = views[k];
      const slot = view & (BURST_SIZE - 1);
      const at = start[slot];
      const word = at >>> 2;
      const peer = bytes[at] & 1 ? -1 : this.table.lookup(words[word], shorts[(word << 1) + 2], now);
      const to = peer < 0 ? this.#all : (this.#members[peer] ?? this.#meet(peer, now));
      if (superFrames > 0 && offload[slot] !== 0) to.addSuperFrame(frames, view, now);
      else this.#sender.add(frames, view, to);
    }
    this.#sender.flush();
  }

  #meet(peer: number, now: number): TunnelPeer {
    const hello = this.#greeter && new TunnelHello(this.#tag, randomFillSync);
    const member = new TunnelPeer(this.#end, this.table.address(peer), this.#addressLength, hello);
    member.findPath(now);
    this.#members[peer] = member;
    return member;
  }

  /** 0 also if the interface has gone, or there is no descriptor left to ask with. */
  #pathTo({ address, length }: Destination): number {
    const { family, group } = this.#sockets;
    const { interfaceName } = group;
    try {
      return unfragmentedPayloadTo(family, address, length, (probe) => {
        if (interfaceName !== undefined) setMulticastInterface(probe, interfaceName);
      });
    } catch (error) {
      if (error instanceof VdeError) return 0;
      throw error;
    }
  }

  /** The kernel does not take what is for a member, or for all. A member that cannot be reached may be somewhere else. */
  #onError(errno: number, to: TunnelPeer): void {
    to.forgetPath();
    if (TOO_LONG.includes(errno)) return;
    if (to !== this.#all) {
      const peer = this.#members.indexOf(to);
      if (peer >= 0) this.table.forgetPeer(peer);
    } else if (this.onUnreachable !== undefined) {
      const tell = this.onUnreachable;
      this.onUnreachable = undefined;
      loop().touch();
      tell(errno);
    }
  }

  #post(message: Uint8Array, address: number, length: number): void {
    outbox ??= new Outbox();
    outbox.send(this.#sockets.unicast.fd, this.#header, message, address, length);
  }

  /** While the group cannot be reached it is served here, where somebody is told (`onUnreachable`). */
  adoptable(): Adoptable | undefined {
    if (this.#pathTo(this.#all) === 0) return undefined;
    const { family, group, from, multicast, unicast } = this.#sockets;
    const { vni, vxvde, hello = true, hashsize, expiretime } = this.#options;
    const list = from?.list ?? '';
    const settings = encodeVtepSettings({ vxvde, hello, vni, hashsize, expiretime, family, group, from: list });
    return settings && { kind: 'vtep', descriptor: unicast, second: multicast, settings };
  }

  protected override release(): void {
    for (const watch of this.#watches) watch.close();
    const { multicast, unicast } = this.#sockets;
    // The header alone tells the others to forget what they have heard from here.
    if (this.#vxvde) this.#post(NO_MESSAGE, this.#group.address, this.#addressLength);
    multicast?.close();
    unicast.close();
  }
}
