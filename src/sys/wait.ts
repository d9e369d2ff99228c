/** Waiting for children and descriptors, and ending: what Node's own ways cannot do. */

import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { native } from './ffi.js';

const pollCall = native<(fds: Int32Array, count: number, timeout: number) => number>(
  'int poll(void *fds, unsigned long count, int timeout)',
);
const waitpidCall = native<(pid: number, status: Int32Array, options: number) => number>(
  'int waitpid(int pid, void *status, int options)',
);
const signalCall = native<(signal: number, handler: number) => number>('size_t signal(int signal, size_t handler)');
const exitCall = native<(status: number) => void>('void _exit(int status)');

const POLLIN = 1;
const WNOHANG = 1;
const SIG_IGN = 1;

/** Stops this thread until `fd` has something to read or its peer has gone. Only for programs without a loop. */
export function waitReadable(fd: number): void {
  // struct pollfd: int fd, short events, short revents. A signal without a handler of ours ends us or changes nothing.
  while (pollCall(new Int32Array([fd, POLLIN]), 1, -1) < 0);
}

/** Whether `fd` has something to read now. */
export function isReadable(fd: number): boolean {
  return pollCall(new Int32Array([fd, POLLIN]), 1, 0) > 0;
}

/** How a child ended: as Node's `exit` event says it. */
export interface ChildEnd {
  code: number | null;
  signal: number | null;
}

/** Reaps a child that Node does not know of; undefined while it lives. */
export function reap(pid: number): ChildEnd | undefined {
  const status = new Int32Array(1);
  if (waitpidCall(pid, status, WNOHANG) !== pid) return undefined;
  const signal = status[0] & 0x7f;
  return signal === 0 ? { code: (status[0] >> 8) & 0xff, signal: null } : { code: null, signal };
}

/** Really ignores a signal, unlike a handler that does nothing: a write that would cause SIGTTOU then goes through. */
export function ignoreSignal(signal: NodeJS.Signals): void {
  signalCall(constants.signals[signal], SIG_IGN);
}

/** Ends the process as it is: Node's own way would set the terminal back to what it was at our start. */
export function exitNow(status: number): never {
  exitCall(status);
  throw new Error('_exit returned');
}

/** State of a process as /proc shows it (`R`, `S`, `T` stopped, `Z` ended, ...) and when it started, in clock ticks. */
export function processState(pid: number): { state: string; startTime: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0], startTime: fields[19] };
  } catch {
    return undefined;
  }
}
