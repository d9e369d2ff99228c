/**
 * `vdesl:///dev/ttyS0[speed=N]`: a serial line that carries the records of a frame stream (reference: plugins, section
 * 14): a 2-byte big-endian length, then the frame. 8 bits, no parity, 1 stop bit, no flow control.
 *
 * A line loses bytes, and a record has no mark to find its start by. So a pause of 100 ms within a record ends it: what
 * comes next is the start of another. A sender that never pauses brings a receiver that has lost step garbage until its
 * lengths happen to meet again.
 */

import { constants, openSync } from 'node:fs';
import { BURST_SIZE, Burst } from '../frame/burst.js';
import { StreamDecoder } from '../frame/stream.js';
import { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLOUT } from '../sys/epoll.js';
import { errnoNumber, fromNodeError, VdeError } from '../sys/errors.js';
import { lockFile } from '../sys/file.js';
import { readTo, writeFrom } from '../sys/io.js';
import { loop, PURE, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { discardBytes, makeSerialLine, restoreTerminal, type TerminalState, unsentBytes } from '../sys/tty.js';
import { PlugBase } from './base.js';
import { parsePath } from './locator.js';
import { type ParamSpec, readParams } from './params.js';
import type { Plug } from './plug.js';
import { type ByteSink, RecordQueue } from './record-queue.js';
import type { Scheme } from './scheme.js';

const EAGAIN = errnoNumber('EAGAIN');
/** Longest frame: a C receiver throws longer ones away. */
const FRAME_LIMIT = 9234;
/** A pause of this length within a record ends it, in ms. */
const PAUSE_MS = 100;
const READ_SIZE = 4096;
/** Bytes that may wait for the line: some seconds of it. What comes faster is dropped rather than made to wait longer. */
const WRITE_SIZE = 64 << 10;

const SPEEDS = (
  '9600 19200 38400 57600 115200 230400 460800 500000 576000 921600 1000000 1152000 1500000 2000000 2500000 3000000 ' +
  '3500000 4000000'
).split(' ');

const params = [
  { name: 'speed', type: 'choice', values: SPEEDS, default: '38400', doc: 'bits per second' },
] as const satisfies readonly ParamSpec[];

/** See the head of this file. */
class SerialPlug extends PlugBase implements Plug {
  readonly takesOffloads = false;
  readonly maxFrame = FRAME_LIMIT;
  readonly #line: Descriptor;
  readonly #before: TerminalState;
  readonly #watch: Watch;
  readonly #burst = new Burst();
  readonly #chunk = new Memory(READ_SIZE);
  readonly #decoder = new StreamDecoder((frame) => this.#take(frame), { maxFrame: FRAME_LIMIT });
  readonly #pending = new RecordQueue(WRITE_SIZE, FRAME_LIMIT);
  readonly #output: ByteSink = { write: (address, size) => writeFrom(this.#line.fd, address, size) };
  #lastRead = 0;
  #pause: NodeJS.Timeout | undefined;

  /** Takes the line over. @param pauseMs see `PAUSE_MS`. */
  constructor(
    line: Descriptor,
    readonly name: string,
    speed: number,
    private readonly pauseMs: number,
  ) {
    super();
    this.#line = line;
    this.#before = makeSerialLine(line, speed);
    this.#watch = loop().watch(line.fd, 0, (events) => this.#onReady(events));
  }

  get backlogged(): boolean {
    return !this.#pending.empty;
  }

  protected override listen(): void {
    this.#watch.events = (this.wanted ? EPOLLIN : 0) | (this.backlogged ? EPOLLOUT : 0);
  }

  #onReady(events: number): boolean | undefined {
    if (events & EPOLLOUT) {
      this.#write();
      if (!this.closed && !this.backlogged) this.drained();
    }
    if (this.closed || (events & ~EPOLLOUT) === 0) return PURE;
    if (this.wanted) this.#read();
    else this.#hungUp();
    return undefined;
  }

  /** Reads once; false if there was nothing. */
  #read(): boolean {
    const n = readTo(this.#line.fd, this.#chunk.address, READ_SIZE);
    if (n === -EAGAIN) return false;
    if (n <= 0) {
      this.#hungUp();
      return false;
    }
    this.#lastRead = performance.now();
    this.#pause ??= setTimeout(() => this.#onPause(), this.pauseMs);
    this.#decoder.push(this.#chunk.bytes.subarray(0, n));
    this.#give();
    return true;
  }

  /** Ends the record that a pause came in. Bytes that have come while we were busy are no pause. */
  #onPause(): void {
    this.#pause = undefined;
    if (this.closed || (this.wanted && this.#read())) return;
    if (this.closed) return;
    const left = this.#lastRead + this.pauseMs - performance.now();
    if (left > 0) this.#pause = setTimeout(() => this.#onPause(), left);
    else if (this.#decoder.finish()) this.drops.error++;
  }

  #take(frame: Uint8Array): void {
    this.#burst.add(frame);
    if (this.#burst.count === BURST_SIZE) this.#give();
  }

  #give(): void {
    const decoder = this.#decoder;
    for (; decoder.runts > 0; decoder.runts--) this.dropArrival('runt');
    for (; decoder.oversize > 0; decoder.oversize--) this.dropArrival('oversize');
    if (this.#burst.count > 0 && !this.closed) this.sink?.(this.#burst);
    this.#burst.count = 0;
  }

  protected override transmit(frames: Burst, views: Uint8Array, count: number): void {
    if (this.closed) return;
    this.#pending.add(frames, views, count, this.drops);
    this.#write();
  }

  #write(): void {
    if (this.#pending.write(this.#output) < 0) this.#hungUp();
    else this.listen();
  }

  #hungUp(): void {
    const cause = 'the serial line has hung up';
    this.lose(new VdeError({ code: 'EIO', subject: this.name, cause, remedy: 'is its device still plugged in?' }));
  }

  async settled(ms: number): Promise<void> {
    const end = performance.now() + ms;
    while (!this.closed && unsentBytes(this.#line) > 0 && performance.now() < end) {
      await new Promise((done) => setTimeout(done, 5));
    }
  }

  protected override release(): void {
    clearTimeout(this.#pause);
    this.#watch.close();
    // Only where closing would wait: on a pseudo terminal this would throw away what the other side has not read yet.
    if (unsentBytes(this.#line) > 0) discardBytes(this.#line);
    restoreTerminal(this.#line, this.#before);
    this.#line.close();
  }
}

/**
 * Opens a serial line.
 * @param speed in bits per second.
 * @param pauseMs how long a silence within a record ends it.
 * @throws VdeError if the line cannot be opened, is another program's, or is none.
 */
export function openSerial(path: string, subject: string, speed: number, pauseMs: number = PAUSE_MS): Plug {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch (error) {
    const denied = (error as NodeJS.ErrnoException).code === 'EACCES';
    throw fromNodeError(error, subject, denied ? 'serial lines often belong to the group dialout' : undefined);
  }
  const line = new Descriptor(fd, subject);
  try {
    if (!lockFile(fd, subject, false)) {
      throw new VdeError({ code: 'EBUSY', subject, cause: 'another program has the serial line open' });
    }
    return new SerialPlug(line, subject, speed, pauseMs);
  } catch (error) {
    line.close();
    throw error;
  }
}

export const vdeslScheme: Scheme = {
  name: 'vdesl',
  syntax: 'DEVICE[PARAMETERS]',
  doc: 'a serial line with frames of the stream format on it',
  maxFrame: FRAME_LIMIT,
  params,
  open: async ({ body, bodyAt, text, locator }) => {
    const { path, params: given } = parsePath(body, bodyAt, text);
    const { speed } = readParams(params, given, text);
    return openSerial(path, locator, Number(speed));
  },
};
