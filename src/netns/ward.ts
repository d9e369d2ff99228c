/**
 * The command in the namespace, seen from the process that waits for it: as if it had been started directly.
 *
 * Both are in one process group, so what the terminal sends reaches the command by itself, and is ignored here; what
 * others send to us is passed on. When the command stops, so do we, for the shell above to see; when we are continued, it
 * is. It ends as it likes, and we after it, with its status.
 */

import { closeSync, constants as files, openSync } from 'node:fs';
import { constants } from 'node:os';
import { errnoNumber } from '../sys/errors.js';
import { ignoreSignal, processState } from '../sys/wait.js';

/** How a process ended. */
export interface WardEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** What the terminal sends to all of the foreground group. */
const FROM_TERMINAL = ['SIGINT', 'SIGQUIT'] as const;
/** Stops: the command's own decide. */
const STOPS = ['SIGTSTP', 'SIGTTIN'] as const;
/** What somebody sends to us and means the command. SIGUSR1 would start Node's inspector. */
const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;

/** Passes signals on to process `pid` and stops with it, from now to the end of this process. */
export function accompany(pid: number): void {
  const pass = (signal: NodeJS.Signals): void => {
    try {
      process.kill(pid, signal);
    } catch (error) {
      // It has just ended; its status is on the way.
      if ((error as NodeJS.ErrnoException).errno !== -errnoNumber('ESRCH')) throw error;
    }
  };
  for (const signal of FORWARDED) process.on(signal, pass);
  for (const signal of FROM_TERMINAL) process.on(signal, (name) => void (hasTerminal() || pass(name)));
  for (const signal of STOPS) process.on(signal, () => {});
  ignoreSignal('SIGTTOU');
  process.on('SIGCONT', pass);
  process.on('SIGCHLD', () => {
    if (processState(pid)?.state === 'T') process.kill(process.pid, 'SIGSTOP');
  });
}

/** Whether there is a terminal that signals can come from. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', files.O_RDONLY | files.O_NOCTTY));
    return true;
  } catch {
    return false;
  }
}

/** The exit status that tells a shell how a process ended. */
export function exitStatus({ code, signal }: WardEnd): number {
  return signal === null ? (code ?? 1) : 128 + constants.signals[signal];
}
