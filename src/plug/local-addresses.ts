/**
 * Which source addresses are this machine's own. The kernel is asked, since interfaces and addresses come and go, and the
 * answer is kept for a while: it is wanted for every datagram that a member of a group hears from itself.
 */

import { VdeError } from '../sys/errors.js';
import { isLocalAddress } from '../sys/inet.js';
import { AF_INET6 } from '../sys/socket.js';

const KEPT_MS = 5000;
/** Most answers that are kept. */
const KEPT_MAX = 16;
/** 32-bit words of `struct sockaddr_in` and `sockaddr_in6`. */
const V4_WORDS = 4;
const V6_WORDS = 7;

/** See the head of this file. */
export class LocalAddresses {
  readonly #v6: boolean;
  readonly #kept = new Uint32Array(KEPT_MAX * V6_WORDS);
  readonly #local = new Uint8Array(KEPT_MAX);
  #count = 0;
  #since = -Infinity;

  /** @param family AF_INET or AF_INET6. */
  constructor(
    family: number,
    private readonly clock: () => number = () => performance.now(),
    private readonly ask: (raw: Uint8Array) => boolean = isLocalAddress,
  ) {
    this.#v6 = family === AF_INET6;
  }

  /**
   * Whether the address of the socket address in `words` from `at` is local. Somebody who makes up more addresses than can be
   * kept is not worth asking for: they count as local until the kept answers are old.
   */
  has(words: Uint32Array, at: number): boolean {
    for (let i = 0; i < this.#count; i++) if (this.#same(i, words, at)) return this.#current(i, words, at);
    return this.#askAbout(words, at);
  }

  #current(i: number, words: Uint32Array, at: number): boolean {
    return this.clock() - this.#since > KEPT_MS ? this.#askAbout(words, at) : this.#local[i] === 1;
  }

  #askAbout(words: Uint32Array, at: number): boolean {
    const now = this.clock();
    if (now - this.#since > KEPT_MS) {
      this.#count = 0;
      this.#since = now;
    }
    if (this.#count === KEPT_MAX) return true;
    const i = this.#count++;
    const size = this.#v6 ? V6_WORDS : V4_WORDS;
    for (let k = 0; k < size; k++) this.#kept[i * V6_WORDS + k] = words[at + k];
    const local = this.#ask(new Uint8Array(words.buffer, words.byteOffset + at * 4, size * 4));
    this.#local[i] = local ? 1 : 0;
    return local;
  }

  /** What cannot be found out, for want of descriptors, counts as local, too. */
  #ask(raw: Uint8Array): boolean {
    try {
      return this.ask(raw);
    } catch (error) {
      if (error instanceof VdeError) return true;
      throw error;
    }
  }

  /** Family and port are the first word, a flow label the second of an IPv6 address: neither matters. */
  #same(i: number, words: Uint32Array, at: number): boolean {
    const from = i * V6_WORDS;
    if (!this.#v6) return this.#kept[from + 1] === words[at + 1];
    for (let k = 2; k < V6_WORDS; k++) if (this.#kept[from + k] !== words[at + k]) return false;
    return true;
  }
}
