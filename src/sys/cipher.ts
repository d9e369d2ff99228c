/**
 * Ciphers at addresses: a key is set up once, and then a call encrypts or decrypts bytes where they lie, in stable memory.
 * This is what they do; `ciphers.ts` makes them.
 */

import { VdeError } from './errors.js';

/** Stable memory as JavaScript and as C see it: a `Memory`, or the slab of a burst. */
export interface StableBytes {
  readonly bytes: Uint8Array;
  /** Address of a byte. */
  addressAt(offset: number): number;
}

/** Bytes of an AES block. */
export const BLOCK = 16;
/** Bytes of an AEAD's nonce and of its tag (RFC 5116 section 5, RFC 8439 section 2.8). */
export const NONCE = 12;
export const TAG = 16;

export type Direction = 'encrypt' | 'decrypt';
/** AES-128 without padding (FIPS 197, NIST SP 800-38A). */
export type BlockMode = 'aes-128-ecb' | 'aes-128-cbc';
/** NIST SP 800-38D, RFC 8439. */
export type AeadAlgorithm = 'aes-256-gcm' | 'chacha20-poly1305';

/** Bytes of a key. */
export const KEY_LENGTH: Readonly<Record<BlockMode | AeadAlgorithm, number>> = {
  'aes-128-ecb': 16,
  'aes-128-cbc': 16,
  'aes-256-gcm': 32,
  'chacha20-poly1305': 32,
};

/** In CBC each block is chained to the one before, also to the last of the call before; the first to one of zeros. */
export interface BlockCipher {
  /**
   * Encrypts or decrypts whole blocks from one place to another, which is the same or does not overlap it.
   * @param length in bytes, a multiple of 16.
   */
  update(from: StableBytes, at: number, length: number, to: StableBytes, toAt: number): void;
  /** Forgets the key. Idempotent. */
  close(): void;
}

/** One direction of an AEAD. */
export interface Aead {
  /** Of the next message, 12 bytes: to be set before each. */
  readonly nonce: Uint8Array;
  /** Changes the key, of 32 bytes. */
  setKey(key: Uint8Array): void;
  /** Encrypts the bytes from `text` to `end` in place and authenticates all from `start` on. The tag goes behind them. */
  seal(frame: StableBytes, start: number, text: number, end: number): void;
  /**
   * Decrypts the bytes from `text` to `end`, where the tag is, to another place.
   * @returns false if they or those from `start` on are not authentic: then what lies at `to` is worthless.
   */
  open(frame: StableBytes, start: number, text: number, end: number, to: StableBytes, toAt: number): boolean;
  /** Forgets the key. Idempotent. */
  close(): void;
}

/** Who makes ciphers. Each is its caller's to close. */
export interface CipherLibrary {
  /** @throws VdeError `ENOTSUP` where OpenSSL does not have it, `EINVAL` for a key of another length. */
  block(mode: BlockMode, direction: Direction, key: Uint8Array): BlockCipher;
  /** @throws VdeError as `block`. */
  aead(algorithm: AeadAlgorithm, direction: Direction, key: Uint8Array): Aead;
}

/** What a cipher that cannot be had, or is misused, fails with. */
export function cipherError(code: string, algorithm: string, cause: string): VdeError {
  return new VdeError({ code, subject: algorithm, cause });
}

/** @throws VdeError `EINVAL` unless a key has the length that the algorithm takes. */
export function checkKey(algorithm: BlockMode | AeadAlgorithm, key: Uint8Array): void {
  const { length } = key;
  if (length === KEY_LENGTH[algorithm]) return;
  throw cipherError('EINVAL', algorithm, `a key of ${length} bytes, not ${KEY_LENGTH[algorithm]}`);
}

/** @throws VdeError `EINVAL` unless a length is that of whole blocks. */
export function checkBlocks(mode: BlockMode, length: number): void {
  if (length % BLOCK !== 0) throw cipherError('EINVAL', mode, `${length} bytes are no whole blocks`);
}
