/**
 * The management socket: an AF_UNIX stream socket where each connection is a console (reference: vde_switch management
 * console, section 1). Who may connect is a matter of the file's permissions.
 *
 * A socket that nobody listens to any more is taken over; one that answers is a mistake of the user's.
 */

import { resolve } from 'node:path';
import { protectFile } from '../plug/permissions.js';
import type { Log } from '../switch/control.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from '../sys/epoll.js';
import { errnoNumber, errnoText } from '../sys/errors.js';
import { loop, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import {
  AF_UNIX,
  bindUnix,
  checkUnixPath,
  clearUnixPath,
  listen,
  peerCredentials,
  SOCK_STREAM,
  socket,
  tryAccept,
  tryReceive,
  trySend,
  unlinkQuietly,
} from '../sys/socket.js';
import type { ConsoleCommand } from './command-table.js';
import { OutputQueue } from './output.js';
import { ConsoleSession, PROMPT, type Transport } from './session.js';

const DEFAULT_MODE = 0o600;
/** Connections that may wait to be accepted. */
const BACKLOG = 4096;
/** Most consoles at once. */
const SESSIONS_MAX = 1024;
/** Connections taken before others get their turn. */
const ACCEPTS_PER_TURN = 16;
/** With no descriptor left, newcomers wait for this long before the next try, in ms. */
const EXHAUSTED_MS = 1000;

const EAGAIN = errnoNumber('EAGAIN');

const input = new Memory(64 << 10);

export interface ManagementOptions {
  /** Permissions of the socket (`--mgmtmode`, 0600). */
  mode?: number;
  /** Gid of the socket (`--mgmtgroup`). */
  group?: number;
  /** Lines that greet a client. */
  banner: readonly string[];
  /** What a client is asked for commands with; the switch's by default. */
  prompt?: string;
  /** The commands, asked for at each line. */
  table: () => readonly ConsoleCommand[];
  log: Log;
}

/** See the head of this file. */
export class ManagementServer {
  /** Absolute path of the socket. */
  readonly path: string;
  readonly mode: number;
  readonly #listener: Descriptor;
  readonly #watch: Watch;
  readonly #sessions = new Set<Connection>();
  #pause: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * Listens at a path.
   * @throws VdeError `EADDRINUSE` if somebody answers there, `EEXIST` if there is a file that is no socket; what the
   *   kernel says if the socket cannot be made.
   */
  constructor(
    path: string,
    private readonly options: ManagementOptions,
  ) {
    this.path = resolve(path);
    this.mode = options.mode ?? DEFAULT_MODE;
    checkUnixPath(this.path);
    clearUnixPath(this.path, SOCK_STREAM, {
      cause: 'somebody listens at that management socket',
      alive: 'stop that program, or give this switch another -M',
      foreign: 'remove it, or give this switch another -M',
    });
    this.#listener = socket(AF_UNIX, SOCK_STREAM, this.path);
    try {
      bindUnix(this.#listener, this.path);
      this.#protect();
      listen(this.#listener, BACKLOG);
    } catch (error) {
      this.#listener.close();
      throw error;
    }
    this.#watch = loop().watch(this.#listener.fd, EPOLLIN, () => this.#accept());
  }

  #protect(): void {
    try {
      protectFile(this.path, this.mode, this.options.group);
    } catch (error) {
      unlinkQuietly(this.path);
      throw error;
    }
  }

  /** Consoles that are connected. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  #accept(): undefined {
    for (let turn = 0; turn < ACCEPTS_PER_TURN; turn++) {
      const stream = tryAccept(this.#listener);
      if (typeof stream !== 'number') this.#welcome(stream);
      else {
        if (stream !== EAGAIN) this.#wait(stream);
        return;
      }
    }
  }

  /** With no descriptor left the listening socket would be ready again at once, and for nothing. */
  #wait(error: number): void {
    this.options.log(`console refused: ${errnoText(error)} (raise the limit with ulimit -n)`);
    this.#watch.events = 0;
    this.#pause = setTimeout(() => {
      this.#watch.events = EPOLLIN;
    }, EXHAUSTED_MS);
  }

  #welcome(stream: Descriptor): void {
    if (this.#sessions.size >= SESSIONS_MAX) {
      stream.close();
      this.options.log(`console refused: there are ${SESSIONS_MAX} already`);
      return;
    }
    const { banner, prompt = PROMPT, table } = this.options;
    const connection = new Connection(stream, { table, prompt }, () => this.#sessions.delete(connection));
    this.#sessions.add(connection);
    connection.write(`${banner.join('\n')}\n${prompt}`);
  }

  /** Ends all sessions, stops to listen and removes the socket. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#pause);
    this.#watch.close();
    unlinkQuietly(this.path);
    this.#listener.close();
    for (const connection of [...this.#sessions]) connection.close();
  }
}

/** One client of the management socket. Commands that it sent before it left are still carried out. */
class Connection implements Transport {
  readonly #output = new OutputQueue();
  readonly #session: ConsoleSession;
  readonly #watch: Watch;
  #reading = true;
  /** All that the client sent has been read. */
  #ended = false;
  /** The client has gone: nobody reads what is written. */
  #gone = false;
  #finishing = false;

