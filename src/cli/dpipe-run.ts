/**
 * The processes of a dpipe chain: starting each stage with exactly the pipe ends of its place, waiting for all, ending
 * all. A stage that ends takes its neighbours with it by end of file and SIGPIPE: no pipe end is open anywhere else.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, closeSync, constants as modes } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, resolve } from 'node:path';
import { callError, errnoNumber, execError, fromNodeError, type VdeError } from '../sys/errors.js';
import { dup2, execvp, pipe } from '../sys/process.js';
import { ALTERNATE_STDIN, ALTERNATE_STDOUT, connections, type Stage } from './dpipe-chain.js';
import type { Pidfile } from './pidfile.js';

/** What shells report for a command that cannot be executed. */
export const EXIT_NOT_EXECUTED = 127;
/** How long a stage has to obey a signal before SIGKILL, in ms. */
const GRACE = 2000;

/** A stage could not be executed. `error` names its program. */
export class StageFailure extends Error {
  constructor(readonly error: VdeError) {
    super(error.message);
  }
}

/** Pipe ends by descriptor, for one stage. */
type Ends = Map<number, number>;

/** A chain of running commands. */
export class Chain {
  readonly #stages: readonly Stage[];
  readonly #background: boolean;
  readonly #children: ChildProcess[] = [];
  readonly #exits: Promise<number>[] = [];

  /** @param background commands get `/` and `/dev/null` in place of this process's directory and standard error. */
  constructor(stages: readonly Stage[], background: boolean) {
    this.#stages = stages;
    this.#background = background;
  }

  /** Starts all commands. @throws StageFailure for the first that cannot be executed; the others are still running. */
  async start(): Promise<void> {
    await this.#startAll(this.#open(), this.#stages.length);
  }

  /** Resolves when all commands have ended, with the status of the last one (128 + number of the signal that killed it). */
  async ended(): Promise<number> {
    const statuses = await Promise.all(this.#exits);
    return statuses[statuses.length - 1];
  }

  /** Sends a signal to each command, SIGKILL to those still there after two seconds; resolves when all have ended. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    const tell = (what: NodeJS.Signals): void => {
      for (const child of this.#children) child.kill(what);
    };
    tell(signal);
    const timer = setTimeout(tell, GRACE, 'SIGKILL');
    await Promise.all(this.#exits);
    clearTimeout(timer);
  }

  /**
   * Starts all commands but the last and becomes the last: returns only by throwing.
   * @param ready called before this process is replaced, when the others are running.
   * @throws StageFailure as `start`.
   */
  async become(ready: () => void): Promise<never> {
    const last = this.#stages.length - 1;
    const [file] = this.#stages[last].words;
    assertExecutable(file, this.#background ? '/' : '.');
    const ends = this.#open();
    await this.#startAll(ends, last);
    ready();
    for (const [fd, end] of ends[last]) dup2(end, fd);
    closeAll(ends);
    Object.assign(process.env, alternates);
    try {
      execvp(file, this.#stages[last].words);
    } catch (error) {
      throw new StageFailure(fromNodeError(error, file));
    }
  }

  /** Makes the pipes. */
  #open(): Ends[] {
    const ends: Ends[] = this.#stages.map(() => new Map());
    for (const { from, to } of connections(this.#stages)) {
      const { read, write } = pipe();
      ends[from.stage].set(from.fd, write);
      ends[to.stage].set(to.fd, read);
    }
    return ends;
  }

  /** Starts the first `count` stages, closing our copy of their pipe ends; on failure of all pipe ends. */
  async #startAll(ends: Ends[], count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      try {
        await this.#startOne(this.#stages[i].words, ends[i]);
      } catch (error) {
        closeAll(ends);
        throw error;
      }
      closeAll([ends[i]]);
    }
  }

  async #startOne([file, ...args]: string[], ends: Ends): Promise<void> {
    const stderr = this.#background ? 'ignore' : 2;
    const alternate = ends.has(ALTERNATE_STDIN) ? [ends.get(ALTERNATE_STDIN), ends.get(ALTERNATE_STDOUT)] : [];
    let child: ChildProcess;
    try {
      child = spawn(file, args, {
        stdio: [ends.get(0), ends.get(1), stderr, ...alternate],
        env: { ...process.env, ...alternates },
        cwd: this.#background ? '/' : undefined,
      });
      if (child.pid === undefined) throw (await once(child, 'error'))[0];
    } catch (error) {
      throw new StageFailure(execError(error, file));
    }
    this.#children.push(child);
    this.#exits.push(
      new Promise((resolve) => {
        child.on('exit', (code, signal) => resolve(signal ? 128 + constants.signals[signal] : (code ?? 0)));
      }),
    );
  }
}

/** Told to every command, those without alternate descriptors included. */
const alternates = { ALTERNATE_STDIN: String(ALTERNATE_STDIN), ALTERNATE_STDOUT: String(ALTERNATE_STDOUT) };

/** Asks whether `exec` from `directory` will find the program, before it is too late to tell the caller that it won't. */
function assertExecutable(file: string, directory: string): void {
  const places = file.includes('/') ? [''] : (process.env.PATH ?? '/usr/bin:/bin').split(delimiter);
  let code = 'ENOENT';
  for (const place of places) {
    try {
      accessSync(resolve(directory, place, file), modes.X_OK);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EACCES') code = 'EACCES';
    }
  }
  throw new StageFailure(callError('execve', errnoNumber(code), file));
}

function closeAll(ends: Ends[]): void {
  for (const stage of ends) {
    for (const end of stage.values()) closeSync(end);
    stage.clear();
  }
}

/** Waits until process $1 is gone, then removes each file that still has the content given after it. */
const REMOVER = `(
  while [ -d "/proc/$1" ]; do sleep 1; done
  shift
  while [ $# -gt 1 ]; do
    [ "$(cat "$1" 2>/dev/null)" = "$2" ] && rm -f "$1"
    shift 2
  done
) </dev/null >/dev/null 2>&1 &`;

/**
 * Leaves a shell behind that removes pid files when this process, whatever it has become by then, is gone. It has a
 * session of its own, so that a signal to the group does not end it first, and is nobody's child that knows nothing of it.
 */
export async function removeAfterEnd(files: readonly Pidfile[]): Promise<void> {
  if (files.length === 0) return;
  const args = files.flatMap(({ path, content }) => [path, content]);
  const shell = spawn('/bin/sh', ['-c', REMOVER, 'dpipe', String(process.pid), ...args], {
    detached: true,
    stdio: 'ignore',
    cwd: '/',
  });
  await once(shell, 'exit');
}
