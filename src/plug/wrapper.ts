/**
 * What stands on a cable: a plug wrapped round another, which it owns (docs/design.md, "the four nouns"). What is sent
 * passes `outward` on its way to the inner plug, what arrives there passes `inward`; the rest is the inner plug's. Wrappers
 * nest: `a://{b://{c://}}` is an `a` round a `b` round a `c`, the left one nearest to the program.
 *
 *     class Tap extends WrapperPlug {
 *       protected override outward(burst: Burst, views: Uint8Array, count: number): void {
 *         ...look at the frames, or put others into a burst of one's own
 *         this.forward(burst, views, count);
 *       }
 *       protected override inward(burst: Burst): void {
 *         ...
 *         this.deliver(burst);
 *       }
 *     }
 *
 * A burst that a hook fills must not be shared with a hook that runs within `forward` or `deliver`: take it from a `Pool`.
 */

import type { Burst } from '../frame/burst.js';
import { VdeError } from '../sys/errors.js';
import { PlugBase } from './base.js';
import { receiveCut } from './cutting.js';
import { MAX_NESTING, shownLocator, splitNested } from './locator.js';
import { type Adoptable, type Drops, noDrops, type Plug } from './plug.js';
import { openPlug } from './registry.js';
import type { ResolvedLocator } from './resolve.js';
import type { OpenOptions } from './scheme.js';

/** A wrapper's drops with those of the plug it is wrapped round; what is added to a field is the wrapper's own. */
class WrappedDrops {
  readonly own = noDrops();

  constructor(public inner: Plug) {}

  /** Reads and writes as any plug's drops do. */
  sum(): Drops {
    const { own } = this;
    const field = (reason: keyof Drops): PropertyDescriptor => ({
      enumerable: true,
      get: () => own[reason] + this.inner.drops[reason],
      set: (total: number) => {
        own[reason] = total - this.inner.drops[reason];
      },
    });
    const fields = (Object.keys(own) as (keyof Drops)[]).map((reason) => [reason, field(reason)] as const);
    return Object.defineProperties({}, Object.fromEntries(fields)) as Drops;
  }
}

/** See the head of this file. Passes everything on, both ways, unless a subclass overrides the hooks. */
export abstract class WrapperPlug extends PlugBase implements Plug {
  readonly #state: WrappedDrops;
  readonly #arrive = (burst: Burst): void => {
    if (this.closed) return;
    if (burst.superFrames === 0 || this.handlesOffloads) this.inward(burst);
    else receiveCut(this, this.#arriveCut, burst);
  };
  readonly #arriveCut = (burst: Burst): void => {
    if (!this.closed) this.inward(burst);
  };

  /**
   * @param inner becomes the wrapper's own: closed with it, and when it is lost the wrapper is.
   * @param handlesOffloads whether the hooks know what to do with super-frames; if not, they are cut before.
   */
  constructor(
    readonly name: string,
    inner: Plug,
    protected readonly handlesOffloads: boolean,
  ) {
    const state = new WrappedDrops(inner);
    super(state.sum());
    this.#state = state;
    this.#take(inner);
  }

  /** The plug inside. */
  get inner(): Plug {
    return this.#state.inner;
  }

  get maxFrame(): number {
    return this.inner.maxFrame;
  }

  get takesOffloads(): boolean {
    return this.handlesOffloads && this.inner.takesOffloads;
  }

  get backlogged(): boolean {
    return this.inner.backlogged;
  }

  #take(inner: Plug): void {
    inner.onLost = (error) => this.innerLost(error);
    inner.onDrained = () => this.drained();
  }

  /** Puts another plug in the place of the inner one, which is closed; its drops are kept. */
  protected replaceInner(inner: Plug): void {
    const { own } = this.#state;
    const old = this.inner;
    for (const reason of Object.keys(own) as (keyof Drops)[]) own[reason] += old.drops[reason];
    old.close();
    this.#state.inner = inner;
    this.#take(inner);
    this.listen();
  }

  /** What is sent: `count` views, in that order. Super-frames among them only if the wrapper takes offloads. */
  protected outward(burst: Burst, views: Uint8Array, count: number): void {
    this.forward(burst, views, count);
  }

  /** What has arrived. Super-frames among it only if the wrapper handles offloads. */
  protected inward(burst: Burst): void {
    this.deliver(burst);
  }

  /** The inner plug is lost, which ends the wrapper. */
  protected innerLost(error?: VdeError): void {
    this.lose(error);
  }

  /** Sends to the inner plug. */
  protected forward(burst: Burst, views: Uint8Array, count: number): void {
    if (count > 0 && !this.closed) this.inner.send(burst, views, count);
  }

  /** Hands a burst on to the wrapper's owner. */
  protected deliver(burst: Burst): void {
    if (burst.count > 0 && !this.closed) this.sink?.(burst);
  }

  protected override transmit(burst: Burst, views: Uint8Array, count: number): void {
    if (!this.closed) this.outward(burst, views, count);
  }

  protected override listen(): void {
    const { inner } = this;
    inner.receiving = this.receiving;
    inner.sink = this.sink === undefined ? undefined : this.#arrive;
  }

  async settled(ms: number): Promise<void> {
    await this.inner.settled?.(ms);
  }

  receiveRest(): void {
    this.inner.receiveRest?.();
  }

  probe(): void {
    this.inner.probe?.();
  }

  protected override release(): void {
    this.inner.close();
  }
}

/**
 * Opens the locator in the braces of another one, for the wrapper that this is; the default network if there are none.
 * @param offer what is offered to it; nothing by default, as frames must pass through most wrappers.
 * @throws VdeError `EMALFORMED` for too many locators in one another, also by way of files; else as `openPlug`.
 */
export async function openInner(locator: ResolvedLocator, options: OpenOptions, offer?: Adoptable): Promise<Plug> {
  const { nested = '' } = splitNested(locator.body, locator.bodyAt, locator.text);
  const nesting = (options.nesting ?? 0) + 1;
  if (nesting > MAX_NESTING) {
    throw new VdeError({
      code: 'EMALFORMED',
      subject: shownLocator(locator.locator),
      cause: `more than ${MAX_NESTING} locators nested in one another`,
      remedy: 'a locator file, or the default network, that leads back to itself has no end',
    });
  }
  return openPlug(nested, { ...options, offer, nesting });
}
