/** What Node's `fs` leaves out of files: locks. */

import { check, native } from './ffi.js';

const flock = native<(fd: number, operation: number) => number>('int flock(int fd, int operation)');
const LOCK_EX = 2;

/**
 * Locks an open file for this process alone (flock(2)), waiting for another that holds it. Closing the descriptor lets go.
 * @throws VdeError where the file system has no locks.
 */
export function lockFile(fd: number, subject: string): void {
  check(flock(fd, LOCK_EX), 'flock', subject);
}
