/**
 * One network of a vxvdex broker: a switch whose ports are the members on this machine, and whose uplink is a member of the
 * network's `vxvde` group. The uplink is there as long as there are members; what its locator says is all that decides
 * where frames of the network go, and nothing that a member sends can change it.
 */

import type { Plug } from '../plug/plug.js';
import type { Port } from './port.js';
import { PORTS_MAX, Switch } from './switch.js';

/** Seconds after which an address that is silent is forgotten. */
const EXPIRE = 120;

/** See the head of this file. */
export class VxvdexNetwork {
  readonly switch: Switch;
  /** Members, those included that are about to be seated. */
  members = 0;
  /** Resolves when the uplink is there; rejects if it cannot be made. */
  readonly ready: Promise<void>;
  #closed = false;

  /** @param uplink is taken over when it is there. */
  constructor(
    readonly number: number,
    now: () => number,
    uplink: Promise<Plug>,
  ) {
    this.switch = new Switch({ ports: PORTS_MAX, transparent: true, now, random: Math.random });
    const { table } = this.switch;
    table.expire = EXPIRE;
    // A station may move to another machine at once, without having been silent.
    table.minPersistence = -1;
    this.ready = uplink.then((plug) => {
      if (this.#closed) plug.close();
      else this.switch.attach(plug, { port: 0, id: 0, module: 'uplink', description: plug.name, user: -1 });
    });
    // Whoever waits for it is told; that may be nobody any more.
    this.ready.catch(() => {});
  }

  /** Seats a member. @throws VdeError `ENOSPC` if all ports are taken. */
  seat(plug: Plug, id: number, uid: number): Port {
    return this.switch.attach(plug, { id, module: 'member', description: plug.name, user: uid });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.switch.close();
  }
}
