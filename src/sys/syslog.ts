/**
 * The system log: one datagram per line to the socket of the local daemon, in the form that `syslog(3)` sends (RFC 3164
 * section 4.1 without the host name): `<PRI>Mon DD HH:MM:SS ident: text`.
 *
 * Each line is sent to the path anew, so a daemon that restarts, or starts late, is found again. Nothing here waits or
 * fails: a missing, deaf or flooded daemon costs the line, not the program.
 */

import { check, native } from './ffi.js';
import { close } from './process.js';

const socket = native<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const sendto = native<
  (fd: number, data: Buffer, length: number, flags: number, address: Buffer, addressLength: number) => number
>('long sendto(int fd, const void *data, size_t length, int flags, const void *address, unsigned int addressLength)');

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;
/** Bytes of `sun_path`, its NUL included (unix(7)). */
const SUN_PATH = 108;
/** The longest message every receiver must take (RFC 3164 section 4.1). */
const MAX_LENGTH = 1024;
/** Facility user (1), by RFC 3164 section 4.1.1. */
const FACILITY_USER = 1 << 3;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** RFC 3164 severities, those in use. */
export const severity = { error: 3, warning: 4, notice: 5, info: 6, debug: 7 } as const;

/** An open way to the log. */
export interface Syslog {
  /** Sends one line; `level` is one of `severity`, by default `info`. */
  log(text: string, level?: number): void;
  close(): void;
}

/** Where and as whom to log. */
export interface SyslogOptions {
  /** What each line is prefixed with: the program's name. */
  ident: string;
  /** The daemon's datagram socket, by default `/dev/log`. */
  path?: string;
  /** The time to stamp lines with; by default the machine's, in its time zone. */
  now?: () => Date;
}

/** Opens the log. A path that nobody listens on is not an error. */
export function openSyslog({ ident, path = '/dev/log', now = () => new Date() }: SyslogOptions): Syslog {
  const address = socketAddress(path);
  let fd: number | undefined = address && check(socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), 'socket', path);
  return {
    log(text, level = severity.info) {
      if (fd === undefined || !address) return;
      const line = syslogLine(FACILITY_USER | (level & 7), now(), ident, text);
      sendto(fd, line, line.length, MSG_DONTWAIT_NOSIGNAL, address, address.length);
    },
    close() {
      if (fd !== undefined) close(fd);
      fd = undefined;
    },
  };
}

/** `struct sockaddr_un`, or undefined for a path that does not fit one. */
function socketAddress(path: string): Buffer | undefined {
  const name = Buffer.from(path);
  if (name.length >= SUN_PATH) return undefined;
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(AF_UNIX);
  name.copy(address, 2);
  return address;
}

/** The datagram for one line: day padded with a blank, control characters of `text` made visible, cut to 1024 bytes. */
function syslogLine(priority: number, time: Date, ident: string, text: string): Buffer {
  const two = (n: number) => String(n).padStart(2, '0');
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  const stamp = `${MONTHS[time.getMonth()]} ${String(time.getDate()).padStart(2)} ${clock}`;
  const visible = `${ident}: ${text}`.replace(
    /[\u0000-\u001f\u007f]/g,
    (ch) => `#${ch.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
  return Buffer.from(`<${priority}>${stamp} ${visible}`).subarray(0, MAX_LENGTH);
}
