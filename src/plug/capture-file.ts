/**
 * Records frames as pcapng or classic pcap, as they pass: the one writer behind `capture://`, `pcap://FILE[out]`, the
 * mirrors of a switch and its `pdump`.
 *
 * Blocks are made in one piece of memory and written when it is filled, once a second and at the end; to who watches
 * live, ten times a second. So what a killed process leaves is a sound file that lacks its last second at most. Where
 * the blocks go is `capture-output.ts`; when they cannot go anywhere frames are not recorded, and traffic goes on.
 */

import type { Burst } from '../frame/burst.js';
import { pcapFileHeader, putPcapRecord, RECORD_PACKET_AT } from '../frame/pcap-record.js';
import {
  PACKET_AT,
  type PacketDirection,
  PacketTime,
  packetBlockLength,
  putPacketBlock,
} from '../frame/pcapng-packet.js';
import { interfaceDescriptionBlock, sectionHeaderBlock } from '../frame/pcapng-writer.js';
import { callError, errnoText, VdeError } from '../sys/errors.js';
import { Memory } from '../sys/memory.js';
import { type CaptureOutput, openOutput } from './capture-output.js';
import { sendCut } from './cutting.js';
import { noDrops } from './plug.js';

/** Room for a super-frame whole, should one come that cannot be cut, and for many frames. */
const BUFFER_SIZE = 256 << 10;
/** What waits for a file at most: little is lost when the disk is full. */
const FLUSH_SIZE = 64 << 10;
const FLUSH_MS = 1000;
const LIVE_FLUSH_MS = 100;
/** How far the wall clock may be off before it is read again, in ms. */
const CLOCK_SLACK_MS = 20;

export interface CaptureFileOptions {
  /** What the capture calls the place that it was taken at, or the places, numbered from 0. */
  interfaceName: string | readonly string[];
  /** `pcapng` if not given; `pcap` knows neither places nor directions. */
  format?: 'pcapng' | 'pcap';
  /** Bytes kept of each frame; 0 for all. */
  snaplen?: number;
  /** Size in bytes that a file begins anew at; 0 for never. */
  size?: number;
  /** How many files are kept then, the one being written among them. */
  files?: number;
  /** Told what the user should know. */
  notice: (line: string) => void;
  /** If given, a capture that cannot be written, or whose reader leaves, ends for good, and this is called. */
  onStopped?: () => void;
}

/** See the head of this file. */
export class CaptureFile {
  /** Frames that could not be written. */
  lost = 0;
  readonly #output: CaptureOutput;
  readonly #buffer = new Memory(BUFFER_SIZE);
  /** Bytes still to be written: from `#sent` to `#filled`. */
  #sent = 0;
  #filled = 0;
  /** Frames among them, as far as they are counted when they are lost. */
  #waiting = 0;
  /** Bytes written to the present file, its header included. */
  #written = 0;
  readonly #header: Uint8Array;
  readonly #time = new PacketTime();
  #originSeconds = 0;
  #originRest = 0;
  readonly #timer: NodeJS.Timeout;
  #failed = false;
  #stopped = false;
  #direction: PacketDirection = 1;
  #place = 0;
  readonly #classic: boolean;
  /** Where a packet lies in its block. */
  readonly #packetAt: number;
  readonly #append = (burst: Burst, views: Uint8Array, count: number) => this.#appendAll(burst, views, count);
  readonly #cutting = { drops: noDrops() };

