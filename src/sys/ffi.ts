/**
 * The one door to C: functions of the node binary itself, which carries libc and libuv (docs/design.md, "the kernel").
 *
 * Pointers are declared `size_t` and passed as plain numbers into memory of `memory.ts`: the fastest form, and one that
 * cannot be moved by the garbage collector. `ssize_t` is spelled `long` (LP64).
 */

import { createRequire } from 'node:module';
import type Koffi from 'koffi';
import { callError } from './errors.js';

// By `require`: as an ES module it takes twice as long to load, and every command waits for it.
const koffi: typeof Koffi = createRequire(import.meta.url)('koffi');
const self = koffi.load(null);

/** Binds a C function of the process by its prototype, e.g. `native<(fd: number) => number>('int close(int fd)')`. */
export function native<F extends (...args: never[]) => unknown>(prototype: string): F {
  return self.func(prototype) as unknown as F;
}

/** True if the process has a function of that name (newer libc and libuv calls). */
export function hasNative(prototype: string): boolean {
  try {
    self.func(prototype);
    return true;
  } catch {
    return false;
  }
}

/** The errno left by the last failed native call of this thread. */
export function errno(): number {
  return koffi.errno();
}

/**
 * Returns `result` if it is not negative.
 * @throws VdeError naming the call, its errno and `subject` otherwise.
 */
export function check(result: number, call: string, subject: string, remedy?: string): number {
  if (result < 0) throw callError(call, koffi.errno(), subject, remedy);
  return result;
}

/** The address of stable memory; only `memory.ts` may call this, on an `ArrayBuffer` made by itself or mapped. */
export function addressOf(buffer: ArrayBuffer): number {
  return Number(koffi.address(buffer));
}

/** The `size` bytes at an address that stays mapped, in place; only for memory that is not JavaScript's (`memfd.ts`). */
export function viewAt(address: number, size: number): ArrayBuffer {
  return koffi.view(address, size);
}

/** Registers a JavaScript function as a C callback for the life of the process; returns what C calls. */
export function callback(prototype: string, fn: (...args: never[]) => unknown): unknown {
  return koffi.register(fn as never, koffi.pointer(koffi.proto(prototype)));
}
