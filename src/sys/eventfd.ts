/** eventfd(2): a 64-bit counter in the kernel that wakes whoever waits for it to be more than 0. */

import { Descriptor } from './descriptor.js';
import { callError, errnoNumber } from './errors.js';
import { check, native } from './ffi.js';
import { readTo, writeFrom } from './io.js';
import { Memory } from './memory.js';

const eventfdCall = native<(initial: number, flags: number) => number>('int eventfd(unsigned int initial, int flags)');
const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const EAGAIN = errnoNumber('EAGAIN');

const value = new Memory(8);

/** A counter that starts at 0. Its descriptor is readable while it is more, and can be given to another process. */
export class EventFd {
  readonly descriptor: Descriptor;

  /** @param descriptor one that was received; a new one by default. */
  constructor(descriptor?: Descriptor) {
    this.descriptor =
      descriptor ?? new Descriptor(check(eventfdCall(0, EFD_NONBLOCK | EFD_CLOEXEC), 'eventfd', 'eventfd'), 'eventfd');
  }

  /** Adds `count` (1 to 2^53 - 1). A counter that is full stays as it is: whoever waits is awake then. */
  signal(count = 1): void {
    value.setPointer(0, count);
    const n = writeFrom(this.descriptor.fd, value.address, 8);
    if (n < 0 && n !== -EAGAIN) throw callError('write', -n, this.descriptor.subject);
  }

  /** Sets the counter to 0 and returns what it was. */
  take(): number {
    const n = readTo(this.descriptor.fd, value.address, 8);
    if (n === -EAGAIN) return 0;
    if (n < 0) throw callError('read', -n, this.descriptor.subject);
    return Number(value.view.getBigUint64(0, true));
  }

  close(): void {
    this.descriptor.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
