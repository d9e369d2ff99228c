/** What Node's `fs` leaves out of files: locks. */

import { callError, errnoNumber } from './errors.js';
import { errno, native } from './ffi.js';

const flock = native<(fd: number, operation: number) => number>('int flock(int fd, int operation)');
const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = errnoNumber('EAGAIN');

/**
 * Locks an open file for this process alone (flock(2)). The lock goes with the last duplicate of `fd`.
 * @param wait for another process that holds it, rather than return false.
 * @throws VdeError where the file system has no locks.
 */
export function lockFile(fd: number, subject: string, wait: boolean): boolean {
  if (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) === 0) return true;
  const error = errno();
  if (!wait && error === EWOULDBLOCK) return false;
  throw callError('flock', error, subject);
}
