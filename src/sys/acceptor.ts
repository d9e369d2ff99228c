/**
 * Takes the connections that come to a listening socket, some at a time. A process that has run out of descriptors turns
 * newcomers away rather than leave them waiting: one descriptor is held back for that.
 */

import { closeSync, openSync } from 'node:fs';
import type { Descriptor } from './descriptor.js';
import { EPOLLIN } from './epoll.js';
import { errnoNumber, errnoText } from './errors.js';
import { loop, type Watch } from './loop.js';
import { tryAccept } from './socket.js';

/** With no descriptor left, not even the reserve, newcomers wait for this long before the next try, in ms. */
const EXHAUSTED_MS = 1000;
/** Connections taken before others get their turn. */
const ACCEPTS_PER_TURN = 64;

const EAGAIN = errnoNumber('EAGAIN');
const EMFILE = errnoNumber('EMFILE');
const ENFILE = errnoNumber('ENFILE');

/** Where a server says what it did and what it refused: one line each. */
export type Log = (line: string) => void;

/** See the head of this file. */
export class Acceptor {
  readonly #watch: Watch;
  #reserve = reserveDescriptor();
  #exhausted: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * @param listener stays the caller's.
   * @param welcome gets each connection, which is its own then.
   */
  constructor(
    private readonly listener: Descriptor,
    private readonly log: Log,
    private readonly welcome: (connection: Descriptor) => void,
  ) {
    this.#watch = loop().watch(listener.fd, EPOLLIN, () => this.#accept());
  }

  #accept(): undefined {
    for (let turn = 0; turn < ACCEPTS_PER_TURN && !this.#closed; turn++) {
      const connection = tryAccept(this.listener);
      if (typeof connection !== 'number') this.welcome(connection);
      else if (connection === EMFILE || connection === ENFILE) {
        if (!this.#turnAway(connection)) return;
      } else if (connection === EAGAIN) return;
    }
  }

  /**
   * With no descriptor left, a connection is taken with the one held back, and closed: better told than left waiting.
   * False if that could not be done.
   */
  #turnAway(error: number): boolean {
    if (this.#reserve < 0) this.#reserve = reserveDescriptor();
    if (this.#reserve < 0) {
      this.#pause();
      return false;
    }
    closeSync(this.#reserve);
    const connection = tryAccept(this.listener);
    if (typeof connection !== 'number') {
      connection.close();
      this.log(`client refused: ${errnoText(error)} (raise the limit with ulimit -n)`);
    }
    this.#reserve = reserveDescriptor();
    return typeof connection !== 'number';
  }

  /** Leaves the newcomers alone for a while: the listening socket would be ready again at once, and for nothing. */
  #pause(): void {
    this.#watch.events = 0;
    this.#exhausted = setTimeout(() => {
      this.#watch.events = EPOLLIN;
    }, EXHAUSTED_MS);
  }

  /** Takes no more. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#exhausted);
    this.#watch.close();
    if (this.#reserve >= 0) closeSync(this.#reserve);
  }
}

function reserveDescriptor(): number {
  try {
    return openSync('/dev/null', 'r');
  } catch {
    return -1;
  }
}
