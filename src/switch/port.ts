/** A port of the switch: a number, the plugs seated in it, what it counts, and what waits for it in this burst. */

import { BURST_SIZE } from '../frame/burst.js';
import { EtherType } from '../frame/ethernet.js';
import type { Tpid } from '../frame/vlan.js';
import { type ArrivalDrops, type Drops, noDrops, type Plug } from '../plug/plug.js';

/** As a port's untagged VLAN: untagged frames are refused. */
export const NO_VLAN = 4095;

/** Who asks for a port, as the kernel knows them. */
export interface Identity {
  uid: number;
  /** Whether a group is one of theirs, primary or supplementary. */
  belongsTo(gid: number): boolean;
}

/**
 * Which tags a port takes: `hybrid` those of its VLANs, as every port of a C switch; an `access` port none, since it is in
 * one VLAN only; a `trunk` those that it allows, also of VLANs that are made later. A `tunnel` port (the customer edge of
 * IEEE 802.1ad) knows no tags: all that arrives is its one VLAN's, and the tags in it are the customer's own.
 */
export type PortMode = 'hybrid' | 'access' | 'trunk' | 'tunnel';

/** As a port's `tagWord`: no frame is a tagged one. */
const NO_TAG = -1;

/** A plug seated in a port, and what the console shows of it. */
export interface Endpoint {
  /** Number that the console names it by. */
  readonly id: number;
  readonly plug: Plug;
  /** `unix prog` for a client of the control socket, `tuntap` for a tap of the switch's own. */
  readonly module: string;
  description: string | undefined;
}

/** Frames and bytes in one direction. 64-bit floats: exact up to 2^53. */
export interface Counters {
  frames: number;
  bytes: number;
}

/** Why a port dropped frames that had arrived at it, in frames. */
export interface InputDrops {
  /** Malformed: shorter than its own headers. */
  malformed: number;
  /** In a VLAN that the port is not a member of. */
  vlan: number;
  /** The port is discarding (spanning tree) or kept for mirrored frames, or both it and the other are isolated. */
  blocked: number;
  /** Addressed to a station behind the port it came from. */
  hairpin: number;
}

/** See the head of this file. */
export class Port {
  /** Newest first, as the console lists them. Replaced, never changed in place: it may be walked while one leaves. */
  endpoints: readonly Endpoint[] = [];
  /** VLAN of untagged frames; `NO_VLAN` refuses them. */
  untaggedVlan = 0;
  /** False if it was made by hand: then no client gets it unless it asks by number. */
  allocatable = true;
  /** Uid of the clients that hold the port, -1 if none is known. */
  currentUser = -1;
  /** Uid and gid that the port is kept for, -1 for none. */
  user = -1;
  group = -1;
  /** Name of the port group whose socket leads here; undefined if `ctl` does. */
  portGroup: string | undefined;
  /** Whether it is kept for mirrored frames: nothing else leaves there, and what arrives is dropped. */
  monitor = false;
  /** PCP, 0 to 7, in the tags that frames are given which arrive without one (IEEE 802.1Q, 6.9.4). */
  priority = 0;
  /** Whether it reaches, and is reached from, those ports only that are not isolated. */
  isolated = false;
  mode: PortMode = 'hybrid';
  /** The tags that the port takes and gives: customer tags (802.1Q) or service tags (802.1ad). Others are payload. */
  tpid: Tpid = EtherType.customerTag;
  /** The VLANs that a trunk carries tagged once they exist: 1 for each, by number. Undefined for no trunk. */
  allowed: Uint8Array | undefined;
  readonly input: Counters = { frames: 0, bytes: 0 };
  readonly output: Counters = { frames: 0, bytes: 0 };
  readonly inputDrops: InputDrops = { malformed: 0, vlan: 0, blocked: 0, hairpin: 0 };
  /** Drops of plugs that have left. */
  readonly #departed: Drops = noDrops();
  readonly #departedArrivals: ArrivalDrops = { oversize: 0, runt: 0 };
  /** Views of the burst in hand that go out here. A frame goes to a port once, so a burst's worth is enough. */
  readonly views = new Uint8Array(BURST_SIZE);
  viewCount = 0;

  constructor(readonly number: number) {}

  get active(): boolean {
    return this.endpoints.length > 0;
  }

  /** What a tagged frame has behind its addresses, as a little-endian load of two bytes gives it. */
  get tagWord(): number {
    return this.mode === 'tunnel' ? NO_TAG : (this.tpid >>> 8) | ((this.tpid & 0xff) << 8);
  }

  /**
   * Whether a newcomer may have the port (reference: VDE switch socket protocol, "Port access control"): root, the user it
   * is kept for, members of the group it is kept for; anybody if it is kept for nobody.
   */
  admits(identity: Identity | undefined): boolean {
    if (identity === undefined || (this.user < 0 && this.group < 0)) return true;
    const { uid } = identity;
    return uid === 0 || uid === this.user || (this.group >= 0 && identity.belongsTo(this.group));
  }

  /** Frames dropped at the port's plugs, by reason, those that have left included. */
  get drops(): Drops {
    const sum = { ...this.#departed };
    for (const { plug } of this.endpoints) addDrops(sum, plug.drops);
    return sum;
  }

  /** Those of them that had arrived at the port. */
  get arrivalDrops(): ArrivalDrops {
    const sum = { ...this.#departedArrivals };
    for (const { plug } of this.endpoints) addArrivalDrops(sum, plug);
    return sum;
  }

  /** Keeps what a leaving plug counted. */
  retire(plug: Plug): void {
    addDrops(this.#departed, plug.drops);
    addArrivalDrops(this.#departedArrivals, plug);
  }

  resetCounters(): void {
    for (const counters of [this.input, this.output]) {
      counters.frames = 0;
      counters.bytes = 0;
    }
  }
}

function addDrops(sum: Drops, drops: Readonly<Drops>): void {
  sum.full += drops.full;
  sum.oversize += drops.oversize;
  sum.runt += drops.runt;
  sum.error += drops.error;
}

function addArrivalDrops(sum: ArrivalDrops, { arrivalDrops }: Plug): void {
  sum.oversize += arrivalDrops?.oversize ?? 0;
  sum.runt += arrivalDrops?.runt ?? 0;
}
