/** What a descriptor gives to be seen as memory: mmap(2). */

import type { Descriptor } from './descriptor.js';
import { check, native, viewAt } from './ffi.js';
import { Memory } from './memory.js';

const mmap = native<
  (address: number, size: number, protection: number, flags: number, fd: number, offset: number) => number
>('long mmap(size_t address, size_t size, int protection, int flags, int fd, long offset)');
const munmap = native<(address: number, size: number) => number>('int munmap(size_t address, size_t size)');

const PROT_READ_WRITE = 1 | 2;
const MAP_SHARED = 1;

const mappings = new FinalizationRegistry<{ address: number; size: number }>(({ address, size }) => {
  munmap(address, size);
});

/**
 * Maps `size` bytes of a descriptor from `offset` on, to be read and written together with all others who map them. They
 * stay mapped as long as the memory is referenced, whether the descriptor is closed or not.
 * @throws VdeError `ENOMEM`, `EINVAL`, `EACCES`.
 */
export function mapShared(descriptor: Descriptor, size: number, offset = 0): Memory {
  const address = check(mmap(0, size, PROT_READ_WRITE, MAP_SHARED, descriptor.fd, offset), 'mmap', descriptor.subject);
  // Only whole 8-byte words can be seen; the mapping itself is of whole pages.
  const buffer = viewAt(address, size & ~7);
  mappings.register(buffer, { address, size });
  return new Memory(buffer);
}
