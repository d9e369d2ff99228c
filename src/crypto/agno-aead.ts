/**
 * The authenticated format (docs/agno.md), ours alone: AES-256-GCM or ChaCha20-Poly1305 (RFC 5116, RFC 8439).
 *
 *     sealed  DST SRC OUTER  1 SUITE 0 0  time(4)  session(12)  sequence(8)  ciphertext of TYPE P  tag(16)
 *
 * Whoever sends draws a random session and derives its key: HKDF-SHA-256 (RFC 5869) of the shared key, with the session
 * for salt. So there is no handshake, every sender and every start has a key of its own, and the sequence number alone is
 * a nonce that never returns. Everything before the ciphertext is authenticated with it. Who receives keeps a window of
 * the numbers seen for each session; when it forgets a session, all that was sent in it is too old to be accepted.
 */

import {
  type CipherGCM,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type DecipherGCM,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import { type Burst, FRAME_MAX } from '../frame/burst.js';
import { readU32, writeU32 } from '../frame/bytes.js';
import {
  type CipherSources,
  type FrameCipher,
  MACHINE_SOURCES,
  noneRefused,
  type OuterType,
  outerType,
  RandomWords,
} from './frame-cipher.js';
import { ReplayWindow } from './replay-window.js';

export type Suite = 'gcm' | 'chacha';

const SUITES: Record<Suite, { algorithm: string; number: number }> = {
  gcm: { algorithm: 'aes-256-gcm', number: 1 },
  chacha: { algorithm: 'chacha20-poly1305', number: 2 },
};

const VERSION = 1;
const HEADER_AT = 14;
const TIME_AT = 18;
const SESSION_AT = 22;
const SESSION = 12;
const SEQUENCE_AT = 34;
/** Where the ciphertext begins; all before it is authenticated only. */
const CIPHERTEXT_AT = 42;
const TAG = 16;
const TYPE = 2;
const SEALED_MIN = CIPHERTEXT_AT + TYPE + TAG;
/** How much longer a sealed frame is than the plain one. */
export const AEAD_GROWTH = SEALED_MIN - 14;
const KEY = 32;
/** Frames after which a sender draws a new session. */
const SESSION_FRAMES = 2 ** 32;
/** Sessions that a receiver knows at a time. Only who has the key can fill them. */
export const SESSIONS_MAX = 1024;

export interface AeadOptions {
  suite: Suite;
  /** 16 bytes or more. */
  key: Uint8Array;
  outer: OuterType;
  /** Seconds that the clocks of sender and receiver may differ, the way included; 10 if not given. */
  skew?: number;
  sources?: CipherSources;
  /** Frames in a session. */
  sessionFrames?: number;
}

/** A sender, as a receiver knows it. */
interface Session {
  readonly key: KeyObject;
  readonly window: ReplayWindow;
  /** Time of the newest frame, in seconds since 1970. */
  newest: number;
}

/** See the head of this file. */
export class AeadCipher implements FrameCipher {
  readonly refused = noneRefused();
  skew = 0;
  readonly #algorithm: 'aes-256-gcm';
  readonly #suite: number;
  readonly #key: Uint8Array;
  readonly #outer: OuterType;
  readonly #tolerance: number;
  readonly #sources: CipherSources;
  readonly #words: RandomWords;
  readonly #sessionFrames: number;
  readonly #nonce = Buffer.alloc(12);
  readonly #session = Buffer.alloc(SESSION);
  #sealKey: KeyObject | undefined;
  #sequence = 0;
  readonly #sessions = new Map<string, Session>();
  /** The sessions that this end has sent in. */
  readonly #own = new Set<string>();

  constructor(options: AeadOptions) {
    const { algorithm, number } = SUITES[options.suite];
    // Both are used through the same calls; only the types of Node's differ.
    this.#algorithm = algorithm as 'aes-256-gcm';
    this.#suite = number;
    this.#key = options.key;
    this.#outer = options.outer;
    this.#tolerance = options.skew ?? 10;
    this.#sources = options.sources ?? MACHINE_SOURCES;
    this.#words = new RandomWords(this.#sources);
    this.#sessionFrames = options.sessionFrames ?? SESSION_FRAMES;
  }

  longest(limit: number): number {
    return Math.max(0, Math.min(limit, FRAME_MAX) - AEAD_GROWTH);
  }

  #derive(session: Uint8Array): KeyObject {
    const info = `vde agno ${VERSION} ${this.#algorithm}`;
    return createSecretKey(Buffer.from(hkdfSync('sha256', this.#key, session, info, KEY)));
  }

  #setNonce(high: number, low: number): void {
    this.#nonce.writeUInt32BE(high, 4);
    this.#nonce.writeUInt32BE(low, 8);
  }

  seal(burst: Burst, views: Uint8Array, count: number, out: Burst): void {
    const time = Math.floor(this.#sources.now() / 1000);
    for (let slot = 0; slot < count; slot++) {
      if (this.#sealKey === undefined || this.#sequence === this.#sessionFrames) {
        this.#sources.random(this.#session);
        this.#sealKey = this.#derive(this.#session);
        this.#own.add(latin1(this.#session, 0));
        this.#sequence = 0;
      }
      this.#sealOne(burst, views[slot], slot, time, out, this.#sealKey);
    }
    out.count = count;
  }

  #sealOne(burst: Burst, view: number, slot: number, time: number, out: Burst, key: KeyObject): void {
    const { bytes } = out;
    const at = out.home(slot);
    const length = burst.length[view];
    const shift = CIPHERTEXT_AT - 12;
    burst.copyView(view, bytes, at + shift);
    bytes.copyWithin(at, at + shift, at + CIPHERTEXT_AT);
    const text = at + CIPHERTEXT_AT;
    const end = at + shift + length;
    const outer = outerType(this.#outer, (bytes[text] << 8) | bytes[text + 1], this.#words);
    const sequence = this.#sequence++;
    const high = Math.floor(sequence / 2 ** 32);
    const low = sequence >>> 0;
    this.#setNonce(high, low);
    bytes[at + 12] = outer >>> 8;
    bytes[at + 13] = outer;
    bytes[at + HEADER_AT] = VERSION;
    bytes[at + HEADER_AT + 1] = this.#suite;
    bytes[at + HEADER_AT + 2] = 0;
    bytes[at + HEADER_AT + 3] = 0;
    writeU32(bytes, at + TIME_AT, time);
    bytes.set(this.#session, at + SESSION_AT);
    writeU32(bytes, at + SEQUENCE_AT, high);
    writeU32(bytes, at + SEQUENCE_AT + 4, low);
    const cipher: CipherGCM = createCipheriv(this.#algorithm, key, this.#nonce, { authTagLength: TAG });
    cipher.setAAD(bytes.subarray(at, text));
    bytes.set(cipher.update(bytes.subarray(text, end)), text);
    cipher.final();
    bytes.set(cipher.getAuthTag(), end);
    out.place(slot, at, end + TAG - at);
    out.offload[slot] = 0;
  }

  open(burst: Burst, out: Burst): void {
    const now = Math.floor(this.#sources.now() / 1000);
    for (let slot = 0; slot < burst.count; slot++) this.#openOne(burst, slot, now, out);
  }

  #openOne(burst: Burst, slot: number, now: number, out: Burst): void {
    const { bytes } = burst;
    const at = burst.start[slot];
    const length = burst.length[slot];
    const { refused } = this;
    const header = at + HEADER_AT;
    if (length < SEALED_MIN || bytes[header] !== VERSION || bytes[header + 1] !== this.#suite) {
      refused.malformed++;
      return;
    }
    const time = readU32(bytes, at + TIME_AT);
    const age = (now >>> 0) - time;
    if (Math.abs(age) > this.#tolerance) {
      refused.time++;
      this.skew = age;
      return;
    }
    const high = readU32(bytes, at + SEQUENCE_AT);
    const low = readU32(bytes, at + SEQUENCE_AT + 4);
    if (high >= 2 ** 21) {
      refused.malformed++;
      return;
    }
    const sequence = high * 2 ** 32 + low;
    const name = latin1(bytes, at + SESSION_AT);
    const known = this.#sessions.get(name);
    if (known !== undefined ? !known.window.isNew(sequence) : this.#own.has(name)) {
      refused.replayed++;
      return;
    }
    const session = known ?? {
      key: this.#derive(bytes.subarray(at + SESSION_AT, at + SESSION_AT + SESSION)),
      window: new ReplayWindow(),
      newest: time,
    };
    this.#setNonce(high, low);
    const plain = this.#decrypt(session.key, bytes, at, length);
    if (plain === undefined) {
      refused.key++;
      return;
    }
    if (known === undefined && !this.#remember(name, session, now)) {
      refused.replayed++;
      return;
    }
    session.window.add(sequence);
    if (time > session.newest) session.newest = time;
    const to = out.count++;
    const home = out.home(to);
    out.bytes.set(bytes.subarray(at, at + 12), home);
    out.bytes.set(plain, home + 12);
    out.place(to, home, 12 + plain.length);
    out.offload[to] = 0;
  }

  #decrypt(key: KeyObject, bytes: Uint8Array, at: number, length: number): Buffer | undefined {
    const text = at + CIPHERTEXT_AT;
    const end = at + length - TAG;
    const decipher: DecipherGCM = createDecipheriv(this.#algorithm, key, this.#nonce, { authTagLength: TAG });
    decipher.setAAD(bytes.subarray(at, text));
    decipher.setAuthTag(bytes.subarray(end, end + TAG));
    const plain = decipher.update(bytes.subarray(text, end));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plain;
  }

  /** Takes a session up; false if there is no room, since none can be forgotten without its frames being good again. */
  #remember(name: string, session: Session, now: number): boolean {
    if (this.#sessions.size >= SESSIONS_MAX) {
      for (const [other, { newest }] of this.#sessions) {
        if (newest < now - this.#tolerance) this.#sessions.delete(other);
      }
      if (this.#sessions.size >= SESSIONS_MAX) return false;
    }
    this.#sessions.set(name, session);
    return true;
  }
}

/** A session as a key of a map. */
function latin1(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, SESSION).toString('latin1');
}
