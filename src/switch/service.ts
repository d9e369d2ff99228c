/** A running switch: its forwarding, its directory with the control socket, its clock and its taps, started and stopped as one. */

import { openTapPlug } from '../plug/tap.js';
import { ControlServer, type Log } from './control.js';
import { ControlDirectory, type DirectoryOptions } from './directory.js';
import type { Port } from './port.js';
import { Switch } from './switch.js';

/** How often old addresses are forgotten, in ms (reference: garbage collection interval). */
const SWEEP_MS = 2000;

export interface ServiceOptions extends DirectoryOptions {
  /** Ports 1 to `ports`; 32 if not given. */
  ports?: number;
  /** Whether every frame goes to every port. */
  hub?: boolean;
  /** Whether 802.1Q tags are left alone, see `SwitchOptions`. */
  transparent?: boolean;
  /** Whether clients get any free port, also if they ask for one by number. */
  anyPort?: boolean;
  /** Where the switch says what it refused; nowhere if not given. */
  log?: Log;
}

/** See the head of this file. */
export class SwitchService {
  readonly switch: Switch;
  readonly #directory: ControlDirectory;
  readonly #server: ControlServer;
  readonly #sweep: NodeJS.Timeout;
  readonly #log: Log;
  #closed = false;

  /**
   * Makes the directory, or takes it over from a switch that has died, and serves clients in it.
   * @throws VdeError `EADDRINUSE` if a switch runs there; what the kernel says if the directory cannot be made.
   */
  constructor(directory: string, options: ServiceOptions = {}) {
    this.#log = options.log ?? (() => {});
    this.#directory = ControlDirectory.open(directory, options);
    const begin = performance.now();
    const now = () => Math.floor((performance.now() - begin) / 1000);
    const { ports, hub, transparent, anyPort } = options;
    this.switch = new Switch({ ports, hub, transparent, now, random: Math.random });
    this.#server = new ControlServer(this.switch, this.#directory, this.#log, { anyPort });
    this.#sweep = setInterval(() => this.switch.sweep(), SWEEP_MS);
  }

  /** Absolute path of the directory: what clients are given. */
  get directory(): string {
    return this.#directory.path;
  }

  /** Permissions of the sockets. */
  get mode(): number {
    return this.#directory.mode;
  }

  /**
   * Seats a tap interface in a port.
   * @throws VdeError if it cannot be opened, or no port is free.
   */
  addTap(name: string): Port {
    const plug = openTapPlug(name, `tap ${name}`);
    const { interfaceName } = plug;
    plug.onDown = () =>
      this.#log(`${interfaceName}: the interface is DOWN, frames to it are dropped (ip link set ${interfaceName} up)`);
    try {
      const seat = { id: plug.adoptable().descriptor.fd, module: 'tuntap', description: interfaceName, user: -1 };
      return this.switch.attach(plug, seat);
    } catch (error) {
      plug.close();
      throw error;
    }
  }

  /** Sends every client away and removes sockets and directory. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweep);
    this.#server.close();
    this.switch.close();
    this.#directory.close();
  }
}
