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

import { hkdfSync } from 'node:crypto';
import { type Burst, FRAME_MAX } from '../frame/burst.js';
import { readU32, writeU32 } from '../frame/bytes.js';
import { type Aead, type AeadAlgorithm, type CipherLibrary, type Direction, KEY_LENGTH, TAG } from '../sys/cipher.js';
import { ciphers } from '../sys/ciphers.js';
import {
  type CipherSources,
  type FrameCipher,
  MACHINE_SOURCES,
  moveAddresses,
  noneRefused,
  type OuterType,
  outerType,
  RandomWords,
} from './frame-cipher.js';
import { ReplayWindow } from './replay-window.js';

export type Suite = 'gcm' | 'chacha';

const SUITES: Record<Suite, { algorithm: AeadAlgorithm; number: number }> = {
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
const TYPE = 2;
const SEALED_MIN = CIPHERTEXT_AT + TYPE + TAG;
/** How much longer a sealed frame is than the plain one. */
export const AEAD_GROWTH = SEALED_MIN - 14;
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
  library?: CipherLibrary;
}

/** A sender, as a receiver knows it. */
interface Session {
  readonly id: Uint8Array;
  /** The same, as a key of a map. */
  readonly name: string;
  readonly key: Uint8Array;
  readonly window: ReplayWindow;
  /** Time of the newest frame, in seconds since 1970. */
  newest: number;
  /** Whether a frame of it has proved authentic. */
  known: boolean;
}

/** See the head of this file. */
export class AeadCipher implements FrameCipher {
  readonly refused = noneRefused();
  skew = 0;
  readonly #algorithm: AeadAlgorithm;
  readonly #library: CipherLibrary;
  readonly #suite: number;
  readonly #key: Uint8Array;
  readonly #outer: OuterType;
  readonly #tolerance: number;
  readonly #sources: CipherSources;
  readonly #words: RandomWords;
  readonly #sessionFrames: number;
  readonly #session = Buffer.alloc(SESSION);
  /** With the key of `#session`. */
  #sealer: Aead | undefined;
  #sequence = 0;
  /** With the key of the session that the last frame was of: the next one mostly is too. */
  #opener: Aead | undefined;
  #openKey: Uint8Array | undefined;
  /** The session of the last frame that was opened. */
  #latest: Session | undefined;
  readonly #sessions = new Map<string, Session>();
  /** The sessions that this end has sent in. */
  readonly #own = new Set<string>();

  constructor(options: AeadOptions) {
    const { algorithm, number } = SUITES[options.suite];
    this.#algorithm = algorithm;
    this.#library = options.library ?? ciphers();
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

  #derive(session: Uint8Array): Uint8Array {
    const info = `vde agno ${VERSION} ${this.#algorithm}`;
    return new Uint8Array(hkdfSync('sha256', this.#key, session, info, KEY_LENGTH[this.#algorithm]));
  }

  /** The cipher given, or a new one, with that key. */
  #keyed(aead: Aead | undefined, direction: Direction, key: Uint8Array): Aead {
    if (aead === undefined) return this.#library.aead(this.#algorithm, direction, key);
    aead.setKey(key);
    return aead;
  }

  /** A cipher that opens the frames of a session. */
  #openerOf({ key }: Session): Aead {
    if (this.#opener === undefined || this.#openKey !== key) this.#opener = this.#keyed(this.#opener, 'decrypt', key);
    this.#openKey = key;
    return this.#opener;
  }

  seal(burst: Burst, views: Uint8Array, count: number, out: Burst): void {
    const time = Math.floor(this.#sources.now() / 1000);
    for (let slot = 0; slot < count; slot++) {
      if (this.#sealer === undefined || this.#sequence === this.#sessionFrames) {
        this.#sources.random(this.#session);
        this.#sealer = this.#keyed(this.#sealer, 'encrypt', this.#derive(this.#session));
        this.#own.add(latin1(this.#session, 0));
        this.#sequence = 0;
      }
      this.#sealOne(burst, views[slot], slot, time, out, this.#sealer);
    }
    out.count = count;
  }

  #sealOne(burst: Burst, view: number, slot: number, time: number, out: Burst, sealer: Aead): void {
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
    setNonce(sealer, high, low);
    sealer.seal(out, at, text, end);
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
    const session = this.#sessionAt(bytes, at + SESSION_AT, time);
    if (session === undefined || !session.window.isNew(sequence)) {
      refused.replayed++;
      return;
    }
    const to = out.count;
    const home = out.home(to);
    const text = at + CIPHERTEXT_AT;
    const end = at + length - TAG;
    const opener = this.#openerOf(session);
    setNonce(opener, high, low);
    if (!opener.open(burst, at, text, end, out, home + 12)) {
      refused.key++;
      return;
    }
    if (!session.known && !this.#remember(session, now)) {
      refused.replayed++;
      return;
    }
    this.#latest = session;
    session.window.add(sequence);
    if (time > session.newest) session.newest = time;
    moveAddresses(burst.words, at, out.words, home);
    out.place(to, home, 12 + end - text);
    out.offload[to] = 0;
    out.count = to + 1;
  }

  /** The session that is named at `at`: one that is known, a new one, or undefined if it is this end's own. */
  #sessionAt(bytes: Uint8Array, at: number, time: number): Session | undefined {
    if (this.#latest !== undefined && isAt(bytes, at, this.#latest.id)) return this.#latest;
    const name = latin1(bytes, at);
    const known = this.#sessions.get(name);
    if (known !== undefined || this.#own.has(name)) return known;
    const id = bytes.slice(at, at + SESSION);
    return { id, name, key: this.#derive(id), window: new ReplayWindow(), newest: time, known: false };
  }

  /** Takes a session up; false if there is no room, since none can be forgotten without its frames being good again. */
  #remember(session: Session, now: number): boolean {
    if (this.#sessions.size >= SESSIONS_MAX) {
      this.#latest = undefined;
      for (const [name, { newest }] of this.#sessions) {
        if (newest < now - this.#tolerance) this.#sessions.delete(name);
      }
      if (this.#sessions.size >= SESSIONS_MAX) return false;
    }
    session.known = true;
    this.#sessions.set(session.name, session);
    return true;
  }

  close(): void {
    this.#sealer?.close();
    this.#opener?.close();
  }
}

/** The nonce of a frame: its sequence number, given as two words. */
function setNonce({ nonce }: Aead, high: number, low: number): void {
  writeU32(nonce, 4, high);
  writeU32(nonce, 8, low);
}

/** A session as a key of a map. */
function latin1(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, SESSION).toString('latin1');
}

function isAt(bytes: Uint8Array, at: number, id: Uint8Array): boolean {
  for (let i = 0; i < SESSION; i++) if (bytes[at + i] !== id[i]) return false;
  return true;
}
