/** What every benchmark needs: the two switches, clients, the kernel's accounts, medians and tables. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const PEER = join(root, 'bench/peers/libvdeplug.ts');

/** Whose switch. */
export type Side = 'C' | 'ours';
export const SIDES: readonly Side[] = ['C', 'ours'];

/** A child process with the lines it has printed; killed and waited for by `stop`. */
export class Child {
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  #output = '';

  constructor(command: string, args: readonly string[]) {
    // What a switch says about its end is no result.
    // A process group of its own: C's vdens leaves its command behind when it is ended.
    this.#process = spawn(command, args, { cwd: root, stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    this.#exited = once(this.#process, 'exit');
    this.#process.stdout?.on('data', (text) => {
      this.#output += text;
    });
    this.#process.stdin?.on('error', () => {});
    children.add(this);
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  /** Waits until the child has printed `text`. */
  async says(text: string): Promise<void> {
    while (!this.#output.includes(text)) {
      const ended = await Promise.race([
        once(this.#process.stdout as NodeJS.ReadableStream, 'data').then(() => false),
        this.#exited.then(() => true),
      ]);
      if (ended && !this.#output.includes(text)) throw new Error(`a benchmark's child ended without saying "${text}"`);
    }
  }

  tell(text: string): void {
    this.#process.stdin?.write(`${text}\n`);
  }

  /** Ends the child's standard input. */
  endInput(): void {
    this.#process.stdin?.end();
  }

  /** What the child has printed so far. */
  get output(): string {
    return this.#output;
  }

  /** Waits for the end of the child; returns what it has printed. */
  async ended(): Promise<string> {
    await this.#exited;
    return this.#output;
  }

  /** The JSON that the child prints at its end. */
  async result(): Promise<Record<string, number>> {
    await this.#exited;
    return JSON.parse(this.#output.trim().split('\n').at(-1) as string);
  }

  async stop(): Promise<void> {
    children.delete(this);
    const running = this.#process.exitCode === null && this.#process.signalCode === null;
    this.#signal('SIGTERM');
    if (running) {
      const timer = setTimeout(() => this.#signal('SIGKILL'), 2000);
      await this.#exited;
      clearTimeout(timer);
    }
    this.#signal('SIGKILL');
  }

  /** Sends a signal to the child and to all that it has started. */
  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      // All of them have ended.
    }
  }
}

const children = new Set<Child>();

/** Made for switches; empty once they have ended. */
const directories = new Set<string>();

/** Ends whatever is still running and removes what was made. */
export async function stopAll(): Promise<void> {
  await Promise.all([...children].map((child) => child.stop()));
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
}

/** A switch, ours or Debian's, in a directory of its own. */
export async function startSwitch(
  side: Side,
  args: readonly string[] = [],
): Promise<{ child: Child; locator: string }> {
  const parent = mkdtempSync(join(tmpdir(), 'vb-'));
  const directory = join(parent, 's');
  const command = side === 'C' ? '/usr/bin/vde_switch' : join(root, 'bin/vde_switch');
  const child = new Child(command, ['-s', directory, ...args]);
  directories.add(parent);
  // Answered only once the switch runs.
  child.tell('ds/showinfo');
  await child.says('1000 Success');
  return { child, locator: directory };
}

/** A libvdeplug client: see bench/peers/libvdeplug.ts. */
export function startClient(mode: string, locator: string, work: object): Child {
  return new Child(process.execPath, ['--import', 'tsx', PEER, mode, locator, JSON.stringify(work)]);
}

/** CPU time of a process and all its threads, in µs (/proc/PID/task/TID/schedstat). */
export function cpuTime(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  }
  return nanoseconds / 1000;
}

/** Resident memory of a process, in MiB. */
export function residentMemory(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** Settles as `work` does, or fails when it takes longer than `seconds`. */
export async function within<T>(seconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not done after ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a sample again, up to twice, if it fails: C's tools hang now and then. */
export async function attempt<T>(name: string, sample: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await sample();
    } catch (error) {
      if (tries === 3) throw error;
      progress(`${name}: ${(error as Error).message}: again\n`);
    }
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The machine, for the table's caption. */
export function machine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU';
  return `${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release().split('-')[0]}, Node ${process.versions.node}`;
}

/** A table as Markdown, its columns lined up. */
export function markdown(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join('\n');
}

/** One line of progress on a terminal. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  else process.stderr.write(`${text}\n`);
}

/** The congestion controls that TCP can have on this machine. */
export const congestionControls = readFileSync('/proc/sys/net/ipv4/tcp_available_congestion_control', 'utf8')
  .trim()
  .split(' ');

/**
 * Tells iperf3 the congestion control of all TCP here: Linux's own default. BBR, which some machines have in its place, sends
 * by a timer; on a virtual machine it is that timer, more than what lies between the hosts, that is measured then.
 */
export const tcpOptions = congestionControls.includes('cubic') ? '-C cubic' : '';
