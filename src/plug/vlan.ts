/**
 * `vlan://UNTAGGED/parameters{VNL}`: an end seen through VLAN tags, which are put on, taken off, changed or filtered
 * (reference: vlan plugin). Parameters may as well stand in brackets, `vlan://3[untag=4/trunk]{VNL}`.
 *
 * Frames that pass as they are go on without a copy; those that change are copied beside, as the burst that they are in
 * is others' too. Super-frames keep what is left to be done for them.
 */

import { ALL_VIEWS, BURST_SIZE, Burst, FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { EtherType } from '../frame/ethernet.js';
import { VID_MAX, VLAN_TAG } from '../frame/vlan.js';
import { VIRTIO_NET_HDR } from '../sys/layout.js';
import { locatorError, type Param, parsePath, parseSlash, splitNested } from './locator.js';
import { type ParamSpec, readParams } from './params.js';
import type { Plug } from './plug.js';
import { Pool } from './pool.js';
import type { ResolvedLocator } from './resolve.js';
import type { Scheme } from './scheme.js';
import {
  type Action,
  type Direction,
  DROP,
  INSERT,
  KEEP,
  NONE,
  parseTags,
  STRIP,
  type VlanRules,
  vlanTables,
} from './vlan-map.js';
import { openInner, WrapperPlug } from './wrapper.js';

const ADDRESSES = 12;
/** Shortest frame with a whole tag. */
const TAGGED_MIN = FRAME_MIN + VLAN_TAG;

class Tools {
  readonly out = new Burst();
  readonly passing = new Uint8Array(BURST_SIZE * 2);
}

// A peer in this process may answer within the call that hands a burst over.
const pool = new Pool(() => new Tools());

/** See the head of this file. */
export class VlanPlug extends WrapperPlug {
  /** Frames that the rules do not let pass. */
  readonly filtered = { sent: 0, received: 0 };
  readonly #outward: Direction;
  readonly #inward: Direction;
  readonly #grows: boolean;

  /** @param tpid type of the tags that it is about: 0x8100, or 0x88a8 with which frames that have one are tagged again. */
  constructor(
    name: string,
    inner: Plug,
    rules: VlanRules,
    private readonly tpid: number,
  ) {
    super(name, inner, true);
    const { outward, inward } = vlanTables(rules);
    this.#outward = outward;
    this.#inward = inward;
    this.#grows = outward.untagged >= 0;
  }

  override get maxFrame(): number {
    return this.inner.maxFrame - (this.#grows ? VLAN_TAG : 0);
  }

  #isTagged(bytes: Uint8Array, at: number): boolean {
    return bytes[at + ADDRESSES] === this.tpid >>> 8 && bytes[at + ADDRESSES + 1] === (this.tpid & 0xff);
  }

  /** What is to be done with a frame of `length` bytes at `at`; undefined if it ends within its header. */
  #decide(direction: Direction, bytes: Uint8Array, at: number, length: number): Action | undefined {
    if (length < FRAME_MIN) return undefined;
    if (!this.#isTagged(bytes, at)) return direction.untagged;
    if (length < TAGGED_MIN) return undefined;
    return direction.tagged[((bytes[at + 14] & 0x0f) << 8) | bytes[at + 15]];
  }

  protected override outward(burst: Burst, views: Uint8Array, count: number): void {
    const tools = pool.take();
    const { out, passing } = tools;
    out.count = 0;
    let waiting = 0;
    for (let k = 0; k < count; k++) {
      const view = views[k];
      const whole = view < BURST_SIZE;
      const bytes = whole ? burst.bytes : burst.viewBytes(view);
      const action = this.#decide(this.#outward, bytes, whole ? burst.start[view] : 0, burst.length[view]);
      if (action === undefined) this.drops.runt++;
      else if (action === DROP) this.filtered.sent++;
      else if (action === KEEP) {
        this.#flush(out);
        if (waiting === passing.length) {
          this.forward(burst, passing, waiting);
          waiting = 0;
        }
        passing[waiting++] = view;
      } else {
        if (waiting > 0) this.forward(burst, passing, waiting);
        waiting = 0;
        if (out.count === BURST_SIZE) this.#flush(out);
        this.#change(burst, view, action, out);
      }
    }
    if (waiting > 0) this.forward(burst, passing, waiting);
    this.#flush(out);
    pool.give(tools);
  }

  #flush(out: Burst): void {
    if (out.count > 0) this.forward(out, ALL_VIEWS, out.count);
    out.count = 0;
    out.clearOffloads();
  }

  protected override inward(burst: Burst): void {
    const { bytes, start, length } = burst;
    let unchanged = true;
    for (let slot = 0; slot < burst.count && unchanged; slot++) {
      unchanged = this.#decide(this.#inward, bytes, start[slot], length[slot]) === KEEP;
    }
    if (unchanged) {
      this.deliver(burst);
      return;
    }
    const tools = pool.take();
    const { out } = tools;
    out.count = 0;
    for (let slot = 0; slot < burst.count; slot++) {
      const action = this.#decide(this.#inward, bytes, start[slot], length[slot]);
      if (action === undefined) this.drops.runt++;
      else if (action === DROP) this.filtered.received++;
      else this.#change(burst, slot, action, out);
    }
    this.deliver(out);
    out.clearOffloads();
    pool.give(tools);
  }

  /** Puts a view into the next slot of `out`, with its tag changed. */
  #change(burst: Burst, view: number, action: Action, out: Burst): void {
    const { bytes } = out;
    const slot = out.count;
    const home = out.home(slot);
    let start = home;
    let length = burst.length[view];
    let growth = 0;
    if (action >= INSERT) {
      growth = VLAN_TAG;
      if (length + growth > FRAME_MAX) {
        this.drops.oversize++;
        return;
      }
      burst.copyView(view, bytes, start + VLAN_TAG);
      bytes.copyWithin(start, start + VLAN_TAG, start + VLAN_TAG + ADDRESSES);
      bytes[start + 12] = this.tpid >>> 8;
      bytes[start + 13] = this.tpid;
      bytes[start + 14] = (action - INSERT) >>> 8;
      bytes[start + 15] = action;
    } else {
      burst.copyView(view, bytes, start);
      if (action === STRIP) {
        growth = -VLAN_TAG;
        start += VLAN_TAG;
        bytes.copyWithin(start, home, home + ADDRESSES);
      } else if (action >= 0) {
        // Priority and drop eligibility stay.
        bytes[start + 14] = (bytes[start + 14] & 0xf0) | (action >>> 8);
        bytes[start + 15] = action;
      }
    }
    length += growth;
    out.place(slot, start, length);
    const offload = burst.offload[view & (BURST_SIZE - 1)];
    out.offload[slot] = offload;
    if (offload !== 0) {
      const header = start - VIRTIO_NET_HDR.size;
      burst.copyOffloadHeader(view, bytes, header);
      shift(bytes, header + VIRTIO_NET_HDR.headerLength, growth);
      shift(bytes, header + VIRTIO_NET_HDR.checksumStart, growth);
      out.superFrames++;
    }
    out.count = slot + 1;
  }
}

