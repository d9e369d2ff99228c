/**
 * What the rapid spanning tree knows of a port, by the names of IEEE 802.1D-2004: variables of 17.19, timers of 17.17,
 * and the states of the machines that `rstp-machines.ts` runs.
 */

import type { Bpdu } from '../frame/bpdu.js';
import type { Port } from './port.js';

/** Spanning tree priority vector (17.5): who claims what. The smaller is the better. */
export interface PriorityVector {
  root: bigint;
  /** Root path cost. */
  cost: number;
  /** Designated bridge, and its port. */
  bridge: bigint;
  port: number;
}

/** Timer values that travel with the claim, in seconds (17.19.22). */
export interface Times {
  messageAge: number;
  maxAge: number;
  helloTime: number;
  forwardDelay: number;
}

/** Negative if `a` is the better. */
export function compareVectors(a: Readonly<PriorityVector>, b: Readonly<PriorityVector>): number {
  if (a.root !== b.root) return a.root < b.root ? -1 : 1;
  if (a.cost !== b.cost) return a.cost - b.cost;
  if (a.bridge !== b.bridge) return a.bridge < b.bridge ? -1 : 1;
  return a.port - b.port;
}

export function sameTimes(a: Readonly<Times>, b: Readonly<Times>): boolean {
  return (
    a.messageAge === b.messageAge &&
    a.maxAge === b.maxAge &&
    a.helloTime === b.helloTime &&
    a.forwardDelay === b.forwardDelay
  );
}

export type Role = 'Disabled' | 'Root' | 'Designated' | 'Alternate' | 'Backup';

/** What an administrator says about a port; it outlives the port's activity. */
export interface PortConfig {
  /** 0 to 240, a multiple of 16 (17.14, table 17-2). */
  priority: number;
  /** Port path cost, 1 to 200 000 000 (table 17-3). */
  cost: number;
  /** Whether no bridge is behind it; undefined: found out (17.13.3, AutoEdge). */
  edge: boolean | undefined;
  /** Whether at most one bridge is behind it; undefined: so if one endpoint sits in it (6.4.3). */
  pointToPoint: boolean | undefined;
}

/** 17.14, table 17-2 and, for 1 Gbit/s, table 17-3. */
export function defaultPortConfig(): PortConfig {
  return { priority: 128, cost: 20_000, edge: undefined, pointToPoint: undefined };
}

const NOBODY: Readonly<PriorityVector> = { root: 0n, cost: 0, bridge: 0n, port: 0 };
const NO_TIMES: Readonly<Times> = { messageAge: 0, maxAge: 0, helloTime: 0, forwardDelay: 0 };

/** See the head of this file. */
export class RstpPort {
  // 17.19: variables of the standard, by its names.
  agree = false;
  agreed = false;
  designatedPriority: Readonly<PriorityVector> = NOBODY;
  designatedTimes: Readonly<Times> = NO_TIMES;
  disputed = false;
  fdbFlush = false;
  forward = false;
  forwarding = false;
  infoIs: 'Received' | 'Mine' | 'Aged' | 'Disabled' = 'Disabled';
  learn = false;
  learning = false;
  mcheck = false;
  newInfo = false;
  operEdge = false;
  operPointToPoint = true;
  portEnabled = false;
  portPriority: Readonly<PriorityVector> = NOBODY;
  portTimes: Readonly<Times> = NO_TIMES;
  proposed = false;
  proposing = false;
  rcvdRSTP = false;
  rcvdSTP = false;
  rcvdTc = false;
  rcvdTcAck = false;
  rcvdTcn = false;
  reRoot = false;
  reselect = true;
  role: Role = 'Disabled';
  selected = false;
  selectedRole: Role = 'Disabled';
  sendRSTP = true;
  sync = false;
  synced = false;
  tcAck = false;
  tcProp = false;
  txCount = 0;
  updtInfo = false;
  /** The BPDU in hand, which `rcvdMsg` of the standard stands for. */
  message: Bpdu | undefined;
  msgPriority: Readonly<PriorityVector> = NOBODY;
  msgTimes: Readonly<Times> = NO_TIMES;

  // 17.17: timers, in seconds.
  edgeDelayWhile = 0;
  fdWhile = 0;
  helloWhen = 0;
  mdelayWhile = 0;
  rbWhile = 0;
  rcvdInfoWhile = 0;
  rrWhile = 0;
  tcWhile = 0;

  // States of the machines that have states of their own; what the others are in shows in the variables.
  migration: 'checking' | 'selecting' | 'sensing' = 'checking';
  topology: 'inactive' | 'learning' | 'active' = 'inactive';

  constructor(
    readonly port: Port,
    readonly config: PortConfig,
  ) {}

  get number(): number {
    return this.port.number;
  }

  /** Port identifier (9.2.7): four bits of priority, twelve of the number. */
  get identifier(): number {
    return ((this.config.priority & 0xf0) << 8) | (this.number & 0xfff);
  }

  /** 17.22: a second has passed. */
  countDown(): void {
    if (this.edgeDelayWhile > 0) this.edgeDelayWhile--;
    if (this.fdWhile > 0) this.fdWhile--;
    if (this.helloWhen > 0) this.helloWhen--;
    if (this.mdelayWhile > 0) this.mdelayWhile--;
    if (this.rbWhile > 0) this.rbWhile--;
    if (this.rcvdInfoWhile > 0) this.rcvdInfoWhile--;
    if (this.rrWhile > 0) this.rrWhile--;
    if (this.tcWhile > 0) this.tcWhile--;
    if (this.txCount > 0) this.txCount--;
  }
}
