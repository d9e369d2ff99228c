/**
 * Mirrored frames on a VLAN (RSPAN): each goes to every port of it, tagged with the VLAN where the port is a tagged
 * member, outside of whatever tag it has; as it is where the port is an untagged one, for who looks at it there.
 */

import { ALL_VIEWS, BURST_SIZE, Burst, FRAME_MAX } from '../frame/burst.js';
import { ETHERNET_TYPE_AT } from '../frame/ethernet.js';
import { type Tpid, VLAN_TAG } from '../frame/vlan.js';
import { sendCut } from '../plug/cutting.js';
import { type Drops, noDrops } from '../plug/plug.js';
import { Pool } from '../plug/pool.js';
import type { Port } from './port.js';
import type { Switch } from './switch.js';
import { TAGGED, type Vlan } from './vlan.js';

/** What a copy is tagged in; a plug in the same process may answer while it is being sent. */
const pool = new Pool(() => new Burst());

/** See the head of this file. */
export class RemoteSpan {
  readonly #cutting: { drops: Drops } = { drops: noDrops() };

  constructor(
    private readonly owner: Switch,
    private readonly id: number,
  ) {}

  send(_: Port, burst: Burst, views: Uint8Array, count: number): void {
    const vlan = this.owner.vlans.get(this.id);
    if (vlan === undefined || vlan.flood.length === 0) return;
    // Tags are put before headers that offloads point into: frames of the wire have none.
    if (burst.superFrames === 0) this.#sendAll(vlan, burst, views, count);
    else sendCut(this.#cutting, (frames, list, n) => this.#sendAll(vlan, frames, list, n), burst, views, count);
  }

  #sendAll(vlan: Vlan, burst: Burst, views: Uint8Array, count: number): void {
    const tagged = pool.take();
    for (let from = 0; from < count; from += BURST_SIZE) {
      const list = views.subarray(from, Math.min(count, from + BURST_SIZE));
      this.#tag(vlan, burst, list, tagged);
      for (const port of vlan.flood) {
        if (vlan.member[port.number] === TAGGED) {
          setProtocol(tagged, port.tpid);
          give(port, tagged, ALL_VIEWS, tagged.count);
        } else give(port, burst, list, list.length);
      }
    }
    pool.give(tagged);
  }

  /** Copies views with a tag of the VLAN, whose protocol is still to be set. */
  #tag(vlan: Vlan, burst: Burst, views: Uint8Array, tagged: Burst): void {
    const { bytes } = tagged;
    tagged.count = 0;
    for (const view of views) {
      const length = burst.length[view] + VLAN_TAG;
      if (length > FRAME_MAX) continue;
      const slot = tagged.count++;
      const start = tagged.home(slot);
      burst.copyView(view, bytes, start + VLAN_TAG);
      bytes.copyWithin(start, start + VLAN_TAG, start + VLAN_TAG + ETHERNET_TYPE_AT);
      const tag = start + ETHERNET_TYPE_AT;
      bytes[tag + 2] = vlan.id >>> 8;
      bytes[tag + 3] = vlan.id & 0xff;
      tagged.place(slot, start, length);
    }
  }

  close(): void {}
}

/** Which kind of tag the frames of a burst begin with. */
function setProtocol({ bytes, start, count }: Burst, tpid: Tpid): void {
  for (let slot = 0; slot < count; slot++) {
    bytes[start[slot] + ETHERNET_TYPE_AT] = tpid >>> 8;
    bytes[start[slot] + ETHERNET_TYPE_AT + 1] = tpid & 0xff;
  }
}

function give(port: Port, burst: Burst, views: Uint8Array, count: number): void {
  if (count === 0) return;
  const { output, endpoints } = port;
  output.frames += count;
  for (let k = 0; k < count; k++) output.bytes += burst.length[views[k]];
  for (const { plug } of endpoints) plug.send(burst, views, count);
}
