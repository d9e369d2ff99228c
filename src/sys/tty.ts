/**
 * Serial lines (termios(3), ioctl_tty(2)): raw bytes at any speed, by `struct termios2`, which takes a speed as a number.
 */

import type { Descriptor } from './descriptor.js';
import { callError, errnoNumber, VdeError } from './errors.js';
import { errno, native } from './ffi.js';
import { Memory } from './memory.js';

const ioctl = native<(fd: number, request: number, argument: number) => number>(
  'int ioctl(int fd, unsigned long request, size_t argument)',
);

const TCFLSH = 0x540b;
const TIOCOUTQ = 0x5411;
const TCGETS2 = 0x802c542a;
const TCSETS2 = 0x402c542b;
const TCIOFLUSH = 2;

/** `struct termios2` (`asm-generic/termbits.h`). */
const TERMIOS2 = { size: 44, input: 0, output: 4, control: 8, local: 12, chars: 17, inputSpeed: 36, outputSpeed: 40 };
/** Indices of `c_cc`. */
const VTIME = 5;
const VMIN = 6;

const CS8 = 0o60;
const CREAD = 0o200;
const CLOCAL = 0o4000;
/** The speed is the number in `c_ospeed`; the input's is the same if its own bits are 0. */
const BOTHER = 0o10000;
/** Speeds that have a code of their own, by which programs that know only those show them. */
const CODES: ReadonlyMap<number, number> = new Map([
  ...[9600, 19200, 38400].map((speed, i) => [speed, 0o15 + i] as const),
  ...[
    ...[57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000],
    ...[3500000, 4000000],
  ].map((speed, i) => [speed, 0o10001 + i] as const),
]);

/** How a terminal was set up, for `restoreTerminal`. */
export type TerminalState = Memory;

/**
 * Makes a terminal a serial line of 8 bits, no parity, 1 stop bit, without flow control, modem lines or any treatment of
 * what passes.
 * @param speed in bits per second.
 * @returns how it was set up before.
 * @throws VdeError `ENOTTY` if it is no terminal, `EINVAL` if it does not have that speed.
 */
export function makeSerialLine(tty: Descriptor, speed: number): TerminalState {
  const before = getState(tty);
  const state = new Memory(TERMIOS2.size);
  state.bytes.set(before.bytes);
  const { view } = state;
  view.setUint32(TERMIOS2.input, 0, true);
  view.setUint32(TERMIOS2.output, 0, true);
  view.setUint32(TERMIOS2.local, 0, true);
  view.setUint32(TERMIOS2.control, CS8 | CREAD | CLOCAL | (CODES.get(speed) ?? BOTHER), true);
  view.setUint32(TERMIOS2.inputSpeed, speed, true);
  view.setUint32(TERMIOS2.outputSpeed, speed, true);
  view.setUint8(TERMIOS2.chars + VMIN, 1);
  view.setUint8(TERMIOS2.chars + VTIME, 0);
  if (ioctl(tty.fd, TCSETS2, state.address) < 0) throw callError('TCSETS2', errno(), tty.subject);
  const now = terminalSpeed(tty);
  // A driver that cannot do a speed keeps another and says nothing. Three per cent is what a UART bears.
  if (Math.abs(now - speed) <= speed * 0.03) return before;
  restoreTerminal(tty, before);
  throw new VdeError({
    code: 'EINVAL',
    subject: tty.subject,
    cause: `the line cannot do ${speed} bits per second`,
    remedy: `the nearest that it has is ${now}`,
  });
}

function getState(tty: Descriptor): Memory {
  const state = new Memory(TERMIOS2.size);
  if (ioctl(tty.fd, TCGETS2, state.address) >= 0) return state;
  const error = errno();
  throw callError('TCGETS2', error, tty.subject, error === errnoNumber('ENOTTY') ? 'it is no serial line' : undefined);
}

/** Bits per second that a terminal sends at. */
export function terminalSpeed(tty: Descriptor): number {
  return getState(tty).view.getUint32(TERMIOS2.outputSpeed, true);
}

/** Sets a terminal up as it was; nothing happens if it is gone. */
export function restoreTerminal(tty: Descriptor, state: TerminalState): void {
  ioctl(tty.fd, TCSETS2, state.address);
}

/** Bytes that a terminal has still to send; 0 if unknown. */
export function unsentBytes(tty: Descriptor): number {
  const count = new Memory(8);
  return ioctl(tty.fd, TIOCOUTQ, count.address) < 0 ? 0 : count.view.getInt32(0, true);
}

/** Throws away what waits in a terminal, both ways: closing one that still sends would wait for it. */
export function discardBytes(tty: Descriptor): void {
  ioctl(tty.fd, TCFLSH, TCIOFLUSH);
}
