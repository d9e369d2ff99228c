/**
 * A command whose standard streams carry frames: `vde_plug LOCATOR = COMMAND`, `vdens =COMMAND`.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { RECORD_MAX_C_TOOLS } from '../frame/stream.js';
import { callError } from '../sys/errors.js';
import { close, type Pipe, pipe } from '../sys/process.js';
import { StreamPlug } from './stream.js';

/** How long a command may take to end after its input has, before it is told to, and then made to, in ms. */
const PATIENCE_MS = 2000;

/** A running command and the plug over its standard streams. */
export class CommandProcess {
  readonly #ended: Promise<number>;

  private constructor(
    readonly child: ChildProcess,
    readonly plug: StreamPlug,
    ended: Promise<number>,
  ) {
    this.#ended = ended;
  }

  /**
   * Starts a command; its standard error is ours.
   * @throws VdeError if it cannot be run.
   */
  static async start([file, ...args]: readonly string[]): Promise<CommandProcess> {
    const toChild = pipe();
    const fromChild = pipe();
    const child = spawn(file, args, { stdio: [toChild.read, fromChild.write, 'inherit'] });
    const ended = new Promise<number>((done) => {
      child.once('exit', (status, signal) => done(status ?? 128 + signalNumber(signal)));
      child.once('error', () => done(127));
    });
    try {
      await new Promise<void>((done, fail) => {
        child.once('spawn', done);
        child.once('error', (error: NodeJS.ErrnoException) =>
          fail(callError('execvp', Math.abs(error.errno ?? 2), file, 'the command cannot be run')),
        );
      });
      const plug = new StreamPlug(file, fromChild.read, toChild.write, RECORD_MAX_C_TOOLS);
      return new CommandProcess(child, plug, ended);
    } finally {
      closePipe(toChild);
      closePipe(fromChild);
    }
  }

  /**
   * Closes the plug and waits for the command.
   * @param signal sent to it; without one it is expected to end by the end of its input.
   * @returns its exit status (128 + signal number if it was killed).
   */
  async end(signal?: NodeJS.Signals): Promise<number> {
    this.plug.close();
    if (signal) this.child.kill(signal);
    const timers = [
      setTimeout(() => this.child.kill('SIGTERM'), PATIENCE_MS),
      setTimeout(() => this.child.kill('SIGKILL'), 2 * PATIENCE_MS),
    ];
    const status = await this.#ended;
    for (const timer of timers) clearTimeout(timer);
    return status;
  }
}

function closePipe({ read, write }: Pipe): void {
  close(read);
  close(write);
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : constants.signals[signal];
}
