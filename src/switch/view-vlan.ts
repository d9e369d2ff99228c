/** The VLAN of a frame at a port, read from a view of a burst. */

import { BURST_SIZE, type Burst } from '../frame/burst.js';
import { ETHERNET_TYPE_AT } from '../frame/ethernet.js';
import { VID_MAX, VLAN_TAG } from '../frame/vlan.js';
import type { Port } from './port.js';

/** VLAN of a view as `port` takes and gives it: that of its tag, else the port's untagged one. */
export function viewVlan(port: Port, burst: Burst, view: number): number {
  if (burst.length[view] < ETHERNET_TYPE_AT + VLAN_TAG) return port.untaggedVlan;
  const plain = view < BURST_SIZE;
  const bytes = plain ? burst.bytes : burst.viewBytes(view);
  const at = (plain ? burst.start[view] : 0) + ETHERNET_TYPE_AT;
  if ((bytes[at] | (bytes[at + 1] << 8)) !== port.tagWord) return port.untaggedVlan;
  return ((bytes[at + 2] << 8) | bytes[at + 3]) & VID_MAX;
}
