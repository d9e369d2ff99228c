/** epoll(7): the set that holds every descriptor of ours. */

import { VdeError } from './errors.js';
import { check, native } from './ffi.js';
import { EPOLL_EVENT } from './layout.js';
import { Memory } from './memory.js';

export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLRDHUP = 0x2000;
export const EPOLLET = 0x8000_0000;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

const epollCreate1 = native<(flags: number) => number>('int epoll_create1(int flags)');
const epollCtl = native<(epfd: number, op: number, fd: number, event: number) => number>(
  'int epoll_ctl(int epfd, int op, int fd, size_t event)',
);
const epollWait = native<(epfd: number, events: number, max: number, timeout: number) => number>(
  'int epoll_wait(int epfd, size_t events, int max, int timeout)',
);
const close = native<(fd: number) => number>('int close(int fd)');

const EVENT_WORDS_PACKED = EPOLL_EVENT.size === 12;

/** One epoll set. Each descriptor in it carries a 32-bit `tag`, which comes back with its events. */
export class Epoll {
  readonly fd: number;
  readonly #request = new Memory(EPOLL_EVENT.size);
  readonly #ready: Memory;
  readonly #room: number;
  #closed = false;

  /** @param room how many ready descriptors one `wait` may return. */
  constructor(room = 64) {
    this.fd = check(epollCreate1(EPOLL_CLOEXEC), 'epoll_create1', 'epoll set');
    this.#room = room;
    this.#ready = new Memory(EPOLL_EVENT.size * room);
  }

  #control(op: number, call: string, fd: number, events: number, tag: number): void {
    this.#request.view.setUint32(EPOLL_EVENT.events, events >>> 0, true);
    this.#request.view.setUint32(EPOLL_EVENT.data, tag, true);
    check(epollCtl(this.fd, op, fd, this.#request.address), call, `descriptor ${fd}`);
  }

  add(fd: number, events: number, tag: number): void {
    this.#control(EPOLL_CTL_ADD, 'epoll_ctl add', fd, events, tag);
  }

  modify(fd: number, events: number, tag: number): void {
    this.#control(EPOLL_CTL_MOD, 'epoll_ctl mod', fd, events, tag);
  }

  remove(fd: number): void {
    this.#control(EPOLL_CTL_DEL, 'epoll_ctl del', fd, 0, 0);
  }

  /**
   * Waits up to `timeout` ms (0: not at all, -1: for ever) and returns how many are ready; 0 also if a signal came.
   * Their events and tags are read with `events(i)` and `tag(i)` until the next wait.
   */
  wait(timeout: number): number {
    return Math.max(0, epollWait(this.fd, this.#ready.address, this.#room, timeout));
  }

  events(index: number): number {
    if (EVENT_WORDS_PACKED) return this.#ready.words[index * 3];
    return this.#ready.words[index * 4];
  }

  tag(index: number): number {
    if (EVENT_WORDS_PACKED) return this.#ready.words[index * 3 + 1];
    return this.#ready.words[index * 4 + 2];
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.fd);
  }
}

/** Whether a descriptor can be in a set. Files and devices such as /dev/null cannot: they are always ready (EPERM). */
export function isWatchable(fd: number): boolean {
  const probe = new Epoll(1);
  try {
    probe.add(fd, 0, 0);
    return true;
  } catch (error) {
    if (error instanceof VdeError && error.code === 'EPERM') return false;
    throw error;
  } finally {
    probe.close();
  }
}
