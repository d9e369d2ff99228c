/**
 * A capture file as an end (`pcap://FILE`): its frames arrive as if they came now, with the pauses that were between them, and
 * what is sent may be recorded in another. pcap and pcapng are read alike.
 *
 * The file is untrusted: what contradicts its format ends the replay with an error that names the place. Packets that are
 * no whole Ethernet frames are left out and counted.
 */

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { BURST_SIZE, Burst, FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { LINKTYPE_ETHERNET } from '../frame/pcapng.js';
import { PacketDirection } from '../frame/pcapng-packet.js';
import { type CapturedPacket, type CaptureEnd, readCapture } from '../frame/pcapng-reader.js';
import { fromNodeError, VdeError } from '../sys/errors.js';
import { PlugBase } from './base.js';
import type { CaptureFile } from './capture-file.js';
import type { Plug } from './plug.js';

/** Largest file that is replayed: it is held in memory. */
const FILE_MAX = 1 << 30;
/** Bursts handed on before the others get their turn. */
const BURSTS_PER_TURN = 4;
/** Longest that a timer can be set for at once, in ms. */
const TIMER_MAX = 3_600_000;

export interface ReplayOptions {
  /** How much faster than it was captured; Infinity: as fast as it is taken. */
  speed: number;
  /** Whether it begins again at its end. */
  loop: boolean;
  /** Told what the user should know. */
  notice: (line: string) => void;
}

/**
 * Reads a capture file that is to be replayed.
 * @throws VdeError if it cannot be read, is no capture, or is not one of Ethernet.
 */
export async function readCaptureFile(path: string, subject: string): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    // Opening a FIFO would wait otherwise.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const stat = await file.stat();
      if (!stat.isFile()) throw new VdeError({ code: 'EINVAL', subject, cause: `${path} is not a file` });
      if (stat.size > FILE_MAX) {
        const cause = `${path} has ${stat.size} bytes, at most ${FILE_MAX} can be replayed`;
        throw new VdeError({ code: 'EFBIG', subject, cause, remedy: 'editcap -c cuts it into pieces' });
      }
      bytes = await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fromNodeError(error, subject);
  }
  // The first packet tells a file of another kind at once.
  const { value, done } = readCapture(bytes, subject).next();
  if (!done && value.interface.linkType !== LINKTYPE_ETHERNET) {
    const cause = `its packets are no Ethernet frames (link type ${value.interface.linkType})`;
    throw new VdeError({ code: 'EINVAL', subject, cause });
  }
  return bytes;
}

/** See the head of this file. */
export class PcapFilePlug extends PlugBase implements Plug {
  readonly maxFrame = FRAME_MAX;
  readonly takesOffloads = true;
  readonly backlogged = false;
  readonly #burst = new Burst();
  #packets: Iterator<CapturedPacket, CaptureEnd> | undefined;
  #next: CapturedPacket | undefined;
  /** When the first frame of this round was due, in ms, and its time in the file. */
  #begin = 0;
  #first: bigint | undefined;
  /** Frames of this round. */
  #round = 0;
  #timer: NodeJS.Timeout | undefined;
  #turn: NodeJS.Immediate | undefined;

  /**
   * @param source the capture file, of `readCaptureFile`; undefined if nothing is to arrive.
   * @param output where what is sent is recorded; taken over.
   */
  constructor(
    readonly name: string,
    private readonly source: Uint8Array | undefined,
    private readonly options: ReplayOptions,
    private readonly output: CaptureFile | undefined,
  ) {
    super();
  }

  protected override transmit(burst: Burst, views: Uint8Array, count: number): void {
    if (this.closed || this.output === undefined) return;
    const { lost } = this.output;
    this.output.record(burst, views, count, PacketDirection.outbound);
    this.drops.error += this.output.lost - lost;
  }

  protected override listen(): void {
    if (this.source === undefined) return;
    if (this.wanted) this.#turn ??= setImmediate(() => this.#replay());
    else this.#wait();
  }

  /** Waits for nothing. */
  #wait(): void {
    clearTimeout(this.#timer);
    if (this.#turn) clearImmediate(this.#turn);
    this.#timer = undefined;
    this.#turn = undefined;
  }

  #replay(): void {
    this.#wait();
    try {
      for (let turn = 0; turn < BURSTS_PER_TURN; turn++) {
        const delay = this.#fill();
        if (this.#burst.count > 0) this.sink?.(this.#burst);
        this.#burst.count = 0;
        if (!this.wanted) return;
        if (delay === undefined) {
          this.lose();
          return;
        }
        if (delay > 0) {
          this.#timer = setTimeout(() => this.#replay(), Math.min(delay, TIMER_MAX));
          return;
        }
      }
      this.#turn = setImmediate(() => this.#replay());
    } catch (error) {
      if (!(error instanceof VdeError)) throw error;
      // What came before the fault in the file is sound.
      if (this.#burst.count > 0) this.sink?.(this.#burst);
      this.#burst.count = 0;
      this.lose(error);
    }
  }

  /** Collects what is due; returns ms until the next frame is, 0 if the burst is full, undefined at the end. */
  #fill(): number | undefined {
    while (this.#burst.count < BURST_SIZE) {
      this.#next ??= this.#take();
      if (this.#next === undefined) return undefined;
      const delay = this.#delay(this.#next);
      if (delay > 0) return delay;
      this.#add(this.#next);
      this.#next = undefined;
    }
    return 0;
  }

  /** The next packet; undefined at the end of the last round. */
  #take(): CapturedPacket | undefined {
    for (;;) {
      if (this.#packets === undefined) {
        this.#packets = readCapture(this.source as Uint8Array, this.name);
        this.#first = undefined;
        this.#round = 0;
      }
      const { value, done } = this.#packets.next();
      if (!done) return value;
      this.#packets = undefined;
      const { truncatedAt } = value;
      // A file without any frame would be begun again for ever.
      if (this.options.loop && this.#round > 0) continue;
      if (truncatedAt !== undefined) this.options.notice(`${this.name}: it breaks off at byte ${truncatedAt}`);
      return undefined;
    }
  }

  #delay({ timestamp }: CapturedPacket): number {
    const { speed } = this.options;
    if (speed === Number.POSITIVE_INFINITY || timestamp === undefined) return 0;
    if (this.#first === undefined) {
      this.#first = timestamp;
      this.#begin = performance.now();
      return 0;
    }
    return this.#begin + Number(timestamp - this.#first) / 1e6 / speed - performance.now();
  }

  #add(packet: CapturedPacket): void {
    const { data, originalLength } = packet;
    if (packet.interface.linkType !== LINKTYPE_ETHERNET || data.length < originalLength) this.drops.error++;
    else if (data.length > FRAME_MAX) this.drops.oversize++;
    else if (data.length < FRAME_MIN) this.drops.runt++;
    else {
      this.#burst.add(data);
      this.#round++;
    }
  }

  protected override release(): void {
    this.#wait();
    this.output?.close();
  }
}
