/**
 * Commands on a pseudo terminal, made by socat: what a user types, and what the terminal shows.
 *
 * By default only standard input is the terminal and both outputs are pipes, as under test drivers of virtual machines;
 * any of the three can be put on it.
 */

import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Owner } from './cleanup.js';
import { type Running, type StartOptions, start } from './proc.js';
import { startSocat } from './serial.js';
import { tmpDir } from './tmp.js';

export interface PtyOptions extends Omit<StartOptions, 'stdio'> {
  /** What is on the terminal; `['stdin']` by default, the others are pipes. */
  on?: ('stdin' | 'stdout' | 'stderr')[];
  /** No echo, no line editing, no signals; by default the terminal is as a login leaves it. */
  raw?: boolean;
}

export interface Pty {
  /** The command, with its outputs that are pipes. */
  readonly child: Running;
  /** The other side of the terminal: `screen.waitFor` awaits what it shows (echo, and what is on it). */
  readonly screen: Running;
  /** Types on the keyboard. A line ends with `\r` on a terminal as a login leaves it, `\x03` is Ctrl-C. */
  type(keys: string): void;
  /** Hangs up: the terminal goes away. */
  hangUp(): Promise<void>;
}

/** Starts a command on a new pseudo terminal, as leader of its session; both end with the test. Needs `socat`. */
export async function pty(t: Owner, command: string, args: string[] = [], options: PtyOptions = {}): Promise<Pty> {
  const { on = ['stdin'], raw = false, ...rest } = options;
  const dir = tmpDir(t);
  const path = join(dir, 'tty');
  const screen = await startSocat(t, dir, [`PTY,link=${path}${raw ? ',raw,echo=0' : ''}`, 'STDIO']);
  const fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
  try {
    const where = (name: 'stdin' | 'stdout' | 'stderr'): number | 'pipe' => (on.includes(name) ? fd : 'pipe');
    // Each command leads a session here; opening a terminal makes it the controlling one, which Ctrl-C and hang-up need.
    const script = ': <"$0"; exec "$@"';
    const stdio = [where('stdin'), where('stdout'), where('stderr')];
    const child = start(t, 'sh', ['-c', script, path, command, ...args], { ...rest, stdio });
    return {
      child,
      screen,
      type: (keys) => void screen.stdin.write(keys),
      hangUp: () => screen.end(),
    };
  } finally {
    closeSync(fd);
  }
}
