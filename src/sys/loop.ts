/**
 * One loop for the whole process (docs/design.md, "one process, one thread, one loop").
 *
 * Our descriptors sit in one epoll set. That set's own descriptor is watched by libuv, Node's loop, so that timers,
 * promises, web requests and forwarding interleave in one thread. When it fires we run rounds of `epoll_wait(0)` with a
 * budget and return.
 *
 * A wake-up through libuv costs about 2 µs, which one frame in flight would feel. So while nothing but the data path has
 * been busy we linger: our set takes libuv's own descriptor in (never the other way round at the same time, epoll sets
 * may not form a ring) and the process sleeps in our `epoll_wait` instead. A slice of lingering ends as soon as libuv
 * has something to do, when its next timer is due, and after `LINGER_MS` in any case. One timer descriptor ends the
 * slice: a timeout for each wait would cost some 3 µs each on a virtual machine, where setting a timer is an exit.
 *
 * Before it sleeps, a loop through which bulk data flows yields the CPU a few times and looks again: on a machine with
 * few cores those who make and take the data run meanwhile, and more is there at once. Sleeping and waking cost more.
 */

import { EPOLLET, EPOLLIN, Epoll } from './epoll.js';
import { VdeError } from './errors.js';
import { callback, check, native } from './ffi.js';
import { Memory } from './memory.js';
import { TimerFd } from './timerfd.js';

const UV_POLL = 8;
const UV_READABLE = 1;

const uvDefaultLoop = native<() => number>('size_t uv_default_loop()');
const uvHandleSize = native<(type: number) => number>('size_t uv_handle_size(int type)');
const uvPollInit = native<(loop: number, handle: number, fd: number) => number>(
  'int uv_poll_init(size_t loop, size_t handle, int fd)',
);
const pollCallback = 'void vde_poll_callback(size_t handle, int status, int events)';
const uvPollStop = native<(handle: number) => number>('int uv_poll_stop(size_t handle)');
const uvBackendFd = native<(loop: number) => number>('int uv_backend_fd(size_t loop)');
const uvBackendTimeout = native<(loop: number) => number>('int uv_backend_timeout(size_t loop)');
const schedYield = native<() => number>('int sched_yield()');
const uvUpdateTime = native<(loop: number) => void>('void uv_update_time(size_t loop)');

/** Returned by a handler that did nothing but move frames: no promise, timer or stream of Node's was touched. */
export const PURE = true;

/** Called with the epoll events that are ready. Returns `PURE` if it may be followed by lingering. */
export type Handler = (events: number) => boolean | undefined;

/** Rounds of `epoll_wait(0)` before timers and promises get their turn. */
const ROUNDS = 16;
/** Longest slice of lingering, in ms: the longest that a descriptor newly given to libuv can go unwatched. */
const LINGER_MS = 4;
const BACKEND_TAG = 0xffff_ffff;
const TIMER_TAG = 0xffff_fffe;
/** How often the CPU is yielded to others before sleeping while bulk data flows: for some 0.2 ms if nobody wants it. */
const BULK_YIELDS = 128;

/** A descriptor in the loop. `close` takes it out; the descriptor itself stays its owner's. */
export class Watch {
  #events: number;
  #closed = false;

  /** @internal made by `Loop.watch`. */
  constructor(
    private readonly loop: Loop,
    readonly fd: number,
    events: number,
    private readonly tag: number,
  ) {
    this.#events = events;
  }

  get events(): number {
    return this.#events;
  }

