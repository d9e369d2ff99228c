/**
 * What an administrator does to the VLANs of a switch (reference: management console, "vlan"; IEEE 802.1Q terms). VLANs
 * and ports that are out of range, missing or in use are refused with the errno that a C switch's console answers; then
 * nothing has changed.
 *
 * A port is an untagged member of at most one VLAN, its PVID, and a tagged member of any number. Beside that, a trunk has
 * a list of VLANs that it allows: it is a tagged member of those that exist, also of those made later.
 *
 * Provider bridging (IEEE 802.1ad, "QinQ") is made of two kinds of ports. At a provider's own ports tags are service tags
 * (`setTagProtocol`). At a tunnel port, where a customer is connected, none is looked for (`setTunnel`): what the customer
 * sends, tags and all, is of the port's one VLAN, and gets that one's tag outside of its own where a port asks for tags.
 */

import type { Tpid } from '../frame/vlan.js';
import { NO_VLAN, type Port, type PortMode } from './port.js';
import { existingPort, refusal } from './port-management.js';
import { PORTS_MAX, type Switch } from './switch.js';
import { NOT_MEMBER, TAGGED, UNTAGGED, Vlan } from './vlan.js';

/** The greatest VLAN identifier in use (IEEE 802.1Q table 9-2: 4095 is reserved). */
export const VLAN_MAX = 4094;

/**
 * The VLAN of an identifier.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such VLAN.
 */
export function existingVlan(target: Switch, id: number): Vlan {
  checkVlan(id);
  const vlan = target.vlans.get(id);
  if (vlan === undefined) throw refusal('ENXIO', `VLAN ${id}`);
  return vlan;
}

/** @throws VdeError `EINVAL` unless it is from 0 to `VLAN_MAX`. */
export function checkVlan(id: number): void {
  if (!(id >= 0 && id <= VLAN_MAX)) throw refusal('EINVAL', `VLAN ${id}`);
}

/** All VLANs, by their identifiers. */
export function sortedVlans(target: Switch): Vlan[] {
  return [...target.vlans.values()].sort((a, b) => a.id - b.id);
}

/**
 * Makes a VLAN, from 1 to `VLAN_MAX`. Trunks that allow it join it.
 * @throws VdeError `EINVAL` out of range, `EEXIST` there is one.
 */
export function addVlan(target: Switch, id: number): Vlan {
  if (!(id >= 1 && id <= VLAN_MAX)) throw refusal('EINVAL', `VLAN ${id}`);
  if (target.vlans.has(id)) throw refusal('EEXIST', `VLAN ${id}`);
  const vlan = new Vlan(id, PORTS_MAX + 1);
  target.vlans.set(id, vlan);
  for (const port of target.ports) if (port?.allowed?.[id]) setMembership(target, vlan, port, TAGGED);
  return vlan;
}

/**
 * Removes a VLAN; trunks leave it.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such VLAN, `EADDRINUSE` other ports are members, or it is VLAN 0,
 *   which new ports begin in, or one that is kept for mirrored frames.
 */
export function removeVlan(target: Switch, id: number): void {
  const vlan = existingVlan(target, id);
  const held = target.ports.some(
    (port) => port && (port.untaggedVlan === id || (vlan.member[port.number] === TAGGED && !port.allowed?.[id])),
  );
  if (id === 0 || held || vlan.remoteSpan) throw refusal('EADDRINUSE', `VLAN ${id}`);
  for (const port of target.ports) if (port?.allowed?.[id]) setMembership(target, vlan, port, NOT_MEMBER);
  target.table.flushVlan(id);
  target.vlans.delete(id);
}

/**
 * Makes a port a tagged member; its untagged VLAN stays as it is.
 * @throws VdeError `EINVAL` out of range, an access or a tunnel port, `ENXIO` no such VLAN or port.
 */
export function addTagged(target: Switch, id: number, number: number): void {
  const { vlan, port } = member(target, id, number);
  if (port.mode === 'access' || port.mode === 'tunnel') {
    throw refusal('EINVAL', `port ${number}`, `its mode is ${port.mode}: it has no tagged VLANs`);
  }
  if (port.allowed) port.allowed[id] = 1;
  if (port.untaggedVlan !== id) setMembership(target, vlan, port, TAGGED);
}

/**
 * Ends a port's tagged membership, if there is one.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such VLAN or port, `EADDRINUSE` it is the port's untagged VLAN.
 */
