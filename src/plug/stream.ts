/**
 * A plug over a pair of byte streams: each frame is a record of a big-endian length, of two bytes unless another format is
 * named, and the frame (reference: VDE switch socket protocol, section 12). Standard input and output of `vde_plug` are
 * this, and the pipes of a command.
 *
 * The streams are other processes' too, so they are not switched to non-blocking: a pipe or terminal is opened anew
 * through /proc, which gives an open file of our own, and a socket is told with each call not to wait.
 */

import { constants, fstatSync, openSync } from 'node:fs';
import { BURST_SIZE, Burst, FRAME_MAX } from '../frame/burst.js';
import { type RecordFormat, StreamDecoder, VDE_RECORDS } from '../frame/stream.js';
import { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLOUT, isWatchable } from '../sys/epoll.js';
import { callError, errnoNumber, VdeError } from '../sys/errors.js';
import { readTo, receiveTo, sendFrom, writeFrom } from '../sys/io.js';
import { loop, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { PlugBase } from './base.js';
import type { Plug } from './plug.js';
import { RecordQueue } from './record-queue.js';

const EAGAIN = errnoNumber('EAGAIN');
const EPIPE = errnoNumber('EPIPE');
/** Bytes read at once: what a pipe holds. */
const READ_SIZE = 64 << 10;
/** Bytes that may wait for a slow reader. */
const WRITE_SIZE = 1 << 20;
/** Reads before the others get their turn. */
const READS_PER_TURN = 4;
/** Reads of what is left in a pipe whose writer has gone: more than it can hold. */
const REST_READS = 64;

/** A stream's descriptor in the form that this plug needs, and whether the loop can watch it. */
class Stream {
  readonly descriptor: Descriptor;
  /** Files and some devices are always ready: epoll refuses them. */
  readonly watchable: boolean;
  /** Whether a second read may follow a first at once without the danger of waiting. */
  readonly neverWaits: boolean;
  readonly #isSocket: boolean;

  constructor(fd: number, access: number, subject: string) {
    const stat = fstatSync(fd);
    this.#isSocket = stat.isSocket();
    let own: number | undefined;
    if (stat.isFIFO() || stat.isCharacterDevice()) {
      try {
        own = openSync(`/proc/self/fd/${fd}`, access | constants.O_NONBLOCK | constants.O_NOCTTY);
      } catch {
        // A pipe of another user's may not be opened again; a copy of the descriptor has to do, and may block.
      }
    }
    this.neverWaits = own !== undefined || this.#isSocket;
    this.descriptor = own === undefined ? new Descriptor(fd, subject).duplicate() : new Descriptor(own, subject);
    this.watchable = isWatchable(this.descriptor.fd);
  }

  /** Returns the bytes read (0: end), or minus the errno. */
  read(address: number, size: number): number {
    return (this.#isSocket ? receiveTo : readTo)(this.descriptor.fd, address, size);
  }

  /** Returns the bytes written, or minus the errno. */
  write(address: number, size: number): number {
    return (this.#isSocket ? sendFrom : writeFrom)(this.descriptor.fd, address, size);
  }
}

/** See the head of this file. */
export class StreamPlug extends PlugBase implements Plug {
  readonly takesOffloads = false;
  readonly #input: Stream;
  readonly #output: Stream;
  readonly #burst = new Burst();
  readonly #chunk = new Memory(READ_SIZE);
  readonly #decoder: StreamDecoder;
  readonly #pending: RecordQueue;
  #inputWatch: Watch | undefined;
  #outputWatch: Watch | undefined;
  #ended = false;
  /** Nobody reads any more what is written. */
  #unread = false;
  #turn: NodeJS.Immediate | undefined;

  /**
   * Takes copies of the descriptors; the originals stay the caller's.
   * @param maxFrame longest frame to put into the stream.
   * @param format of the records; a stream that breaks it is lost.
   */
  constructor(
    readonly name: string,
    input: number,
    output: number,
    readonly maxFrame: number,
    format: RecordFormat = VDE_RECORDS,
  ) {
    super();
    this.#pending = new RecordQueue(WRITE_SIZE, maxFrame, format.header);
    this.#input = new Stream(input, constants.O_RDONLY, name);
    this.#output = new Stream(output, constants.O_WRONLY, name);
    this.#decoder = new StreamDecoder((frame) => this.#take(frame), { maxFrame: FRAME_MAX, format });
  }

  get backlogged(): boolean {
    return !this.#pending.empty;
  }

  protected override listen(): void {
    const reading = this.wanted && !this.#ended;
    if (!this.#input.watchable) {
      if (reading) this.#turn ??= setImmediate(() => this.#readFile());
    } else if (this.#inputWatch !== undefined) {
      if (this.#ended) {
        this.#inputWatch.close();
        this.#inputWatch = undefined;
      } else {
        this.#inputWatch.events = reading ? EPOLLIN : 0;
      }
    } else if (reading) {
      this.#inputWatch = loop().watch(this.#input.descriptor.fd, EPOLLIN, (events) => this.#onReadable(events));
    }
    if (!this.#output.watchable || this.#unread) return;
    // With nothing to write the descriptor is still watched: its reader's leaving shows as an error.
    const events = this.backlogged ? EPOLLOUT : 0;
    if (this.#outputWatch !== undefined) this.#outputWatch.events = events;
    else this.#outputWatch = loop().watch(this.#output.descriptor.fd, events, (ready) => this.#onWritable(ready));
  }

  #onReadable(events: number): undefined {
    if (!this.wanted && events !== EPOLLIN) {
      // The writer has gone, but what it wrote is still there: it is read when somebody wants it.
      if (this.#inputWatch) {
        this.#inputWatch.close();
        this.#inputWatch = undefined;
      }
      return;
    }
    const turns = this.#input.neverWaits ? READS_PER_TURN : 1;
    for (let turn = 0; turn < turns && this.wanted && this.#read(); turn++);
  }

  #readFile(): void {
    this.#turn = undefined;
    if (this.wanted && this.#read() && !this.closed) this.listen();
  }

  /** Reads once; false if there was nothing or it was the end. */
  #read(): boolean {
    const n = this.#input.read(this.#chunk.address, READ_SIZE);
    if (n > 0) {
      this.#decoder.push(this.#chunk.bytes.subarray(0, n));
      this.#give();
      if (this.#decoder.broken !== undefined) this.#breakOff(this.#decoder.broken);
      return !this.closed;
    }
    if (n === -EAGAIN) return false;
    this.#ended = true;
    this.#decoder.finish();
    if (n === 0) this.lose();
    else this.lose(callError('read', -n, this.name));
    return false;
  }

  #take(frame: Uint8Array): void {
    this.#burst.add(frame);
    if (this.#burst.count === BURST_SIZE) this.#give();
  }

  #breakOff(length: number): void {
    const cause = `the other end announces a frame of ${length} bytes, which is none`;
    this.lose(new VdeError({ code: 'EPROTO', subject: this.name, cause, remedy: 'does it speak another protocol?' }));
  }

  #give(): void {
    const decoder = this.#decoder;
    for (; decoder.runts > 0; decoder.runts--) this.dropArrival('runt');
    for (; decoder.oversize > 0; decoder.oversize--) this.dropArrival('oversize');
    // A chunk holds many bursts: the sink may have closed the plug with the one before.
    if (this.#burst.count > 0 && !this.closed) this.sink?.(this.#burst);
    this.#burst.count = 0;
  }

  protected override transmit(frames: Burst, views: Uint8Array, count: number): void {
    if (this.#unread) {
      this.drops.error += count;
      return;
    }
    this.#pending.add(frames, views, count, this.drops);
    this.#write();
  }

  #onWritable(events: number): undefined {
    if (events & EPOLLOUT || this.backlogged) this.#write();
    else if (events !== 0) this.#readerGone();
    if (!this.closed && !this.backlogged) this.drained();
  }

  /** Writes what it can; what is left goes when the reader has made room. */
  #write(): void {
    if (this.closed) return;
    const failure = this.#pending.write(this.#output);
    if (failure === -EPIPE) this.#readerGone();
    else if (failure !== 0) this.lose(callError('write', -failure, this.name));
    if (!this.closed) this.listen();
  }

  /** Who reads has gone, and so most likely has who writes: what that wrote last is still there. */
  #readerGone(): void {
    this.#unread = true;
    this.#pending.clear();
    this.#outputWatch?.close();
    this.#outputWatch = undefined;
    if (this.#turn) clearImmediate(this.#turn);
    // Not here: this may be within a call of the sink.
    this.#turn = setImmediate(() => {
      for (let k = 0; k < REST_READS && this.wanted && this.#input.neverWaits && this.#read(); k++);
      this.lose();
    });
    loop().touch();
  }

  protected override release(): void {
    if (this.#turn) clearImmediate(this.#turn);
    this.#inputWatch?.close();
    this.#outputWatch?.close();
    this.#input.descriptor.close();
    this.#output.descriptor.close();
  }
}
