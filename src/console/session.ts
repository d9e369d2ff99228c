/**
 * One console, whoever is at its other end: bytes in, lines of commands out of them, answers one after the other, and
 * debugging messages between them (reference: vde_switch management console, sections 1 to 3).
 *
 * A line ends with a newline. For clients that write a command without one, as C's programs may, what has come stands for
 * a line once nothing more has followed for a moment: a short one if it is a command, a longer one if it is not (yet).
 *
 * Input is read only while there is nothing to answer, and answers are made only as fast as they are read; so a console
 * that floods or never reads costs a bounded amount of memory, and never the switch's time.
 */

import type { DebugCategory } from '../switch/debug.js';
import { printable } from './arguments.js';
import { answerLine, type Caller, type ConsoleCommand, type DebugSubscriptions, findCommand } from './command-table.js';
import { takeTurns } from './turns.js';

export const PROMPT = '\nvde$ ';
const END_OF_SESSION = '9999 END OF SESSION';
/** Longest line, in bytes; a longer one is refused as a whole. */
const LINE_MAX = 4096;
/** Bytes that may wait to be read by the client before an answer is continued. */
const BACKLOG_MAX = 64 << 10;
/** Bytes that may wait before debugging messages are dropped. */
const EVENTS_MAX = 256 << 10;
/** Debugging messages that may wait for the end of a data block. */
const EVENTS_WAITING = 4096;
/** Characters of an answer that are gathered before they are written. */
const WRITE_SIZE = 8 << 10;
/** Lines of an answer between two looks at the clock. */
const LINES_PER_PIECE = 16;
/** After how long unfinished input stands for a line, in ms: if it begins with a command, and if not. */
const QUIET_COMMAND_MS = 100;
const QUIET_OTHER_MS = 1000;

/** The other end of a console. */
export interface Transport {
  /** Takes text for the client, keeping what it cannot take yet. */
  write(text: string): void;
  /** Bytes that are kept. */
  readonly backlog: number;
  /** Whether input is wanted. */
  reading: boolean;
  /** The session is over: once what was written has gone, so may the connection. */
  finish(): void;
}

export interface SessionOptions {
  table: () => readonly ConsoleCommand[];
  /** Uid of the client, see `Caller`. */
  uid?: number;
  /** Whether it is the terminal of a switch in the foreground: `logout` and `shutdown` are not answered there. */
  terminal?: boolean;
  /** `PROMPT` by default. */
  prompt?: string;
}

/** See the head of this file. */
export class ConsoleSession {
  readonly #caller: Caller;
  readonly #subscriptions = new Subscriptions((category, message) => this.#onEvent(category, message));
  /** Lines to be answered. */
  #lines: string[] = [];
  /** Input without an end of line. */
  #pending = '';
  /** Whether the line in hand is too long: its rest is not kept. */
  #overlong = false;
  #answer: Generator<string | undefined, boolean> | undefined;
  /** What the answer in hand has come to and was not written yet. */
  #text = '';
  /** Messages that wait for the end of a data block. */
  #events: string[] = [];
  #quiet: NodeJS.Timeout | undefined;
  /** Pieces of input so far. */
  #pieces = 0;
  #ended = false;
  #closed = false;
  #working = false;

  constructor(
    private readonly transport: Transport,
    private readonly options: SessionOptions,
  ) {
    this.#caller = { uid: options.uid, debug: this.#subscriptions, depth: 0, inBlock: false };
  }

