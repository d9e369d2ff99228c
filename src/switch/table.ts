/**
 * The forwarding table: (MAC address, VLAN) -> port, with the time each was last seen (IEEE 802.1Q, 8.8).
 *
 * An open-addressing hash table with linear probing in one typed array: a lookup touches one cache line. An entry is four
 * words: address bytes 0-3, address bytes 4-5 with the VLAN above them, port + 1 (0: empty), last seen. Deletion shifts
 * back what follows, so there are no tombstones. The hash is seeded: nobody can prepare addresses that collide.
 *
 * Addresses are passed as the two words that a frame is read with: `low` is bytes 0-3 as a signed word and `high` bytes
 * 4-5, in the order that a little-endian load gives.
 */

import type { Burst } from '../frame/burst.js';
import { formatMac } from '../frame/mac.js';
import { vidOfWord } from '../frame/vlan.js';
import type { DebugCategory } from './debug.js';

/** Words of an entry. */
const ENTRY = 4;
const FIRST_SLOTS = 1024;
/** Slots, 16 bytes each, from which on a table shares the processor's caches with too much else to be found there. */
const LARGE_SLOTS = 1 << 14;

/** Most addresses in a table. */
export const TABLE_MAX = 1 << 18;
/** Most addresses learned at one port, so that one flooding client leaves room for the others. */
export const PORT_MAX = 1 << 17;

/** An entry, for people: `address` as its six bytes. */
export interface TableEntry {
  address: Uint8Array;
  vlan: number;
  port: number;
  /** Seconds, of the switch's clock. */
  lastSeen: number;
}

/** See the head of this file. */
export class ForwardingTable {
  #words = new Int32Array(FIRST_SLOTS * ENTRY);
  #mask = FIRST_SLOTS - 1;
  #count = 0;
  readonly #perPort: Uint32Array;
  readonly #seed: number;
  /** Seconds after which an address that was not seen is forgotten. */
  expire = 100;
  /** Seconds that an address must have been silent at its port before it may move to another. */
  minPersistence = 3;
  /** Told of each address that is learned, and of each that is forgotten. */
  added: DebugCategory | undefined;
  removed: DebugCategory | undefined;
  /** Addresses that were not learned because the table, or their port's share of it, was full. */
  refused = 0;
  /** Times that an address was seen at a port other than its own. */
  moved = 0;

  /**
   * @param ports how many ports there may be.
   * @param random source of the hash seed, in [0, 1).
   */
  constructor(ports: number, random: () => number) {
    this.#perPort = new Uint32Array(ports);
    this.#seed = Math.floor(random() * 0x1_0000_0000) >>> 0;
  }

  /** Addresses known, those past their time included until the next sweep. */
  get size(): number {
    return this.#count;
  }

  #slot(low: number, high: number): number {
    let h = Math.imul(low ^ this.#seed, 0x9e3779b1);
    h ^= h >>> 15;
    h = Math.imul(h ^ high, 0x85ebca6b);
    h ^= h >>> 13;
    return (Math.imul(h, 0xc2b2ae35) >>> 8) & this.#mask;
  }

