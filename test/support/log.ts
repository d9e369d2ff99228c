/**
 * A system log of the test's own: commands run in a mount namespace whose /dev/log is a socket that we read.
 *
 *     const log = await systemLog(t);
 *     const plug = log.start(t, bin('vde_plug'), ['-l', dir]);
 *     await log.waitFor('START');
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Owner } from './cleanup.js';
import { type Found, type Running, type StartOptions, start } from './proc.js';
import { waitForSocket } from './sockets.js';
import { tmpDir } from './tmp.js';

/** A /dev with little more than `log` in it, for the command that is given after two directories. */
const SCRIPT = `set -e
new=$1 log=$2
shift 2
mount -t tmpfs tmpfs "$new"
for node in null zero full random urandom tty; do : >"$new/$node"; mount --bind "/dev/$node" "$new/$node"; done
ln -s "$log" "$new/log"
ln -s /proc/self/fd "$new/fd"
mount --rbind "$new" /dev
exec "$@"`;

export class SystemLog {
  constructor(
    private readonly reader: Running,
    private readonly dir: string,
  ) {}

  /** Starts a command whose log this is. As an ordinary user it is root in a user namespace. */
  start(t: Owner, command: string, args: readonly string[] = [], options: StartOptions = {}): Running {
    const user = process.geteuid?.() === 0 ? [] : ['--user', '--map-root-user'];
    const line = [...user, '--mount', 'sh', '-c', SCRIPT, 'sh', join(this.dir, 'dev'), join(this.dir, 'log')];
    return start(t, 'unshare', [...line, command, ...args], options);
  }

  /** The lines so far, each from its priority on. */
  get lines(): string[] {
    return this.reader.stdout.split(/(?=<\d+>)/).filter((line) => line !== '');
  }

  waitFor(pattern: RegExp | string): Promise<Found> {
    return this.reader.waitFor(pattern, { stream: 'stdout' });
  }
}

/** Opens a log that goes with the test. Needs `socat` and `unshare`. */
export async function systemLog(t: Owner): Promise<SystemLog> {
  const dir = tmpDir(t);
  mkdirSync(join(dir, 'dev'));
  const reader = start(t, 'socat', ['-u', `UNIX-RECV:${join(dir, 'log')}`, 'STDOUT']);
  await waitForSocket(join(dir, 'log'));
  return new SystemLog(reader, dir);
}
