/**
 * A client of Debian's libvdeplug, run as a process of its own: the same peer for the C switch and for ours.
 *
 *   libvdeplug.ts send VNL WORK        sends as fast as it can for `seconds`
 *   libvdeplug.ts receive VNL WORK     counts until nothing has come for a while
 *   libvdeplug.ts ping VNL WORK        one frame in flight: times round trips against `echo`
 *   libvdeplug.ts echo VNL WORK        sends every frame back with its addresses swapped
 *   libvdeplug.ts crowd VNL WORK       attaches `ports` ends and holds them until its standard input ends
 *
 * It prints `ready` when it is attached. Each line on its standard input lets it take the next step: `hello` (one frame
 * from its first address), `announced` (one from each of its addresses, and a warm-up), then the work itself; at the end
 * it prints one line of JSON.
 */

import { once } from 'node:events';
import koffi from 'koffi';

interface Work {
  /** Bytes of a frame. */
  size: number;
  seconds: number;
  /** How many station addresses frames come from and go to. */
  sources: number;
  destinations: number;
  /** Numbers of this station and of the other. */
  self: number;
  peer: number;
  /** For `crowd`. */
  ports: number;
}

const WARM_UP_MS = 700;

const lib = koffi.load('libvdeplug.so.2');
const libc = koffi.load(null);
// Addresses as numbers: turning objects into them would cost a sender half of its time.
const open = lib.func('size_t vde_open_real(const char *vnl, const char *descr, int version, size_t args)');
const sendFrame = lib.func('long vde_send(size_t conn, size_t buf, size_t len, int flags)');
const receiveFrame = lib.func('long vde_recv(size_t conn, size_t buf, size_t len, int flags)');
const dataFd = lib.func('int vde_datafd(size_t conn)');
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, void *value, unsigned int length)');

const [mode, vnl, json] = process.argv.slice(2);
const work: Work = JSON.parse(json);

function attach(): number {
  const connection = open(vnl, 'bench', 1, 0);
  if (connection === 0) throw new Error(`vde_open ${vnl}: errno ${koffi.errno()}`);
  return connection;
}

const connection = attach();

/** Bytes that stay where they are, and their address. */
interface Block {
  bytes: Buffer;
  address: number;
}

function block(size: number): Block {
  const buffer = new ArrayBuffer(size);
  return { bytes: Buffer.from(buffer), address: Number(koffi.address(buffer)) };
}

/** Most bytes of a frame that may arrive. */
const ROOM = 16_384;

/** A locally administered address: station, then a number. */
function address(station: number, n: number): Buffer {
  return Buffer.from([0x02, station, 0, (n >> 16) & 0xff, (n >> 8) & 0xff, n & 0xff]);
}

/** Frames to send, a few: their addresses are changed before each is sent again. */
function frames(size: number): Block[] {
  return Array.from({ length: 64 }, (_, i) => {
    const frame = block(size);
    frame.bytes.fill(i);
    address(work.peer, 0).copy(frame.bytes, 0);
    address(work.self, 0).copy(frame.bytes, 6);
    frame.bytes.writeUInt16BE(0x88b5, 12);
    return frame;
  });
}

/** A stride that shares no factor with the numbers of addresses, so that they come in no cache-friendly order. */
const STRIDE = 7919;
let turn = 0;

/** Gives a frame the next pair of addresses. The same work however many there are. */
function readdress(frame: Buffer): void {
  turn += STRIDE;
  const to = turn % work.destinations;
  const from = turn % work.sources;
  frame[3] = to >> 16;
  frame[4] = to >> 8;
  frame[5] = to;
  frame[9] = from >> 16;
  frame[10] = from >> 8;
  frame[11] = from;
}

function timeoutAfter(ms: number): void {
  const value = Buffer.alloc(16);
  value.writeBigInt64LE(BigInt(Math.floor(ms / 1000)), 0);
  value.writeBigInt64LE(BigInt((ms % 1000) * 1000), 8);
  setsockopt(dataFd(connection), 1, 20, value, 16);
}