  /** Takes bytes from the client. */
  feed(bytes: Uint8Array): void {
    if (this.#closed) return;
    clearTimeout(this.#quiet);
    this.#pieces++;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      this.#keep(text.slice(from, end));
      this.#endLine();
      from = end + 1;
    }
    this.#keep(text.slice(from));
    // NULs alone are what some clients write behind a command.
    if (/^\0*$/.test(this.#pending)) this.#pending = '';
    this.#work();
  }

  /** The client has sent all that it will; what has no end of line yet gets one. */
  end(): void {
    if (this.#ended || this.#closed) return;
    this.#ended = true;
    clearTimeout(this.#quiet);
    if (this.#pending !== '') this.#endLine();
    this.#work();
  }

  /** The client has read some of what waited for it. */
  drained(): void {
    this.#work();
  }

  /** Forgets everything; nothing is written any more. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#quiet);
    this.#subscriptions.clear();
    this.#answer?.return(false);
    this.#answer = undefined;
    this.#lines = [];
  }

  #keep(text: string): void {
    if (this.#pending.length + text.length > LINE_MAX) {
      this.#overlong = true;
      this.#pending = this.#pending.slice(0, 1) || 'x';
    } else if (!this.#overlong) this.#pending += text;
  }

  #endLine(): void {
    const line = this.#overlong ? '' : Buffer.from(this.#pending, 'latin1').toString().replace(/\r$/, '');
    this.#lines.push(this.#overlong ? OVERLONG : line);
    this.#overlong = false;
    this.#pending = '';
  }

  /** Only while input is read does it say something that no more comes. */
  #waitForMore(): void {
    const isCommand = findCommand(this.options.table(), this.#pending) !== undefined;
    const pieces = this.#pieces;
    const quiet = () => {
      if (this.#closed || this.#ended || this.#pieces !== pieces) return;
      this.#endLine();
      this.#work();
    };
    clearTimeout(this.#quiet);
    // Where the process was held up timers come first: what has arrived meanwhile is read before anything is concluded.
    this.#quiet = setTimeout(() => setImmediate(quiet), isCommand ? QUIET_COMMAND_MS : QUIET_OTHER_MS);
  }

  #work(): void {
    if (this.#working || this.#closed) return;
    this.#working = true;
    this.transport.reading = false;
    takeTurns(() => {
      const more = !this.#closed && this.#step();
      this.#working = more;
      return more;
    });
  }

  /** A piece of the answer in hand, or the next line. False if there is nothing to do, or nobody to take it. */
  #step(): boolean {
    if (this.transport.backlog > BACKLOG_MAX) return false;
    if (this.#answer === undefined) {
      const line = this.#lines.shift();
      if (line === undefined) {
        if (this.#ended) this.#finish();
        else {
          this.transport.reading = true;
          if (this.#pending !== '' && !this.options.terminal) this.#waitForMore();
        }
        return false;
      }
      // Here, `logout` has nothing to leave: not even a prompt is shown.
      if (this.options.terminal && /^[ \t]*logout/.test(line)) return true;
      this.#answer = line === OVERLONG ? refuseOverlong() : answerLine(this.options.table(), line, this.#caller);
    }
    for (let count = 0; count < LINES_PER_PIECE; count++) {
      const { value, done } = this.#answer.next();
      if (done) {
        this.#answer = undefined;
        this.#endAnswer(value as boolean);
        return !this.#closed;
      }
      if (value === undefined) break;
      this.#text += `${value}\n`;
    }
    // Each write may wake a reader up, who then takes the CPU: a few larger ones disturb less.
    if (this.#text.length >= WRITE_SIZE) this.#flush();
    return true;
  }

  #flush(): void {
    const text = this.#text;
    this.#text = '';
    if (text !== '') this.transport.write(text);
  }

  #endAnswer(ends: boolean): void {
    if (ends) {
      if (!this.options.terminal) this.#text += END_OF_SESSION;
      this.#flush();
      this.#finish();
      return;
    }
    this.#text += this.#events.splice(0).join('') + (this.options.prompt ?? PROMPT);
    this.#flush();
  }

  #finish(): void {
    this.close();
    this.transport.finish();
  }

  /** A debugging message goes out as a whole, before the answer to the command that caused it, never into a data block. */
  #onEvent(category: DebugCategory, message: string): void {
    const line = `3${category.tag.toString(8).padStart(3, '0')} ${category.path} ${printable(message)}\n`;
    if (this.transport.backlog + line.length > EVENTS_MAX) return;
    if (this.#caller.inBlock) {
      if (this.#events.length < EVENTS_WAITING) this.#events.push(line);
      return;
    }
    this.#text += line;
    this.#flush();
  }
}

/** Stands for a line that was too long to be kept. */
const OVERLONG = '\n';

function* refuseOverlong(): Generator<string, boolean> {
  yield '1022 Invalid argument';
  return false;
}

/** The categories that one session listens to. */
class Subscriptions implements DebugSubscriptions {
  readonly #categories = new Set<DebugCategory>();

  constructor(private readonly listener: (category: DebugCategory, message: string) => void) {}

  has(category: DebugCategory): boolean {
    return this.#categories.has(category);
  }

  add(category: DebugCategory): boolean {
    if (this.has(category)) return false;
    this.#categories.add(category);
    category.listen(this.listener);
    return true;
  }

  delete(category: DebugCategory): boolean {
    category.unlisten(this.listener);
    return this.#categories.delete(category);
  }

  clear(): void {
    for (const category of [...this.#categories]) this.delete(category);
  }
}
