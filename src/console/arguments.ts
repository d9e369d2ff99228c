/**
 * Arguments of console commands, read as the C library reads them (atoi(3), scanf(3)), since scripts rely on that:
 * leading blanks and a sign are taken, what follows the number is ignored. Numbers beyond 32 bits become the nearest
 * that has them rather than another.
 */

import { consoleError } from './command-table.js';

const INT_MIN = -2_147_483_648;
const INT_MAX = 2_147_483_647;

function clamp(number: number): number {
  return Math.max(INT_MIN, Math.min(INT_MAX, number));
}

/** `atoi`: leading blanks, a sign, digits; anything else is 0. */
export function leadingInteger(text: string): number {
  const digits = /^[ \t\r\n\v\f]*([+-]?\d+)/.exec(text);
  return digits ? clamp(Number(digits[1])) : 0;
}

const INTEGER = /[ \t\r\n\v\f]*([+-]?)(0[xX][\da-fA-F]+|0[0-7]*|[1-9]\d*)/y;

/** Reads one integer as `%i` does: decimal, `0x` hexadecimal or `0` octal. Undefined if there is none at `at`. */
function scanInteger(text: string, at: number): { value: number; end: number } | undefined {
  INTEGER.lastIndex = at;
  const match = INTEGER.exec(text);
  if (match === null) return undefined;
  const [, sign, digits] = match;
  const octal = /^0[0-7]+$/.test(digits);
  const magnitude = octal ? Number.parseInt(digits, 8) : Number(digits);
  return { value: clamp(sign === '-' ? -magnitude : magnitude), end: INTEGER.lastIndex };
}

/**
 * `count` integers separated by blanks.
 * @throws VdeError EINVAL if there are fewer.
 */
export function integers(text: string, count: number): number[] {
  const values: number[] = [];
  let at = 0;
  while (values.length < count) {
    const next = scanInteger(text, at);
    if (next === undefined) throw consoleError('EINVAL');
    values.push(next.value);
    at = next.end;
  }
  return values;
}

/**
 * An integer and the words behind it, which may be empty. Letters that follow the digits at once are ignored.
 * @throws VdeError EINVAL if there is no integer.
 */
export function integerAndRest(text: string): { value: number; rest: string } {
  const first = scanInteger(text, 0);
  if (first === undefined) throw consoleError('EINVAL');
  return { value: first.value, rest: text.slice(first.end).replace(/^[^ \t]*[ \t]*/, '') };
}

/** Digits for a table: at least `width`, with leading zeros. */
export function padded(number: number, width = 4): string {
  return String(number).padStart(width, '0');
}

/** Somebody else's text in a line of ours: it must not look like other lines or drive a terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
