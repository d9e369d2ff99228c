/**
 * A command whose standard streams carry frames: `vde_plug LOCATOR = COMMAND`, `vdens =COMMAND`, `cmd://COMMAND`.
 *
 * It stays in our process group, so that it may ask at our terminal (for a password, say). What ends it therefore goes to
 * it and its descendants one by one.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { RECORD_MAX_C_TOOLS } from '../frame/stream.js';
import { execError, type VdeError } from '../sys/errors.js';
import { close, descendants, kill, type Pipe, pipe } from '../sys/process.js';
import { awaitBeforeEnd } from './endings.js';
import { StreamPlug } from './stream.js';

/** How long a command may take to end after its input has, before it is told to, and then made to, in ms. */
const PATIENCE_MS = 2000;

/** Those that run, so that none outlives this process. */
const running = new Set<CommandProcess>();
let watching = false;

/** A running command and the plug over its standard streams. */
export class CommandProcess {
  /** Whether it has been told to end. */
  told = false;
  readonly plug: StreamPlug;

  private constructor(
    readonly child: ChildProcess,
    /** Its exit status (128 + signal number if it was killed). */
    readonly ended: Promise<number>,
    name: string,
    output: number,
    input: number,
  ) {
    this.plug = new StreamPlug(name, output, input, RECORD_MAX_C_TOOLS);
    running.add(this);
    void ended.then(() => running.delete(this));
    if (watching) return;
    watching = true;
    process.on('exit', () => {
      for (const one of running) one.#tell(one.told ? 'SIGKILL' : 'SIGTERM');
    });
  }

  /**
   * Starts a command; its standard error is ours.
   * @param name what the plug and errors are called by; the command's file if not given.
   * @throws VdeError if it cannot be run.
   */
  static async start([file, ...args]: readonly string[], name = file): Promise<CommandProcess> {
    const toChild = pipe();
    const fromChild = pipe();
    const refusal = (error: unknown): VdeError => {
      const what = name === file ? 'the command' : `"${file}"`;
      return execError(error, file, `${what} cannot be run`, name);
    };
    const spawnOrFail = (): ChildProcess => {
      try {
        return spawn(file, args, { stdio: [toChild.read, fromChild.write, 'inherit'] });
      } catch (error) {
        throw refusal(error);
      }
    };
    try {
      const child = spawnOrFail();
      const ended = new Promise<number>((done) => {
        child.once('exit', (status, signal) => done(status ?? 128 + signalNumber(signal)));
        child.once('error', () => done(127));
      });
      await new Promise<void>((done, fail) => {
        child.once('spawn', done);
        child.once('error', (error) => fail(refusal(error)));
      });
      return new CommandProcess(child, ended, name, fromChild.read, toChild.write);
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
    this.told = true;
    awaitBeforeEnd(this.ended);
    this.plug.close();
    if (signal) this.#tell(signal);
    const timers = [
      setTimeout(() => this.#tell('SIGTERM'), PATIENCE_MS),
      setTimeout(() => this.#tell('SIGKILL'), 2 * PATIENCE_MS),
    ];
    const status = await this.ended;
    for (const timer of timers) clearTimeout(timer);
    return status;
  }

  /** Sends a signal: what is to end it to its descendants too, who might go on without it. */
  #tell(signal: NodeJS.Signals): void {
    const { pid, exitCode, signalCode } = this.child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    const others = signal === 'SIGTERM' || signal === 'SIGKILL' ? descendants(pid) : [];
    for (const one of [pid, ...others]) {
      try {
        kill(one, signal);
      } catch {
        // It has ended meanwhile, or has become another user's, as setuid programs do.
      }
    }
  }
}

function closePipe({ read, write }: Pipe): void {
  close(read);
  close(write);
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : constants.signals[signal];
}
