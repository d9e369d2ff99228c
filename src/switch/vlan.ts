/** A VLAN of the switch: which ports are members, how, and which of them forward. */

import type { Port } from './port.js';

/** How a port belongs to a VLAN. */
export const NOT_MEMBER = 0;
export const UNTAGGED = 1;
export const TAGGED = 2;

/** What a port does with the frames of a VLAN (IEEE 802.1D 7.4): forwards them, drops them, or only learns from them. */
export const FORWARDING = 0;
export const DISCARDING = 1;
export const LEARNING = 2;
export type PortState = typeof FORWARDING | typeof DISCARDING | typeof LEARNING;

/** See the head of this file. */
export class Vlan {
  /** Membership by port number. */
  readonly member: Uint8Array;
  /** State by port number, which the spanning tree sets: `FORWARDING`, or that the port neither takes nor gives frames. */
  readonly discarding: Uint8Array;
  /**
   * Whether it carries mirrored frames to where they are looked at (RSPAN): every one goes to every member, and no
   * address is learned from them.
   */
  remoteSpan = false;
  #flood: readonly Port[] | undefined = [];
  #ports: readonly (Port | undefined)[] = [];

  constructor(
    readonly id: number,
    ports: number,
  ) {
    this.member = new Uint8Array(ports);
    this.discarding = new Uint8Array(ports);
  }

  /** Active, forwarding members: where a flooded frame goes. Worked out when first asked for after a change. */
  get flood(): readonly Port[] {
    this.#flood ??= this.#ports.filter(
      (port): port is Port =>
        port?.active === true &&
        !port.monitor &&
        this.member[port.number] !== NOT_MEMBER &&
        this.discarding[port.number] === 0,
    );
    return this.#flood;
  }

  /** Due after any change of membership, state or activity. */
  refresh(ports: readonly (Port | undefined)[]): void {
    this.#ports = ports;
    this.#flood = undefined;
  }

  get empty(): boolean {
    return !this.member.some((membership) => membership !== NOT_MEMBER);
  }
}
