/**
 * Where the stations of a cloud are: MAC address -> the socket address of the member that it was heard from (reference:
 * plugins, section 7, and the table of section 4 of the locator syntax).
 *
 * Two tables in typed arrays. Members have a socket address in memory that the kernel reads when it sends, and a count of
 * their stations; one without any is forgotten. Stations are an open-addressing hash table with linear probing. A member
 * that leaves takes all its stations with it at once: its `epoch` goes on, and what was learned before counts no more.
 *
 * All of it comes from the network, so all of it is bounded: stations, members, and one member's share of the stations. The
 * hashes are seeded, so that nobody can prepare addresses that collide. A station that has just been heard is not believed
 * to have moved, so that a forged frame does not take the traffic of an active station away.
 *
 * MAC addresses are passed as the two words that a frame is read with: `low` is bytes 0-3 as a signed word and `high`
 * bytes 4-5, in the order that a little-endian load gives.
 */

import { type InetAddress, readInetAddress } from '../sys/inet.js';
import { SOCKADDR_IN, SOCKADDR_IN6 } from '../sys/layout.js';
import { Memory } from '../sys/memory.js';
import { AF_INET6 } from '../sys/socket.js';

/** Most members that are known at a time. */
export const PEERS_MAX = 4096;
/** Most stations that a table may be made for. */
export const STATIONS_MAX = 1 << 18;
/** How long a station must have been silent before it is believed to be elsewhere, in ms. */
export const MOVE_AFTER_MS = 1000;
/** A table that is full is searched for what is past its time no more often than this, in ms. */
const SWEEP_MS = 1000;

/** Bytes and words kept for a socket address. */
const ADDRESS = 32;
const ADDRESS_WORDS = ADDRESS / 4;
/** Words of a station: MAC address bytes 0-3 and 4-5, member + 1 (0: empty), the member's epoch. */
const ENTRY = 4;
const FIRST_SLOTS = 256;
const NONE = -1;

export interface PeerTableOptions {
  /** AF_INET or AF_INET6. */
  family: number;
  /** Most stations; 0: nothing is learned. At most `STATIONS_MAX`. */
  capacity: number;
  /** Time after which a station that was not heard is forgotten, in ms. */
  expire: number;
  /** Source of the hash seed, in [0, 1). */
  random: () => number;
  /** Asked once for each new member whether it may be one; its socket address lies in `words` from `at`. */
  admit?: (words: Uint32Array, at: number) => boolean;
  /** Told of each member that is forgotten: its number may be given to another. */
  onForgotten?: (peer: number) => void;
}

/** See the head of this file. */
export class PeerTable {
  readonly #v6: boolean;
  readonly #capacity: number;
  readonly #share: number;
  readonly #expire: number;
  readonly #seed: number;
  readonly #admit: ((words: Uint32Array, at: number) => boolean) | undefined;
  readonly #onForgotten: ((peer: number) => void) | undefined;

  readonly #addresses = new Memory(PEERS_MAX * ADDRESS);
  /** By member: how many stations it has, how often its number was given away, the next member of its hash chain. */
  readonly #stations = new Uint32Array(PEERS_MAX);
  readonly #epoch = new Int32Array(PEERS_MAX);
  readonly #next = new Int32Array(PEERS_MAX);
  readonly #heads = new Int32Array(PEERS_MAX).fill(NONE);
  #free = NONE;
  #everUsed = 0;
  #peers = 0;

  #words = new Int32Array(FIRST_SLOTS * ENTRY);
  #heard = new Float64Array(FIRST_SLOTS);
  #mask = FIRST_SLOTS - 1;
  #count = 0;
  #swept = -Infinity;
  /** Stations that were not learned, or not at their new place, because there was no room or it was too soon. */
  refused = 0;

  constructor(options: PeerTableOptions) {
    this.#v6 = options.family === AF_INET6;
    this.#capacity = Math.min(options.capacity, STATIONS_MAX);
    // A member may be a big network's only way in; still it must leave room for others.
    this.#share = Math.ceil(this.#capacity * 0.75);
    this.#expire = options.expire;
    this.#seed = Math.floor(options.random() * 0x1_0000_0000) | 0;
    this.#admit = options.admit;
    this.#onForgotten = options.onForgotten;
  }

