/**
 * `agno://KEYFILE[parameters]{VNL}`: every frame encrypted before it goes on to another end, whatever that is (reference:
 * agno encryption). By default in the format of C's plugin, which hides what is sent but proves nothing; with `auth=` in
 * one of ours that refuses what was changed, forged or sent before (docs/agno.md). Addresses and lengths stay in clear.
 *
 * Frames grow on their way: what would be too long for the end inside is dropped and counted, never cut.
 */

import { ALL_VIEWS, BURST_SIZE, Burst, FRAME_MIN } from '../frame/burst.js';
import { parsePath, shownLocator, splitNested } from '../plug/locator.js';
import { notice } from '../plug/notice.js';
import { type ParamSpec, paramError, readParams } from '../plug/params.js';
import type { Plug } from '../plug/plug.js';
import { Pool } from '../plug/pool.js';
import type { OpenOptions, Scheme } from '../plug/scheme.js';
import { openInner, WrapperPlug } from '../plug/wrapper.js';
import { AeadCipher, type Suite } from './agno-aead.js';
import { CbcCipher } from './agno-cbc.js';
import { type FrameCipher, type OuterType, type Refused, totalRefused } from './frame-cipher.js';
import { keyFilePath, readKeyFile } from './key-file.js';

/** EtherType of encrypted frames, unless another is asked for. */
const AGNO_TYPE = 0xa6de;
const OUTER_MIN = 0x600;
const OUTER_MAX = 0xfffe;

class Tools {
  readonly out = new Burst();
  readonly fitting = new Uint8Array(BURST_SIZE);
}

// A peer in this process may answer within the call that hands a burst over.
const pool = new Pool(() => new Tools());

/** See the head of this file. */
export class AgnoPlug extends WrapperPlug {
  #saidKey = false;
  #saidTime = false;
  readonly #cipher: FrameCipher;
  readonly #tell: (line: string) => void;

  /** @param tell is told, once each, that the keys or the clocks of the two ends differ. */
  constructor(name: string, inner: Plug, cipher: FrameCipher, tell: (line: string) => void) {
    super(name, inner, false);
    this.#cipher = cipher;
    this.#tell = tell;
  }

  override get maxFrame(): number {
    return this.#cipher.longest(this.inner.maxFrame);
  }

  /** Frames that arrived and were not opened, by reason; `drops.error` has their sum. */
  get refused(): Readonly<Refused> {
    return this.#cipher.refused;
  }

  protected override outward(burst: Burst, views: Uint8Array, count: number): void {
    const { maxFrame } = this;
    const tools = pool.take();
    const { fitting } = tools;
    let n = 0;
    for (let k = 0; k < count && !this.closed; k++) {
      const length = burst.length[views[k]];
      if (length > maxFrame) this.drops.oversize++;
      else if (length < FRAME_MIN) this.drops.runt++;
      else {
        fitting[n++] = views[k];
        if (n === BURST_SIZE) {
          this.#seal(burst, tools, n);
          n = 0;
        }
      }
    }
    if (n > 0 && !this.closed) this.#seal(burst, tools, n);
    pool.give(tools);
  }

  #seal(burst: Burst, { out, fitting }: Tools, count: number): void {
    this.#cipher.seal(burst, fitting, count, out);
    this.forward(out, ALL_VIEWS, count);
  }

  protected override inward(burst: Burst): void {
    const tools = pool.take();
    const { out } = tools;
    out.count = 0;
    const { refused } = this.#cipher;
    const before = totalRefused(refused);
    this.#cipher.open(burst, out);
    const now = totalRefused(refused);
    if (now > before) {
      this.drops.error += now - before;
      this.#explain(refused);
    }
    this.deliver(out);
    pool.give(tools);
  }

  protected override release(): void {
    super.release();
    this.#cipher.close();
  }

  #explain({ key, time }: Refused): void {
    if (key > 0 && !this.#saidKey) {
      this.#saidKey = true;
      this.#tell('frames arrive that the key does not open; both ends need the same key file and parameters');
    }
    if (time > 0 && !this.#saidTime) {
      this.#saidTime = true;
      const { skew } = this.#cipher;
      const how = `${Math.abs(skew)} s ${skew > 0 ? 'behind' : 'ahead of'} our clock`;
      this.#tell(`frames arrive that were sent ${how}; set the clocks, or allow for more with skew=SECONDS`);
    }
  }
}

const params = [
  {
    name: 'ethtype',
    type: 'string',
    arg: 'TYPE',
    default: '',
    doc: 'EtherType of encrypted frames: a number from 0x600 to 0xfffe, ipv4, ipv6, copy (of the plain frame), rand; default 0xa6de',
  },
  {
    name: 'auth',
    type: 'choice',
    values: ['gcm', 'chacha'],
    doc: 'authenticated, with a replay window, in a format that C does not know: AES-256-GCM or ChaCha20-Poly1305',
  },
  {
    name: 'skew',
    type: 'number',
    max: 86_400,
    arg: 'SECONDS',
    doc: 'how much the clocks of both ends may differ; default 2 behind and 1 ahead, as in C, and 10 with auth',
  },
] as const satisfies readonly ParamSpec[];

/** The value of `ethtype`. @throws VdeError `EINVAL` for what is none. */
export function parseOuterType(text: string, locator: string): OuterType {
  if (text === '' || text === '0') return AGNO_TYPE;
  if (text === 'copy' || text === 'rand') return text;
  if (text === 'ipv4') return 0x0800;
  if (text === 'ipv6') return 0x86dd;
  const value = /^(0[xX][0-9a-fA-F]+|[1-9][0-9]*)$/.test(text) ? Number(text) : Number.NaN;
  if (value >= OUTER_MIN && value <= OUTER_MAX) return value;
  const cause = Number.isNaN(value) ? `"${text}" is not an EtherType` : `${text} is out of range`;
  const hexadecimal = /^[0-9a-fA-F]{4}$/.test(text) ? `did you mean 0x${text}? ` : '';
  throw paramError(
    locator,
    { name: 'ethtype' },
    cause,
    `${hexadecimal}one of copy, ipv4, ipv6, rand, or a number from 0x600 to 0xfffe`,
  );
}

export const agnoScheme: Scheme = {
  name: 'agno',
  syntax: '[KEYFILE][parameters]{VNL}',
  doc: 'encrypts every frame on its way to another end; KEYFILE is ~/.vde_agno_key if not given',
  maxFrame: 'what LOCATOR takes, less up to 31 bytes, or 46 with auth',
  params,
  async open(locator, options: OpenOptions) {
    const { outer } = splitNested(locator.body, locator.bodyAt, locator.text);
    const { path, params: given } = parsePath(outer, locator.bodyAt, locator.text);
    const { ethtype, auth, skew } = readParams(params, given, locator.text);
    const outerType = parseOuterType(ethtype, locator.text);
    const name = shownLocator(locator.locator);
    const tell = (line: string): void => notice(options, `${name}: ${line}`);
    const { key, notices } = readKeyFile(keyFilePath(path, name), auth !== undefined);
    const inner = await openInner(locator, options);
    for (const line of notices) tell(line);
    const cipher: FrameCipher =
      auth === undefined
        ? new CbcCipher({ key, outer: outerType, behind: skew, ahead: skew })
        : new AeadCipher({ suite: auth satisfies Suite, key, outer: outerType, skew });
    return new AgnoPlug(locator.locator, inner, cipher, tell);
  },
};
