/**
 * Scripts of console commands: the `load` command, and the file that a switch runs at its start (reference: management
 * console, section 5). One line is one command; blank lines and comments do nothing; what ends a session is passed over.
 */

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { fromNodeError } from '../sys/errors.js';
import { answerLine, type Caller, type ConsoleCommand, consoleError, findCommand, isBlank } from './command-table.js';

/** Largest script, in bytes. */
const SCRIPT_MAX = 1 << 20;
/** Scripts that load scripts, at most. */
const DEPTH_MAX = 8;
const WORLD_READABLE = 0o004;

/**
 * The lines of a script.
 * @param uid who asks, if that is not the user that started the switch.
 * @throws VdeError what the kernel says if it cannot be read; EISDIR, EFBIG; EACCES if the asker could not read it himself.
 */
export function readScript(path: string, uid?: number): string[] {
  let fd: number;
  try {
    // Opening a pipe that nobody writes to would wait.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw fromNodeError(error, path);
  }
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) throw consoleError('EISDIR');
    if (!stat.isFile()) throw consoleError('EINVAL');
    const trusted = uid === undefined || uid === 0 || uid === process.geteuid?.() || uid === stat.uid;
    if (!trusted && (stat.mode & WORLD_READABLE) === 0) throw consoleError('EACCES');
    if (stat.size > SCRIPT_MAX) throw consoleError('EFBIG');
    const bytes = Buffer.alloc(SCRIPT_MAX);
    const length = readSync(fd, bytes, 0, SCRIPT_MAX, 0);
    const lines = bytes.toString('utf8', 0, length).split('\n');
    if (lines.at(-1) === '') lines.pop();
    return lines.map((line) => line.replace(/\r$/, ''));
  } catch (error) {
    throw fromNodeError(error, path);
  } finally {
    closeSync(fd);
  }
}

/** The `load` command: each line of the script, and its answer without the prompt. */
export function loadCommand(table: () => readonly ConsoleCommand[]): ConsoleCommand {
  return {
    name: 'load',
    syntax: 'path',
    help: 'load a configuration script',
    run(path, _, caller) {
      if (caller.debug === undefined) throw consoleError('EBADF');
      if (path === '') throw consoleError('ENOENT');
      if (caller.depth >= DEPTH_MAX) throw consoleError('ELOOP');
      return play(table, path, readScript(path, caller.uid), caller);
    },
  };
}

function* play(
  table: () => readonly ConsoleCommand[],
  path: string,
  lines: string[],
  caller: Caller,
): Generator<string | undefined> {
  caller.depth++;
  try {
    for (const line of lines) {
      if (line.trim() === '') continue;
      yield `vde[${path}]: ${line}`;
      if (findCommand(table(), line)?.ends) continue;
      yield* answerLine(table(), line, caller);
      // A long script leaves time for others.
      yield undefined;
    }
  } finally {
    caller.depth--;
  }
}

/** What a line of a start script was answered with, if that was no success. */
export interface ScriptFailure {
  /** Counted from 1. */
  line: number;
  command: string;
  result: string;
}

/**
 * Runs the script that a switch begins with, where no console is.
 * @returns the commands that failed.
 * @throws VdeError if the file cannot be read.
 */
export function runStartScript(table: () => readonly ConsoleCommand[], path: string): ScriptFailure[] {
  const caller: Caller = { uid: undefined, debug: undefined, depth: 0, inBlock: false };
  const failures: ScriptFailure[] = [];
  readScript(path).forEach((command, index) => {
    if (isBlank(command) || findCommand(table(), command)?.ends) return;
    let result = '';
    for (const line of answerLine(table(), command, caller)) result = line ?? result;
    if (!result.startsWith('1000')) failures.push({ line: index + 1, command, result });
  });
  return failures;
}