  /** Stations in the table; those that are past their time or whose member has left count until their place is needed. */
  get size(): number {
    return this.#count;
  }

  /** Members with at least one station. */
  get peers(): number {
    return this.#peers;
  }

  /** Address of a member's socket address, for the kernel. */
  address(peer: number): number {
    return this.#addresses.address + peer * ADDRESS;
  }

  /** A member's address, for people. */
  peerAddress(peer: number): InetAddress | undefined {
    return readInetAddress(this.#addresses, peer * ADDRESS, this.#v6 ? SOCKADDR_IN6.size : SOCKADDR_IN.size);
  }

  #slot(low: number, high: number): number {
    return mix(low ^ this.#seed, high) & this.#mask;
  }

  /** The slot of a station, or the empty one where it would go. */
  #find(low: number, high: number): number {
    const words = this.#words;
    let slot = this.#slot(low, high);
    for (;;) {
      const at = slot * ENTRY;
      if (words[at + 2] === 0 || (words[at] === low && words[at + 1] === high)) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  /** The member that a slot's station is at; -1 if the slot is empty, its station past its time or its member gone. */
  #valid(slot: number, now: number): number {
    const at = slot * ENTRY;
    const peer = this.#words[at + 2] - 1;
    if (peer < 0 || this.#epoch[peer] !== this.#words[at + 3] || now - this.#heard[slot] > this.#expire) return NONE;
    return peer;
  }

  /** The member that a station was last heard from, or -1. @param now in ms, of any clock that does not go back. */
  lookup(low: number, high: number, now: number): number {
    return this.#valid(this.#find(low, high), now);
  }

  /** Notes that a station was heard from the member whose socket address lies in `words` from `at`. */
  learn(low: number, high: number, words: Uint32Array, at: number, now: number): void {
    if (this.#capacity === 0) return;
    let slot = this.#find(low, high);
    const known = this.#valid(slot, now);
    if (known !== NONE) {
      if (this.#same(known, words, at)) {
        this.#heard[slot] = now;
        return;
      }
      if (now - this.#heard[slot] <= MOVE_AFTER_MS) {
        this.refused++;
        return;
      }
    }
    const isNew = this.#words[slot * ENTRY + 2] === 0;
    if (isNew && this.#count >= this.#capacity && this.#sweep(now)) slot = this.#find(low, high);
    const peer = isNew && this.#count >= this.#capacity ? NONE : this.#takePeer(words, at, now);
    if (peer === NONE) {
      this.refused++;
      return;
    }
    // A sweep for room among the members may have moved it.
    slot = this.#find(low, high);
    const entry = slot * ENTRY;
    this.#stations[peer]++;
    if (this.#words[entry + 2] === 0) this.#count++;
    else this.#leave(entry);
    this.#words[entry] = low;
    this.#words[entry + 1] = high;
    this.#words[entry + 2] = peer + 1;
    this.#words[entry + 3] = this.#epoch[peer];
    this.#heard[slot] = now;
    if (this.#count * 2 > this.#mask) this.#resize((this.#mask + 1) * 2);
  }

  /** The member of the socket address in `words` from `at`, or -1. */
  findPeer(words: Uint32Array, at: number): number {
    let peer = this.#heads[this.#bucket(words, at)];
    while (peer !== NONE && !this.#same(peer, words, at)) peer = this.#next[peer];
    return peer;
  }

  /** Forgets the member of a socket address with all its stations. */
  forget(words: Uint32Array, at: number): void {
    const peer = this.findPeer(words, at);
    if (peer !== NONE) this.forgetPeer(peer);
  }

  /** Forgets a member with all its stations. */
  forgetPeer(peer: number): void {
    if (this.#stations[peer] === 0) return;
    this.#stations[peer] = 0;
    this.#releasePeer(peer);
  }

  /** Takes a station's entry away from its member. */
  #leave(entry: number): void {
    const peer = this.#words[entry + 2] - 1;
    if (this.#epoch[peer] !== this.#words[entry + 3]) return;
    if (--this.#stations[peer] === 0) this.#releasePeer(peer);
  }

  /** The first word is family and port; the second of an IPv6 address is its flow label, which says nothing here. */
  #same(peer: number, words: Uint32Array, at: number): boolean {
    const mine = this.#addresses.words;
    const from = peer * ADDRESS_WORDS;
    if (mine[from] !== words[at]) return false;
    if (!this.#v6) return mine[from + 1] === words[at + 1];
    for (let i = 2; i < 7; i++) if (mine[from + i] !== words[at + i]) return false;
    return true;
  }

  #bucket(words: Uint32Array, at: number): number {
    let hash = mix(words[at] ^ this.#seed, this.#v6 ? words[at + 2] : words[at + 1]);
    for (let i = 3; this.#v6 && i < 7; i++) hash = mix(hash, words[at + i]);
    return hash & (PEERS_MAX - 1);
  }

  /** The member of a socket address, a new one if need be; -1 if there is no room for it or for another station of it. */
  #takePeer(words: Uint32Array, at: number, now: number): number {
    const known = this.findPeer(words, at);
    if (known !== NONE) return this.#stations[known] < this.#share ? known : NONE;
    if (!hasPort(words, at) || this.#admit?.(words, at) === false) return NONE;
    if (this.#peers === PEERS_MAX && (!this.#sweep(now) || this.#peers === PEERS_MAX)) return NONE;
    let peer = this.#free;
    if (peer !== NONE) this.#free = this.#next[peer];
    else peer = this.#everUsed++;
    const mine = this.#addresses.words;
    const to = peer * ADDRESS_WORDS;
    mine[to] = words[at];
    mine[to + 1] = this.#v6 ? 0 : words[at + 1];
    for (let i = 2; this.#v6 && i < 7; i++) mine[to + i] = words[at + i];
    const bucket = this.#bucket(words, at);
    this.#next[peer] = this.#heads[bucket];
    this.#heads[bucket] = peer;
    this.#peers++;
    return peer;
  }

  #releasePeer(peer: number): void {
    const bucket = this.#bucket(this.#addresses.words, peer * ADDRESS_WORDS);
    if (this.#heads[bucket] === peer) this.#heads[bucket] = this.#next[peer];
    else {
      let before = this.#heads[bucket];
      while (this.#next[before] !== peer) before = this.#next[before];
      this.#next[before] = this.#next[peer];
    }
    this.#epoch[peer]++;
    this.#next[peer] = this.#free;
    this.#free = peer;
    this.#peers--;
    this.#onForgotten?.(peer);
  }

  /** Removes what is past its time; false if that was done only just now. */
  #sweep(now: number): boolean {
    if (now - this.#swept < SWEEP_MS) return false;
    this.#swept = now;
    this.#resize(this.#mask + 1, now);
    return true;
  }

  /** Moves what is still good to a table of so many slots. @param now if given, what is past its time stays behind. */
  #resize(slots: number, now = -Infinity): void {
    const words = this.#words;
    const heard = this.#heard;
    this.#words = new Int32Array(slots * ENTRY);
    this.#heard = new Float64Array(slots);
    this.#mask = slots - 1;
    this.#count = 0;
    for (let old = 0, from = 0; old < heard.length; old++, from += ENTRY) {
      const peer = words[from + 2] - 1;
      if (peer < 0 || this.#epoch[peer] !== words[from + 3]) continue;
      if (now - heard[old] > this.#expire) {
        if (--this.#stations[peer] === 0) this.#releasePeer(peer);
        continue;
      }
      const slot = this.#find(words[from], words[from + 1]);
      this.#words.set(words.subarray(from, from + ENTRY), slot * ENTRY);
      this.#heard[slot] = heard[old];
      this.#count++;
    }
  }
}

function mix(a: number, b: number): number {
  let h = Math.imul(a, 0x9e3779b1);
  h ^= h >>> 15;
  h = Math.imul(h ^ b, 0x85ebca6b);
  h ^= h >>> 13;
  return Math.imul(h, 0xc2b2ae35) >>> 8;
}

/** Nothing can be sent to port 0, the second half of a socket address's first word. */
function hasPort(words: Uint32Array, at: number): boolean {
  const bytes = words.byteOffset + at * 4;
  return new Uint16Array(words.buffer, bytes + 2, 1)[0] !== 0;
}
