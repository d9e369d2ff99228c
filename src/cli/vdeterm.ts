/**
 * `vdeterm SOCKET`: a terminal for management consoles, with line editing, history, completion, and debugging messages
 * that leave the line in hand alone (reference: vdeterm).
 *
 * Replies are shown without their framing: the lines of data, then the result in words. Where standard input is no
 * terminal, lines are carried out one after the other, and the program ends when the last is answered.
 */

import { writeSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { type ConsoleClient, type ConsoleReply, openConsole } from '../console/client.js';
import { VdeError } from '../sys/errors.js';
import { onSignals, runCommand } from './command.js';
import { HELP, VERSION } from './common-options.js';
import { printable } from './console-path.js';
import { type OptionSpec, parseOptions, usageError } from './getopt.js';
import { answerHelp, type CommandPage } from './page.js';
import { print } from './print.js';
import { Completer } from './vdeterm-complete.js';

const EXIT_FAILURE = 255;
/** Exit status after Ctrl-C, as shells have it. */
const EXIT_INTERRUPTED = 130;
const HISTORY = 1000;

/** Colours: of the prompt, of a result, of messages. */
const COLOURS = { prompt: '1', success: '32', failure: '31', event: '33' } as const;

type OptionName = 'help' | 'version';

/** vdeterm's options. */
export const options: readonly OptionSpec<OptionName>[] = [HELP, VERSION];

export const page: CommandPage = {
  name: 'vdeterm',
  summary: 'a terminal for management consoles',
  usage: 'Usage: vdeterm SOCKET\n\nA terminal for the management console that listens at SOCKET.\n\n',
  options,
  operands: 'file',
};

/** The launcher's entry point. */
export function main(): void {
  void runCommand('vdeterm', vdeterm, { failure: EXIT_FAILURE });
}

async function vdeterm(args: string[]): Promise<number> {
  const line = parseOptions(args, options);
  const answered = answerHelp(line, page);
  if (answered !== undefined) return answered;
  const [path] = line.operands;
  if (line.operands.length !== 1 || path === '') {
    throw usageError('vdeterm', 'needs one argument, the path of a management socket', 'vdeterm /tmp/sw.mgmt');
  }
  return runTerminal(await openConsole(path));
}

/**
 * Lets the user, or a script on standard input, talk to a console. Returns the exit status.
 * @param strict the status is 1 if a command has failed; otherwise it is not about commands.
 */
export async function runTerminal(console: ConsoleClient, strict = false): Promise<number> {
  return new Terminal(console, strict).run();
}

/** Text in a colour, if there are any. */
type Paint = (colour: keyof typeof COLOURS, text: string) => string;

const plain: Paint = (_, text) => text;
const coloured: Paint = (colour, text) => (text === '' ? '' : `\x1b[${COLOURS[colour]}m${text}\x1b[0m`);

class Terminal {
  readonly #lines: Interface;
  readonly #interactive = process.stdin.isTTY === true && process.stdout.isTTY === true;
  readonly #paint: Paint;
  readonly #waiting: string[] = [];
  readonly #completer: Completer;
  #busy = false;
  #inputEnded = false;
  #finished = false;
  #failed = false;
  #finish: (status: number) => void = () => {};

  constructor(
    private readonly console: ConsoleClient,
    private readonly strict: boolean,
  ) {
    const { TERM, NO_COLOR } = process.env;
    this.#paint = this.#interactive && TERM !== 'dumb' && !NO_COLOR ? coloured : plain;
    this.#completer = new Completer(async (line) => {
      const { code, data } = await this.console.command(line);
      return code === 1000 ? data : [];
    });
    this.#lines = createInterface({
      input: process.stdin,
      output: this.#interactive ? process.stdout : undefined,
      terminal: this.#interactive,
      historySize: HISTORY,
      removeHistoryDuplicates: true,
      prompt: `${this.#paint('prompt', `vde[${printable(console.path)}]:`)} `,
      completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
        this.#completer.complete(line).then(
          (result) => done(null, result),
          () => done(null, [[], line]),
        );
      },
    });
  }

  run(): Promise<number> {
    return new Promise<number>((done) => {
      this.#finish = (status) => {
        if (this.#finished) return;
        this.#finished = true;
        this.#lines.close();
        this.console.close();
        done(status);
      };
      onSignals(() => this.#lines.close());
      this.#busy = true;
      this.#show([...this.console.banner, '']);
      this.#busy = false;
      this.console.on('event', ({ text }) => this.#show([this.#paint('event', `** DBG MSG: ${printable(text)}`)]));
      this.console.on('end', (error) => this.#onConsoleEnd(error));
      this.#lines.on('line', (line) => {
        this.#waiting.push(line);
        void this.#work();
      });
      this.#lines.on('SIGINT', () => this.#interrupted());
      this.#lines.on('close', () => {
        this.#inputEnded = true;
        if (!this.#busy && !this.#finished) this.#leave();
      });
      this.#prompt();
    });
  }

  /** Carries out what was typed, one line after the other. */
  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (let line = this.#waiting.shift(); line !== undefined; line = this.#waiting.shift()) {
      try {
        const reply = await this.console.command(line);
        if (reply.code === 9999 || this.console.closed) {
          this.#finish(this.#status);
          return;
        }
        if (!/^\s*(#|$)/.test(line)) this.#showReply(reply);
      } catch (error) {
        if (!(error instanceof VdeError)) throw error;
        // With the console gone, its end says why.
        if (this.console.closed) return;
        this.#failed = true;
        this.#show([this.#paint('failure', error.message)]);
      }
      this.#prompt();
    }
    this.#busy = false;
    if (this.#inputEnded) this.#leave();
  }

  #leave(): void {
    if (this.#interactive) writeSync(1, '\n');
    this.#finish(this.#status);
  }

  /** The exit status of a session that has come to its own end. */
  get #status(): number {
    return this.strict && this.#failed ? 1 : 0;
  }

  #interrupted(): void {
    writeSync(1, '^C\n');
    if (this.#lines.line === '') {
      this.#finish(EXIT_INTERRUPTED);
      return;
    }
    // What was being typed is given up, as in a shell.
    this.#lines.write(null, { ctrl: true, name: 'e' });
    this.#lines.write(null, { ctrl: true, name: 'u' });
    this.#prompt();
  }

  #onConsoleEnd(error: VdeError | undefined): void {
    if (this.#busy && error === undefined) {
      // A reply may be on its way to us still: `logout` and `shutdown` end like this.
      setImmediate(() => this.#lost(error));
    } else this.#lost(error);
  }

  #lost(error: VdeError | undefined): void {
    if (this.#interactive) writeSync(1, '\n');
    writeSync(2, `vdeterm: ${error?.message ?? `${this.console.path}: the console has ended`}\n`);
    this.#finish(error === undefined ? this.#status : EXIT_FAILURE);
  }

  #showReply({ code, message, data }: ConsoleReply): void {
    if (code !== 1000) this.#failed = true;
    const result = this.#paint(code === 1000 ? 'success' : 'failure', printable(message));
    this.#show([...data.map(printable), result]);
  }

  #prompt(): void {
    if (this.#interactive) this.#lines.prompt();
    else print(this.#lines.getPrompt());
  }

  /** Writes lines above the one that is being typed. */
  #show(lines: string[]): void {
    if (!this.#interactive) {
      print(`${lines.join('\n')}\n`);
      return;
    }
    process.stdout.write(`\r\x1b[J${lines.join('\r\n')}\r\n`);
    if (!this.#busy) this.#lines.prompt(true);
  }
}
