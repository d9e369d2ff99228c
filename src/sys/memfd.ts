/**
 * Memory that processes share: memfd_create(2) and mmap(2).
 *
 * One process makes it and passes its descriptor on (`ancillary.ts`); both then see the same bytes. Like every `Memory`
 * it is there as long as it is referenced: the pages go when the garbage collector finds that nobody looks at them.
 *
 * Touching a mapping beyond the end of its file kills the process (SIGBUS). So its size is sealed when it is made, and
 * memory whose owner could still shrink it is refused.
 */

import { fstatSync } from 'node:fs';
import { Descriptor } from './descriptor.js';
import { VdeError } from './errors.js';
import { check, native } from './ffi.js';
import { mapShared } from './mapping.js';
import type { Memory } from './memory.js';

const memfdCreate = native<(name: string, flags: number) => number>(
  'int memfd_create(const char *name, unsigned int flags)',
);
const ftruncate = native<(fd: number, size: number) => number>('int ftruncate(int fd, long size)');
const fcntl = native<(fd: number, command: number, argument: number) => number>(
  'int fcntl(int fd, int command, int argument)',
);

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
/** Sizes are rounded up to this: the largest page of the machines that we run on, so that a mapping has no ragged end. */
const GRANULE = 1 << 16;

/** Shared memory and the descriptor that others get it by. */
export class SharedMemory {
  private constructor(
    /** Closing it does not unmap: the bytes stay as long as `memory` is referenced. */
    readonly descriptor: Descriptor,
    readonly memory: Memory,
  ) {}

  /**
   * New zeroed memory of at least `size` bytes.
   * @param name what /proc/PID/maps shows.
   * @throws VdeError `EMFILE`, `ENOMEM`.
   */
  static create(name: string, size: number): SharedMemory {
    const subject = `shared memory ${name}`;
    const fd = check(memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), 'memfd_create', subject);
    const descriptor = new Descriptor(fd, subject);
    try {
      const whole = Math.max(GRANULE, Math.ceil(size / GRANULE) * GRANULE);
      check(ftruncate(fd, whole), 'ftruncate', subject);
      check(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 'fcntl', subject);
      return new SharedMemory(descriptor, mapShared(descriptor, whole));
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  /**
   * Memory that another process has made. Takes the descriptor over, also when it throws.
   * @param max most bytes to accept.
   * @throws VdeError `EINVAL` if its size is not sealed, is 0 or more than `max`.
   */
  static open(descriptor: Descriptor, max: number): SharedMemory {
    try {
      const seals = fcntl(descriptor.fd, F_GET_SEALS, 0);
      const { size } = fstatSync(descriptor.fd);
      if (seals < 0 || (seals & F_SEAL_SHRINK) === 0) throw refused(descriptor, 'its owner could shrink it');
      if (size === 0 || size > max) throw refused(descriptor, `${size} bytes, 1 to ${max} allowed`);
      return new SharedMemory(descriptor, mapShared(descriptor, size));
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  close(): void {
    this.descriptor.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function refused({ subject }: Descriptor, cause: string): VdeError {
  return new VdeError({ code: 'EINVAL', subject, cause: `shared memory refused: ${cause}` });
}
