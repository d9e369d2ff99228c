/**
 * Where a capture goes: a file, a FIFO or standard output. It is only ever written in whole blocks, as far as who reads
 * it can tell, and never waits.
 *
 * - A file is locked, so that it has one writer. What a full disk has taken of a block is taken back.
 * - A FIFO has a reader or none; each that comes gets a capture of its own from its beginning.
 * - Standard output ends with its reader.
 */

import { closeSync, constants, existsSync, fstatSync, ftruncateSync, openSync, renameSync, statSync } from 'node:fs';
import { Descriptor } from '../sys/descriptor.js';
import { EPOLLOUT } from '../sys/epoll.js';
import { errnoNumber, fromNodeError, VdeError } from '../sys/errors.js';
import { lockFile } from '../sys/file.js';
import { sendFrom, writeFrom } from '../sys/io.js';
import { loop, type Watch } from '../sys/loop.js';

const EAGAIN = errnoNumber('EAGAIN');
const STANDARD_OUTPUT = 1;

/** A place to write to. */
export interface CaptureOutput {
  /** Whether what is written gets anywhere now. */
  readonly ready: boolean;
  /** Whether somebody watches what is written as it comes. */
  readonly live: boolean;
  /** Writes bytes from an address. Returns how many were taken (0: no room now), or minus the errno: all of them are lost. */
  write(address: number, size: number): number;
  /** Begins anew, beside what was written before. False for what has no beginning. */
  rotate(): boolean;
  /** Looks for a reader; true if there is a new one. */
  look(): boolean;
  close(): void;
}

/** What an output asks of its owner. */
export interface OutputEvents {
  /** There is room again. */
  onRoom(): void;
  /** A reader has left. */
  onGone(): void;
}

/**
 * Opens what `path` names, `-` for standard output; a file is emptied.
 * @param files how many files `rotate` keeps, the present one among them.
 * @throws VdeError naming `subject` if it cannot be written.
 */
export function openOutput(path: string, subject: string, files: number, events: OutputEvents): CaptureOutput {
  if (path === '-') return openStandardOutput(subject, events);
  return isFifo(path, subject) ? new FifoOutput(path, subject, events) : new FileOutput(path, subject, files);
}

function isFifo(path: string, subject: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFIFO() ?? false;
  } catch (error) {
    throw fromNodeError(error, `${subject}: ${path}`);
  }
}

class FileOutput implements CaptureOutput {
  readonly live = false;
  readonly ready = true;
  /** Bytes in the file. */
  #length = 0;
  #file: Descriptor;

  constructor(
    private readonly path: string,
    private readonly subject: string,
    private readonly files: number,
    private readonly emptied = true,
  ) {
    this.#file = this.#open();
  }

