/**
 * What a management console writes, taken apart, however the bytes arrive (reference: vde_switch management console,
 * section 3; wirefilter, vde_autolink, "Management protocol"):
 *
 *     greeting lines, an empty line, prompt
 *     [0000 DATA END WITH '.' | lines | .] 1000 Success, an empty line, prompt
 *     9999 END OF SESSION
 *
 * A prompt ends in `$ ` and differs between programs, so it is learnt from the greeting. An asynchronous message, a line
 * that begins with 3, may stand anywhere outside a data block, also behind a prompt on the same line. `load` answers with
 * the answers to the lines of its script, each behind that line: everything but the last result is data then, and
 * wirefilter has all of it in a data block, prompts included.
 */

import { StringDecoder } from 'node:string_decoder';
import { VdeError } from '../sys/errors.js';

/** Most characters of a line, of a greeting, and of a reply: a table of a hundred thousand addresses has seven million. */
const LINE_MAX = 1 << 20;
const GREETING_MAX = 64 << 10;
const REPLY_MAX = 64 << 20;

const DATA_BEGIN = "0000 DATA END WITH '.'";
const DATA_END = '.';
const RESULT = /^(1[-\d]\d\d)(?: (.*))?$/;
const EVENT = /^(3\d{3}) (.*)$/;
const END_OF_SESSION = '9999 END OF SESSION';

/** The answer to one command. */
export interface ConsoleReply {
  /** 1000: success; 1NNN: errno NNN; 9999: the session is over. */
  code: number;
  /** `Success`, or what is wrong in words. */
  message: string;
  /** Lines of the data block, without their ends. */
  data: string[];
}

/** An asynchronous message, such as `3021 port/+ 01`. */
export interface ConsoleEvent {
  /** The number that it begins with: 3 and the octal tag of its category. */
  code: number;
  text: string;
}

/** What a decoder finds. */
export interface ReplyHandlers {
  /** The console is ready: its greeting, and its prompt without the newline before it. */
  onGreeting(lines: string[], prompt: string): void;
  /** A reply is complete. Undefined if the command had none, as blank lines and comments. */
  onReply(reply: ConsoleReply | undefined): void;
  onEvent(event: ConsoleEvent): void;
}

/** See the head of this file. */
export class ReplyDecoder {
  readonly #text = new StringDecoder('utf8');
  /** What has not been understood yet: the begin of a line, at most. */
  #rest = '';
  #prompt = '';
  #greeting: string[] = [];
  #data: string[] = [];
  /** Data blocks that are open: more than one in the answer to `load` only. */
  #depth = 0;
  #result: ConsoleReply | undefined;
  /** Empty lines that may turn out to belong to a prompt. */
  #blanks = 0;
  /** Characters kept. */
  #size = 0;
  /** Whether the command in hand is `load`, whose answer contains other answers. */
  nested = false;

  constructor(private readonly handlers: ReplyHandlers) {}

  /**
   * Takes bytes of the console.
   * @throws VdeError `EMSGSIZE` if a greeting or a reply has no end.
   */
  push(bytes: Buffer): void {
    let text = this.#rest + this.#text.write(bytes);
    for (;;) {
      text = this.#takePrompt(text);
      const end = text.indexOf('\n');
      if (end < 0) break;
      this.#line(text.slice(0, end).replace(/\r$/, ''));
      text = text.slice(end + 1);
    }
    this.#rest = text;
    const limit = this.#prompt === '' ? GREETING_MAX : REPLY_MAX;
    if (text.length > LINE_MAX || this.#size > limit) {
      throw new VdeError({ code: 'EMSGSIZE', subject: 'console', cause: 'what it writes has no end' });
    }
  }

  /** The connection has ended: the reply in hand, as far as it came. */
  end(): ConsoleReply | undefined {
    if (this.#rest.startsWith(END_OF_SESSION)) {
      return { code: 9999, message: END_OF_SESSION.slice(5), data: this.#data };
    }
    if (this.#rest !== '') this.#line(this.#rest);
    this.#rest = '';
    return this.#result;
  }

  /** Removes a prompt at the begin of a line. */
  #takePrompt(text: string): string {
    if (this.#prompt === '') {
      const found = /^\S{1,64}\$ $/.exec(text);
      if (!found) return text;
      this.#prompt = text;
      if (this.#greeting.at(-1) === '') this.#greeting.pop();
      this.handlers.onGreeting(this.#greeting, text);
    } else {
      if (this.#depth > 0 || !text.startsWith(this.#prompt)) return text;
      this.#endReply();
    }
    this.#size = 0;
    this.#blanks = 0;
    return text.slice(this.#prompt.length);
  }

  #endReply(): void {
    const reply = this.#result;
    this.#result = undefined;
    this.#data = [];
    this.handlers.onReply(reply);
  }

  #line(line: string): void {
    if (this.#prompt === '') {
      this.#size += line.length + 1;
      this.#greeting.push(line);
      return;
    }
    if (this.#depth > 0) {
      this.#inBlock(line);
      return;
    }
    const event = EVENT.exec(line);
    if (event) {
      this.handlers.onEvent({ code: Number(event[1]), text: event[2] });
      return;
    }
    if (line === '') {
      this.#blanks++;
      return;
    }
    this.#demote();
    const result = RESULT.exec(line);
    if (result) {
      const code = /^\d+$/.test(result[1]) ? Number(result[1]) : 1001;
      this.#result = { code, message: result[2] ?? '', data: this.#data };
    } else if (line === DATA_BEGIN) this.#depth = 1;
    else this.#keep(line);
  }

  #keep(line: string): void {
    this.#size += line.length + 1;
    this.#data.push(line);
  }

  /** What was taken for the result is followed by something else: it was the result of one line of a script. */
  #demote(): void {
    if (this.#result) this.#keep(`${this.#result.code} ${this.#result.message}`.trimEnd());
    this.#result = undefined;
    for (; this.#blanks > 0; this.#blanks--) this.#keep('');
  }

  #inBlock(line: string): void {
    if (line === DATA_END) this.#depth--;
    else if (this.nested && line === DATA_BEGIN) this.#depth++;
    else this.#keep(line);
  }
}
