/**
 * The IP log of `vde_plug -L`: which addresses the user of a tunnel uses (reference: vde_plug command line, "IP log").
 *
 * Both directions are looked at, tagged frames and headers with options included; ARP and neighbour discovery tell of
 * addresses too, through the IP packets and the ARP sender. Each address is reported once until it has been silent for a while.
 */

import { parseArp } from '../frame/arp.js';
import type { Burst } from '../frame/burst.js';
import { EtherType } from '../frame/ethernet.js';
import { formatIpv4Address, parseIpv4 } from '../frame/ipv4.js';
import { formatIpv6Address, isUnspecifiedIpv6, parseIpv6 } from '../frame/ipv6.js';
import { parseTagged } from '../frame/vlan.js';

/** Addresses remembered; beyond that the oldest is forgotten. */
const ADDRESSES_MAX = 4096;
/** An address that has been silent for this long is reported again, in ms. */
const EXPIRE_MS = 3_600_000;

/** An address seen in use. */
export interface SeenAddress {
  version: 4 | 6;
  address: string;
  /** VLAN of the outer tag, 0 for none. */
  vlan: number;
}

/** The source address of a frame's packet; undefined if it has none. */
export function sourceAddress(frame: Uint8Array): SeenAddress | undefined {
  const tagged = parseTagged(frame);
  if (tagged === undefined) return undefined;
  const { tags, type, payload } = tagged;
  const vlan = tags[0]?.vid ?? 0;
  if (type === EtherType.ipv4) {
    const packet = parseIpv4(payload, false);
    if (packet && packet.src !== 0) return { version: 4, address: formatIpv4Address(packet.src), vlan };
  } else if (type === EtherType.arp) {
    const arp = parseArp(payload);
    if (arp && arp.senderIp !== 0) return { version: 4, address: formatIpv4Address(arp.senderIp), vlan };
  } else if (type === EtherType.ipv6) {
    const packet = parseIpv6(payload);
    if (packet && !isUnspecifiedIpv6(packet.src)) return { version: 6, address: formatIpv6Address(packet.src), vlan };
  }
  return undefined;
}

/** Remembers which addresses have been reported. */
export class IpLog {
  /** Last time each was seen, oldest first. */
  readonly #seen = new Map<string, number>();

  /**
   * @param report called once for each address.
   * @param now milliseconds, of any clock.
   */
  constructor(
    private readonly report: (seen: SeenAddress) => void,
    private readonly now: () => number,
  ) {}

  /** Looks at the frames of a burst. */
  look(burst: Burst): void {
    for (let slot = 0; slot < burst.count; slot++) {
      const seen = sourceAddress(burst.frame(slot));
      if (seen !== undefined) this.#note(seen);
    }
  }

  #note(seen: SeenAddress): void {
    const key = `${seen.address}%${seen.vlan}`;
    const time = this.now();
    const last = this.#seen.get(key);
    this.#seen.delete(key);
    this.#seen.set(key, time);
    if (this.#seen.size > ADDRESSES_MAX) this.#seen.delete(this.#seen.keys().next().value as string);
    if (last === undefined || time - last > EXPIRE_MS) this.report(seen);
  }
}
