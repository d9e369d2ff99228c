/** timerfd_create(2): a one-shot timer that an epoll set can wait for. */

import { Descriptor } from './descriptor.js';
import { check, native } from './ffi.js';
import { Memory } from './memory.js';

const timerfdCreate = native<(clock: number, flags: number) => number>('int timerfd_create(int clock, int flags)');
const timerfdSettime = native<(fd: number, flags: number, value: number, old: number) => number>(
  'int timerfd_settime(int fd, int flags, size_t value, size_t old)',
);

const CLOCK_MONOTONIC = 1;
const TFD_CLOEXEC = 0o2000000;
const TFD_NONBLOCK = 0o4000;
/** `struct itimerspec`: interval, then first expiry, each as seconds and nanoseconds. */
const FIRST = 16;

/** A timer that becomes readable when it expires. */
export class TimerFd {
  readonly #descriptor: Descriptor;
  readonly #setting = new Memory(32);

  constructor(subject: string) {
    const fd = check(timerfdCreate(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), 'timerfd_create', subject);
    this.#descriptor = new Descriptor(fd, subject);
  }

  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Lets it expire once, `ms` milliseconds from now (less than 1000); an earlier setting is forgotten. */
  set(ms: number): void {
    this.#setting.setPointer(FIRST + 8, Math.max(1, Math.round(ms * 1e6)));
    timerfdSettime(this.fd, 0, this.#setting.address, 0);
  }

  close(): void {
    this.#descriptor.close();
  }
}
