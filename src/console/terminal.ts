/**
 * The console on standard input and output of a switch in the foreground (reference: management console, "Foreground
 * console"): one line is one command, and the prompt comes after each answer, on standard output.
 */

import { EPOLLERR, EPOLLHUP, EPOLLOUT } from '../sys/epoll.js';
import { errnoNumber, VdeError } from '../sys/errors.js';
import { writeFrom } from '../sys/io.js';
import { loop, type Watch } from '../sys/loop.js';
import type { ConsoleCommand } from './command-table.js';
import { OutputQueue } from './output.js';
import { ConsoleSession, type Transport } from './session.js';

const STDOUT = 1;
/** Most that a pipe with any room at all takes without waiting (pipe(7): PIPE_BUF). */
const PIECE = 4096;
const EAGAIN = errnoNumber('EAGAIN');

/**
 * Reads commands until the end of standard input.
 * @param onEnd called when the last command before the end of the input has been answered.
 * @returns what stops the reading.
 */
export function startTerminal(table: () => readonly ConsoleCommand[], onEnd: () => void): () => void {
  const { stdin } = process;
  const transport = new StandardStreams(onEnd);
  const session = new ConsoleSession(transport, { table, terminal: true });
  transport.onDrained = () => session.drained();
  const onData = (chunk: Buffer) => session.feed(chunk);
  const onFinish = () => {
    transport.atEnd = true;
    session.end();
  };
  stdin.on('data', onData);
  stdin.once('end', onFinish);
  // A terminal that is hung up reports an error rather than an end.
  stdin.once('error', onFinish);
  return () => {
    stdin.off('data', onData);
    stdin.off('end', onFinish);
    stdin.pause();
    session.close();
    transport.close();
  };
}

/**
 * Standard output is shared with others, so it is not made non-blocking: it is written to when the loop says that there
 * is room. Where that cannot be asked, as for a file, there always is. Output whose reader has gone is nobody's loss: a
 * switch goes on switching.
 */
class StandardStreams implements Transport {
  onDrained = () => {};
  /** Whether the input has ended: if a session ends before, its own command did that. */
  atEnd = false;
  readonly #output = new OutputQueue();
  #watch: Watch | undefined;
  #lost = false;

  constructor(private readonly onEnd: () => void) {
    try {
      this.#watch = loop().watch(STDOUT, 0, (events) => this.#onReady(events));
    } catch (error) {
      if (!(error instanceof VdeError)) throw error;
    }
  }

  get backlog(): number {
    return this.#output.size;
  }

  get reading(): boolean {
    return !process.stdin.isPaused();
  }

  set reading(reading: boolean) {
    if (reading) process.stdin.resume();
    else process.stdin.pause();
  }

  write(text: string): void {
    if (this.#lost) return;
    this.#output.push(text);
    if (this.#watch) this.#watch.events = EPOLLOUT;
    else this.#flush(Number.POSITIVE_INFINITY);
  }

  finish(): void {
    this.#flush(Number.POSITIVE_INFINITY);
    if (this.atEnd) this.onEnd();
  }

  close(): void {
    this.#watch?.close();
    this.#watch = undefined;
  }

  #onReady(events: number): undefined {
    if (events & (EPOLLERR | EPOLLHUP)) this.#lose();
    this.#flush(PIECE);
    if (this.#output.size > 0) return;
    if (this.#watch) this.#watch.events = 0;
    this.onDrained();
  }

  /** Writes up to `most` bytes. */
  #flush(most: number): void {
    let left = most;
    const result = this.#output.flush((memory, length) => {
      if (left <= 0) return -EAGAIN;
      left -= length;
      return writeFrom(STDOUT, memory.address, length);
    }, PIECE);
    if (result < 0 && result !== -EAGAIN) this.#lose();
  }

  #lose(): void {
    this.#lost = true;
    this.#output.clear();
    this.close();
  }
}
