/**
 * `--daemon` without `fork()`: node cannot be forked, so the command starts itself again, in a session of its own, and
 * waits. The second process does all that can fail with its terminal still at hand, then says that it is ready over a
 * socket on descriptor 3; only then does it let go of directory and terminal, and only then does the first process
 * return to the caller, with status 0. So a caller sees every start-up error and its status.
 *
 * What the first process hears on descriptor 3 is one JSON object: `{}` for ready, or `{"status": n, "message"?: text}`.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { dup2 } from '../sys/process.js';
import { complain } from './command.js';

/** Environment variable that marks the second process; it holds the pid of the first, so that it means nothing to others. */
const MARKER = 'VDE_DAEMON_OF';
const REPORT_FD = 3;
/** A report is one line; more than this is not from us. */
const MAX_REPORT = 64 * 1024;
/** Delivered to the first process while it waits, meant for the second. */
const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** What a command that may be a daemon says about its start. */
export interface Daemon {
  /** True in the background process. */
  readonly background: boolean;
  /** All is set up: a daemon changes to `/`, turns its standard descriptors to `/dev/null` and releases the caller. */
  ready(): void;
  /** Gives up: the caller of the command sees the error as one line, and the status (1 by default). */
  fail(error: Error, status?: number): never;
}

interface Report {
  status?: number;
  message?: string;
}

/**
 * Goes into the background if that is `wanted`: returns in the background process only. Call it once, before anything
 * is opened, since the arguments are parsed and run again there.
 * @throws VdeError never; the first process prints and exits by itself.
 */
export async function daemonize(wanted: boolean): Promise<Daemon> {
  const marked = process.env[MARKER] === String(process.ppid);
  delete process.env[MARKER];
  if (!wanted) return foreground;
  if (marked) return background();
  return watchStart();
}

const foreground: Daemon = {
  background: false,
  ready() {},
  fail(error, status = 1) {
    complain(error.message);
    process.exit(status);
  },
};

function background(): Daemon {
  let open = true;
  const send = (report: Report): void => {
    if (!open) return;
    open = false;
    try {
      writeSync(REPORT_FD, JSON.stringify(report));
    } catch {
      // The first process was killed while it waited: there is nobody to tell, and no reason to stop.
    }
    closeSync(REPORT_FD);
  };
  // A command that ends in any ordinary way has itself said why: its standard error is still the caller's.
  process.on('exit', (status) => send({ status }));
  return {
    background: true,
    ready() {
      if (!open) return;
      process.chdir('/');
      const nowhere = openSync('/dev/null', 'r+');
      for (const fd of [0, 1, 2]) dup2(nowhere, fd);
      closeSync(nowhere);
      send({});
    },
    fail(error, status = 1) {
      send({ status, message: error.message });
      process.exit(status);
    },
  };
}

/** The first process: starts the second, waits for its report and ends with the status in it. */
async function watchStart(): Promise<never> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, [MARKER]: String(process.pid) },
  });
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  const ended = once(child, 'exit');
  ended.catch(() => {});
  const report = await readReport(child);
  if (report) {
    if (report.message !== undefined) complain(report.message);
    process.exit(report.status ?? 0);
  }
  try {
    const [status, signal] = await ended;
    complain(`the background process ended before it was ready (${signal ?? `status ${status}`})`);
    process.exit(status || 1);
  } catch (error) {
    complain(`cannot start the background process: ${(error as Error).message}`);
    process.exit(1);
  }
}

/** The report, or undefined if the other end was closed without one. */
async function readReport(child: ChildProcess): Promise<Report | undefined> {
  let text = '';
  try {
    for await (const chunk of (child.stdio[REPORT_FD] as Readable).setEncoding('utf8')) {
      text += chunk;
      if (text.length > MAX_REPORT) return undefined;
    }
    return JSON.parse(text) as Report;
  } catch {
    return undefined;
  }
}
