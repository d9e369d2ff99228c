/**
 * `restart://[SECONDS][/wait]{LOCATOR}`: an end that is opened again whenever it is lost (reference: plugins, section 17).
 *
 * That it is lost is noticed at once, and it is opened again after 0.1 s, then after twice as long each time, up to a
 * second. Frames sent meanwhile are dropped and counted. An end that would not notice is asked after each period in which
 * nothing was sent. Lost and back are said once each, however often it comes and goes between.
 *
 * An end that has been offered the one at the other side of its cable offers that on; if it is not taken, it is served here.
 */

import { type Burst, FRAME_MAX } from '../frame/burst.js';
import { VdeError } from '../sys/errors.js';
import { adoptOffer } from './adoption.js';
import { join } from './join.js';
import { locatorError, parseSlash, splitNested } from './locator.js';
import { Missing } from './missing.js';
import { notice } from './notice.js';
import { type ParamSpec, readParams } from './params.js';
import type { Plug } from './plug.js';
import type { ResolvedLocator } from './resolve.js';
import type { OpenOptions, Scheme } from './scheme.js';
import { openInner, WrapperPlug } from './wrapper.js';

const DEFAULT_PERIOD_S = 20;
const PERIOD_MAX_S = 604_800;
/** The wait before the first attempt, and the longest, in ms. */
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 1000;
/** An end that is back for this long is said to be, in ms. */
const SETTLED_MS = 250;
/** What cannot come right by waiting. */
const HOPELESS = new Set(['EMALFORMED', 'EINVAL', 'EPROTONOSUPPORT', 'ELOOP']);

const params = [
  { name: 'wait', type: 'flag', doc: 'need not be there at first: it is opened as soon as it can be' },
] as const satisfies readonly ParamSpec[];

/** See the head of this file. */
class RestartPlug extends WrapperPlug {
  /** The offered end, served here unless the inner one does. */
  readonly #local: Plug | undefined;
  readonly #probe: NodeJS.Timeout;
  /** Whether anything was sent since the last probe. */
  #busy = false;
  #retry: NodeJS.Timeout | undefined;
  #wait = RETRY_MIN_MS;
  /** Whether the last thing said was that the end is lost. */
  #saidLost = false;

  /** @param error why the end is not there yet, if it is not. */
  constructor(
    inner: Plug | undefined,
    private readonly locator: ResolvedLocator,
    private readonly options: OpenOptions,
    periodMs: number,
    error?: VdeError,
  ) {
    super(locator.locator, inner ?? new Missing(locator.locator, FRAME_MAX), true);
    const { offer } = options;
    this.#local = offer && adoptOffer(offer, this.name);
    if (this.#local !== undefined) this.#local.onLost = (reason) => this.lose(reason);
    this.#serveHere();
    this.#probe = setInterval(() => {
      if (!this.#busy) this.inner.probe?.();
      this.#busy = false;
    }, periodMs);
    if (inner === undefined) this.#miss('not there yet', error);
  }

  get adopted(): boolean {
    return this.#local !== undefined;
  }

  /** Moves frames between the offered end and the inner one, unless that does so itself. */
  #serveHere(): void {
    const local = this.#local;
    if (local === undefined) return;
    if (this.inner.adopted) {
      local.sink = undefined;
      return;
    }
    local.receiving = true;
    join(local, this);
    join(this, local);
  }

  protected override outward(burst: Burst, views: Uint8Array, count: number): void {
    this.#busy = true;
    this.forward(burst, views, count);
  }

  protected override innerLost(error?: VdeError): void {
    this.replaceInner(new Missing(this.name, this.inner.maxFrame));
    this.#serveHere();
    // What waited for it is gone: nothing holds the sender back any more.
    this.drained();
    this.#miss('lost', error);
  }

  #miss(state: string, error: VdeError | undefined): void {
    if (!this.#saidLost) {
      this.#saidLost = true;
      const why = error === undefined ? 'the other end has left' : error.message;
      notice(this.options, `${this.name}: ${state}, it will be opened again (${why})`);
    }
    this.#again();
  }

  #again(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#reopen(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, RETRY_MAX_MS);
  }

  async #reopen(): Promise<void> {
    let inner: Plug;
    try {
      inner = await openInner(this.locator, this.options, this.options.offer);
    } catch (error) {
      if (!(error instanceof VdeError)) throw error;
      if (!this.closed) this.#again();
      return;
    }
    if (this.closed) {
      inner.close();
      return;
    }
    this.#retry = setTimeout(() => this.#settle(), SETTLED_MS);
    this.replaceInner(inner);
    this.#serveHere();
  }

  /** The end has been back for a while. */
  #settle(): void {
    this.#wait = RETRY_MIN_MS;
    this.#saidLost = false;
    notice(this.options, `${this.name}: back`);
  }

  protected override release(): void {
    clearInterval(this.#probe);
    clearTimeout(this.#retry);
    super.release();
    this.#local?.close();
  }
}

/** How often a quiet end is asked whether it is there, in ms. */
function readPeriod(text: string, { bodyAt, text: whole }: ResolvedLocator): number {
  if (text !== '' && !/^[+-]?\d+$/.test(text)) {
    throw locatorError('EINVAL', whole, bodyAt, `"${text}" is not a period`, `seconds, 1 to ${PERIOD_MAX_S}`);
  }
  const seconds = text === '' ? DEFAULT_PERIOD_S : Math.min(Math.max(Number(text), 1), PERIOD_MAX_S);
  return seconds * 1000;
}

async function open(locator: ResolvedLocator, options: OpenOptions): Promise<Plug> {
  const { body, bodyAt, text } = locator;
  const { address, params: given } = parseSlash(splitNested(body, bodyAt, text).outer, bodyAt, text);
  const period = readPeriod(address, locator);
  const { wait } = readParams(params, given, text);
  let inner: Plug | undefined;
  let missing: VdeError | undefined;
  try {
    inner = await openInner(locator, options, options.offer);
  } catch (error) {
    if (!wait || !(error instanceof VdeError) || HOPELESS.has(error.code)) throw error;
    missing = error;
  }
  return new RestartPlug(inner, locator, options, period, missing);
}

export const restartScheme: Scheme = {
  name: 'restart',
  syntax: '[SECONDS][/PARAMETERS]{LOCATOR}',
  doc: 'LOCATOR, opened again whenever it is lost; after SECONDS (20) without traffic it is asked whether it is there',
  maxFrame: 'what LOCATOR takes',
  params,
  open,
};