  constructor(
    private readonly stream: Descriptor,
    options: Pick<ManagementOptions, 'table' | 'prompt'>,
    private readonly onClosed: () => void,
  ) {
    this.#session = new ConsoleSession(this, { ...options, uid: peerCredentials(stream).uid });
    this.#watch = loop().watch(stream.fd, EPOLLIN, (events) => this.#onReady(events));
  }

  get backlog(): number {
    return this.#output.size;
  }

  get reading(): boolean {
    return this.#reading;
  }

  set reading(reading: boolean) {
    this.#reading = reading;
    if (this.#gone && reading) setImmediate(() => this.#read());
    else this.#updateEvents();
  }

  write(text: string): void {
    if (this.#gone || this.stream.closed) return;
    this.#output.push(text);
    this.#flush();
  }

  finish(): void {
    this.#finishing = true;
    if (this.#output.size === 0) this.close();
    else this.#updateEvents();
  }

  /** Idempotent. */
  close(): void {
    if (this.stream.closed) return;
    this.#session.close();
    this.#output.clear();
    this.#watch.close();
    this.stream.close();
    this.onClosed();
  }

  #onReady(events: number): undefined {
    if (events & (EPOLLHUP | EPOLLERR)) this.#lose();
    else if (events & EPOLLOUT) this.#onWritable();
    if (events & EPOLLIN) this.#read();
  }

  #read(): void {
    if (this.stream.closed || this.#ended || !this.#reading) return;
    const n = tryReceive(this.stream, input);
    if (n > 0) this.#session.feed(input.bytes.subarray(0, n));
    else if (n !== -EAGAIN || this.#gone) {
      this.#ended = true;
      this.#updateEvents();
      this.#session.end();
    }
  }

  #onWritable(): void {
    this.#flush();
    if (this.#output.size === 0) this.#onDrained();
  }

  #onDrained(): void {
    if (this.#finishing) this.close();
    else this.#session.drained();
  }

  #flush(): void {
    const result = this.#output.flush((memory, length) => trySend(this.stream, memory, length));
    if (result < 0 && result !== -EAGAIN) this.#lose();
    else this.#updateEvents();
  }

  /** From now on nothing is written, and the rest of the input is read without being told of it. */
  #lose(): void {
    if (this.#gone || this.stream.closed) return;
    this.#gone = true;
    this.#output.clear();
    this.#watch.close();
    if (this.#ended || !this.#reading) setImmediate(() => this.#onDrained());
    else setImmediate(() => this.#read());
  }

  #updateEvents(): void {
    const reads = this.#reading && !this.#ended && !this.#finishing;
    this.#watch.events = (reads ? EPOLLIN : 0) | (this.#output.size > 0 ? EPOLLOUT : 0);
  }
}
