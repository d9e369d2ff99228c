/** Which port a newcomer gets (reference: VDE switch socket protocol, "Port access control"). */

import { VdeError } from '../sys/errors.js';
import type { Identity, Port } from './port.js';
import type { Switch } from './switch.js';

/** Asks for a seat in a switch. */
export interface Seat {
  /** Port wanted; undefined for any free one. */
  port?: number;
  /** Number that the console names the endpoint by. */
  id: number;
  module: string;
  description?: string;
  /** Uid that the console shows, -1 if unknown. */
  user: number;
  /** Who asks, for ports that are kept for somebody; not given for the switch's own. */
  identity?: Identity;
  /** Port group whose socket the newcomer came by; undefined for `ctl`, and for the switch's own. */
  portGroup?: string;
}

/**
 * The first port that anybody may have, made if there is room for one more; of a port group, the first that is free.
 * @throws VdeError `ENOSPC` none is free.
 */
export function freePort(target: Switch, { identity, portGroup }: Seat): Port {
  for (let number = 1; number <= target.portCount; number++) {
    const port = target.ports[number];
    if (port === undefined && portGroup === undefined) return target.createPort(number);
    if (port === undefined || port.active || port.monitor || port.portGroup !== portGroup) continue;
    if ((port.allocatable || portGroup !== undefined) && port.admits(identity)) return port;
  }
  if (portGroup !== undefined) {
    throw new VdeError({ code: 'ENOSPC', subject: `port group ${portGroup}`, cause: 'none of its ports is free' });
  }
  throw new VdeError({
    code: 'ENOSPC',
    subject: 'switch',
    cause: `no free port among its ${target.portCount}`,
    remedy: 'start it with a larger -n',
  });
}

/**
 * The port of a number, made if there is none.
 * @throws VdeError `EADDRNOTAVAIL` no such port, `EADDRINUSE` another user's, `EACCES` kept for others.
 */
export function wantedPort(target: Switch, number: number, { user, identity, portGroup }: Seat): Port {
  if (number < 0 || number > target.portCount) {
    throw new VdeError({
      code: 'EADDRNOTAVAIL',
      subject: `port ${number}`,
      cause: `no such port, this switch has 0 to ${target.portCount}`,
    });
  }
  const home = target.ports[number]?.portGroup;
  if (home !== portGroup && identity !== undefined && (identity.uid !== 0 || portGroup !== undefined)) {
    const cause = home === undefined ? `not of port group ${portGroup}` : `of port group ${home}`;
    throw new VdeError({ code: 'EACCES', subject: `port ${number}`, cause });
  }
  const port = target.ports[number] ?? target.createPort(number);
  if (port.active && port.currentUser !== user) {
    throw new VdeError({ code: 'EADDRINUSE', subject: `port ${number}`, cause: `held by uid ${port.currentUser}` });
  }
  if (!port.active && !port.admits(identity)) {
    throw new VdeError({ code: 'EACCES', subject: `port ${number}`, cause: 'kept for another user or group' });
  }
  return port;
}