/** Adds to a little-endian 16-bit field. */
function shift(bytes: Uint8Array, at: number, by: number): void {
  const value = bytes[at] + (bytes[at + 1] << 8) + by;
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

const params = [
  {
    name: 'untag',
    type: 'number',
    max: VID_MAX - 1,
    arg: 'VLAN',
    default: 0,
    doc: 'what is untagged on the network is this VLAN here; 0 for none',
  },
  { name: 'u', alias: 'untag' },
  {
    name: 'tag',
    type: 'string',
    arg: 'LIST',
    doc: 'VLANs that pass tagged: 10:20-30 is 10, and 20 here that is 30 on the network',
  },
  { name: 't', alias: 'tag' },
  { name: 'trunk', type: 'flag', doc: 'all other VLANs pass tagged too' },
  { name: 'x', alias: 'trunk' },
  { name: 'qinq', type: 'flag', doc: 'tags are service tags (802.1ad, 0x88a8), customers’ tags are payload' },
  { name: 'q', alias: 'qinq' },
  { name: 'ad', alias: 'qinq' },
] as const satisfies readonly ParamSpec[];

/**
 * The rules that a locator asks for.
 * @throws VdeError `EINVAL` naming what is wrong in it.
 */
export function parseVlan({ body, bodyAt, text }: ResolvedLocator): { rules: VlanRules; tpid: number } {
  const { outer } = splitNested(body, bodyAt, text);
  const bracket = outer.indexOf('[');
  const { address, params: slashed } = parseSlash(bracket < 0 ? outer : outer.slice(0, bracket), bodyAt, text);
  const bracketed = bracket < 0 ? [] : parsePath(outer.slice(bracket), bodyAt + bracket, text).params;
  const given: Param[] = [...slashed, ...bracketed];
  const { untag, tag, trunk, qinq } = readParams(params, given, text);
  if (address !== '' && !(/^(\d+|0[xX][0-9a-fA-F]+)$/.test(address) && Number(address) <= NONE)) {
    throw locatorError(
      'EINVAL',
      text,
      bodyAt,
      `"${address}" is no VLAN`,
      `0 to ${NONE}: 0 for none, ${NONE} if untagged frames are not to pass`,
    );
  }
  // Only a prefix of "tag" that is not one of an earlier entry can have set it.
  const tagParam = given.findLast(([key]) => 'tag'.startsWith(key));
  const tags = tag === undefined || tagParam === undefined ? [] : parseTags(tag, tagParam, text);
  return {
    rules: { untagged: Number(address), untag, tags, trunk },
    tpid: qinq ? EtherType.serviceTag : EtherType.customerTag,
  };
}

export const vlanScheme: Scheme = {
  name: 'vlan',
  syntax: '[UNTAGGED VLAN]/parameters{VNL}',
  doc: 'puts VLAN tags on frames, takes them off, changes them, lets only some pass',
  maxFrame: 'what LOCATOR takes, less 4 bytes if tags are added',
  params,
  async open(locator, options) {
    const { rules, tpid } = parseVlan(locator);
    return new VlanPlug(locator.locator, await openInner(locator, options), rules, tpid);
  },
};
