/**
 * Finding out whether anybody else has an IPv4 address, and telling that we have it: RFC 5227 sections 2.1 and 2.3.
 *
 * All times of probing are a tenth of the RFC's, which are meant for networks whose links take seconds to come up: here a
 * user waits for the command, and who is there answers within a millisecond or two.
 */

import { parseArp, writeArp } from '../frame/arp.js';
import { EtherType, parseEthernet, writeEthernet } from '../frame/ethernet.js';
import { broadcastMac, equalMac, MAC_LENGTH, type MacAddress } from '../frame/mac.js';

/** PROBE_NUM, and what the RFC calls PROBE_MIN, PROBE_MAX and ANNOUNCE_WAIT, in ms. */
const PROBES = 3;
const PROBE_MIN_MS = 100;
const PROBE_MAX_MS = 200;
const LAST_WAIT_MS = 200;

/** How an ARP request goes out, and time passes. */
export interface ProbeWorld {
  /** Calls once, `ms` later; returns what prevents it. */
  after(ms: number, call: () => void): () => void;
  /** In [0, 1). */
  random(): number;
  send(frame: Uint8Array): void;
}

/** An ARP probe of one address, from its first request to the verdict. */
export class AddressProbe {
  #sent = 0;
  #cancel = (): void => {};

  /**
   * Sends the first request at once.
   * @param onFree called once if nobody has answered.
   * @param onConflict called once with who has the address, or asks for it at the same time.
   */
  constructor(
    readonly mac: MacAddress,
    readonly address: number,
    private readonly world: ProbeWorld,
    private readonly onFree: () => void,
    private readonly onConflict: (other: MacAddress) => void,
  ) {
    this.#probe();
  }

  #probe(): void {
    if (this.#sent++ < PROBES) {
      this.world.send(arpRequest(this.mac, 0, this.address));
      const gap = PROBE_MIN_MS + (PROBE_MAX_MS - PROBE_MIN_MS) * this.world.random();
      this.#cancel = this.world.after(this.#sent === PROBES ? LAST_WAIT_MS : gap, () => this.#probe());
    } else this.onFree();
  }

  /** Takes a frame that has arrived; anything that is not about the address is passed over. */
  receive(frame: Uint8Array): void {
    const ethernet = parseEthernet(frame);
    const arp = ethernet?.type === EtherType.arp ? parseArp(ethernet.payload) : undefined;
    if (arp === undefined || equalMac(arp.senderMac, this.mac)) return;
    const asked = arp.operation === 'request' && arp.senderIp === 0 && arp.targetIp === this.address;
    if (arp.senderIp !== this.address && !asked) return;
    this.#cancel();
    this.onConflict(arp.senderMac.slice());
  }

  /** Ends without a verdict. */
  stop(): void {
    this.#cancel();
  }
}

/** An ARP announcement: everybody who had another host at this address learns of ours. */
export function announcement(mac: MacAddress, address: number): Uint8Array {
  return arpRequest(mac, address, address);
}

function arpRequest(mac: MacAddress, senderIp: number, targetIp: number): Uint8Array {
  const targetMac = new Uint8Array(MAC_LENGTH);
  const payload = writeArp({ operation: 'request', senderMac: mac, senderIp, targetMac, targetIp });
  return writeEthernet({ dst: broadcastMac(), src: mac, type: EtherType.arp, payload });
}