/** Sends one frame from each of the addresses `first` to `last - 1` to the other station's first. */
function announce(first: number, last: number): void {
  const frame = block(60);
  address(work.peer, 0).copy(frame.bytes, 0);
  frame.bytes.writeUInt16BE(0x88b5, 12);
  for (let i = first; i < last; i++) {
    address(work.self, i).copy(frame.bytes, 6);
    sendFrame(connection, frame.address, frame.bytes.length, 0);
  }
}

/** Gets everything on the way up to speed, with frames that are not counted because of their size. */
function warmUp(): void {
  const list = frames(work.size + 1);
  const end = performance.now() + WARM_UP_MS;
  for (let i = 0; performance.now() < end; i++) {
    sendFrame(connection, list[i % list.length].address, work.size + 1, 0);
  }
}

/** What has arrived so far is of no interest. */
function discard(): void {
  const { address } = block(ROOM);
  timeoutAfter(50);
  while (receiveFrame(connection, address, ROOM, 0) >= 0);
}

function send(): object {
  const list = frames(work.size);
  let sent = 0;
  const begin = performance.now();
  const end = begin + work.seconds * 1000;
  let now = begin;
  while (now < end) {
    for (let i = 0; i < 256; i++) {
      const frame = list[i & 63];
      readdress(frame.bytes);
      if (sendFrame(connection, frame.address, work.size, 0) > 0) sent++;
    }
    now = performance.now();
  }
  return { sent, seconds: (now - begin) / 1000 };
}

function receive(): object {
  const { address } = block(ROOM);
  timeoutAfter(700);
  let received = 0;
  let first = 0;
  let last = 0;
  for (;;) {
    const n = receiveFrame(connection, address, ROOM, 0);
    if (n < 0) break;
    if (n !== work.size) continue;
    received++;
    if ((received & 255) === 1) {
      last = performance.now();
      if (first === 0) first = last;
    }
  }
  return { received, seconds: (last - first) / 1000 };
}

function echo(): object {
  const { bytes, address } = block(ROOM);
  const swap = Buffer.alloc(6);
  timeoutAfter(1500);
  let echoed = 0;
  for (;;) {
    const n = receiveFrame(connection, address, ROOM, 0);
    if (n < 0) return { echoed };
    if (n !== work.size) continue;
    bytes.copy(swap, 0, 0, 6);
    bytes.copyWithin(0, 6, 12);
    swap.copy(bytes, 6);
    sendFrame(connection, address, n, 0);
    echoed++;
  }
}

function ping(): object {
  const [frame] = frames(work.size);
  const { address } = block(ROOM);
  timeoutAfter(1000);
  const times = new Float64Array(2_000_000);
  let count = 0;
  const end = performance.now() + work.seconds * 1000;
  let begin = performance.now();
  while (begin < end && count < times.length) {
    sendFrame(connection, frame.address, work.size, 0);
    let n: number;
    do n = receiveFrame(connection, address, ROOM, 0);
    while (n > 0 && n !== work.size);
    if (n < 0) break;
    const now = performance.now();
    times[count++] = (now - begin) * 1000;
    begin = now;
  }
  const sorted = times.subarray(0, count).sort();
  const at = (q: number) => sorted[Math.min(count - 1, Math.floor(count * q))];
  return { trips: count, p50: at(0.5), p99: at(0.99) };
}

async function step(says: string): Promise<void> {
  console.log(says);
  await once(process.stdin, 'data');
}

const modes: Record<string, () => object> = { send, receive, echo, ping };
if (mode === 'crowd') {
  const crowd = Array.from({ length: work.ports - 1 }, attach);
  console.log('ready');
  process.stdin.resume();
  await once(process.stdin, 'end');
  process.exit(crowd.length >= 0 ? 0 : 1);
}
await step('ready');
announce(0, 1);
await step('hello');
announce(1, work.sources);
if (mode === 'send') warmUp();
if (mode === 'send' || mode === 'ping') discard();
console.log('announced');
if (mode === 'send' || mode === 'ping') await once(process.stdin, 'data');
console.log(JSON.stringify(modes[mode]()));
process.exit(0);