  /**
   * @param path of a file, which is emptied, or of a FIFO; `-` for standard output.
   * @param subject what messages speak of.
   * @throws VdeError if it cannot be written.
   */
  constructor(
    path: string,
    private readonly subject: string,
    private readonly options: CaptureFileOptions,
  ) {
    const { interfaceName, snaplen = 0, files = 1, format } = options;
    this.#classic = format === 'pcap';
    this.#packetAt = this.#classic ? RECORD_PACKET_AT : PACKET_AT;
    this.#header = this.#classic ? pcapFileHeader(snaplen) : pcapngHeader([interfaceName].flat(), snaplen);
    this.#readClock();
    this.#output = openOutput(path, subject, files, {
      onRoom: () => this.flush(),
      onGone: () => this.#readerGone(path),
    });
    this.#timer = setInterval(() => this.#tick(), this.#output.live ? LIVE_FLUSH_MS : FLUSH_MS);
    this.#timer.unref();
    if (this.#output.ready) this.#begin();
    this.flush();
  }

  /** Whether nothing is recorded any more. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * Records `count` views of a burst, super-frames as the frames of the wire that they stand for.
   * @param place the number of the place where they passed.
   */
  record(burst: Burst, views: Uint8Array, count: number, direction: PacketDirection, place = 0): void {
    if (this.#stopped || !this.#output.ready) return;
    this.#stamp();
    this.#direction = direction;
    this.#place = place;
    if (burst.superFrames === 0) this.#appendAll(burst, views, count);
    else sendCut(this.#cutting, this.#append, burst, views, count);
  }

  #appendAll(burst: Burst, views: Uint8Array, count: number): void {
    const { snaplen = 0, size = 0 } = this.options;
    const { length } = burst;
    for (let k = 0; k < count; k++) {
      const whole = length[views[k]];
      const kept = snaplen > 0 && whole > snaplen ? snaplen : whole;
      const block = this.#classic ? RECORD_PACKET_AT + kept : packetBlockLength(kept);
      // A view that has to be put together is copied whole before it is cut.
      const room = Math.max(block, this.#packetAt + whole);
      const inFile = this.#written + this.#filled - this.#sent;
      if (size > 0 && inFile + block > size && inFile > this.#header.length) this.#rotate();
      if (this.#stopped || (this.#filled + room > BUFFER_SIZE && !this.#makeRoom(room))) {
        this.lost++;
        continue;
      }
      burst.copyView(views[k], this.#buffer.bytes, this.#filled + this.#packetAt);
      this.#put(kept, whole);
      this.#filled += block;
      this.#waiting++;
      if (this.#filled >= FLUSH_SIZE && !this.#output.live) this.flush();
    }
  }

  /** Writes what goes round a packet. */
  #put(kept: number, whole: number): void {
    const { view } = this.#buffer;
    const time = this.#time;
    if (this.#classic) putPcapRecord(view, this.#filled, time.seconds, time.nanoseconds, kept, whole);
    else putPacketBlock(view, this.#filled, time, kept, whole, this.#direction, this.#place);
  }

  /** Now, to the nanosecond as far as the machine knows it. */
  #stamp(): void {
    const ms = performance.now() + this.#originRest;
    const seconds = Math.floor(ms / 1000);
    this.#time.set(this.#originSeconds + seconds, Math.floor((ms - seconds * 1000) * 1e6));
  }

  /** What `performance.now()` counts from; read anew when somebody has set the clock. */
  #readClock(): void {
    const now = performance.now();
    const known = this.#originSeconds * 1000 + this.#originRest;
    const apart = Date.now() - now - known;
    if (Math.abs(apart) < CLOCK_SLACK_MS) return;
    const { timeOrigin } = performance;
    const origin = Math.abs(Date.now() - now - timeOrigin) < CLOCK_SLACK_MS ? timeOrigin : Date.now() - now;
    this.#originSeconds = Math.floor(origin / 1000);
    this.#originRest = origin - this.#originSeconds * 1000;
  }

  /** Puts the capture's header where nothing is before it. */
  #begin(): void {
    this.#sent = 0;
    this.#waiting = 0;
    this.#written = 0;
    this.#buffer.bytes.set(this.#header);
    this.#filled = this.#header.length;
  }

  #makeRoom(size: number): boolean {
    this.flush();
    if (this.#stopped || !this.#output.ready) return false;
    this.#buffer.bytes.copyWithin(0, this.#sent, this.#filled);
    this.#filled -= this.#sent;
    this.#sent = 0;
    return this.#filled + size <= BUFFER_SIZE;
  }

  /** Writes what waits. */
  flush(): void {
    const size = this.#filled - this.#sent;
    if (size === 0 || this.#stopped) return;
    const n = this.#output.write(this.#buffer.address + this.#sent, size);
    if (n < 0) {
      // The header cannot be done without: a file that has none gets it first when there is room.
      const headless = !this.#output.live && this.#written === 0;
      this.lost += this.#waiting;
      this.#waiting = 0;
      this.#sent = 0;
      this.#filled = headless ? this.#header.length : 0;
      if (!this.#output.live) this.#complain(-n);
      return;
    }
    this.#sent += n;
    this.#written += n;
    if (this.#sent < this.#filled) return;
    this.#sent = 0;
    this.#filled = 0;
    this.#waiting = 0;
  }

  #complain(errno: number): void {
    if (this.options.onStopped) this.#stop(callError('write', errno, this.subject));
    if (this.#failed || this.#stopped) return;
    this.#failed = true;
    this.options.notice(
      `${this.subject}: ${errnoText(errno)}: frames pass, but are not recorded until it can be written`,
    );
  }

  #rotate(): void {
    this.flush();
    try {
      if (this.#output.rotate()) this.#begin();
    } catch (error) {
      this.#stop(error);
    }
  }

  #tick(): void {
    this.#readClock();
    try {
      if (this.#output.look()) this.#begin();
    } catch (error) {
      this.#stop(error);
    }
    this.flush();
  }

  #readerGone(path: string): void {
    this.#sent = 0;
    this.#filled = 0;
    this.#waiting = 0;
    if (path === '-' || this.options.onStopped)
      this.#stop(new VdeError({ code: 'EPIPE', subject: this.subject, cause: 'its reader has left' }));
  }

  /** Nothing more is recorded. */
  #stop(error: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#output.close();
    const why = error instanceof VdeError ? error.message : `${this.subject}: ${(error as Error).message}`;
    this.options.notice(`${why}: frames pass, but are not recorded any more`);
    this.options.onStopped?.();
  }

  /** Writes what there is and ends the capture. Idempotent. */
  close(): void {
    if (this.#stopped) return;
    this.flush();
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#output.close();
    if (this.lost > 0) this.options.notice(`${this.subject}: ${this.lost} frames were not recorded`);
  }
}

function pcapngHeader(names: readonly string[], snaplen: number): Uint8Array {
  const places = names.map((name) => interfaceDescriptionBlock({ name, snaplen }));
  return Buffer.concat([sectionHeaderBlock({ application: 'vde' }), ...places]);
}
