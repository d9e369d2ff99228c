/**
 * `cmd://COMMAND`: the end of a cable is the standard streams of a command, as in `cmd://ssh host vde_plug vde:///sw`
 * (reference: plugins, section 12). There is no shell: see `words.ts`. Its standard error is ours.
 *
 * When the command ends, so does the end, and the user is told with which status; closing the end ends the command.
 */

import { RECORD_MAX_C_TOOLS } from '../frame/stream.js';
import { VdeError } from '../sys/errors.js';
import { CommandProcess } from './command.js';
import { notice } from './notice.js';
import type { Plug } from './plug.js';
import type { OpenOptions, Scheme } from './scheme.js';
import { splitWords } from './words.js';
import { WrapperPlug } from './wrapper.js';

/** How long a command may live after it has closed its output, in ms. */
const OUTLIVE_MS = 1000;
/** How long others that hold its output may go on writing after it has ended, in ms. */
const REST_MS = 250;

/** See the head of this file. */
class CommandPlug extends WrapperPlug {
  /** Its exit status once it has ended. */
  #status: number | undefined;
  #outputEnded = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    name: string,
    private readonly command: CommandProcess,
    private readonly options: OpenOptions,
  ) {
    super(name, command.plug, false);
    void command.ended.then((status) => {
      this.#status = status;
      if (this.closed) return;
      if (this.#outputEnded) this.#leave();
      // What it wrote last may still be in the pipe.
      else this.#timer = setTimeout(() => this.#leave(), REST_MS);
    });
  }

  protected override innerLost(error?: VdeError): void {
    this.#outputEnded = true;
    if (error !== undefined) this.lose(error);
    else if (this.#status !== undefined) this.#leave();
    else this.#timer = setTimeout(() => this.#leave(), OUTLIVE_MS);
  }

  #leave(): void {
    const { signalCode } = this.command.child;
    if (this.#status === 0) {
      notice(this.options, `${this.name}: the command has ended with status 0`);
      this.lose();
      return;
    }
    const how =
      this.#status === undefined
        ? 'has closed its output'
        : signalCode === null
          ? `has ended with status ${this.#status}`
          : `was killed by ${signalCode}`;
    this.lose(new VdeError({ code: 'ECHILD', subject: this.name, cause: `the command ${how}` }));
  }

  protected override release(): void {
    clearTimeout(this.#timer);
    super.release();
    void this.command.end('SIGTERM');
  }
}

function readWords(body: string, locator: string): string[] {
  try {
    return splitWords(body);
  } catch (error) {
    if (!(error instanceof VdeError)) throw error;
    throw new VdeError({ code: error.code, subject: locator, cause: error.reason, remedy: error.remedy });
  }
}

export const cmdScheme: Scheme = {
  name: 'cmd',
  syntax: 'COMMAND',
  doc: 'the standard streams of COMMAND, run without a shell',
  maxFrame: RECORD_MAX_C_TOOLS,
  params: [],
  async open({ body, locator }, options): Promise<Plug> {
    return new CommandPlug(locator, await CommandProcess.start(readWords(body, locator), locator), options);
  },
};
