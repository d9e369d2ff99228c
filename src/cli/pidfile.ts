/**
 * Pid files: decimal number and newline, mode 0644, there while their process is, never those of others.
 *
 * Two programs that start at once must not both win. The file is created with O_EXCL, which only one can do; a file
 * left by a dead process is removed under its lock (flock(2)) after making sure that it is still the file of that name.
 * A newly created file is filled under its lock, too: until then it looks like a stale one.
 */

import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { fromNodeError, VdeError } from '../sys/errors.js';
import { lockFile } from '../sys/file.js';
import { kill } from '../sys/process.js';

const { O_CREAT, O_EXCL, O_WRONLY, O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** No pid file is longer; a longer file is something else, given by mistake, and must survive it. */
const MAX_SIZE = 32;
/** How often to start over when others create and remove the file in the same moment. */
const ATTEMPTS = 10;

/** A pid file that was written. */
export interface Pidfile {
  /** Its absolute path. */
  readonly path: string;
  /** What it holds, without the newline. */
  readonly content: string;
  /** Removes the file if it is still ours; may be called again. */
  remove(): void;
}

/**
 * Writes a pid file. A relative path counts from the present directory, also for `remove`.
 * @param number what to write: a pid, by default this process's, or the negative number of a process group.
 * @throws VdeError `EEXIST` if the file names a live process or is no pid file; otherwise the failing call's errno.
 */
export function writePidfile(file: string, number: number = process.pid): Pidfile {
  const path = resolve(file);
  const content = String(number);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (create(path, content)) return { path, content, remove: () => removeOwn(path, content) };
    removeStale(path, content);
  }
  throw taken(path, 'is being written by another process');
}

/** False if there is a file already, or somebody took the new one for stale. */
function create(path: string, content: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, O_CREAT | O_EXCL | O_WRONLY, 0o644);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fromNodeError(error, path, 'cannot write the pid file');
  }
  try {
    if (!lockFile(fd, path, false) || !isStill(path, fd)) return false;
    fchmodSync(fd, 0o644);
    writeSync(fd, `${content}\n`);
    return true;
  } catch (error) {
    throw fromNodeError(error, path, 'cannot write the pid file');
  } finally {
    closeSync(fd);
  }
}

/** Removes the file of a dead process. @throws VdeError `EEXIST` if it is not one. */
function removeStale(path: string, content: string): void {
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    if (code === 'ELOOP') throw taken(path, 'is a symbolic link');
    throw fromNodeError(error, path, 'cannot read the existing pid file');
  }
  try {
    const { size } = fstatSync(fd);
    if (!fstatSync(fd).isFile() || size > MAX_SIZE) throw taken(path, 'exists and is not a pid file');
    if (!lockFile(fd, path, false)) throw taken(path, 'is being written by another process');
    const holder = parse(readFileSync(fd, 'latin1'));
    if (holder !== undefined && String(holder) !== content && isAlive(holder))
      throw taken(path, `is held by live process${holder < 0 ? ' group' : ''} ${Math.abs(holder)}`);
    if (isStill(path, fd)) unlinkSync(path);
  } catch (error) {
    throw fromNodeError(error, path, 'cannot replace the stale pid file');
  } finally {
    closeSync(fd);
  }
}

function removeOwn(path: string, content: string): void {
  try {
    if (readFileSync(path, 'latin1') === `${content}\n`) unlinkSync(path);
  } catch {
    // Already gone, or not for us to remove: a command that ends has nobody to tell.
  }
}

/** True if `path` still names the open file. */
function isStill(path: string, fd: number): boolean {
  const [open, named] = [fstatSync(fd), lstatSync(path, { throwIfNoEntry: false })];
  return named !== undefined && named.ino === open.ino && named.dev === open.dev;
}

function parse(text: string): number | undefined {
  const digits = /^\s*(-?[1-9]\d{0,9})\s*$/.exec(text)?.[1];
  return digits !== undefined && Math.abs(Number(digits)) < 2 ** 31 ? Number(digits) : undefined;
}

/** Whether a process, or one of a group if negative, lives. */
function isAlive(number: number): boolean {
  // kill(-1) asks for all processes.
  if (number === -1 || isZombie(number)) return false;
  try {
    kill(number, 0);
    return true;
  } catch (error) {
    return (error as VdeError).code === 'EPERM';
  }
}

/** Whether a process has ended and only its parent has not asked yet: a signal still reaches it. */
function isZombie(pid: number): boolean {
  try {
    // The state follows the name, which may hold anything (proc_pid_stat(5)).
    return /^.*\) Z /s.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

function taken(path: string, cause: string): VdeError {
  return new VdeError({ code: 'EEXIST', subject: path, cause, remedy: 'stop that process or name another pid file' });
}