  /** Offset of the entry of a key, or of the empty one where it would go. */
  #find(low: number, high: number): number {
    const words = this.#words;
    const mask = this.#mask;
    let slot = this.#slot(low, high);
    for (;;) {
      const at = slot * ENTRY;
      if (words[at + 2] === 0 || (words[at] === low && words[at + 1] === high)) return at;
      slot = (slot + 1) & mask;
    }
  }

  /** Whether it pays to `touch` it before a burst is looked up. */
  get large(): boolean {
    return this.#mask >= LARGE_SLOTS;
  }

  /** Of no meaning: it is where the reads of `touch` go, so that none is left out. */
  touched = 0;

  /**
   * Reads the slots where a burst's addresses begin to be looked for. Each read may wait for memory: one after the other,
   * with nothing that depends on them, they wait at the same time. Changes nothing that can be seen.
   * @param tagWord of the port where the burst arrived, as `Port.tagWord`.
   * @param untaggedVlan of that port.
   */
  touch(burst: Burst, tagWord: number, untaggedVlan: number): void {
    const { count, start, words: frames, shorts } = burst;
    const words = this.#words;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const word = start[i] >>> 2;
      const w1 = frames[word + 1];
      const w2 = frames[word + 2];
      const vlan = (shorts[2 * word + 6] === tagWord ? vidOfWord(shorts[2 * word + 7]) : untaggedVlan) << 16;
      sum ^= words[this.#slot(frames[word], (w1 & 0xffff) | vlan) * ENTRY];
      sum ^= words[this.#slot((w1 >>> 16) | (w2 << 16), (w2 >>> 16) | vlan) * ENTRY];
    }
    this.touched = sum;
  }

  /** The port of an address, or -1 if it is unknown or past its time. */
  lookup(low: number, high: number, vlan: number, now: number): number {
    const at = this.#find(low, high | (vlan << 16));
    const port = this.#words[at + 2];
    if (port === 0 || this.#words[at + 3] + this.expire < now) return -1;
    return port - 1;
  }

  /** The entry of an address, if it is known and not past its time. */
  find(low: number, high: number, vlan: number, now: number): TableEntry | undefined {
    const at = this.#find(low, high | (vlan << 16));
    if (this.#words[at + 2] === 0 || this.#words[at + 3] + this.expire < now) return undefined;
    return entryAt(this.#words, at);
  }

  /**
   * Notes that an address was seen at a port. An address that moves is believed only if it has been silent for more than
   * `minPersistence` seconds (reference: forwarding rules, "known, other port").
   */
  learn(low: number, high: number, vlan: number, port: number, now: number): void {
    const key = high | (vlan << 16);
    const at = this.#find(low, key);
    const words = this.#words;
    const known = words[at + 2];
    if (known === port + 1) {
      if (words[at + 3] !== now) words[at + 3] = now;
      return;
    }
    if (known !== 0) {
      const lastSeen = words[at + 3];
      if (lastSeen + this.expire >= now) {
        this.moved++;
        if (now - lastSeen <= this.minPersistence) return;
      }
      if (this.#perPort[port] >= PORT_MAX) {
        this.refused++;
        return;
      }
      this.#perPort[known - 1]--;
      this.#perPort[port]++;
      words[at + 2] = port + 1;
      words[at + 3] = now;
      return;
    }
    if (this.#count >= TABLE_MAX || this.#perPort[port] >= PORT_MAX) {
      this.refused++;
      return;
    }
    words[at] = low;
    words[at + 1] = key;
    words[at + 2] = port + 1;
    words[at + 3] = now;
    this.#perPort[port]++;
    if (this.added?.wanted) this.#tell(this.added, at);
    if (++this.#count * 2 > this.#mask) this.#resize((this.#mask + 1) * 2);
  }

  #tell(category: DebugCategory, at: number): void {
    const { address, vlan, port } = entryAt(this.#words, at);
    // Both bytes of the VLAN, the low one first, as a C switch prints them.
    const bytes = [vlan & 0xff, vlan >>> 8].map((byte) => byte.toString(16).padStart(2, '0'));
    category.say(`${formatMac(address)} VLAN ${bytes.join(':')} Port ${port}`);
  }

  #resize(slots: number): void {
    const old = this.#words;
    this.#words = new Int32Array(slots * ENTRY);
    this.#mask = slots - 1;
    for (let at = 0; at < old.length; at += ENTRY) {
      if (old[at + 2] === 0) continue;
      const to = this.#find(old[at], old[at + 1]);
      this.#words.set(old.subarray(at, at + ENTRY), to);
    }
  }

  /** Empties the entry at an offset and closes the gap. */
  #remove(at: number): void {
    const words = this.#words;
    const mask = this.#mask;
    if (this.removed?.wanted) this.#tell(this.removed, at);
    this.#perPort[words[at + 2] - 1]--;
    this.#count--;
    let gap = at / ENTRY;
    let slot = gap;
    for (;;) {
      slot = (slot + 1) & mask;
      const from = slot * ENTRY;
      if (words[from + 2] === 0) break;
      // An entry may fill the gap unless its home lies behind the gap (cyclically, in (gap, slot]).
      const home = this.#slot(words[from], words[from + 1]);
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      words.copyWithin(gap * ENTRY, from, from + ENTRY);
      gap = slot;
    }
    words[gap * ENTRY + 2] = 0;
  }

  /** Removes every entry that `unwanted` says so of. Returns how many. */
  #removeWhere(unwanted: (words: Int32Array, at: number) => boolean): number {
    const words = this.#words;
    const slots = this.#mask + 1;
    // Beginning behind an empty slot, a removal only pulls up entries that have not been looked at yet.
    let first = 0;
    while (words[first * ENTRY + 2] !== 0) first++;
    let removed = 0;
    for (let step = 1; step < slots; ) {
      const at = ((first + step) & this.#mask) * ENTRY;
      if (words[at + 2] !== 0 && unwanted(words, at)) {
        this.#remove(at);
        removed++;
      } else {
        step++;
      }
    }
    return removed;
  }

  /** Forgets what was not seen for `expire` seconds. */
  sweep(now: number): number {
    const oldest = now - this.expire;
    const removed = this.#count === 0 ? 0 : this.#removeWhere((words, at) => words[at + 3] < oldest);
    if (this.#mask + 1 > FIRST_SLOTS && this.#count * 16 < this.#mask) this.#resize((this.#mask + 1) / 2);
    return removed;
  }

  /** Forgets all addresses of a port, in one VLAN or in all. */
  flushPort(port: number, vlan?: number): void {
    if (this.#perPort[port] === 0) return;
    this.#removeWhere(
      (words, at) => words[at + 2] === port + 1 && (vlan === undefined || words[at + 1] >>> 16 === vlan),
    );
  }

  /** Forgets all addresses of a VLAN. */
  flushVlan(vlan: number): void {
    this.#removeWhere((words, at) => words[at + 1] >>> 16 === vlan);
  }

  /** Forgets everything. */
  clear(): void {
    if (this.removed?.wanted) {
      for (let at = 0; at < this.#words.length; at += ENTRY) if (this.#words[at + 2]) this.#tell(this.removed, at);
    }
    this.#words = new Int32Array(FIRST_SLOTS * ENTRY);
    this.#mask = FIRST_SLOTS - 1;
    this.#count = 0;
    this.#perPort.fill(0);
  }

  /** All entries that are not past their time, in no particular order. */
  *entries(now: number): Generator<TableEntry> {
    const snapshot = this.snapshot(now);
    for (let at = 0; at < snapshot.length; at++) if (snapshot.has(at)) yield snapshot.entry(at);
  }

  /** The table as it is at this moment, to be walked while the switch goes on. */
  snapshot(now: number): TableSnapshot {
    return new TableSnapshot(this.#words.slice(), now - this.expire);
  }
}

/** A copy of the table: slots, some of them empty. */
export class TableSnapshot {
  constructor(
    readonly words: Int32Array,
    readonly oldest: number,
  ) {}

  /** Slots. */
  get length(): number {
    return this.words.length / ENTRY;
  }

  /** Whether there is an entry in a slot that is not past its time. */
  has(slot: number): boolean {
    return this.words[slot * ENTRY + 2] !== 0 && this.words[slot * ENTRY + 3] >= this.oldest;
  }

  /** The key of a slot: address bytes 0-3, and bytes 4-5 with the VLAN above them. */
  low(slot: number): number {
    return this.words[slot * ENTRY];
  }

  high(slot: number): number {
    return this.words[slot * ENTRY + 1];
  }

  port(slot: number): number {
    return this.words[slot * ENTRY + 2] - 1;
  }

  lastSeen(slot: number): number {
    return this.words[slot * ENTRY + 3];
  }

  entry(slot: number): TableEntry {
    return entryAt(this.words, slot * ENTRY);
  }
}

function entryAt(words: Int32Array, at: number): TableEntry {
  const [low, high] = [words[at], words[at + 1]];
  const address = new Uint8Array(6);
  for (let byte = 0; byte < 6; byte++) address[byte] = byte < 4 ? low >>> (8 * byte) : high >>> (8 * (byte - 4));
  return { address, vlan: high >>> 16, port: words[at + 2] - 1, lastSeen: words[at + 3] };
}