  #open(): Descriptor {
    const { O_WRONLY, O_CREAT, O_APPEND, O_NONBLOCK, O_NOCTTY } = constants;
    let fd: number;
    try {
      // What crosses a network is nobody else's business.
      fd = openSync(this.path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY, 0o600);
    } catch (error) {
      throw fromNodeError(error, `${this.subject}: ${this.path}`);
    }
    const file = new Descriptor(fd, this.subject);
    try {
      const stat = fstatSync(fd);
      // A device, such as /dev/null, is everybody's.
      if (!stat.isFile()) return file;
      if (!lockFile(fd, this.path, false)) {
        throw new VdeError({ code: 'EBUSY', subject: this.subject, cause: `${this.path} is being written already` });
      }
      if (this.emptied) ftruncateSync(fd, 0);
      else this.#length = fstatSync(fd).size;
      return file;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  write(address: number, size: number): number {
    for (let written = 0; written < size; ) {
      const n = writeFrom(this.#file.fd, address + written, size - written);
      if (n > 0) written += n;
      else {
        if (written > 0) this.#takeBack();
        return n === 0 ? -EAGAIN : n;
      }
    }
    this.#length += size;
    return size;
  }

  /** Removes the part of a block that there was room for. */
  #takeBack(): void {
    try {
      ftruncateSync(this.#file.fd, this.#length);
    } catch {
      // A device has no length, and what it has taken is gone.
    }
  }

  rotate(): boolean {
    this.#file.close();
    const name = (i: number) => (i === 0 ? this.path : `${this.path}.${i}`);
    try {
      for (let i = this.files - 1; i > 0; i--) {
        if (existsSync(name(i - 1))) renameSync(name(i - 1), name(i));
      }
    } catch (error) {
      throw fromNodeError(error, `${this.subject}: ${this.path}`);
    }
    this.#length = 0;
    this.#file = this.#open();
    return true;
  }

  look(): boolean {
    return false;
  }

  close(): void {
    this.#file.close();
  }
}

/** What has a reader: it may be slow, and it may leave. */
class PipeOutput implements CaptureOutput {
  readonly live = true;
  #pipe: Descriptor | undefined;
  #watch: Watch | undefined;

  constructor(
    private readonly events: OutputEvents,
    private readonly isSocket = false,
  ) {}

  get ready(): boolean {
    return this.#pipe !== undefined;
  }

  protected attach(pipe: Descriptor): void {
    this.#pipe = pipe;
    // A reader's leaving shows as an error, whatever is waited for.
    this.#watch = loop().watch(pipe.fd, 0, (ready) => {
      if ((ready & EPOLLOUT) === 0) this.#leave();
      else if (this.#watch) {
        this.#watch.events = 0;
        this.events.onRoom();
      }
      return undefined;
    });
  }

  #leave(): void {
    this.#detach();
    this.events.onGone();
  }

  write(address: number, size: number): number {
    if (this.#pipe === undefined || this.#watch === undefined) return 0;
    const n = (this.isSocket ? sendFrom : writeFrom)(this.#pipe.fd, address, size);
    if (n < size && (n >= 0 || n === -EAGAIN)) this.#watch.events = EPOLLOUT;
    if (n >= 0) return n;
    if (n === -EAGAIN) return 0;
    this.#leave();
    return n;
  }

  rotate(): boolean {
    return false;
  }

  look(): boolean {
    return false;
  }

  #detach(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.#pipe?.close();
    this.#pipe = undefined;
  }

  close(): void {
    this.#detach();
  }
}

class FifoOutput extends PipeOutput {
  constructor(
    private readonly path: string,
    private readonly subject: string,
    events: OutputEvents,
  ) {
    super(events);
    this.look();
  }

  override look(): boolean {
    if (this.ready) return false;
    try {
      const fd = openSync(this.path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
      if (!fstatSync(fd).isFIFO()) {
        closeSync(fd);
        return false;
      }
      this.attach(new Descriptor(fd, this.subject));
      return true;
    } catch (error) {
      // Nobody reads it yet; or somebody has removed it, and may put it back.
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENXIO' || code === 'ENOENT') return false;
      throw fromNodeError(error, `${this.subject}: ${this.path}`);
    }
  }
}

class StandardOutput extends PipeOutput {
  constructor(pipe: Descriptor, events: OutputEvents, isSocket: boolean) {
    super(events, isSocket);
    this.attach(pipe);
  }
}

function openStandardOutput(subject: string, events: OutputEvents): CaptureOutput {
  const stat = fstatSync(STANDARD_OUTPUT);
  const reopened = `/proc/self/fd/${STANDARD_OUTPUT}`;
  if (stat.isFile()) return new FileOutput(reopened, subject, 1, false);
  if (stat.isSocket()) return new StandardOutput(new Descriptor(STANDARD_OUTPUT, subject).duplicate(), events, true);
  if (!stat.isFIFO()) {
    const cause = 'a capture is not text: standard output must be a pipe or a file';
    throw new VdeError({ code: 'EINVAL', subject, cause, remedy: 'for example | wireshark -k -i -' });
  }
  try {
    // Opened anew, so that not to wait is our own affair and not that of all who have it.
    const fd = openSync(reopened, constants.O_WRONLY | constants.O_NONBLOCK);
    return new StandardOutput(new Descriptor(fd, subject), events, false);
  } catch (error) {
    throw fromNodeError(error, subject);
  }
}
