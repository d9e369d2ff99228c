/**
 * Processes and descriptors below `node:child_process`: pipes as plain numbers, replacing the process image, process
 * groups. Thin bindings of the calls of the same names (POSIX.1-2017, Linux man pages section 2).
 */

import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { check, native } from './ffi.js';

const c = {
  pipe2: native<(fds: Int32Array, flags: number) => number>('int pipe2(void *fds, int flags)'),
  dup2: native<(from: number, to: number) => number>('int dup2(int from, int to)'),
  close: native<(fd: number) => number>('int close(int fd)'),
  fcntl: native<(fd: number, command: number, arg: number) => number>('int fcntl(int fd, int command, long arg)'),
  execvp: native<(file: string, argv: (string | null)[]) => number>('int execvp(const char *file, const char **argv)'),
  setpgid: native<(pid: number, pgid: number) => number>('int setpgid(int pid, int pgid)'),
  getpgrp: native<() => number>('int getpgrp(void)'),
  setsid: native<() => number>('int setsid(void)'),
  kill: native<(pid: number, signal: number) => number>('int kill(int pid, int signal)'),
  poll: native<(fds: Int32Array, count: number, timeout: number) => number>(
    'int poll(void *fds, unsigned long count, int timeout)',
  ),
  signal: native<(signal: number, handler: number) => number>('size_t signal(int signal, size_t handler)'),
};

const O_CLOEXEC = 0o2000000;
const F_GETFD = 1;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const POLLERR_POLLHUP = 0x8 | 0x10;
const SIG_DFL = 0;
/** The signals that node ignores from its start; an ignored signal would stay ignored in the program that follows. */
const IGNORED_BY_NODE = [constants.signals.SIGPIPE, constants.signals.SIGXFSZ];

/** Both ends of a pipe, as descriptors that close at `exec`. */
export interface Pipe {
  read: number;
  write: number;
}

/** A new blocking, close-on-exec pipe. @throws VdeError `EMFILE`, `ENFILE`. */
export function pipe(): Pipe {
  const fds = new Int32Array(2);
  check(c.pipe2(fds, O_CLOEXEC), 'pipe2', 'pipe');
  return { read: fds[0], write: fds[1] };
}

/** Makes `to` a duplicate of `from`, open across `exec`, closing what `to` was. @throws VdeError `EBADF`. */
export function dup2(from: number, to: number): void {
  check(c.dup2(from, to), 'dup2', `descriptor ${from}`);
  if (from === to) setCloseOnExec(to, false);
}

/** Closes a descriptor. @throws VdeError `EBADF`. */
export function close(fd: number): void {
  check(c.close(fd), 'close', `descriptor ${fd}`);
}

/** Whether a descriptor closes at `exec`. @throws VdeError `EBADF`. */
export function closesOnExec(fd: number): boolean {
  return (check(c.fcntl(fd, F_GETFD, 0), 'fcntl', `descriptor ${fd}`) & FD_CLOEXEC) !== 0;
}

/** Sets or clears a descriptor's close-on-exec flag. @throws VdeError `EBADF`. */
export function setCloseOnExec(fd: number, on: boolean): void {
  check(c.fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0), 'fcntl', `descriptor ${fd}`);
}

/**
 * Marks all descriptors from `lowest` up close-on-exec. Node does so with the first of those that it was started with,
 * and hands the others on to every child.
 */
export function closeInheritedOnExec(lowest = 3): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name);
    // The listing contains the descriptor it was read with, which is closed by now.
    if (fd >= lowest) c.fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
}

/**
 * Replaces this process by `file` (searched in `PATH`) with `argv` and the present `process.env`. Descriptors 0, 1, 2
 * and `keep` stay open in it (node marks them close-on-exec), signals are back to their defaults. Returns only by throwing.
 * @throws VdeError with the failing call's errno; this process then goes on as before.
 */
export function execvp(file: string, argv: readonly string[], keep: readonly number[] = []): never {
  const closing = [0, 1, 2, ...keep].filter(closesOnExec);
  for (const fd of closing) setCloseOnExec(fd, false);
  const handlers = IGNORED_BY_NODE.map((signal) => [signal, c.signal(signal, SIG_DFL)]);
  const result = c.execvp(file, [...argv, null]);
  try {
    check(result, 'execve', file);
  } finally {
    for (const [signal, handler] of handlers) c.signal(signal, handler);
    for (const fd of closing) setCloseOnExec(fd, true);
  }
  throw new Error('execvp returned without an error');
}

/** Moves process `pid` (0: this one) to group `pgid` (0: one named after the process). @throws VdeError `EPERM`, `ESRCH`. */
export function setpgid(pid: number, pgid: number): void {
  check(c.setpgid(pid, pgid), 'setpgid', `process ${pid || process.pid}`);
}

/** This process's group. */
export function getpgrp(): number {
  return c.getpgrp();
}

/** Starts a new session with this process as its leader; returns its id. @throws VdeError `EPERM` for a group leader. */
export function setsid(): number {
  return check(c.setsid(), 'setsid', `process ${process.pid}`);
}

/** Sends a signal to a process, or to the group `-pid` if negative; 0 only asks. @throws VdeError `ESRCH`, `EPERM`. */
export function kill(pid: number, signal: NodeJS.Signals | 0): void {
  const subject = pid < 0 ? `process group ${-pid}` : `process ${pid}`;
  check(c.kill(pid, signal === 0 ? 0 : constants.signals[signal]), 'kill', subject);
}

/** The processes that a process has started, and they in turn (proc(5), `children`), nearest first; those that it still is the parent of. */
export function descendants(pid: number): number[] {
  const found = [pid];
  for (let i = 0; i < found.length; i++) {
    try {
      for (const task of readdirSync(`/proc/${found[i]}/task`)) {
        const children = readFileSync(`/proc/${found[i]}/task/${task}/children`, 'utf8').split(' ');
        found.push(...children.filter((child) => child !== '').map(Number));
      }
    } catch {
      // It has ended meanwhile.
    }
  }
  return found.slice(1);
}

/** True if what is written to a pipe or socket can no longer be read by anybody. */
export function hasNoReader(fd: number): boolean {
  // struct pollfd: int fd, short events, short revents; errors and hang-ups are reported unasked.
  const pollfd = new Int32Array([fd, 0]);
  c.poll(pollfd, 1, 0);
  return ((pollfd[1] >>> 16) & POLLERR_POLLHUP) !== 0;
}
