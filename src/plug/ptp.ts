/**
 * `ptp://PATH`: a link of two ends that meet at a path (reference: plugs, section 5). Either may come first, leave and come
 * back; while nobody is there frames are dropped.
 *
 * C ends of both protocols are spoken to, each in its own: which one, the file at the path says. Two ends of ours agree on
 * more (`ptp-hello.ts`): frames pass as super-frames, and if an end has been offered the end at the other side of its
 * cable, one process serves both. An offer is always taken: with no peer of ours, the descriptor is served here.
 */

import { resolve } from 'node:path';
import { type Burst, FRAME_MAX } from '../frame/burst.js';
import { VdeError } from '../sys/errors.js';
import { loop } from '../sys/loop.js';
import { adoptOffer } from './adoption.js';
import { PlugBase } from './base.js';
import { join } from './join.js';
import { groupNumber } from './permissions.js';
import type { Adoptable, Plug } from './plug.js';
import { C_FRAME_MAX, DatagramMeeting, type Host, type Meeting } from './ptp-datagram.js';
import { type PlaceOptions, takePlace } from './ptp-place.js';
import { CallerMeeting, ListenerMeeting } from './ptp-sequenced.js';
import type { ResolvedLocator } from './resolve.js';
import type { OpenOptions, Scheme } from './scheme.js';

const DEFAULT_MODE = 0o700;
/** How often a place is looked for after a link has ended, in ms. */
const AGAIN_MS = 500;

/** See the head of this file. */
class PtpPlug extends PlugBase implements Plug, Host {
  readonly takesOffloads = true;
  readonly offer: Adoptable | undefined;
  /** The offered end, served here unless the peer does. */
  readonly #local: Plug | undefined;
  #meeting: Meeting | undefined;
  #peer: Plug | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** Also an end that waits for its peer keeps the process alive. */
  readonly #hold = loop().hold();

  constructor(
    readonly name: string,
    private readonly path: string,
    private readonly place: PlaceOptions,
    offer: Adoptable | undefined,
  ) {
    super();
    this.#local = offer && adoptOffer(offer, name);
    if (this.#local === undefined) return;
    this.offer = offer;
    this.#local.onLost = (error) => this.lose(error);
    this.#serve(this.#local);
  }

  get maxFrame(): number {
    return this.#peer?.maxFrame ?? FRAME_MAX;
  }

  get adopted(): boolean {
    return this.#local !== undefined;
  }

  get backlogged(): boolean {
    return this.#peer?.backlogged ?? false;
  }

  /** Takes a place at the link, and waits until it is clear who is there. */
  async begin(): Promise<void> {
    const place = await takePlace(this.path, this.place);
    if (this.closed) {
      place.socket.close();
      return;
    }
    if (place.kind === 'listener') {
      this.#meeting = new ListenerMeeting(place.socket, place.own, this);
      return;
    }
    const meeting = place.kind === 'caller' ? new CallerMeeting(place.socket, this) : new DatagramMeeting(place, this);
    this.#meeting = meeting;
    await meeting.begin();
  }

  /** Moves frames between the offered end and the link. */
  #serve(local: Plug): void {
    local.receiving = true;
    join(local, this);
    join(this, local);
  }

  met(peer: Plug | undefined): void {
    this.#peer = peer;
    if (peer === undefined) {
      if (this.#local !== undefined) this.#local.sink = undefined;
      return;
    }
    peer.onDrained = () => this.drained();
    this.listen();
  }

  parted(): void {
    const { closed } = this;
    const served = this.#peer === undefined;
    this.#peer = undefined;
    if (closed) return;
    if (served && this.#local !== undefined) this.#serve(this.#local);
    // What waited for the peer is dropped with it: nothing holds the sender back any more.
    this.drained();
  }

  ended(): void {
    this.#meeting = undefined;
    this.place.offer = 'sequenced';
    this.#again();
  }

  #again(): void {
    if (this.closed) return;
    this.begin().catch((error) => {
      if (!(error instanceof VdeError)) throw error;
      this.#meeting = undefined;
      // Others may have met there meanwhile: this end stays without a peer until one of them leaves.
      this.#retry = setTimeout(() => this.#again(), AGAIN_MS);
    });
  }

  protected override listen(): void {
    if (this.#peer === undefined) return;
    this.#peer.receiving = this.receiving;
    this.#peer.sink = this.sink;
  }

  protected override transmit(burst: Burst, views: Uint8Array, count: number): void {
    if (this.#peer === undefined && !this.closed) this.#meeting?.reach();
    if (this.#peer === undefined) this.drops.error += this.closed ? 0 : count;
    else this.#peer.send(burst, views, count);
  }

  protected override release(): void {
    clearTimeout(this.#retry);
    this.#meeting?.close();
    this.#local?.close();
    this.#peer = undefined;
    this.#hold();
  }
}

async function open({ body, locator, text }: ResolvedLocator, options: OpenOptions): Promise<Plug> {
  if (body === '') {
    throw new VdeError({
      code: 'EINVAL',
      subject: locator,
      cause: 'it names no path',
      remedy: 'as in ptp:///tmp/link',
    });
  }
  const { group, mode } = options;
  const place: PlaceOptions = {
    name: locator,
    mode: mode || DEFAULT_MODE,
    group: group === undefined ? undefined : groupNumber(group, text),
    offer: 'datagram',
  };
  const plug = new PtpPlug(locator, resolve(body), place, options.offer);
  try {
    await plug.begin();
    return plug;
  } catch (error) {
    plug.close();
    throw error;
  }
}

export const ptpScheme: Scheme = {
  name: 'ptp',
  syntax: 'PATH',
  doc: 'a link of two ends that meet at PATH',
  maxFrame: `${FRAME_MAX} bytes to an end of ours, ${C_FRAME_MAX} to one of C's`,
  params: [],
  open,
};
