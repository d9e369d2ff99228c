/**
 * Errors as values with names (docs/design.md, "errors").
 *
 * Whatever goes wrong for a reason outside this program is a `VdeError`: it names the thing (a locator, a path, an
 * option), the cause and the remedy, so that a command can print it as one line and a program can switch on `code`.
 */

import { constants } from 'node:os';

/** What a `VdeError` is made of. */
export interface VdeErrorDetails {
  /** Stable name for programs: a kernel errno name (`ENOENT`) or one of ours (`EMALFORMED`, `EUNKNOWNSCHEME`, ...). */
  code: string;
  /** The thing the error is about: a locator, a path, an option. */
  subject: string;
  /** What is wrong with it, without the subject and without a full stop. */
  cause: string;
  /** What the user can do about it. */
  remedy?: string;
  /** The system call that failed, if one did. */
  call?: string;
  /** The errno that it failed with. */
  errno?: number;
}

/** An error that a user or a calling program can act on. `message` is one line: subject, cause, remedy. */
export class VdeError extends Error {
  override readonly name = 'VdeError';
  readonly code: string;
  readonly subject: string;
  readonly reason: string;
  readonly remedy: string | undefined;
  readonly call: string | undefined;
  readonly errno: number | undefined;

  constructor(details: VdeErrorDetails, options?: { cause?: unknown }) {
    const { subject, cause, remedy } = details;
    super(oneLine(`${subject}: ${cause}${remedy ? ` (${remedy})` : ''}`), options);
    this.code = details.code;
    this.subject = subject;
    this.reason = cause;
    this.remedy = remedy;
    this.call = details.call;
    this.errno = details.errno;
  }
}

/** Control characters would let a hostile name forge lines or drive a terminal. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Linux's numbers (asm-generic, so x86-64 and arm64 alike) that Node does not name. */
const MORE_ERRNOS = { EBADFD: 77, EUSERS: 87, ESOCKTNOSUPPORT: 94, ESHUTDOWN: 108, EHOSTDOWN: 112, EREMOTEIO: 121 };

const ERRNO_NUMBERS: Readonly<Record<string, number>> = { ...constants.errno, ...MORE_ERRNOS };

/** errno number -> its name, e.g. 2 -> `ENOENT` (this machine's numbers). Of two names the first: EAGAIN, ENOTSUP. */
export const ERRNO_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(ERRNO_NUMBERS)
    .map(([name, number]): [number, string] => [number, name])
    .reverse(),
);

/** errno name -> number; throws a plain `Error` for a name that this platform does not have. */
export function errnoNumber(name: string): number {
  const number = ERRNO_NUMBERS[name];
  if (number === undefined) throw new Error(`no errno called ${name}`);
  return number;
}

/** glibc's sentences, where users or scripts meet them; anything else is shown by its name. */
const ERRNO_TEXTS: Record<string, string> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  ESRCH: 'No such process',
  EINTR: 'Interrupted system call',
  EIO: 'Input/output error',
  ENXIO: 'No such device or address',
  EBADF: 'Bad file descriptor',
  EAGAIN: 'Resource temporarily unavailable',
  ENOMEM: 'Cannot allocate memory',
  EACCES: 'Permission denied',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  ENODEV: 'No such device',
  ENOTDIR: 'Not a directory',
  EISDIR: 'Is a directory',
  EINVAL: 'Invalid argument',
  ENFILE: 'Too many open files in system',
  EMFILE: 'Too many open files',
  ENOTTY: 'Inappropriate ioctl for device',
  EFBIG: 'File too large',
  ENOSPC: 'No space left on device',
  EROFS: 'Read-only file system',
  EPIPE: 'Broken pipe',
  ENAMETOOLONG: 'File name too long',
  ENOSYS: 'Function not implemented',
  ENOTEMPTY: 'Directory not empty',
  ELOOP: 'Too many levels of symbolic links',
  EBADFD: 'File descriptor in bad state',
  ENOTSOCK: 'Socket operation on non-socket',
  EMSGSIZE: 'Message too long',
  EPROTOTYPE: 'Protocol wrong type for socket',
  EPROTONOSUPPORT: 'Protocol not supported',
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  ENETDOWN: 'Network is down',
  ENETUNREACH: 'Network is unreachable',
  ECONNRESET: 'Connection reset by peer',
  ENOBUFS: 'No buffer space available',
  EISCONN: 'Transport endpoint is already connected',
  ENOTCONN: 'Transport endpoint is not connected',
  ETIMEDOUT: 'Connection timed out',
  ECONNREFUSED: 'Connection refused',
};

/** The sentence for an errno number, as `strerror` gives it. */
export function errnoText(errno: number): string {
  const name = ERRNO_NAMES.get(errno);
  return (name && ERRNO_TEXTS[name]) ?? name ?? `Unknown error ${errno}`;
}

/** A failed system call as a `VdeError`. `subject` is what it was applied to. */
export function callError(call: string, errno: number, subject: string, remedy?: string): VdeError {
  return new VdeError({
    code: ERRNO_NAMES.get(errno) ?? `E${errno}`,
    subject,
    cause: errnoText(errno),
    remedy,
    call,
    errno,
  });
}

/**
 * Why node could not start a program, as execvp(3) says it: node tells of some reasons by an event and of others, such as
 * ENOTDIR and E2BIG, at once, and has an error of its own for an empty name.
 * @param file the program's name.
 * @param subject what the error is about, if not the program by its name.
 */
export function execError(error: unknown, file: string, remedy?: string, subject = file): VdeError {
  const { errno } = error as NodeJS.ErrnoException;
  if (errno === undefined && file !== '') return fromNodeError(error, subject, remedy);
  return callError('execvp', Math.abs(errno ?? constants.errno.ENOENT), subject, remedy);
}

/** An error thrown by Node (`fs`, `child_process`, ...) as a `VdeError`; anything already ours is passed through. */
export function fromNodeError(error: unknown, subject: string, remedy?: string): VdeError {
  if (error instanceof VdeError) return error;
  const { code, errno, syscall } = error as NodeJS.ErrnoException;
  if (typeof errno === 'number') return callError(syscall ?? 'call', Math.abs(errno), subject, remedy);
  return new VdeError({ code: code ?? 'EFAIL', subject, cause: (error as Error).message, remedy }, { cause: error });
}
