/** A VLAN of the switch: which ports are members, how, and which of them forward. */

import type { Port } from './port.js';

/** How a port belongs to a VLAN. */
export const NOT_MEMBER = 0;
export const UNTAGGED = 1;
export const TAGGED = 2;

/** See the head of this file. */
export class Vlan {
  /** Membership by port number. */
  readonly member: Uint8Array;
  /** 1 for a port that neither takes nor gives frames in this VLAN (spanning tree), by port number. */
  readonly discarding: Uint8Array;
  /** Active, forwarding members: where a flooded frame goes. */
  flood: readonly Port[] = [];

  constructor(
    readonly id: number,
    ports: number,
  ) {
    this.member = new Uint8Array(ports);
    this.discarding = new Uint8Array(ports);
  }

  /** Works `flood` out anew; due after any change of membership, state or activity. */
  refresh(ports: readonly (Port | undefined)[]): void {
    this.flood = ports.filter(
      (port): port is Port =>
        port?.active === true && this.member[port.number] !== NOT_MEMBER && this.discarding[port.number] === 0,
    );
  }

  get empty(): boolean {
    return !this.member.some((membership) => membership !== NOT_MEMBER);
  }
}
