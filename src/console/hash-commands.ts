/**
 * The `hash` menu: the forwarding table (reference: management console, "hash"). The table grows by itself; its size and
 * the bucket of an address are those that a C switch would have, and only shown.
 */

import { formatMac } from '../frame/mac.js';
import { VID_MAX } from '../frame/vlan.js';
import type { TableSnapshot } from '../switch/table.js';
import { leadingInteger, padded } from './arguments.js';
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
        out.push(tableLine(hashBucket(low, high | (vlan << 16), target.hashSize), found, now));
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
  const first = new Uint32Array(hashSize + 1);
  for (const slot of slots(snapshot)) {
    if (slot === undefined) yield undefined;
    else first[bucketOf(snapshot, slot, hashSize) + 1]++;
  }
  for (let bucket = 1; bucket <= hashSize; bucket++) {
    first[bucket] += first[bucket - 1];
    if (bucket % (SLOTS_PER_TURN * 16) === 0) yield undefined;
  }
  const sorted = new Uint32Array(first[hashSize]);
  const next = first.slice();
  for (const slot of slots(snapshot)) {
    if (slot === undefined) yield undefined;
    else sorted[next[bucketOf(snapshot, slot, hashSize)]++] = slot;
  }
  for (const slot of sorted) yield tableLine(bucketOf(snapshot, slot, hashSize), snapshot.entry(slot), now);
}

/** The slots in use, with an undefined one now and then for a turn of others. */
function* slots(snapshot: TableSnapshot): Generator<number | undefined> {
  for (let slot = 0; slot < snapshot.length; slot++) {
    if (snapshot.has(slot)) yield slot;
    if (slot % SLOTS_PER_TURN === 0) yield undefined;
  }
}

function bucketOf(snapshot: TableSnapshot, slot: number, size: number): number {
  return hashBucket(snapshot.low(slot), snapshot.high(slot), size);
}

interface Shown {
  address: Uint8Array;
  vlan: number;
  port: number;
  lastSeen: number;
}

function tableLine(bucket: number, { address, vlan, port, lastSeen }: Shown, now: number): string {
  const place = `VLAN ${padded(vlan)} to port: ${padded(port, 3)}`;
  return `Hash: ${padded(bucket)} Addr: ${formatMac(address)} ${place}  age ${now - lastSeen} secs`;
}
