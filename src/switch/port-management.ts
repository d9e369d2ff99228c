/**
 * What an administrator does to the ports of a switch (reference: management console, "port"). Port numbers that are out
 * of range, missing or taken are refused with the errno that a C switch's console answers; then nothing has changed.
 */

import { errnoNumber, errnoText, VdeError } from '../sys/errors.js';
import type { Port } from './port.js';
import { PORTS_MAX, type Switch } from './switch.js';
import { NOT_MEMBER } from './vlan.js';

/** A refusal: an errno by its name, and what it is about. */
export function refusal(code: string, subject: string, cause?: string): VdeError {
  const errno = errnoNumber(code);
  return new VdeError({ code, subject, cause: cause ?? errnoText(errno), errno });
}

/**
 * The port of a number.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such port.
 */
export function existingPort(target: Switch, number: number): Port {
  checkPortNumber(target, number);
  const port = target.ports[number];
  if (port === undefined) throw refusal('ENXIO', `port ${number}`);
  return port;
}

/** @throws VdeError `EINVAL` if the switch cannot have a port of that number. */
export function checkPortNumber(target: Switch, number: number): void {
  if (!(number >= 0 && number <= target.portCount)) throw refusal('EINVAL', `port ${number}`);
}

/**
 * Makes a port that no client gets unless it asks for it.
 * @param number 0 for the lowest from 1 on that is free.
 * @throws VdeError `EINVAL` out of range, `EEXIST` there is one, `ENOSPC` none is free.
 */
export function addPort(target: Switch, number: number): Port {
  checkPortNumber(target, number);
  const isFree = (port: Port | undefined): boolean =>
    port === undefined || (port.allocatable && !port.active && !port.monitor);
  const free = number === 0 ? target.ports.findIndex((port, at) => at > 0 && isFree(port)) : number;
  if (free < 0) throw refusal('ENOSPC', 'switch');
  if (number !== 0 && target.ports[free] !== undefined) throw refusal('EEXIST', `port ${number}`);
  const port = target.ports[free] ?? target.createPort(free);
  port.allocatable = false;
  return port;
}

/**
 * Sets the PCP of tags that frames are given which arrive at the port without one.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such port.
 */
export function setPriority(target: Switch, number: number, priority: number): void {
  if (!(priority >= 0 && priority <= 7)) throw refusal('EINVAL', `priority ${priority}`);
  existingPort(target, number).priority = priority;
}

/**
 * Keeps a port apart from all others that are kept apart, or joins it with them again.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such port.
 */
export function setIsolated(target: Switch, number: number, on: boolean): void {
  existingPort(target, number).isolated = on;
}

/**
 * Removes a port with its VLANs, counters and who it was kept for.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such port, `EADDRINUSE` somebody is seated there, a mirror goes there,
 *   or it is in a port group.
 */
export function removePort(target: Switch, number: number): void {
  const port = existingPort(target, number);
  if (port.active || port.monitor || port.portGroup !== undefined) throw refusal('EADDRINUSE', `port ${number}`);
  for (const vlan of target.vlans.values()) {
    if (vlan.member[number] === NOT_MEMBER) continue;
    vlan.member[number] = NOT_MEMBER;
    vlan.discarding[number] = 0;
    target.membershipChanged(vlan, port);
  }
  target.table.flushPort(number);
  target.ports[number] = undefined;
}

/**
 * Sets the number of ports: from then on there are 0 to `count`.
 * @throws VdeError `EINVAL` out of range, `EADDRINUSE` there is a port, maybe an idle one, beyond.
 */
export function resizeSwitch(target: Switch, count: number): void {
  if (!(count >= 1 && count <= PORTS_MAX)) throw refusal('EINVAL', `${count} ports`);
  const { ports } = target;
  if (ports.some((port, number) => number > count && port !== undefined)) throw refusal('EADDRINUSE', 'port');
  const before = ports.length;
  ports.length = count + 1;
  ports.fill(undefined, before);
}

/**
 * Takes an endpoint out of its port.
 * @throws VdeError `EINVAL` out of range, `ENXIO` no such port or endpoint.
 */
export function closeEndpoint(target: Switch, number: number, id: number): void {
  const port = existingPort(target, number);
  const endpoint = port.endpoints.find((one) => one.id === id);
  if (endpoint === undefined) throw refusal('ENXIO', `endpoint ${id}`);
  target.detach(port, endpoint);
}
