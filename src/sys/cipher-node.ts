/** Ciphers by `node:crypto`, for a node whose OpenSSL cannot be called directly: the same results, more slowly. */

import {
  type Cipher,
  type CipherGCM,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type Decipher,
  type DecipherGCM,
  getCipherInfo,
  type KeyObject,
} from 'node:crypto';
import {
  type Aead,
  type AeadAlgorithm,
  BLOCK,
  type BlockCipher,
  type BlockMode,
  type CipherLibrary,
  checkBlocks,
  checkKey,
  cipherError,
  type Direction,
  NONCE,
  type StableBytes,
  TAG,
} from './cipher.js';

function checkKnown(algorithm: BlockMode | AeadAlgorithm): void {
  if (getCipherInfo(algorithm) === undefined) throw cipherError('ENOTSUP', algorithm, 'OpenSSL does not have it');
}

function closed(algorithm: BlockMode | AeadAlgorithm): Error {
  return cipherError('EBADF', algorithm, 'used after it was closed');
}

class NodeBlockCipher implements BlockCipher {
  #cipher: Cipher | Decipher | undefined;

  constructor(
    private readonly mode: BlockMode,
    direction: Direction,
    key: Uint8Array,
  ) {
    checkKnown(mode);
    checkKey(mode, key);
    const make = direction === 'encrypt' ? createCipheriv : createDecipheriv;
    this.#cipher = make(mode, key, mode === 'aes-128-ecb' ? null : new Uint8Array(BLOCK));
    this.#cipher.setAutoPadding(false);
  }

  update(from: StableBytes, at: number, length: number, to: StableBytes, toAt: number): void {
    checkBlocks(this.mode, length);
    if (this.#cipher === undefined) throw closed(this.mode);
    to.bytes.set(this.#cipher.update(from.bytes.subarray(at, at + length)), toAt);
  }

  close(): void {
    this.#cipher = undefined;
  }
}

class NodeAead implements Aead {
  readonly nonce = new Uint8Array(NONCE);
  /** Both algorithms are used through the same calls; only the types of Node's differ. */
  readonly #algorithm: 'aes-256-gcm';
  #key: KeyObject | undefined;

  constructor(algorithm: AeadAlgorithm, key: Uint8Array) {
    checkKnown(algorithm);
    this.#algorithm = algorithm as 'aes-256-gcm';
    this.setKey(key);
  }

  setKey(key: Uint8Array): void {
    checkKey(this.#algorithm, key);
    this.#key = createSecretKey(key);
  }

  seal({ bytes }: StableBytes, start: number, text: number, end: number): void {
    if (this.#key === undefined) throw closed(this.#algorithm);
    const cipher: CipherGCM = createCipheriv(this.#algorithm, this.#key, this.nonce, { authTagLength: TAG });
    cipher.setAAD(bytes.subarray(start, text));
    bytes.set(cipher.update(bytes.subarray(text, end)), text);
    cipher.final();
    bytes.set(cipher.getAuthTag(), end);
  }

  open({ bytes }: StableBytes, start: number, text: number, end: number, to: StableBytes, toAt: number): boolean {
    if (this.#key === undefined) throw closed(this.#algorithm);
    const decipher: DecipherGCM = createDecipheriv(this.#algorithm, this.#key, this.nonce, { authTagLength: TAG });
    decipher.setAAD(bytes.subarray(start, text));
    decipher.setAuthTag(bytes.subarray(end, end + TAG));
    to.bytes.set(decipher.update(bytes.subarray(text, end)), toAt);
    try {
      decipher.final();
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    this.#key = undefined;
  }
}

/** The ciphers of `node:crypto`. */
export const nodeCiphers: CipherLibrary = {
  block: (mode, direction, key) => new NodeBlockCipher(mode, direction, key),
  aead: (algorithm, _direction, key) => new NodeAead(algorithm, key),
};