  /** Changes which events are waited for. */
  set events(events: number) {
    if (events === this.#events || this.#closed) return;
    this.#events = events;
    this.loop.epoll.modify(this.fd, events, this.tag);
  }

  /** Idempotent. Must come before the descriptor is closed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.loop.unwatch(this.fd, this.tag);
  }
}

/** The loop. Use the process's one, `loop()`. */
export class Loop {
  readonly epoll = new Epoll(128);
  readonly #handlers: (Handler | undefined)[] = [];
  readonly #freeTags: number[] = [];
  /** Tags released while a round is being worked off: reused only after it, so that stale events cannot hit a newcomer. */
  readonly #releasedTags: number[] = [];
  readonly #uvLoop = uvDefaultLoop();
  readonly #sliceTimer = new TimerFd('event loop');
  readonly #handle = new Memory(uvHandleSize(UV_POLL));
  readonly #backendFd = uvBackendFd(this.#uvLoop);
  readonly #onReadable: unknown;
  readonly #uvPollStart: (handle: number, events: number, callback: unknown) => number;
  /** Times that a handler did nothing but move frames: where it grows, frames flow. */
  frameEvents = 0;
  #watched = 0;
  #inRound = false;
  #lingering = false;
  #touched = false;
  #bulk = false;

  constructor() {
    check(uvPollInit(this.#uvLoop, this.#handle.address, this.epoll.fd), 'uv_poll_init', 'event loop');
    // Edge-triggered: an expiry shows once, and need not be read.
    this.epoll.add(this.#sliceTimer.fd, EPOLLIN | EPOLLET, TIMER_TAG);
    this.#onReadable = callback(pollCallback, () => this.#run());
    this.#uvPollStart = native('int uv_poll_start(size_t handle, int events, vde_poll_callback *callback)');
  }

  /** Puts a descriptor into the loop; as long as one is there the process stays alive. */
  watch(fd: number, events: number, handler: Handler): Watch {
    const tag = this.#freeTags.pop() ?? this.#handlers.length;
    this.epoll.add(fd, events, tag);
    this.#handlers[tag] = handler;
    if (this.#watched++ === 0 && !this.#lingering) this.#startPolling();
    return new Watch(this, fd, events, tag);
  }

  /** Keeps the process alive for something that no descriptor shows. Returns what lets go, once. */
  hold(): () => void {
    if (this.#watched++ === 0 && !this.#lingering) this.#startPolling();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#release();
    };
  }

  #release(): void {
    if (--this.#watched === 0 && !this.#lingering) uvPollStop(this.#handle.address);
  }

  /** @internal `Watch.close` calls it. */
  unwatch(fd: number, tag: number): void {
    this.epoll.remove(fd);
    this.#handlers[tag] = undefined;
    (this.#inRound ? this.#releasedTags : this.#freeTags).push(tag);
    this.#release();
  }

  /** Says that promises, timers or streams of Node's were touched: what is running is not pure, whatever it returns. */
  touch(): void {
    this.#touched = true;
  }

  /** Says that the running handler has moved much at once and that more is likely to come. */
  bulk(): void {
    this.#bulk = true;
  }

  #startPolling(): void {
    check(this.#uvPollStart(this.#handle.address, UV_READABLE, this.#onReadable), 'uv_poll_start', 'event loop');
  }

  #run(): void {
    try {
      let pure = true;
      for (let round = 0; round < ROUNDS; round++) {
        const ready = this.epoll.wait(0);
        if (ready === 0) break;
        if (!this.#dispatch(ready)) pure = false;
      }
      if (pure && this.#watched > 0) this.#linger();
    } catch (error) {
      // A C callback cannot carry an exception: raise it where Node handles uncaught ones.
      process.nextTick(() => {
        throw error;
      });
    }
  }

  /** Calls the handlers of one `wait`; true if all of them were pure. */
  #dispatch(ready: number): boolean {
    let pure = true;
    this.#touched = false;
    this.#inRound = true;
    try {
      for (let i = 0; i < ready; i++) {
        const tag = this.epoll.tag(i);
        if (tag >= TIMER_TAG) {
          // libuv has something to do, or the slice is over.
          pure = false;
          continue;
        }
        const handler = this.#handlers[tag];
        if (handler === undefined) continue;
        if (handler(this.epoll.events(i)) === PURE) this.frameEvents++;
        else pure = false;
      }
    } finally {
      this.#inRound = false;
      while (this.#releasedTags.length > 0) this.#freeTags.push(this.#releasedTags.pop() as number);
    }
    return pure && !this.#touched;
  }

  /** Waits until something is ready. */
  #wait(): number {
    if (this.#bulk) {
      this.#bulk = false;
      for (let i = 0; i < BULK_YIELDS; i++) {
        schedYield();
        const ready = this.epoll.wait(0);
        if (ready > 0) return ready;
      }
    }
    return this.epoll.wait(-1);
  }

  /** Takes libuv's set into ours. False if ours is still in that one: some versions let go of it a moment later. */
  #takeBackend(): boolean {
    try {
      this.epoll.add(this.#backendFd, EPOLLIN, BACKEND_TAG);
      return true;
    } catch (error) {
      if (error instanceof VdeError && error.code === 'ELOOP') return false;
      throw error;
    }
  }

  /** Sleeps in our own `epoll_wait` as long as only the data path is busy. */
  #linger(): void {
    uvUpdateTime(this.#uvLoop);
    const due = uvBackendTimeout(this.#uvLoop);
    if (due === 0) return;
    this.#sliceTimer.set(due < 0 ? LINGER_MS : Math.min(due, LINGER_MS));
    this.#lingering = true;
    uvPollStop(this.#handle.address);
    let taken = false;
    try {
      taken = this.#takeBackend();
      if (!taken) return;
      do {
        const ready = this.#wait();
        if (ready > 0 && !this.#dispatch(ready)) break;
      } while (this.#watched > 0);
    } finally {
      if (taken) this.epoll.remove(this.#backendFd);
      this.#lingering = false;
      if (this.#watched > 0) this.#startPolling();
    }
  }
}

let instance: Loop | undefined;

/** The process's loop, made at first use. */
export function loop(): Loop {
  instance ??= new Loop();
  return instance;
}
