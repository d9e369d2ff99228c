/**
 * Small networks for tests: switches, plugs and streams of frames, of either make, and frames to send through them.
 *
 *     const { dir } = await startSwitch(t, 'debian');
 *     const a = await plugStream(t, 'ours', dir);
 *     a.send(frame({ tag: 'hello' }));
 */

import { mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type End, open } from '../../src/index.js';
import { loop } from '../../src/sys/loop.js';
import { bin, debian } from './bin.js';
import { cleanup, type Owner } from './cleanup.js';
import type { Namespace } from './namespace.js';
import { type Running, type StartOptions, start } from './proc.js';
import { waitForSocket, waitUntil } from './sockets.js';
import { tmpDir } from './tmp.js';

// The loop's descriptors come with the first end and stay: they are no leak of the test that opens it.
loop();

/** Whose command: this project's or Debian's. */
export type Make = 'ours' | 'debian';

export const MAKES: readonly Make[] = ['ours', 'debian'];

/** Makes of two ends, at least one of them ours. */
export const PAIRS: readonly (readonly [Make, Make])[] = [
  ['ours', 'ours'],
  ['ours', 'debian'],
  ['debian', 'ours'],
];

/** The path of a command of that make. */
export function command(make: Make, name: string): string {
  return make === 'ours' ? bin(name) : debian(name);
}

export interface SwitchProcess {
  /** Its directory, free of symbolic links. */
  dir: string;
  process: Running;
}

/**
 * Starts a switch in the foreground, in a directory of its own unless `args` has `-s`, and waits until it listens.
 * @param options.within a network namespace to run it in.
 */
export async function startSwitch(
  t: Owner,
  make: Make,
  args: readonly string[] = [],
  options: StartOptions & { within?: Namespace } = {},
): Promise<SwitchProcess> {
  const { within, ...rest } = options;
  const at = args.indexOf('-s');
  const dir = at < 0 ? join(tmpDir(t), 'sw') : args[at + 1];
  const line = [command(make, 'vde_switch'), at < 0 ? ['-s', dir, ...args] : args] as const;
  const process = within ? within.start(t, ...line, rest) : start(t, ...line, rest);
  await Promise.race([
    waitForSocket(join(dir, 'ctl')),
    process.exited.then((exit) => {
      throw new Error(`the switch ended with ${exit.signal ?? exit.code}:\n${process.output}`);
    }),
  ]);
  return { dir, process };
}

/** Resolves when exactly `count` clients have a port of the switch in `dir`, and have done with asking for it. */
export function waitForClients(dir: string, count: number): Promise<void> {
  return waitUntil(join(dir, 'ctl'), `${count} clients`, () => clients(dir).length === count && !asking(dir));
}

/** Whether a client is still asking: it removes its own socket when it has its answer. */
function asking(dir: string): boolean {
  return readdirSync(dir).some((name) => /^\.\d+-\d+$/.test(name));
}

/**
 * Resolves when a switch in the foreground has exactly `count` endpoints, by its own console: taps that it serves for
 * their cable have no data socket.
 */
export async function waitForEndpoints({ process }: SwitchProcess, count: number): Promise<void> {
  await eventually(`${count} endpoints`, async () => {
    process.stdin.write('port/print\n');
    const [answer] = await process.expect(/0000 DATA[\s\S]*?\n1000 Success/, { stream: 'stdout' });
    return answer.split('endpoint ID').length - 1 === count;
  });
}

/** The data sockets that a switch has for its clients. */
export function clients(dir: string): string[] {
  return readdirSync(dir).filter((name) => /^\d{3,}\.\d+$/.test(name));
}

/** Opens an end of the library in this process; it closes with the test. */
export async function openEnd(t: Owner, locator: string): Promise<ReceivingEnd> {
  const end = await open(locator);
  cleanup(t, () => end.close());
  return new ReceivingEnd(end);
}

/** Something that frames arrive at. */
abstract class Receiver {
  readonly received: Buffer[] = [];
  readonly #watchers = new Set<() => void>();

