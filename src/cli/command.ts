/**
 * The frame of every command: how it ends.
 *
 * A user's mistake is one line on standard error, `NAME: message`, and the command's failure status; a bug of ours is a
 * stack and status 70 (EX_SOFTWARE of sysexits.h). A reader of standard output that has gone ends the command quietly.
 * SIGTERM is the ordinary way to stop a command and gives status 0; after SIGINT and SIGHUP it dies by that same signal,
 * so that the shell or script above it knows. The signals that C's `vde_plug` ignores are ignored.
 */

import { closeSync, openSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { isatty } from 'node:tty';
import { commandsEnded } from '../plug/endings.js';
import { VdeError } from '../sys/errors.js';
import { hasNoReader } from '../sys/process.js';

/** Exit status for a bug in the program (EX_SOFTWARE). */
const EXIT_BUG = 70;

/** Left alone because users of C's tools may send them to all members of a process group. SIGUSR1 would start node's
 * inspector. SIGPIPE is ignored by node itself; SIGPROF belongs to its profiler. */
const IGNORED = ['SIGALRM', 'SIGUSR1', 'SIGUSR2', 'SIGVTALRM', 'SIGIO', 'SIGSTKFLT', 'SIGPWR'] as const;

let name = basename(process.argv[1] ?? 'vde');
/** True once a signal has begun to end the process: its cleanup then decides the status, not `main`. */
let ending = false;

/** Which of the standard descriptors were terminals at the start. */
const terminals = [0, 1, 2].filter((fd) => isatty(fd));

/** Exit statuses of a command. */
export interface CommandStatuses {
  /** For a `VdeError`; 1 by default. */
  failure?: number;
  /** For a `VdeError` with code `EUSAGE`; as `failure` by default. */
  usage?: number;
}

/** Says `NAME: message` on standard error, where NAME is that of the running command. */
export function complain(message: string): void {
  try {
    writeSync(2, `${name}: ${message}\n`);
  } catch {
    // Nobody reads it: the exit status has to tell.
  }
}

/**
 * Runs a command's `main` with the arguments after its name, and ends the process with the status that it returns.
 * Errors thrown later, from callbacks and forgotten promises, end it in the same way.
 */
export async function runCommand(
  commandName: string,
  main: (args: string[]) => Promise<number> | number,
  statuses: CommandStatuses = {},
): Promise<void> {
  name = commandName;
  const fail = (error: unknown): void => {
    if (!ending) process.exit(report(error, statuses));
  };
  process.on('uncaughtException', fail);
  process.on('exit', leaveHungUpTerminals);
  try {
    const status = await main(process.argv.slice(2));
    await commandsEnded();
    if (!ending) process.exit(status);
  } catch (error) {
    await commandsEnded();
    fail(error);
  }
}

/** Says what is to be said about an error that ends the command; returns the exit status. */
function report(error: unknown, { failure = 1, usage = failure }: CommandStatuses): number {
  if (error instanceof VdeError) {
    complain(error.message);
    return error.code === 'EUSAGE' ? usage : failure;
  }
  if (isBrokenOutput(error)) return 128 + constants.signals.SIGPIPE;
  complain(error instanceof Error ? (error.stack ?? String(error)) : String(error));
  return EXIT_BUG;
}

/**
 * EPIPE from `process.stdout` or from a write to a bare descriptor, but not from a socket of ours; or EIO, as of a
 * terminal that has hung up.
 */
function isBrokenOutput(error: unknown): boolean {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === 'EIO') return terminals.some((fd) => !isatty(fd));
  return code === 'EPIPE' && syscall === 'write' && hasNoReader(1);
}

/**
 * Puts `/dev/null` where a terminal has hung up. Node sets terminals right again when it exits, and aborts, dumping
 * core, if one does not answer.
 */
function leaveHungUpTerminals(): void {
  for (const fd of terminals.filter((one) => !isatty(one))) {
    try {
      closeSync(fd);
      openSync('/dev/null', 'r+');
    } catch {
      // It has been closed before: there is nothing to set right.
    }
  }
}

/**
 * Takes over the signals that end a command. `cleanup` runs once, for the first of SIGTERM, SIGINT and SIGHUP; then the
 * process exits 0 (SIGTERM) or dies by the signal. A SIGINT during the cleanup cuts it short.
 * @param onHangUp if given, what SIGHUP does instead of ending the command.
 * @returns a function that gives the signals back their default meaning.
 */
export function onSignals(
  cleanup: (signal: NodeJS.Signals) => void | Promise<void>,
  onHangUp?: () => void,
): () => void {
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (ending) {
      if (signal === 'SIGINT') dieBy(signal);
      return;
    }
    ending = true;
    try {
      await cleanup(signal);
      await commandsEnded();
    } catch (error) {
      process.exit(report(error, {}));
    }
    if (signal === 'SIGTERM') process.exit(0);
    dieBy(signal);
  };
  const ignore = (): void => {};
  const endings: NodeJS.Signals[] = ['SIGTERM', 'SIGINT'];
  if (onHangUp === undefined) endings.push('SIGHUP');
  else process.on('SIGHUP', onHangUp);
  for (const signal of endings) process.on(signal, end);
  for (const signal of IGNORED) process.on(signal, ignore);
  return () => {
    for (const signal of endings) process.off(signal, end);
    if (onHangUp !== undefined) process.off('SIGHUP', onHangUp);
    for (const signal of IGNORED) process.off(signal, ignore);
  };
}

/** Ends the process by a signal's default action. */
function dieBy(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Another thread of node may be the one to take the signal, a moment later; and somebody may have blocked it.
  setTimeout(() => process.exit(128 + constants.signals[signal]), 1000);
}
