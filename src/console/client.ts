/**
 * A client of management consoles: of our switch, of C's `vde_switch`, and of the programs that speak the same protocol
 * (`wirefilter`, `vde_autolink`).
 *
 *     const console = await openConsole('/tmp/sw.mgmt');
 *     console.on('event', ({ text }) => ...);
 *     const { code, data } = await console.command('port/print');
 *     console.close();
 *
 * A console of C takes one read for one command, so commands are sent one after the other, each when the prompt has come.
 */

import { EventEmitter } from 'node:events';
import { connect, type Socket } from 'node:net';
import { errnoNumber, fromNodeError, VdeError } from '../sys/errors.js';
import { checkUnixPath } from '../sys/socket.js';
import { type ConsoleEvent, type ConsoleReply, ReplyDecoder } from './reply-decoder.js';

export type { ConsoleEvent, ConsoleReply } from './reply-decoder.js';

/** How long a console may take to greet, and to answer a command, in ms. */
const GREETING_MS = 5000;
const ANSWER_MS = 30_000;
/** How often a console with a full queue of newcomers is asked again, in ms. */
const BUSY_STEP_MS = 10;
/** Longest line in bytes: a C program takes 128 with the newline for one command, ours more. */
const C_LINE_MAX = 127;
const LINE_MAX = 4095;
/** C programs say so in their greeting. */
const C_GREETING = /GPLv2/;

const RESULT_SUCCESS = 1000;
const RESULT_END = 9999;

export interface ConsoleOptions {
  /** Milliseconds that a command may take, 30 000 by default. */
  timeout?: number;
}

export interface ConsoleClientEvents {
  /** An asynchronous message: `debug/add` asks for them. */
  event: [event: ConsoleEvent];
  /** The console has ended: without an error after `logout`, `shutdown` or a plain hang-up. Once. */
  end: [error?: VdeError];
}

interface Pending {
  line: string;
  done: (reply: ConsoleReply) => void;
  fail: (error: VdeError) => void;
}

/** See the head of this file. Made by `openConsole`. */
export class ConsoleClient extends EventEmitter<ConsoleClientEvents> {
  /** Lines that the console greeted with, without the empty one at the end. */
  banner: string[] = [];
  /** Its prompt, e.g. `vde$ `. */
  prompt = '';
  readonly #decoder: ReplyDecoder;
  readonly #queue: Pending[] = [];
  #current: Pending | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #onReady: (() => void) | undefined;

