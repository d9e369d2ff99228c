/**
 * The broker of vxvdex networks: it alone has their UDP sockets, and lets on this machine's members, whom it knows from the
 * kernel (SO_PEERCRED and SO_PEERGROUPS of unix(7), as seen from the broker's user namespace). How they ask is
 * `vxvdex-protocol.ts`, whom it admits `vxvdex-policy.ts`, what it gives them a port of a `VxvdexNetwork`.
 *
 * Its socket is open to everybody, so everything that a user can have of it has a bound: connections that have not asked
 * yet, memberships, frames that wait for one of them, lines in the log.
 */

import { FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { adopt } from '../plug/adoption.js';
import { DatagramPlug } from '../plug/datagram.js';
import { quote } from '../plug/locator.js';
import type { Plug } from '../plug/plug.js';
import { openPlug } from '../plug/registry.js';
import { decodeMemberRequest, encodeAnswer, MESSAGE_MAX, type MemberRequest } from '../plug/vxvdex-protocol.js';
import { Acceptor, type Log } from '../sys/acceptor.js';
import { receiveWithDescriptors, sendWithDescriptors } from '../sys/ancillary.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import { callError, errnoNumber, VdeError } from '../sys/errors.js';
import { loop, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { getOption, peerCredentials, peerGroups, SO_TYPE, SOCK_DGRAM, SOL_SOCKET, socketPair } from '../sys/socket.js';
import { isTun } from '../sys/tap.js';
import type { Endpoint, Port } from './port.js';
import { VxvdexNetwork } from './vxvdex-network.js';
import { describe, type Person, type Policy } from './vxvdex-policy.js';
import { PublicSocket } from './vxvdex-socket.js';

/** A client that has connected and asked for nothing for this long is sent away, in ms. */
const HANDSHAKE_MS = 5000;
/** Most clients that have connected and not asked yet: in all, and of one user. */
const PENDING_MAX = 1024;
const PENDING_OF_USER = 64;
/** Most members in all, and of one user unless told otherwise. */
const MEMBERS_MAX = 4000;
export const MEMBERS_OF_USER = 16;
/** Descriptors that a user gave and that take their time to close: with so many, she is not listened to. */
const CLOSING_OF_USER = 2;
/** Most bytes that wait for a member beside what the kernel holds. All queues of a process share 64 MiB. */
const QUEUE_BYTES = 256 << 10;
/** Most lines about refusals in a second. */
const LINES_PER_SECOND = 10;
const SWEEP_MS = 2000;

const EAGAIN = errnoNumber('EAGAIN');

const buffer = new Memory(MESSAGE_MAX);

export interface BrokerOptions {
  /** Path of its socket. */
  path: string;
  policy: Policy;
  /** Address family of the groups. */
  family: 4 | 6;
  /** Interface of the groups; the routes choose if undefined. */
  interfaceName?: string;
  /** Routers that frames may pass. */
  ttl: number;
  /** Most members of one user (`MEMBERS_OF_USER`). */
  membersOfUser?: number;
  /** Time that a client has for its request, in ms (5000). */
  handshakeMs?: number;
  log: Log;
}

/** One client, from connecting to leaving. */
class Member {
  watch: Watch | undefined;
  timer: NodeJS.Timeout | undefined;
  request: MemberRequest | undefined;
  network: VxvdexNetwork | undefined;
  seat: { port: Port; endpoint: Endpoint } | undefined;

  constructor(
    readonly connection: Descriptor,
    readonly pid: number,
    readonly person: Person,
  ) {}

  get name(): string {
    return `${describe(this.person)}, pid ${this.pid}`;
  }
}

/** See the head of this file. */
export class VxvdexBroker {
  readonly #socket: PublicSocket;
  readonly #acceptor: Acceptor;
  readonly #members = new Set<Member>();
  readonly #networks = new Map<number, VxvdexNetwork>();
  readonly #sweep: NodeJS.Timeout;
  /** Descriptors being closed, by the uid of who gave them. */
  readonly #closing = new Map<number, number>();
  readonly #begin = performance.now();
  #policy: Policy;
  #pending = 0;
  #second = 0;
  #lines = 0;
  #closed = false;

  /**
   * Listens at a path, where everybody may connect; the directory is made if it is not there.
   * @throws VdeError `EADDRINUSE` if somebody answers there; what the kernel says if the socket cannot be made.
   */
  constructor(private readonly options: BrokerOptions) {
    this.#policy = options.policy;
    this.#socket = new PublicSocket(options.path);
    this.#acceptor = new Acceptor(this.#socket.listener, options.log, (connection) => this.#welcome(connection));
    this.#sweep = setInterval(() => {
      for (const network of this.#networks.values()) network.switch.sweep();
    }, SWEEP_MS);
  }

  /** Absolute path of the socket. */
  get path(): string {
    return this.#socket.path;
  }

  /** Members that have a port. */
  get memberCount(): number {
    return [...this.#members].filter(({ seat }) => seat !== undefined).length;
  }

  /** Networks that have members. */
  get networks(): ReadonlyMap<number, VxvdexNetwork> {
    return this.#networks;
  }

  /** Puts other rules into force. Members who would not be admitted any more are sent away. */
  set policy(policy: Policy) {
    this.#policy = policy;
    for (const member of [...this.#members]) {
      if (member.request === undefined || member.network === undefined) continue;
      try {
        if (policy.admit(member.request.network, member.person) === member.network.number) continue;
        this.options.log(`${member.name} sent away: the network has another number`);
      } catch (error) {
        this.options.log(`${member.name} sent away: ${(error as VdeError).reason}`);
      }
      this.#drop(member);
    }
  }

  #welcome(connection: Descriptor): void {
    const { pid, uid, gid } = peerCredentials(connection);
    const member = new Member(connection, pid, { uid, gid, groups: peerGroups(connection) });
    this.#members.add(member);
    if (this.#pending >= PENDING_MAX || this.#count(uid, (one) => one.timer !== undefined) >= PENDING_OF_USER) {
      this.#refuse(member, limit('connections that have not asked for a network'));
      return;
    }
    if ((this.#closing.get(uid) ?? 0) >= CLOSING_OF_USER) {
      this.#refuse(member, limit('descriptors of yours that cannot be closed'));
      return;
    }
    this.#pending++;
    member.watch = loop().watch(connection.fd, EPOLLIN | EPOLLRDHUP, (events) => this.#onReady(member, events));
    const timeout = this.options.handshakeMs ?? HANDSHAKE_MS;
    member.timer = setTimeout(() => {
      const cause = `no request within ${timeout / 1000} s`;
      this.#refuse(member, new VdeError({ code: 'ETIMEDOUT', subject: '', cause }));
    }, timeout);
    // Most have asked by now: they are no longer of those who have not.
    this.#onReady(member, EPOLLIN);
  }

  #count(uid: number, which: (member: Member) => boolean): number {
    let count = 0;
    for (const member of this.#members) if (member.person.uid === uid && which(member)) count++;
    return count;
  }

  #onReady(member: Member, events: number): undefined {
    if (member.request === undefined && events & EPOLLIN) this.#read(member);
    else if (events & ~EPOLLIN) {
      // What she sent before she left may be still unread.
      member.seat?.endpoint.plug.receiveRest?.();
      this.#drop(member);
    }
  }

  #read(member: Member): void {
    const { length, descriptors, truncated } = receiveWithDescriptors(member.connection, buffer, 1);
    const [offered] = descriptors;
    if (length === -EAGAIN) return;
    if (length <= 0) {
      this.#discard(member, offered);
      this.#drop(member);
      return;
    }
    const read = decodeMemberRequest(Buffer.from(buffer.bytes.subarray(0, length)));
    if (typeof read === 'string' || truncated) {
      this.#discard(member, offered);
      const cause = typeof read === 'string' ? read : 'more descriptors than one';
      this.#refuse(member, new VdeError({ code: 'EPROTO', subject: '', cause }));
      return;
    }
    member.request = read;
    // From here on the connection is only listened to for its end. What is said on it is left unread.
    if (member.watch) member.watch.events = EPOLLRDHUP;
    void this.#admit(member, read, offered);
  }

  async #admit(member: Member, request: MemberRequest, offered: Descriptor | undefined): Promise<void> {
    const adoptable = offered !== undefined && request.adopt && isServable(offered) ? offered : undefined;
    let unused = offered;
    try {
      this.#settle(member);
      const { family, membersOfUser = MEMBERS_OF_USER } = this.options;
      const number = this.#policy.admit(request.network, member.person);
      if (request.family !== undefined && request.family !== family) {
        const cause = `the networks of this machine are over IPv${family}, not IPv${request.family}`;
        throw new VdeError({ code: 'EAFNOSUPPORT', subject: '', cause });
      }
      const seated = (one: Member) => one.network !== undefined;
      if (this.#count(member.person.uid, seated) >= membersOfUser) throw limit(`${membersOfUser} memberships`);
      if ([...this.#members].filter(seated).length >= MEMBERS_MAX) throw limit(`${MEMBERS_MAX} members of all users`);
      const network = this.#join(member, number);
      await network.ready;
      if (member.connection.closed) return;
      this.#seat(member, request, network, adoptable);
      if (adoptable !== undefined) unused = undefined;
      this.options.log(`${member.name} joined network ${this.#policy.shown(number)}`);
    } catch (error) {
      if (!(error instanceof VdeError)) throw error;
      this.#refuse(member, error);
    } finally {
      this.#discard(member, unused);
    }
  }

  /** Closes what a user gave. That may take its time, which is hers. */
  #discard({ person: { uid } }: Member, offered: Descriptor | undefined): void {
    if (offered === undefined || offered.closed) return;
    this.#closing.set(uid, (this.#closing.get(uid) ?? 0) + 1);
    offered.discard(() => {
      const left = (this.#closing.get(uid) ?? 0) - 1;
      if (left > 0) this.#closing.set(uid, left);
      else this.#closing.delete(uid);
    });
  }

  /** Counts a member in, and opens the network if she is the first. */
  #join(member: Member, number: number): VxvdexNetwork {
    let network = this.#networks.get(number);
    if (network === undefined) {
      const now = () => Math.floor((performance.now() - this.#begin) / 1000);
      network = new VxvdexNetwork(number, now, this.#uplink(number));
      network.switch.onLeft = (_, endpoint) => this.#left(endpoint);
      this.#networks.set(number, network);
    }
    network.members++;
    member.network = network;
    return network;
  }

  /** The membership of the whole machine. */
  #uplink(number: number): Promise<Plug> {
    const { family, interfaceName, ttl, log } = this.options;
    const where = interfaceName === undefined ? '' : `/if=${quote(interfaceName)}`;
    return openPlug(`vxvde:///grp=${number}/v${family}/ttl=${ttl}${where}`, { onNotice: log });
  }

  #seat(member: Member, request: MemberRequest, network: VxvdexNetwork, adoptable: Descriptor | undefined): void {
    const { connection, person } = member;
    const { end, data, refused } = memberEnd(member.name, request, adoptable);
    this.#discard(member, refused);
    try {
      const port = network.seat(end, connection.fd, person.uid);
      member.seat = { port, endpoint: port.endpoints[0] };
      const { maxFrame, takesOffloads: offloads } = end;
      const answer = { network: network.number, maxFrame, offloads, adopted: data === undefined };
      const bytes = encodeAnswer(answer);
      const sent = sendWithDescriptors(connection, bytes, data ? [data] : []);
      if (sent !== bytes.length) throw callError('send', sent < 0 ? -sent : EAGAIN, 'answer to the member');
    } catch (error) {
      end.close();
      throw error;
    } finally {
      data?.close();
    }
  }

  #refuse(member: Member, error: VdeError): void {
    const { connection } = member;
    if (connection.closed) return;
    const { code, subject, reason, remedy = '' } = error;
    const who = describe(member.person);
    const what = subject === '' || subject === who ? reason : `${subject}: ${reason}`;
    this.#tellRefused(`refused: ${member.name}: ${what}`);
    sendWithDescriptors(connection, encodeAnswer({ code, cause: subject === who ? `${who} ${reason}` : what, remedy }));
    this.#drop(member);
  }

  /** One who asks again and again shall not fill the log. */
  #tellRefused(line: string): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      const untold = this.#lines - LINES_PER_SECOND;
      if (untold > 0) this.options.log(`${untold} more were refused`);
      this.#second = second;
      this.#lines = 0;
    }
    if (++this.#lines <= LINES_PER_SECOND) this.options.log(line);
  }

  /** The member is no longer one who has not asked. */
  #settle(member: Member): void {
    if (member.timer === undefined) return;
    clearTimeout(member.timer);
    member.timer = undefined;
    this.#pending--;
  }

  /** A switch has let go of an end: so do we of the member. */
  #left(endpoint: Endpoint): void {
    for (const member of this.#members) if (member.seat?.endpoint === endpoint) this.#drop(member);
  }

  #drop(member: Member): void {
    if (!this.#members.delete(member)) return;
    this.#settle(member);
    member.watch?.close();
    // What she has sent and nobody has read may hold descriptors too.
    member.connection.discard();
    const { network, seat } = member;
    if (network === undefined) return;
    if (seat !== undefined) {
      network.switch.detach(seat.port, seat.endpoint);
      if (!this.#closed) this.options.log(`${member.name} left network ${this.#policy.shown(network.number)}`);
    }
    if (--network.members > 0) return;
    this.#networks.delete(network.number);
    network.close();
  }

  /** Sends everybody away, stops to listen and removes the socket. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweep);
    this.#acceptor.close();
    for (const member of [...this.#members]) this.#drop(member);
    this.#socket.close();
  }
}

/** Whether a descriptor may be what we serve: a socket, or a tap. */
function isServable({ fd }: Descriptor): boolean {
  return getOption(fd, SOL_SOCKET, SO_TYPE) >= 0 || isTun(fd);
}

interface MemberEnd {
  end: Plug;
  /** Her end of a pair of sockets, unless she gave one to serve. */
  data: Descriptor | undefined;
  /** What she gave and cannot be served. */
  refused: Descriptor | undefined;
}

/** The broker's end toward a member. */
function memberEnd(name: string, { maxFrame, offloads }: MemberRequest, given: Descriptor | undefined): MemberEnd {
  const adopted = given && adopt(given, name);
  if (adopted !== undefined) return { end: adopted, data: undefined, refused: undefined };
  const [own, data] = socketPair(SOCK_DGRAM, 'data socket');
  const longest = Math.max(FRAME_MIN, Math.min(maxFrame, FRAME_MAX));
  const end = new DatagramPlug(own, { name, maxFrame: longest, offloads, queueBytes: QUEUE_BYTES });
  return { end, data, refused: given };
}

function limit(what: string): VdeError {
  const remedy = 'end some, or ask the administrator for a higher --limit';
  return new VdeError({ code: 'EDQUOT', subject: '', cause: `there are ${what} already`, remedy });
}
