/**
 * Many datagrams in one go: io_uring(7).
 *
 * Between two messages `sendmmsg` lets others have the CPU. A receiver on the same CPU is woken by the first message, takes
 * it and sleeps again, is woken by the second, and so on: a burst of 64 frames costs up to 64 pairs of context switches.
 * Messages submitted to a ring go out without such a pause, and the receiver finds all of them at once.
 *
 * Nothing ever waits in the ring: when `send` returns, each message has been sent or has failed. Where the kernel has no
 * ring for us (before Linux 5.17, in most containers), or VDE_IO_URING is 0 in the environment, there is none.
 */

import { Descriptor } from './descriptor.js';
import { errnoNumber, VdeError } from './errors.js';
import { check, native } from './ffi.js';
import { MSG_DONTWAIT, MSG_NOSIGNAL } from './io.js';
import { IO_URING_CQE, IO_URING_PARAMS, IO_URING_SQE } from './layout.js';
import { mapShared } from './mapping.js';
import { Memory } from './memory.js';

// The C library has no names for these; their numbers are the same on every architecture.
const syscall2 = native<(number: number, entries: number, params: number) => number>(
  'long syscall(long number, size_t entries, size_t params)',
);
const syscall6 = native<
  (number: number, fd: number, submit: number, wait: number, flags: number, signals: number, size: number) => number
>('long syscall(long number, size_t fd, size_t submit, size_t wait, size_t flags, size_t signals, size_t size)');
const IO_URING_SETUP = 425;
const IO_URING_ENTER = 426;

const IORING_FEAT_SINGLE_MMAP = 1 << 0;
const IORING_FEAT_CQE_SKIP = 1 << 11;
const IORING_OFF_SQES = 0x1000_0000;
const IORING_OP_SENDMSG = 9;
const IORING_OP_SEND = 26;
/** A message that went leaves no completion behind. */
const IOSQE_CQE_SKIP_SUCCESS = 1 << 6;

const SQE_WORDS = IO_URING_SQE.size / 4;
const FD_WORD = IO_URING_SQE.fd / 4;
const LENGTH_WORD = IO_URING_SQE.length / 4;
const CQE_WORDS = IO_URING_CQE.size / 4;

const EAGAIN = errnoNumber('EAGAIN');

/** Most messages of one `send`. */
export const RING_MESSAGES = 128;

/** See the head of this file. Use the process's one, `sendRing()`. */
export class SendRing {
  readonly #ring: Descriptor;
  /** The rings, of submissions and of completions; then the words at which their fields lie. */
  readonly #words: Uint32Array;
  readonly #submissionHead: number;
  readonly #submissionTail: number;
  readonly #submissionMask: number;
  readonly #submissionArray: number;
  readonly #completionHead: number;
  readonly #completionTail: number;
  readonly #completionMask: number;
  readonly #completions: number;
  readonly #entries: Memory;
  /** Of the last `send`: which messages failed, and their errno. */
  readonly failed = new Uint32Array(RING_MESSAGES);
  readonly errnos = new Uint32Array(RING_MESSAGES);

