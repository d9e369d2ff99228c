/**
 * Many datagrams in one go: io_uring(7).
 *
 * Between two messages `sendmmsg` lets others have the CPU. A receiver on the same CPU is woken by the first message, takes
 * it and sleeps again, is woken by the second, and so on: a burst of 64 frames costs up to 64 pairs of context switches.
 * Messages submitted to a ring go out without such a pause, and the receiver finds all of them at once. Receiving is alike:
 * `recvmmsg` lets the sender have the CPU after each message that it takes.
 *
 * Nothing ever waits in a ring: when a call returns, each message has been sent or received, or has failed. Where the kernel has no
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
const IORING_OP_RECV = 27;
/** A message that went leaves no completion behind. */
const IOSQE_CQE_SKIP_SUCCESS = 1 << 6;

const SQE_WORDS = IO_URING_SQE.size / 4;
const FD_WORD = IO_URING_SQE.fd / 4;
const LENGTH_WORD = IO_URING_SQE.length / 4;
const CQE_WORDS = IO_URING_CQE.size / 4;
const RESULT_WORD = IO_URING_CQE.result / 4;

const EAGAIN = errnoNumber('EAGAIN');

/** Most messages of one call. */
export const RING_MESSAGES = 128;

/** The rings of submissions and completions, and the entries of the first, one for each message of a call. */
abstract class Ring {
  readonly #ring: Descriptor;
  /** The rings; then the words at which their fields lie. */
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

  /** @throws VdeError if the kernel has no such ring for this process. */
  constructor(messages: number, messageFlags: number, entryFlags: number) {
    const params = new Memory(IO_URING_PARAMS.size);
    const fd = check(syscall2(IO_URING_SETUP, messages, params.address), 'io_uring_setup', 'ring');
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
      this.#entries = mapShared(this.#ring, messages * IO_URING_SQE.size, IORING_OFF_SQES);
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
    for (let i = 0; i < messages; i++) {
      const at = i * IO_URING_SQE.size;
      bytes[at + IO_URING_SQE.flags] = entryFlags;
      words[(at + IO_URING_SQE.messageFlags) / 4] = messageFlags;
      words[(at + IO_URING_SQE.userData) / 4] = i;
    }
  }

  /** Message i has `length` bytes at `address`. */
  protected point(i: number, operation: number, address: number, length: number): void {
    this.#entries.bytes[i * IO_URING_SQE.size] = operation;
    this.#entries.setPointer(i * IO_URING_SQE.size + IO_URING_SQE.address, address);
    this.#entries.words[i * SQE_WORDS + LENGTH_WORD] = length;
  }

  /** Has the kernel work off messages 0 to `count - 1`; `completed` is called with what it says of them. */
  protected submit(fd: number, count: number): void {
    const words = this.#words;
    const entries = this.#entries.words;
    const tail = words[this.#submissionTail];
    for (let i = 0; i < count; i++) {
      entries[i * SQE_WORDS + FD_WORD] = fd;
      words[this.#submissionArray + ((tail + i) & this.#submissionMask)] = i;
    }
    words[this.#submissionTail] = (tail + count) >>> 0;
    const taken = Math.max(0, syscall6(IO_URING_ENTER, this.#ring.fd, count, 0, 0, 0, 0));
    let head = words[this.#completionHead];
    for (; head !== words[this.#completionTail]; head = (head + 1) >>> 0) {
      const at = this.#completions + (head & this.#completionMask) * CQE_WORDS;
      this.completed(words[at], words[at + RESULT_WORD] | 0);
    }
    words[this.#completionHead] = head;
    if (taken < count) {
      // The kernel has no memory at the moment: what it did not look at is taken back.
      words[this.#submissionTail] = words[this.#submissionHead];
      for (let i = taken; i < count; i++) this.completed(i, -EAGAIN);
    }
  }

  /** Message i has had this result: bytes, or minus an errno. */
  protected abstract completed(i: number, result: number): void;
}

/** Sends. Use the process's one, `sendRing()`. */
export class SendRing extends Ring {
  /** Of the last `send`: which messages failed, and their errno. */
  readonly failed = new Uint32Array(RING_MESSAGES);
  readonly errnos = new Uint32Array(RING_MESSAGES);
  #failures = 0;

  /** @throws VdeError if the kernel has no such ring for this process. */
  constructor() {
    super(RING_MESSAGES, MSG_DONTWAIT | MSG_NOSIGNAL, IOSQE_CQE_SKIP_SUCCESS);
  }

  /** Message i is the `length` bytes at `address`. */
  set(i: number, address: number, length: number): void {
    this.point(i, IORING_OP_SEND, address, length);
  }

  /** Message i is what the `struct msghdr` at `address` says (`SendVector.header`). */
  setMessage(i: number, address: number): void {
    this.point(i, IORING_OP_SENDMSG, address, 1);
  }

  /**
   * Sends messages 0 to `count - 1` without waiting. Each is tried, whatever becomes of those before it.
   * @returns how many failed: `failed` and `errnos` say which, in order, and why.
   */
  send(fd: number, count: number): number {
    this.#failures = 0;
    this.submit(fd, count);
    return this.#failures;
  }

  protected override completed(i: number, result: number): void {
    this.failed[this.#failures] = i;
    this.errnos[this.#failures++] = -result;
  }
}

/** Receives: message i goes to `address + i * stride`, at most `room` bytes of it. Get it from `receiveRing`. */
export class ReceiveRing extends Ring {
  readonly #count: number;
  readonly #results: Int32Array;
  #end = 0;
  /** Of the last `receive`: the first error, as errno, other than that no message was there; 0 if there was none. */
  errno = 0;

  /** @throws VdeError if the kernel has no such ring for this process. */
  constructor(address: number, stride: number, room: number, count: number) {
    super(count, MSG_DONTWAIT, 0);
    this.#count = count;
    this.#results = new Int32Array(count);
    for (let i = 0; i < count; i++) this.point(i, IORING_OP_RECV, address + i * stride, room);
  }

  /**
   * Receives without waiting. Costs as much when little is there: for who expects many.
   * @returns the number of the last message that came, plus 1; those before it may be missing (`length` is -1).
   */
  receive(fd: number): number {
    this.#end = this.errno = 0;
    this.submit(fd, this.#count);
    return this.#end;
  }

  protected override completed(i: number, result: number): void {
    this.#results[i] = result;
    if (result >= 0) this.#end = Math.max(this.#end, i + 1);
    else if (result !== -EAGAIN && this.errno === 0) this.errno = -result;
  }

  /** Bytes of message i that were stored; -1 if there is none. */
  length(i: number): number {
    return Math.max(-1, this.#results[i]);
  }
}

/** Makes a ring when it is first asked for, and none where there can be none. */
function whenNeeded<R extends Ring>(make: () => R): () => R | undefined {
  let ring: R | undefined | null;
  return () => {
    if (ring === undefined) {
      try {
        ring = process.env.VDE_IO_URING === '0' ? null : make();
      } catch (error) {
        if (!(error instanceof VdeError)) throw error;
        ring = null;
      }
    }
    return ring ?? undefined;
  };
}

/** The process's ring that sends, made at first use; undefined where there can be none. */
export const sendRing = whenNeeded(() => new SendRing());

/**
 * A ring that receives, made at the first call of what is returned; undefined where there can be none. Arguments: as of
 * `ReceiveVector`.
 */
export function receiveRing(address: number, stride: number, room: number, count: number) {
  return whenNeeded(() => new ReceiveRing(address, stride, room, count));
}
