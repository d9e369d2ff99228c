/**
 * Child processes for tests: their output is collected and can be awaited, and they end with the test.
 *
 * Each child leads a process group of its own, so that what it starts ends with it. Nothing here sleeps: `waitFor` is
 * driven by the child's output and its end.
 */

import { type ChildProcess, type SpawnOptions, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { cleanup, type Owner } from './cleanup.js';

export interface StartOptions {
  cwd?: string;
  /** Added to the environment of the tests; `undefined` removes a variable. */
  env?: Record<string, string | undefined>;
  /** As for `spawn`; pipes by default. */
  stdio?: StdioOptions;
}

export interface RunOptions extends StartOptions {
  /** Written to standard input, which is then closed. */
  input?: string | Uint8Array;
  /** Milliseconds until the command is killed and the call fails; 30 s by default. */
  timeout?: number;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface RunResult extends Exit {
  stdout: string;
  stderr: string;
}

export interface WaitOptions {
  /** Milliseconds; 30 s by default. */
  timeout?: number;
  /** Which output to look at; `output`, both as they arrived, by default. */
  stream?: Stream;
}

export type Stream = 'stdout' | 'stderr' | 'output';
type Pattern = RegExp | string | ((text: string) => boolean);

/** What was matched, its groups, and where. */
export type Found = string[] & { index: number };

const live = new Set<ChildProcess>();

/** One child process. */
export class Running {
  readonly child: ChildProcess;
  /** How it ended, once it has ended and all its output has arrived. Rejects if it could not be started. */
  readonly exited: Promise<Exit>;
  readonly #text: Record<Stream, string> = { stdout: '', stderr: '', output: '' };
  readonly #bytes: Buffer[] = [];
  readonly #cursor: Record<Stream, number> = { stdout: 0, stderr: 0, output: 0 };
  readonly #watchers = new Set<() => void>();
  readonly #command: string;
  #ended: Exit | Error | undefined;

  constructor(command: string, args: readonly string[], options: StartOptions) {
    this.#command = [command, ...args].join(' ');
    const spawnOptions: SpawnOptions = {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: options.stdio ?? 'pipe',
      detached: true,
    };
    watchForEnd();
    this.child = spawn(command, args, spawnOptions);
    live.add(this.child);
    this.#collect('stdout');
    this.#collect('stderr');
    // A child that ends while we write to it is not a failure of the test.
    this.child.stdin?.on('error', () => {});
    this.exited = this.#end();
    this.exited.catch(() => {});
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.#command}: not started`);
    return this.child.pid;
  }

  get stdin(): Writable {
    if (!this.child.stdin) throw new Error(`${this.#command}: standard input is not a pipe`);
    return this.child.stdin;
  }

  /** What it wrote to standard output so far, as UTF-8. */
  get stdout(): string {
    return this.#text.stdout;
  }

  get stderr(): string {
    return this.#text.stderr;
  }

  /** Both outputs in the order of their arrival. */
  get output(): string {
    return this.#text.output;
  }

  /** Standard output as bytes. */
  get stdoutBytes(): Buffer {
    return Buffer.concat(this.#bytes);
  }

  /** True until the child has ended and its output is complete. */
  get running(): boolean {
    return this.#ended === undefined;
  }

  /**
   * Resolves when the output has something: a regular expression or string found anywhere in it, or a predicate on it.
   * @returns the match (of a predicate: the whole text).
   * @throws Error with the output so far if the process ends or the time passes without it.
   */
  async waitFor(pattern: Pattern, { timeout = 30_000, stream = 'output' }: WaitOptions = {}): Promise<Found> {
    return this.#wait(pattern, stream, 0, timeout);
  }

  /** As `waitFor`, but looks only at what came after the last `expect` of that stream: for conversations. */
  async expect(pattern: Pattern, { timeout = 30_000, stream = 'output' }: WaitOptions = {}): Promise<Found> {
    const from = this.#cursor[stream];
    const found = await this.#wait(pattern, stream, from, timeout);
    this.#cursor[stream] = from + found.index + found[0].length;
    return found;
  }

  /** Sends a signal to the process alone. False if it has ended. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): boolean {
    return this.child.kill(signal);
  }

  /** Ends the process and all of its group, and waits until it is reaped. Never throws. */
  async end(): Promise<void> {
    killGroup(this.child);
    // A daemon in a session of its own may hold our pipes open: don't wait for it.
    for (const stream of [this.child.stdin, this.child.stdout, this.child.stderr]) stream?.destroy();
    await this.exited.catch(() => {});
  }

  #collect(name: 'stdout' | 'stderr'): void {
    const decoder = new StringDecoder('utf8');
    this.child[name]?.on('data', (chunk: Buffer) => {
      if (name === 'stdout') this.#bytes.push(chunk);
      const text = decoder.write(chunk);
      this.#text[name] += text;
      this.#text.output += text;
      this.#tell();
    });
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  async #end(): Promise<Exit> {
    try {
      const [code, signal] = (await once(this.child, 'close')) as [number | null, NodeJS.Signals | null];
      this.#ended = { code, signal };
      return this.#ended;
    } catch (error) {
      this.#ended = error as Error;
      throw error;
    } finally {
      live.delete(this.child);
      this.#tell();
    }
  }

  #wait(pattern: Pattern, stream: Stream, from: number, timeout: number): Promise<Found> {
    return new Promise((resolve, reject) => {
      const settle = (done: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        done();
      };
      const fail = (why: string): void =>
        settle(() => reject(new Error(`${this.#command}: ${why} waiting for ${pattern}; output:\n${this.output}`)));
      const look = (): void => {
        const found = search(this.#text[stream].slice(from), pattern);
        if (found) settle(() => resolve(found));
        else if (this.#ended instanceof Error) fail(this.#ended.message);
        else if (this.#ended) fail(`ended with ${this.#ended.signal ?? this.#ended.code}`);
      };
      const timer = setTimeout(() => fail(`${timeout} ms passed`), timeout);
      this.#watchers.add(look);
      look();
    });
  }
}

function search(text: string, pattern: Pattern): Found | undefined {
  if (typeof pattern === 'function') return pattern(text) ? Object.assign([text], { index: 0 }) : undefined;
  if (typeof pattern === 'string') {
    const index = text.indexOf(pattern);
    return index < 0 ? undefined : Object.assign([pattern], { index });
  }
  const found = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, '')).exec(text);
  return found ?? undefined;
}

/** Starts a command that ends, with all of its process group, when the test ends. */
export function start(t: Owner, command: string, args: readonly string[] = [], options: StartOptions = {}): Running {
  const running = new Running(command, args, options);
  cleanup(t, () => running.end());
  return running;
}

/**
 * Runs a command to its end.
 * @throws Error if it cannot be started, or is not done within the time-out (it is then killed).
 */
export async function run(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<RunResult> {
  const { input, timeout = 30_000, ...rest } = options;
  const running = new Running(command, args, rest);
  running.child.stdin?.end(input);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void running.end();
  }, timeout);
  try {
    const exit = await running.exited;
    const { stdout, stderr, output } = running;
    if (late) throw new Error(`${[command, ...args].join(' ')}: not done in ${timeout} ms; output:\n${output}`);
    return { ...exit, stdout, stderr };
  } finally {
    clearTimeout(timer);
  }
}

/** Makes a process that the test did not start itself, such as a daemon, end with the test. */
export function adopt(t: Owner, pid: number): void {
  const birth = birthOf(pid);
  cleanup(t, async () => {
    if (birth === undefined || birthOf(pid) !== birth) return;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // ESRCH: it has ended just now.
    }
    await waitForExit(pid);
  });
}