  /** @param onReady called when the console has greeted. */
  constructor(
    readonly path: string,
    private readonly socket: Socket,
    private readonly timeout: number,
    onReady: () => void,
  ) {
    super();
    this.#onReady = onReady;
    this.#decoder = new ReplyDecoder({
      onGreeting: (lines, prompt) => {
        this.banner = lines;
        this.prompt = prompt;
        this.#onReady?.();
      },
      onReply: (reply) => this.#answered(reply),
      onEvent: (event) => this.emit('event', event),
    });
    socket.on('data', (bytes) => this.#take(bytes));
    socket.on('end', () => this.#ended());
    socket.on('error', (error) => this.#end(fromNodeError(error, path)));
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Has a command carried out. A blank line or a comment succeeds without being sent.
   * @param line without a newline, at most 127 bytes for programs of C.
   * @throws VdeError `EINVAL` for more than one line, `EMSGSIZE` for a longer one, `ETIMEDOUT` if there is no answer in
   *   time (the console is closed then: what came later could not be told from the next answer), `ECONNRESET` if the
   *   console ended before it answered. A command that is refused is not an error: see `ConsoleReply.code`.
   */
  async command(line: string): Promise<ConsoleReply> {
    this.#check(line);
    if (/^\s*(#|$)/.test(line)) return { code: RESULT_SUCCESS, message: 'Success', data: [] };
    return new Promise((done, fail) => {
      this.#queue.push({ line, done, fail });
      this.#next();
    });
  }

  /** Closes the connection; commands that wait fail. Idempotent. */
  close(): void {
    this.#end(undefined, true);
  }

  #check(line: string): void {
    const subject = line.slice(0, 40);
    if (/[\n\r\0]/.test(line)) throw new VdeError({ code: 'EINVAL', subject, cause: 'a command is one line' });
    const limit = this.banner.some((text) => C_GREETING.test(text)) ? C_LINE_MAX : LINE_MAX;
    if (Buffer.byteLength(line) > limit) {
      const cause = `longer than the ${limit} bytes that the console takes for one command`;
      throw new VdeError({ code: 'EMSGSIZE', subject, cause });
    }
    if (this.#closed) throw this.#gone();
  }

  #next(): void {
    if (this.#current !== undefined || this.#closed) return;
    const command = this.#queue.shift();
    if (command === undefined) return;
    this.#current = command;
    this.#decoder.nested = /^\s*(load|runscript)/.test(command.line);
    this.socket.write(`${command.line}\n`);
    this.#timer = setTimeout(() => this.#end(this.#late(command.line)), this.timeout);
  }

  #answered(reply: ConsoleReply | undefined): void {
    const command = this.#current;
    clearTimeout(this.#timer);
    this.#current = undefined;
    command?.done(reply ?? { code: RESULT_SUCCESS, message: 'Success', data: [] });
    this.#next();
  }

  #take(bytes: Buffer): void {
    if (this.#closed) return;
    try {
      this.#decoder.push(bytes);
    } catch (error) {
      this.#end(fromNodeError(error, this.path));
    }
  }

  /** The console has hung up, maybe because it was asked to. */
  #ended(): void {
    if (this.#closed) return;
    const reply = this.#decoder.end();
    const asked = this.#current !== undefined && /^\s*(logout|shutdown)/.test(this.#current.line);
    const command = this.#current;
    if (command !== undefined && (reply !== undefined || asked)) {
      this.#current = undefined;
      command.done(reply ?? { code: RESULT_END, message: 'END OF SESSION', data: [] });
    }
    this.#end();
  }

  #end(error?: VdeError, quiet = false): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.socket.destroy();
    const waiting = [...(this.#current ? [this.#current] : []), ...this.#queue.splice(0)];
    this.#current = undefined;
    for (const { fail } of waiting) fail(error ?? this.#gone());
    if (!quiet) this.emit('end', error);
  }

  #gone(): VdeError {
    return new VdeError({ code: 'ECONNRESET', subject: this.path, cause: 'the console has been closed' });
  }

  #late(line: string): VdeError {
    const cause = `no answer to "${line.slice(0, 40)}" within ${this.timeout / 1000} s`;
    return new VdeError({ code: 'ETIMEDOUT', subject: this.path, cause, remedy: 'is the program stopped?' });
  }
}

/**
 * Connects to a management socket and waits for its greeting.
 * @param path the socket that the program was given with `-M`.
 * @throws VdeError with what is to be done about a path where nobody listens, or where something else does.
 */
export async function openConsole(path: string, options: ConsoleOptions = {}): Promise<ConsoleClient> {
  checkUnixPath(path);
  const socket = await reach(path);
  return new Promise((done, fail) => {
    const client = new ConsoleClient(path, socket, options.timeout ?? ANSWER_MS, () => {
      clearTimeout(timer);
      client.removeAllListeners('end');
      done(client);
    });
    const refuse = (cause: string) => {
      clearTimeout(timer);
      client.close();
      const remedy = 'is that the socket which a switch was given with -M?';
      fail(new VdeError({ code: 'EPROTO', subject: path, cause, remedy }));
    };
    const timer = setTimeout(() => refuse(`no greeting within ${GREETING_MS / 1000} s`), GREETING_MS);
    client.once('end', (error) => refuse(error?.reason ?? 'hung up without a greeting'));
  });
}

/** AF_UNIX does not connect in the background: with a full queue of newcomers one asks again. */
async function reach(path: string): Promise<Socket> {
  const end = Date.now() + GREETING_MS;
  for (;;) {
    const result = await tryReach(path);
    if (!(result instanceof Error)) return result;
    if (result.code !== 'EAGAIN' || Date.now() > end) throw fromNodeError(result, path, remedyFor(result));
    await new Promise((done) => setTimeout(done, BUSY_STEP_MS));
  }
}

function tryReach(path: string): Promise<Socket | (Error & NodeJS.ErrnoException)> {
  return new Promise((done) => {
    const socket = connect({ path });
    socket.once('error', done);
    socket.once('connect', () => {
      socket.off('error', done);
      done(socket);
    });
  });
}

function remedyFor({ errno = 0 }: NodeJS.ErrnoException): string | undefined {
  switch (Math.abs(errno)) {
    case errnoNumber('ENOENT'):
      return 'a switch has a management socket if it was started with -M';
    case errnoNumber('ECONNREFUSED'):
      return 'the program that made it is gone: start it again';
    case errnoNumber('EACCES'):
      return "you may not connect: see the switch's --mgmtmode and --mgmtgroup";
    default:
      return undefined;
  }
}
