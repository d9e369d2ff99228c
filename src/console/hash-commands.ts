/**
 * The `hash` menu: the forwarding table (reference: management console, "hash"). The table grows by itself; its size and
 * the bucket of an address are those that a C switch would have, and only shown.
 */

import { VID_MAX } from '../frame/vlan.js';
import type { TableSnapshot } from '../switch/table.js';
import { leadingInteger } from './arguments.js';
import { type ConsoleCommand, consoleError, type Lines, MENU } from './command-table.js';
import type { ConsoleTarget } from './target.js';

/** Most buckets that may be shown. */
export const HASH_SIZE_MAX = 1 << 20;
/** Slots of the table looked at in one turn. */
const SLOTS_PER_TURN = 512;

export function hashCommands(target: ConsoleTarget): ConsoleCommand[] {
  const { service } = target;
  const { table } = service.switch;
  return [
    { name: 'hash', syntax: MENU, help: 'HASH TABLE MENU' },
    {
      name: 'hash/showinfo',
      syntax: '',
      help: 'show hash info',
      data: true,
      run: (_, out) => {
        out.push(
          `Hash size ${target.hashSize}`,
          `GC interval ${service.sweepInterval} secs`,
          `GC expire ${table.expire} secs`,
          `Min persistence ${table.minPersistence} secs`,
        );
      },
    },
    {
      name: 'hash/setsize',
      syntax: 'N',
      help: 'change hash size',
      run(argument) {
        const size = leadingInteger(argument);
        if (size <= 0 || size > HASH_SIZE_MAX) throw consoleError('EINVAL');
        target.hashSize = powerOfTwo(size);
        table.clear();
      },
    },
    {
      name: 'hash/setgcint',
      syntax: 'N',
      help: 'change garbage collector interval',
      run(argument) {
        service.sweepInterval = leadingInteger(argument);
      },
    },
    {
      name: 'hash/setexpire',
      syntax: 'N',
      help: 'change hash entries expire time',
      run(argument) {
        table.expire = leadingInteger(argument);
      },
    },
    {
      name: 'hash/setminper',
      syntax: 'N',
      help: 'minimum persistence time',
      run(argument) {
        table.minPersistence = leadingInteger(argument);
      },
    },
    {
      name: 'hash/print',
      syntax: '',
      help: 'print the hash table',
      data: true,
      run: () => printTable(target),
    },
    {
      name: 'hash/find',
      syntax: 'MAC [VLAN]',
      help: 'MAC lookup',
      data: true,
      run(argument, out) {
        const { address, vlan } = parseAddress(argument);
        const now = service.switch.uptime;
        const view = new DataView(address.buffer);
        const [low, high] = [view.getInt32(0, true), view.getUint16(4, true)];
        const found = vlan >= 0 && vlan <= VID_MAX ? table.find(low, high, vlan, now) : undefined;
        if (found === undefined) throw consoleError('ENODEV');
        out.push(tableLine(low, high | (vlan << 16), found.port, now - found.lastSeen, target.hashSize));
      },
    },
  ];
}

/** The next power of two. */
export function powerOfTwo(size: number): number {
  return 2 ** Math.ceil(Math.log2(size));
}

/** An address as `hash/find` takes it: six hexadecimal numbers between colons or dots, then perhaps a VLAN. */
function parseAddress(text: string): { address: Uint8Array; vlan: number } {
  const number = '[ \\t]*([+-]?(?:0[xX])?[\\da-fA-F]+)';
  const match = [':', '\\.'].map((dot) => new RegExp(`^${Array(6).fill(number).join(dot)}`).exec(text)).find(Boolean);
  if (!match) throw consoleError('EINVAL');
  const address = Uint8Array.from(match.slice(1, 7), (digits) => Number.parseInt(digits, 16));
  return { address, vlan: leadingInteger(text.slice(match[0].length)) };
}

const K1_LOW = 0xed558ccd;
const K1_HIGH = 0xff51afd7;
const K2_LOW = 0x1a85ec53;

