/** A file descriptor and its one owner. */

import { close as closeAside } from 'node:fs';
import { callError } from './errors.js';
import { check, errno, native } from './ffi.js';

const close = native<(fd: number) => number>('int close(int fd)');
const dupFd = native<(fd: number, command: number, argument: number) => number>(
  'int fcntl(int fd, int command, int argument)',
);
const F_GETFD = 1;
const F_DUPFD_CLOEXEC = 1030;

/** Owns one descriptor, opened close-on-exec. `close` is idempotent; `fd` must not be used after it. */
export class Descriptor {
  #fd: number;

  /** @param subject what the descriptor is, for error messages. */
  constructor(
    fd: number,
    readonly subject: string,
  ) {
    this.#fd = fd;
  }

  /** @throws VdeError EBADF once closed. */
  get fd(): number {
    if (this.#fd < 0) throw callError('use', 9, this.subject);
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  /** A second descriptor of the same open file, with an owner of its own. */
  duplicate(): Descriptor {
    return new Descriptor(check(dupFd(this.fd, F_DUPFD_CLOEXEC, 3), 'fcntl', this.subject), this.subject);
  }

  /** Gives the descriptor away: the caller owns it from now on. */
  release(): number {
    const fd = this.fd;
    this.#fd = -1;
    return fd;
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    close(fd);
  }

  /**
   * Closes it on another thread, for one that a stranger gave: what it is may make who closes it wait, as a file of a file
   * system that is a program, or a TCP socket with SO_LINGER.
   * @param done called when it is closed.
   */
  discard(done: () => void = () => {}): void {
    if (this.#fd < 0) return;
    closeAside(this.release(), done);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** True if the process has a descriptor of that number open. */
export function isOpen(fd: number): boolean {
  return dupFd(fd, F_GETFD, 0) >= 0 || errno() !== 9;
}