/** Resolves when a process that is not our child is gone (or only waits to be reaped). */
export async function waitForExit(pid: number, { timeout = 30_000 } = {}): Promise<void> {
  const deadline = Date.now() + timeout;
  // The kernel tells only the parent of a process about its end, so ask again every few milliseconds.
  while (birthOf(pid) !== undefined) {
    if (Date.now() > deadline) throw new Error(`process ${pid} is still there after ${timeout} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * Resolves when a process sleeps, with all its threads (one that waits for another, as for a garbage collector's, sleeps in
 * the middle of its work): it has then done with all that it was given before the call, since what arrives wakes it at once.
 * The threads are looked at one after the other: all slept at one time if none has run between two looks.
 */
export async function waitForSleep(pid: number, { timeout = 30_000 } = {}): Promise<void> {
  const deadline = Date.now() + timeout;
  /** How often each thread has gone to sleep or was interrupted so far; undefined if one is awake. */
  const look = (): string | undefined => {
    const tasks = readdirSync(`/proc/${pid}/task`).map((task) => {
      try {
        return readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
      } catch {
        // The thread has ended meanwhile.
        return '';
      }
    });
    if (!tasks.every((status) => /^State:\s+S/m.test(status))) return undefined;
    return tasks.map((status) => status.match(/^\w*ctxt_switches:\s+\d+$/gm)).join();
  };
  for (let before = look(), now = look(); before === undefined || now !== before; before = now, now = look()) {
    if (Date.now() > deadline) throw new Error(`process ${pid} is busy, still after ${timeout} ms`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** The start time of a process in clock ticks after boot, which no later process of that pid shares. */
function birthOf(pid: number): string | undefined {
  if (!existsSync(`/proc/${pid}`)) return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // ESRCH: the whole group has ended.
  }
}

let watching = false;

/** A test process that is stopped (by a time-out of its runner, say) takes its children with it. */
function watchForEnd(): void {
  if (watching) return;
  watching = true;
  const killAll = (): void => live.forEach(killGroup);
  process.on('exit', killAll);
  for (const [signal, number] of [
    ['SIGTERM', 15],
    ['SIGINT', 2],
    ['SIGHUP', 1],
  ] as const) {
    process.once(signal, () => {
      killAll();
      process.exit(128 + number);
    });
  }
}
