/**
 * The control socket of a switch, `DIR/ctl`, and those of port groups beside it, where clients ask for a port (reference:
 * VDE switch socket protocol).
 *
 * A client connects, sends one request and gets one address back; frames then flow over a pair of datagram sockets, and
 * the end of the control stream is the end of the port. Nothing that a client says is believed: who it is the kernel is
 * asked, and how its end is reached is `client-end.ts`.
 */

import { FRAME_MAX } from '../frame/burst.js';
import { OFFERED_MAX } from '../plug/adoption.js';
import { decodeRequest, encodeReply, REQUEST_MAX, type Request } from '../plug/vde-protocol.js';
import { Acceptor, type Log } from '../sys/acceptor.js';
import { receiveWithDescriptors } from '../sys/ancillary.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import { callError, errnoNumber, VdeError } from '../sys/errors.js';
import { loop, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { bindUnix, type Credentials, peerCredentials, peerGroups, trySend, unlinkQuietly } from '../sys/socket.js';
import { openClientEnd } from './client-end.js';
import type { ControlDirectory } from './directory.js';
import type { Endpoint, Identity, Port } from './port.js';
import type { Switch } from './switch.js';

/** A client that has connected and said nothing for this long is sent away, in ms. */
const HANDSHAKE_MS = 5000;
/** Most clients that have connected but not asked yet, and most of one user, who is not to lock out the others. */
const PENDING_MAX = 1024;
const PENDING_PER_USER_MAX = 512;

const EAGAIN = errnoNumber('EAGAIN');

export type { Log } from '../sys/acceptor.js';

export interface ControlOptions {
  /** Time that a client has for its request, in ms (5000). */
  handshakeMs?: number;
  /** Whether the port that a client asks for is ignored: it gets one of its own. */
  anyPort?: boolean;
}

const buffer = new Memory(REQUEST_MAX * 2);

/** One client, from connecting to leaving. */
class Client {
  watch: Watch | undefined;
  timer: NodeJS.Timeout | undefined;
  received = Buffer.alloc(0);
  /** Descriptors that came with the request. */
  offered: readonly Descriptor[] = [];
  seat: { port: Port; endpoint: Endpoint } | undefined;
  /** Path of the switch's data socket for this client. */
  dataPath: string | undefined;

  constructor(
    readonly stream: Descriptor,
    readonly credentials: Credentials,
    /** Port group whose socket it came by. */
    readonly portGroup: string | undefined,
  ) {}
}

/** See the head of this file. */
export class ControlServer {
  readonly #clients = new Map<number, Client>();
  readonly #acceptor: Acceptor;
  readonly #handshakeMs: number;
  readonly #anyPort: boolean;
  #pending = 0;
  /** Those of each user, by uid; without those who have none. */
  readonly #pendingByUser = new Map<number, number>();
  #closed = false;

  constructor(
    private readonly target: Switch,
    private readonly directory: ControlDirectory,
    private readonly log: Log,
    options: ControlOptions = {},
  ) {
    this.#handshakeMs = options.handshakeMs ?? HANDSHAKE_MS;
    this.#anyPort = options.anyPort ?? false;
    target.onLeft = (_, endpoint) => this.#left(endpoint);
    this.#acceptor = new Acceptor(directory.listener, log, (stream) => this.#welcome(stream));
  }

  /** Clients connected, seated or not. */
  get clientCount(): number {
    return this.#clients.size;
  }

  /** Serves the socket of a port group, which stays the caller's, too. Returns what ends that. */
  serve(listener: Descriptor, portGroup: string): () => void {
    const acceptor = new Acceptor(listener, this.log, (stream) => this.#welcome(stream, portGroup));
    return () => acceptor.close();
  }

  #welcome(stream: Descriptor, portGroup?: string): void {
    const client = new Client(stream, peerCredentials(stream), portGroup);
    const { uid } = client.credentials;
    const ofUser = this.#pendingByUser.get(uid) ?? 0;
    if (this.#pending >= PENDING_MAX || ofUser >= PENDING_PER_USER_MAX) {
      const whose = ofUser >= PENDING_PER_USER_MAX ? `${ofUser} others of this user` : `${this.#pending} others`;
      this.#refuse(client, `${whose} have connected and not asked for a port yet`);
      return;
    }
    this.#clients.set(stream.fd, client);
    this.#pending++;
    this.#pendingByUser.set(uid, ofUser + 1);
    client.watch = loop().watch(stream.fd, EPOLLIN | EPOLLRDHUP, (events) => this.#onReady(client, events));
    client.timer = setTimeout(() => {
      const { length } = client.received;
      this.#refuse(
        client,
        length === 0 ? 'no request' : problem(client.received),
        `within ${this.#handshakeMs / 1000} s`,
      );
    }, this.#handshakeMs);
  }

  #onReady(client: Client, events: number): undefined {
    if (client.seat === undefined && events & EPOLLIN) this.#read(client);
    else if (events & ~EPOLLIN) {
      // What it sent before it left may be still unread.
      client.seat?.endpoint.plug.receiveRest?.();
      this.#drop(client);
    }
  }

  #read(client: Client): void {
    const { length: n, descriptors, truncated } = receiveWithDescriptors(client.stream, buffer, OFFERED_MAX);
    if (descriptors.length > 0) {
      discard(client);
      // More than an end is made of are no end.
      if (truncated) for (const one of descriptors) one.discard();
      else client.offered = descriptors;
    }
    if (n === -EAGAIN) return;
    if (n <= 0) {
      if (client.received.length > 0) this.#refuse(client, problem(client.received));
      else this.#drop(client);
      return;
    }
    client.received = Buffer.concat([client.received, buffer.bytes.subarray(0, n)]);
    if (client.received.length > REQUEST_MAX) {
      this.#refuse(client, `request of ${client.received.length} bytes, at most ${REQUEST_MAX} allowed`);
      return;
    }
    const request = decodeRequest(client.received);
    if ('error' in request) {
      if (!request.incomplete) this.#refuse(client, request.error);
      return;
    }
    try {
      this.#seat(client, request);
    } catch (error) {
      if (!(error instanceof VdeError)) throw error;
      this.#refuse(client, error.message);
    }
  }

  #refuse(client: Client, reason: string, detail = ''): void {
    const { pid, uid } = client.credentials;
    this.log(`client refused (pid ${pid}, uid ${uid}): ${reason}${detail && ` ${detail}`}`);
    this.#drop(client);
  }

  /** Makes the client's end and gives it a port. */
  #seat(client: Client, request: Request): void {
    const end = openClientEnd(request, client.credentials, client.offered);
    client.offered = [];
    try {
      const port = this.target.attach(end.plug, {
        port: this.#anyPort ? undefined : request.port,
        id: client.stream.fd,
        module: 'unix prog',
        description: request.description,
        user: end.user,
        identity: identityOf(client),
        portGroup: client.portGroup,
      });
      client.seat = { port, endpoint: port.endpoints[0] };
      client.received = Buffer.alloc(0);
      this.#settle(client);
      const path = end.data === undefined ? this.directory.path : this.#bind(client, port, end.data, end.user);
      const { extension } = request;
      this.#answer(
        client,
        encodeReply(path, extension && { maxFrame: FRAME_MAX, offloads: extension.offloads, adopt: end.adopted }),
      );
    } catch (error) {
      end.plug.close();
      throw error;
    }
  }

  /** Gives the switch's data socket its name in the directory. */
  #bind(client: Client, port: Port, data: Descriptor, user: number): string {
    const path = this.directory.dataPath(port.number, data.fd);
    client.dataPath = path;
    unlinkQuietly(path);
    bindUnix(data, path);
    this.directory.protectDataSocket(path, user);
    return path;
  }

  #answer(client: Client, reply: Buffer): void {
    buffer.bytes.set(reply);
    const n = trySend(client.stream, buffer, reply.length);
    if (n !== reply.length) throw callError('send', n < 0 ? -n : EAGAIN, 'answer to the client');
    // From here on the stream is only listened to for its end. What a client says on it is left unread.
    if (client.watch) client.watch.events = EPOLLRDHUP;
  }

  /** The client is no longer a pending one. */
  #settle(client: Client): void {
    if (client.timer === undefined) return;
    clearTimeout(client.timer);
    client.timer = undefined;
    this.#pending--;
    const { uid } = client.credentials;
    const left = (this.#pendingByUser.get(uid) ?? 0) - 1;
    if (left > 0) this.#pendingByUser.set(uid, left);
    else this.#pendingByUser.delete(uid);
  }

  /** The switch has let go of an endpoint: so do we of its client. */
  #left(endpoint: Endpoint): void {
    const client = this.#clients.get(endpoint.id);
    if (client?.seat?.endpoint === endpoint) this.#drop(client);
  }

  #drop(client: Client): void {
    if (client.stream.closed) return;
    this.#settle(client);
    discard(client);
    this.#clients.delete(client.stream.fd);
    client.watch?.close();
    client.stream.close();
    if (client.dataPath !== undefined) unlinkQuietly(client.dataPath);
    if (client.seat) this.target.detach(client.seat.port, client.seat.endpoint);
  }

  /** Sends everybody away and stops to listen. The directory stays its owner's. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#acceptor.close();
    for (const client of this.#clients.values()) this.#drop(client);
  }
}

/** Who a client is; its supplementary groups are asked for only where they matter. */
function identityOf({ credentials: { uid, gid }, stream }: Client): Identity {
  return { uid, belongsTo: (group) => group === gid || peerGroups(stream).includes(group) };
}

/** Closes what a client gave. That may take its time. */
function discard(client: Client): void {
  for (const one of client.offered) one.discard();
  client.offered = [];
}

function problem(received: Buffer): string {
  const request = decodeRequest(received);
  return 'error' in request ? request.error : 'no request';
}