export function removeTagged(target: Switch, id: number, number: number): void {
  const { vlan, port } = member(target, id, number);
  if (port.untaggedVlan === id) throw refusal('EADDRINUSE', `VLAN ${id}`);
  if (port.allowed) port.allowed[id] = 0;
  setMembership(target, vlan, port, NOT_MEMBER);
  target.table.flushPort(number);
}

/**
 * Sets a port's untagged VLAN in place of the one that it had; `NO_VLAN` for none.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such VLAN or port.
 */
export function setUntagged(target: Switch, number: number, id: number): void {
  if (id !== NO_VLAN) checkVlan(id);
  const port = existingPort(target, number);
  const vlan = id === NO_VLAN ? undefined : existingVlan(target, id);
  const old = target.vlans.get(port.untaggedVlan);
  port.untaggedVlan = id;
  if (old && old !== vlan) setMembership(target, old, port, port.allowed?.[old.id] ? TAGGED : NOT_MEMBER);
  if (vlan) setMembership(target, vlan, port, UNTAGGED);
  target.table.flushPort(number);
}

/**
 * Makes a port an access port: untagged in one VLAN, nothing else; tagged frames are refused.
 * @throws VdeError as `setUntagged`.
 */
export function setAccess(target: Switch, number: number, id: number): void {
  setUntaggedOnly(target, number, id, 'access');
}

/**
 * Makes a port a tunnel port: untagged in one VLAN, and all that arrives is of that VLAN, whatever tags it has.
 * @throws VdeError as `setUntagged`.
 */
export function setTunnel(target: Switch, number: number, id: number): void {
  setUntaggedOnly(target, number, id, 'tunnel');
}

function setUntaggedOnly(target: Switch, number: number, id: number, mode: PortMode): void {
  setUntagged(target, number, id);
  const port = existingPort(target, number);
  port.mode = mode;
  port.allowed = undefined;
  leaveTagged(target, port);
}

/**
 * Sets the protocol of a port's tags; those of the other are payload there. Its memberships stay.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such port.
 */
export function setTagProtocol(target: Switch, number: number, tpid: Tpid): void {
  const port = existingPort(target, number);
  if (port.tpid === tpid) return;
  port.tpid = tpid;
  target.table.flushPort(number);
}

/**
 * Makes a port a trunk.
 * @param allowed 1 for each VLAN, by number, that it carries tagged; VLANs may be made later.
 * @param native its untagged VLAN, `NO_VLAN` for none.
 * @throws VdeError as `setUntagged`.
 */
export function setTrunk(target: Switch, number: number, allowed: Uint8Array, native: number): void {
  setUntagged(target, number, native);
  const port = existingPort(target, number);
  port.mode = 'trunk';
  port.allowed = allowed;
  leaveTagged(target, port);
  for (const vlan of target.vlans.values()) {
    if (allowed[vlan.id] && vlan.id !== native) setMembership(target, vlan, port, TAGGED);
  }
}

/**
 * Makes a port an ordinary one, as new ones are. Its memberships stay.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such port.
 */
export function setHybrid(target: Switch, number: number): void {
  const port = existingPort(target, number);
  port.mode = 'hybrid';
  port.allowed = undefined;
}

/**
 * Keeps a VLAN for mirrored frames, or gives it back, see `Vlan.remoteSpan`.
 * @throws VdeError `EINVAL` out of range or VLAN 0, `ENXIO` no such VLAN.
 */
export function setRemoteSpan(target: Switch, id: number, on: boolean): void {
  const vlan = existingVlan(target, id);
  if (id === 0) throw refusal('EINVAL', 'VLAN 0', 'new ports begin in it');
  vlan.remoteSpan = on;
  target.table.flushVlan(id);
}

/** Checks both numbers before it looks for either, as a C switch does. */
function member(target: Switch, id: number, number: number): { vlan: Vlan; port: Port } {
  checkVlan(id);
  if (!(number >= 0 && number <= target.portCount)) throw refusal('EINVAL', `port ${number}`);
  return { vlan: existingVlan(target, id), port: existingPort(target, number) };
}

function leaveTagged(target: Switch, port: Port): void {
  for (const vlan of target.vlans.values()) {
    if (vlan.member[port.number] === TAGGED) setMembership(target, vlan, port, NOT_MEMBER);
  }
}

function setMembership(target: Switch, vlan: Vlan, port: Port, membership: number): void {
  if (vlan.member[port.number] === membership) return;
  vlan.member[port.number] = membership;
  if (membership === NOT_MEMBER) vlan.discarding[port.number] = 0;
  target.membershipChanged(vlan, port);
}
