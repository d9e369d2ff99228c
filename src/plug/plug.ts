/**
 * The plug: an end that takes and gives bursts. Every locator opens one; a port of a switch is a plug seated in it; what
 * stands on a cable (a filter, a cipher, a capture) is a plug wrapped round a plug.
 *
 * Two rules keep the data path simple. A burst is only good during the call that hands it over: who needs a frame later
 * copies it. And `send` never waits: what an end cannot take now is queued up to a bound, then dropped and counted.
 */

import type { Burst } from '../frame/burst.js';
import type { Descriptor } from '../sys/descriptor.js';
import type { VdeError } from '../sys/errors.js';

/** Where a plug hands the bursts that arrive at it. */
export type Sink = (burst: Burst) => void;

/** Why frames were dropped at a plug, in frames. */
export interface Drops {
  /** The queue toward the peer was full: it reads too slowly or not at all. */
  full: number;
  /** Longer than the end can take, or than it may send. */
  oversize: number;
  /** Shorter than an Ethernet header. */
  runt: number;
  /** Refused by the kernel or the peer. */
  error: number;
}

/** Those of a plug's drops that had arrived at it. The others were to be sent. */
export type ArrivalDrops = Pick<Drops, 'oversize' | 'runt'>;

/** What a switch needs to serve an end's descriptor itself (docs/design.md, "adopted ends"). */
export interface Adoptable {
  kind: 'tap' | 'packet' | 'udp' | 'vtep';
  /** Stays the plug's; the adopter gets a duplicate, and asks the kernel what it is. */
  descriptor: Descriptor;
  /** A second one, if the end is two: the socket of a group. */
  second?: Descriptor;
  /** What the kernel cannot be asked, as bytes of the kind's own (`vtep-settings.ts`). */
  settings?: Uint8Array;
}

/** An end of a cable. */
export interface Plug {
  /** The locator it was opened with, or what a switch shows for it. */
  readonly name: string;
  /** Longest frame that `send` takes, in bytes without FCS. */
  readonly maxFrame: number;
  /** Whether `send` takes super-frames (`Burst.offload`) as they are. */
  readonly takesOffloads: boolean;
  readonly drops: Readonly<Drops>;
  /** Absent where nobody looks at what arrives. */
  readonly arrivalDrops?: Readonly<ArrivalDrops>;
  /** Called with each burst that arrives. Frames that arrive before it is set wait in the kernel. */
  sink: Sink | undefined;
  /**
   * Called once when the end is lost for a reason of its own or its peer's: with the error, or none for a plain leave. Who
   * sets it when that has happened already is told a moment later.
   */
  onLost: ((error?: VdeError) => void) | undefined;
  /** Whether arriving frames are read. While false they wait in the kernel, and a sender there comes to feel it. */
  receiving: boolean;
  /** Sends `count` views of the burst, in that order. Never waits and never throws. */
  send(burst: Burst, views: Uint8Array, count: number): void;
  /** Gives back everything: descriptors, files, queued frames. Idempotent. Does not call `onLost`. */
  close(): void;
  /** Present where the end is nothing but a descriptor; undefined if it is to be served where it is for now. */
  adoptable?(): Adoptable | undefined;
  /** True if what stands behind this end serves the end it was offered itself: then no frame passes here. */
  readonly adopted?: boolean;
  /** Whether frames accepted by `send` still wait for the peer. */
  readonly backlogged: boolean;
  /** Called when the last waiting frame has gone. */
  onDrained: (() => void) | undefined;
  /** Resolves when the peer has read what was sent, after `ms` at the latest. Absent where nobody could tell. */
  settled?(ms: number): Promise<void>;
  /**
   * Finds out whether the peer is still there, for an owner who has not sent anything for a while; `onLost` tells if it
   * is not. Absent where that shows by itself, or cannot be found out.
   */
  probe?(): void;
  /** Hands on what has arrived and was not read yet, up to a bound: for an owner who knows that the peer has left. */
  receiveRest?(): void;
}

/** The descriptors of an offer, as they are sent. */
export function offeredDescriptors({ descriptor, second }: Adoptable): Descriptor[] {
  return second === undefined ? [descriptor] : [descriptor, second];
}

/** Fresh drop counters. */
export function noDrops(): Drops {
  return { full: 0, oversize: 0, runt: 0, error: 0 };
}

/** Frames dropped for whatever reason. */
export function totalDrops(drops: Readonly<Drops>): number {
  return drops.full + drops.oversize + drops.runt + drops.error;
}
