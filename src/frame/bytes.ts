/**
 * Network-order integers in a `Uint8Array`, and the range check that every writer applies to a header field.
 *
 * Readers here do not check bounds themselves: each parser compares the length of what it was given with the length
 * its format needs once, before the first read. A read past the end of a typed array yields 0, never foreign memory.
 */

/** 16-bit big-endian integer at `at`. */
export function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

/** 32-bit big-endian unsigned integer at `at`. */
export function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}

/** Stores the low 16 bits of `value` at `at`, big-endian. */
export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Stores the low 32 bits of `value` at `at`, big-endian. */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** True if the two have the same length and bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * Asserts that a field fits its place in a header.
 * @throws RangeError unless `value` is an integer in [0, `max`]: a mistake of the calling program.
 */
export function checkField(name: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${name} must be an integer in [0, ${max}], not ${value}`);
  }
}

/**
 * Asserts that an address or option has the length that its format gives it.
 * @throws RangeError unless `bytes` is `length` octets long.
 */
export function checkLength(name: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`${name} must be ${length} octets, not ${bytes.length}`);
}
