/**
 * Ciphers by OpenSSL's EVP interface (EVP_EncryptInit(3)): that of the node binary, or of the libcrypto it is linked with.
 * A context is set up once for a key. A chain of blocks is then one call, and a message of an AEAD is five.
 */

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
import { hasNative, native } from './ffi.js';
import { Memory } from './memory.js';

const PROTOTYPES = {
  newContext: 'size_t EVP_CIPHER_CTX_new()',
  freeContext: 'void EVP_CIPHER_CTX_free(size_t context)',
  init: 'int EVP_CipherInit_ex(size_t context, size_t type, size_t engine, size_t key, size_t iv, int encrypt)',
  setPadding: 'int EVP_CIPHER_CTX_set_padding(size_t context, int padding)',
  update: 'int EVP_CipherUpdate(size_t context, size_t out, size_t outLength, size_t in, int length)',
  final: 'int EVP_CipherFinal_ex(size_t context, size_t out, size_t outLength)',
  control: 'int EVP_CIPHER_CTX_ctrl(size_t context, int command, int argument, size_t pointer)',
  clearErrors: 'void ERR_clear_error()',
  'aes-128-ecb': 'size_t EVP_aes_128_ecb()',
  'aes-128-cbc': 'size_t EVP_aes_128_cbc()',
  'aes-256-gcm': 'size_t EVP_aes_256_gcm()',
  'chacha20-poly1305': 'size_t EVP_chacha20_poly1305()',
} as const;

type Evp = Record<keyof typeof PROTOTYPES, (...args: number[]) => number>;

const NONE = 0;
const GET_TAG = 0x10;
const SET_TAG = 0x11;
/** The direction stays as it is. */
const UNCHANGED = -1;

// What calls take by address beside the messages.
const KEY_AT = 0;
const IV_AT = 32;
/** Where OpenSSL says how much it has put out, which is known. */
const WRITTEN_AT = IV_AT + BLOCK;
const SIZE = WRITTEN_AT + 8;

/** A context and the memory that its calls need. */
class Context {
  readonly memory = new Memory(SIZE);
  readonly iv = this.memory.addressAt(IV_AT);
  readonly written = this.memory.addressAt(WRITTEN_AT);
  #address: number;

  constructor(
    readonly evp: Evp,
    readonly algorithm: BlockMode | AeadAlgorithm,
    direction: Direction,
    key: Uint8Array,
  ) {
    checkKey(algorithm, key);
    this.#address = evp.newContext();
    const encrypt = direction === 'encrypt' ? 1 : 0;
    if (!evp.init(this.#address, evp[algorithm](), NONE, NONE, NONE, encrypt)) {
      this.close();
      throw this.failure('ENOTSUP', 'OpenSSL does not have it');
    }
    evp.setPadding(this.#address, 0);
    this.setKey(key);
  }

  /** @throws VdeError `EBADF` once closed. */
  get address(): number {
    if (this.#address === 0) throw cipherError('EBADF', this.algorithm, 'used after it was closed');
    return this.#address;
  }

  setKey(key: Uint8Array): void {
    checkKey(this.algorithm, key);
    const { memory, address, iv } = this;
    memory.bytes.set(key, KEY_AT);
    const done = this.evp.init(address, NONE, NONE, memory.address + KEY_AT, iv, UNCHANGED);
    memory.bytes.fill(0, KEY_AT, KEY_AT + key.length);
    if (!done) throw this.failure('EINVAL', 'OpenSSL refuses the key');
  }

  /** The error of a call; what OpenSSL notes about it must not be taken for somebody else's. */
  failure(code: string, cause: string): Error {
    this.evp.clearErrors();
    return cipherError(code, this.algorithm, cause);
  }

  close(): void {
    this.evp.freeContext(this.#address);
    this.#address = 0;
  }
}

/** The address of `length` bytes that C will touch. @throws RangeError if they are not there. */
function within(memory: StableBytes, at: number, length: number): number {
  if (!(at >= 0 && length >= 0 && at + length <= memory.bytes.length)) throw new RangeError('beyond the memory');
  return memory.addressAt(at);
}

/** The address of a message, its tag behind it. @throws RangeError if it is not there. */
function message(frame: StableBytes, start: number, text: number, end: number): number {
  if (!(start <= text && text <= end)) throw new RangeError('ends before it begins');
  return within(frame, start, end + TAG - start);
}

class EvpBlockCipher implements BlockCipher {
  constructor(
    private readonly context: Context,
    private readonly mode: BlockMode,
  ) {}

  update(from: StableBytes, at: number, length: number, to: StableBytes, toAt: number): void {
    checkBlocks(this.mode, length);
    const { evp, address, written } = this.context;
    const done = evp.update(address, within(to, toAt, length), written, within(from, at, length), length);
    if (!done) throw this.context.failure('EINVAL', 'OpenSSL refuses the blocks');
  }

  close(): void {
    this.context.close();
  }
}

class EvpAead implements Aead {
  readonly nonce: Uint8Array;

  constructor(private readonly context: Context) {
    this.nonce = context.memory.bytes.subarray(IV_AT, IV_AT + NONCE);
  }

  setKey(key: Uint8Array): void {
    this.context.setKey(key);
  }

  seal(frame: StableBytes, start: number, text: number, end: number): void {
    const { evp, address, written } = this.context;
    const from = message(frame, start, text, end);
    const at = from + text - start;
    const tag = from + end - start;
    const done =
      this.#begin(from, text - start) &&
      evp.update(address, at, written, at, end - text) &&
      evp.final(address, tag, written) &&
      evp.control(address, GET_TAG, TAG, tag);
    if (!done) throw this.context.failure('EINVAL', 'OpenSSL refuses the message');
  }

  open(frame: StableBytes, start: number, text: number, end: number, to: StableBytes, toAt: number): boolean {
    const { evp, address, written } = this.context;
    const from = message(frame, start, text, end);
    const plain = within(to, toAt, end - text);
    const done =
      this.#begin(from, text - start) &&
      evp.update(address, plain, written, from + text - start, end - text) &&
      evp.control(address, SET_TAG, TAG, from + end - start) &&
      evp.final(address, plain, written);
    if (!done) evp.clearErrors();
    return Boolean(done);
  }

  #begin(from: number, length: number): number {
    const { evp, address, iv, written } = this.context;
    return evp.init(address, NONE, NONE, NONE, iv, UNCHANGED) && evp.update(address, NONE, written, from, length);
  }

  close(): void {
    this.context.close();
  }
}

/** The ciphers of this process's OpenSSL; undefined if it does not export them. */
export function evpCiphers(): CipherLibrary | undefined {
  if (!Object.values(PROTOTYPES).every(hasNative)) return undefined;
  const bound = Object.entries(PROTOTYPES).map(([name, prototype]) => [name, native(prototype)]);
  const evp: Evp = Object.fromEntries(bound);
  return {
    block: (mode, direction, key) => new EvpBlockCipher(new Context(evp, mode, direction, key), mode),
    aead: (algorithm, direction, key) => new EvpAead(new Context(evp, algorithm, direction, key)),
  };
}