  /** @throws VdeError if the kernel has no such ring for this process. */
  constructor() {
    const params = new Memory(IO_URING_PARAMS.size);
    const fd = check(syscall2(IO_URING_SETUP, RING_MESSAGES, params.address), 'io_uring_setup', 'ring');
    this.#ring = new Descriptor(fd, 'ring');
    const field = (offset: number) => params.words[offset / 4];
    try {
      const needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_CQE_SKIP;
      if ((field(IO_URING_PARAMS.features) & needed) !== needed) {
        throw new VdeError({ code: 'ENOSYS', subject: 'ring', cause: 'this kernel completes every message' });
      }
      const size = Math.max(
        field(IO_URING_PARAMS.completions) + field(IO_URING_PARAMS.completionEntries) * IO_URING_CQE.size,
        field(IO_URING_PARAMS.submissionArray) + field(IO_URING_PARAMS.submissionEntries) * 4,
      );
      this.#words = mapShared(this.#ring, size).words;
      this.#entries = mapShared(this.#ring, RING_MESSAGES * IO_URING_SQE.size, IORING_OFF_SQES);
    } catch (error) {
      this.#ring.close();
      throw error;
    }
    const word = (offset: number) => field(offset) / 4;
    this.#submissionHead = word(IO_URING_PARAMS.submissionHead);
    this.#submissionTail = word(IO_URING_PARAMS.submissionTail);
    this.#submissionMask = this.#words[word(IO_URING_PARAMS.submissionMask)];
    this.#submissionArray = word(IO_URING_PARAMS.submissionArray);
    this.#completionHead = word(IO_URING_PARAMS.completionHead);
    this.#completionTail = word(IO_URING_PARAMS.completionTail);
    this.#completionMask = this.#words[word(IO_URING_PARAMS.completionMask)];
    this.#completions = word(IO_URING_PARAMS.completions);
    const { bytes, words } = this.#entries;
    for (let i = 0; i < RING_MESSAGES; i++) {
      const at = i * IO_URING_SQE.size;
      bytes[at + IO_URING_SQE.flags] = IOSQE_CQE_SKIP_SUCCESS;
      words[(at + IO_URING_SQE.messageFlags) / 4] = MSG_DONTWAIT | MSG_NOSIGNAL;
      words[(at + IO_URING_SQE.userData) / 4] = i;
    }
  }

  /** Message i is the `length` bytes at `address`. */
  set(i: number, address: number, length: number): void {
    this.#entries.bytes[i * IO_URING_SQE.size] = IORING_OP_SEND;
    this.#point(i, address, length);
  }

  /** Message i is what the `struct msghdr` at `address` says (`SendVector.header`). */
  setMessage(i: number, address: number): void {
    this.#entries.bytes[i * IO_URING_SQE.size] = IORING_OP_SENDMSG;
    this.#point(i, address, 1);
  }

  #point(i: number, address: number, length: number): void {
    this.#entries.setPointer(i * IO_URING_SQE.size + IO_URING_SQE.address, address);
    this.#entries.words[i * SQE_WORDS + LENGTH_WORD] = length;
  }

  /**
   * Sends messages 0 to `count - 1` without waiting. Each is tried, whatever becomes of those before it.
   * @returns how many failed: `failed` and `errnos` say which, in order, and why.
   */
  send(fd: number, count: number): number {
    const words = this.#words;
    const entries = this.#entries.words;
    const tail = words[this.#submissionTail];
    for (let i = 0; i < count; i++) {
      entries[i * SQE_WORDS + FD_WORD] = fd;
      words[this.#submissionArray + ((tail + i) & this.#submissionMask)] = i;
    }
    words[this.#submissionTail] = (tail + count) >>> 0;
    const taken = Math.max(0, syscall6(IO_URING_ENTER, this.#ring.fd, count, 0, 0, 0, 0));
    let failures = 0;
    let head = words[this.#completionHead];
    for (; head !== words[this.#completionTail]; head = (head + 1) >>> 0) {
      const at = this.#completions + (head & this.#completionMask) * CQE_WORDS;
      this.failed[failures] = words[at];
      this.errnos[failures++] = -(words[at + IO_URING_CQE.result / 4] | 0);
    }
    words[this.#completionHead] = head;
    if (taken < count) {
      // The kernel has no memory at the moment: what it did not look at is taken back.
      words[this.#submissionTail] = words[this.#submissionHead];
      for (let i = taken; i < count; i++) {
        this.failed[failures] = i;
        this.errnos[failures++] = EAGAIN;
      }
    }
    return failures;
  }
}

let ring: SendRing | undefined | null;

/** The process's ring, made at first use; undefined where there can be none. */
export function sendRing(): SendRing | undefined {
  if (ring === undefined) {
    try {
      ring = process.env.VDE_IO_URING === '0' ? null : new SendRing();
    } catch (error) {
      if (!(error instanceof VdeError)) throw error;
      ring = null;
    }
  }
  return ring ?? undefined;
}