/**
 * The bucket that a C switch keeps an address in (reference: management console, "Bucket number"): 64-bit arithmetic in
 * 32-bit halves, of the second product only the half that is needed.
 * @param low address bytes 0-3, @param high bytes 4-5 with the VLAN above them, both little-endian.
 */
export function hashBucket(low: number, high: number, size: number): number {
  const first = low ^ (high >>> 1);
  const product = multiplyHigh(first, K1_LOW) + Math.imul(first, K1_HIGH) + Math.imul(high, K1_LOW);
  const second = Math.imul(first, K1_LOW) ^ ((product | 0) >>> 1);
  return (Math.imul(second, K2_LOW) & (size - 1)) >>> 0;
}

/** The upper half of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const [al, ah, bl, bh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = ah * bl + ((al * bl) >>> 16);
  return ah * bh + Math.floor((middle + al * bh) / 0x1_0000);
}

/** All addresses in the order of their buckets: sorted by counting, a piece of the table at a time. */
function* printTable({ service, hashSize }: ConsoleTarget): Lines {
  const now = service.switch.uptime;
  const snapshot = service.switch.table.snapshot(now);
  const { length } = snapshot;
  const first = new Uint32Array(hashSize + 1);
  for (let slot = 0; slot < length; slot++) {
    if (snapshot.has(slot)) first[bucketOf(snapshot, slot, hashSize) + 1]++;
    if (slot % SLOTS_PER_TURN === 0) yield undefined;
  }
  for (let bucket = 1; bucket <= hashSize; bucket++) {
    first[bucket] += first[bucket - 1];
    if (bucket % (SLOTS_PER_TURN * 16) === 0) yield undefined;
  }
  const sorted = new Uint32Array(first[hashSize]);
  for (let slot = 0; slot < length; slot++) {
    // From here on `first` says where the next address of a bucket goes.
    if (snapshot.has(slot)) sorted[first[bucketOf(snapshot, slot, hashSize)]++] = slot;
    if (slot % SLOTS_PER_TURN === 0) yield undefined;
  }
  for (const slot of sorted) {
    const age = now - snapshot.lastSeen(slot);
    yield tableLine(snapshot.low(slot), snapshot.high(slot), snapshot.port(slot), age, hashSize);
  }
}

function bucketOf(snapshot: TableSnapshot, slot: number, size: number): number {
  return hashBucket(snapshot.low(slot), snapshot.high(slot), size);
}

// A hundred thousand lines may be asked for: each is put together in one place, octet by octet, without strings between.
const line = Buffer.alloc(128);

function tableLine(low: number, high: number, port: number, age: number, hashSize: number): string {
  let at = putText(0, 'Hash: ');
  at = putDecimal(at, hashBucket(low, high, hashSize), 4);
  at = putText(at, ' Addr: ');
  for (let octet = 0; octet < 6; octet++) {
    if (octet > 0) line[at++] = 0x3a;
    const value = octet < 4 ? low >>> (8 * octet) : high >>> (8 * (octet - 4));
    line[at++] = HEX_DIGITS.charCodeAt((value >>> 4) & 0xf);
    line[at++] = HEX_DIGITS.charCodeAt(value & 0xf);
  }
  at = putDecimal(putText(at, ' VLAN '), high >>> 16, 4);
  at = putDecimal(putText(at, ' to port: '), port, 3);
  at = putDecimal(putText(at, '  age '), age, 1);
  return line.toString('latin1', 0, putText(at, ' secs'));
}

const HEX_DIGITS = '0123456789abcdef';

/** Writes ASCII text into the line; returns where it ends. */
function putText(at: number, text: string): number {
  for (let i = 0; i < text.length; i++) line[at + i] = text.charCodeAt(i);
  return at + text.length;
}

/** Writes a natural number, with leading zeros up to `width` digits; returns where it ends. */
function putDecimal(at: number, number: number, width: number): number {
  let digits = width;
  for (let limit = 10 ** width; number >= limit; limit *= 10) digits++;
  let rest = number;
  for (let i = digits - 1; i >= 0; i--) {
    line[at + i] = 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return at + digits;
}