  protected take(frame: Buffer): void {
    this.received.push(frame);
    for (const watcher of [...this.#watchers]) watcher();
  }

  /**
   * Resolves with the first frame of that tag.
   * @throws Error with what has arrived instead if it has not within `timeout` ms.
   */
  async receive(tag: string, timeout = 30_000): Promise<Buffer> {
    await this.count(1, tag, timeout);
    return this.received.find((frame) => tagOf(frame).startsWith(tag)) as Buffer;
  }

  /** Resolves with all frames whose tag begins so when there are `count` of them. */
  count(count: number, tag: string, timeout = 30_000): Promise<Buffer[]> {
    return new Promise((done, fail) => {
      const matching = () => this.received.filter((frame) => tagOf(frame).startsWith(tag));
      const look = () => {
        if (matching().length < count) return;
        clearTimeout(timer);
        this.#watchers.delete(look);
        done(matching());
      };
      const timer = setTimeout(() => {
        this.#watchers.delete(look);
        const others = this.received.slice(0, 20).map((frame) => `${tagOf(frame)} (${frame.length})`);
        fail(new Error(`${matching().length} of ${count} frames "${tag}" after ${timeout} ms; arrived: ${others}`));
      }, timeout);
      this.#watchers.add(look);
      look();
    });
  }
}

/** An end of the library with a memory. */
export class ReceivingEnd extends Receiver {
  constructor(readonly end: End) {
    super();
    end.on('frame', (frame) => this.take(frame));
  }

  send(...frames: Buffer[]): void {
    for (const one of frames) this.end.send(one);
  }
}

/** The other side of a command that reads and writes a stream of frames on its standard streams. */
export class FrameStream extends Receiver {
  #read = 0;

  constructor(readonly process: Running) {
    super();
    process.child.stdout?.on('data', () => this.#parse());
    // What has arrived before.
    this.#parse();
  }

  send(...frames: Buffer[]): void {
    this.process.stdin.write(records(...frames));
  }

  #parse(): void {
    const bytes = this.process.stdoutBytes;
    while (bytes.length - this.#read >= 2) {
      const end = this.#read + 2 + bytes.readUInt16BE(this.#read);
      if (bytes.length < end) return;
      this.take(bytes.subarray(this.#read + 2, end));
      this.#read = end;
    }
  }
}

interface Station {
  send(...frames: Buffer[]): void;
  receive(tag: string): Promise<Buffer>;
}

/**
 * Resolves when frames pass both ways. Before that a row of frames may be lost: a client that has not connected back
 * to its switch yet gets no more than eleven (net.unix.max_dgram_qlen).
 */
export async function greet(a: Station, b: Station): Promise<void> {
  a.send(frame({ tag: 'hello there', source: 1 }));
  b.send(frame({ tag: 'hello back', source: 2 }));
  await Promise.all([b.receive('hello there'), a.receive('hello back')]);
}

let knocks = 0;

/** Sends a frame again and again until the other side has it: before that, frames may be lost on the way. */
export async function knock(from: Station, to: Station): Promise<void> {
  const knocking = frame({ tag: `knock ${knocks++}/` });
  const timer = setInterval(() => from.send(knocking), 50);
  try {
    from.send(knocking);
    await to.receive(tagOf(knocking));
  } finally {
    clearInterval(timer);
  }
}

/** Frames as a byte stream: each with its length before it. */
export function records(...frames: Buffer[]): Buffer {
  return Buffer.concat(
    frames.flatMap((one) => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(one.length);
      return [length, one];
    }),
  );
}

/** Starts `vde_plug` between a switch and its standard streams, and waits until it has a port. */
export async function plugStream(
  t: Owner,
  make: Make,
  dir: string,
  options: { args?: string[]; start?: StartOptions } = {},
): Promise<FrameStream> {
  const before = new Set(clients(dir));
  const plug = start(t, command(make, 'vde_plug'), [...(options.args ?? []), `vde://${dir}`], options.start);
  const stream = new FrameStream(plug);
  await waitUntil(join(dir, 'ctl'), 'client', () => {
    return clients(dir).some((name) => !before.has(name)) && !asking(dir);
  });
  return stream;
}

export interface FrameOptions {
  /** The frame begins with it after its header; what `receive` looks for. */
  tag: string;
  /** Bytes in all; 60 by default. */
  size?: number;
  /** Last octet of the source address, 02:00:00:00:00:XX; 1 by default. */
  source?: number;
  /** Last octet of the destination; to all by default. */
  destination?: number;
}

/** An Ethernet frame of a local experimental type (IEEE 802: 0x88b5) that no system answers. */
export function frame({ tag, size = 60, source = 1, destination }: FrameOptions): Buffer {
  const bytes = Buffer.alloc(size);
  for (let i = 14; i < size; i++) bytes[i] = i * 7;
  bytes.set(destination === undefined ? [255, 255, 255, 255, 255, 255] : [2, 0, 0, 0, 0, destination]);
  bytes.set([2, 0, 0, 0, 0, source, 0x88, 0xb5], 6);
  bytes.write(`${tag}\0`.slice(0, size - 14), 14, 'latin1');
  return bytes;
}

/** The tag of such a frame. */
export function tagOf(bytes: Buffer): string {
  if (bytes.length < 14 || bytes.readUInt16BE(12) !== 0x88b5) return '';
  const end = bytes.indexOf(0, 14);
  return bytes.toString('latin1', 14, end < 0 ? bytes.length : end);
}

/** A home directory without default networks, for commands that look for one. */
export function emptyHome(t: Owner): string {
  return mkdtempSync(join(tmpDir(t), 'home-'));
}

/** Resolves when `check` says so: for what no event tells, such as the state of a kernel's interface. */
export async function eventually(what: string, check: () => Promise<boolean>, timeout = 30_000): Promise<void> {
  const deadline = Date.now() + timeout;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}`);
    await pause(20);
  }
}
