/** A running switch: its forwarding, its directory with the control socket, its clock and its taps, started and stopped as one. */

import type { MacAddress } from '../frame/mac.js';
import { openTapPlug } from '../plug/tap.js';
import type { ConcentratorKind } from './concentrator.js';
import { ControlServer, type Log } from './control.js';
import { ControlDirectory, type DirectoryOptions } from './directory.js';
import { Mirrors } from './mirror.js';
import type { Port } from './port.js';
import { PortGroups } from './port-groups.js';
import { TICK_MS, type TreeMode } from './spanning-tree.js';
import { Switch } from './switch.js';

/** How often old addresses are forgotten, in seconds (reference: garbage collection interval). */
const SWEEP_INTERVAL = 2;
/** The longest that a timer of Node's can wait, in seconds. */
const LONGEST_INTERVAL = 2_147_483;

export interface ServiceOptions extends DirectoryOptions {
  /** Ports 1 to `ports`; 32 if not given. */
  ports?: number;
  /** Whether every frame goes to every port. */
  hub?: boolean;
  /** Whether all reach only the first station, see `SwitchOptions`. */
  concentrator?: ConcentratorKind;
  /** Whether 802.1Q tags are left alone, see `SwitchOptions`. */
  transparent?: boolean;
  /** Whether clients get any free port, also if they ask for one by number. */
  anyPort?: boolean;
  /** The switch's own address; one at random if not given. */
  mac?: MacAddress;
  /** Spanning tree priority, 0 to 65535; 32768 if not given. */
  priority?: number;
  /** Which spanning tree runs; none if not given. */
  tree?: TreeMode;
  /** Where the switch says what it refused; nowhere if not given. */
  log?: Log;
}

/** See the head of this file. */
export class SwitchService {
  readonly switch: Switch;
  readonly mirrors: Mirrors;
  readonly portGroups: PortGroups;
  /** Tells whoever runs the switch. */
  readonly log: Log;
  readonly #directory: ControlDirectory;
  readonly #server: ControlServer;
  #sweep: NodeJS.Timeout | undefined;
  #sweepInterval = 0;
  #ticks: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * Makes the directory, or takes it over from a switch that has died, and serves clients in it.
   * @throws VdeError `EADDRINUSE` if a switch runs there; what the kernel says if the directory cannot be made.
   */
  constructor(directory: string, options: ServiceOptions = {}) {
    this.log = options.log ?? (() => {});
    this.#directory = ControlDirectory.open(directory, options);
    const begin = performance.now();
    const now = () => Math.floor((performance.now() - begin) / 1000);
    const { ports, hub, concentrator, transparent, anyPort } = options;
    const { mac, priority } = options;
    this.switch = new Switch({ ports, hub, concentrator, transparent, mac, priority, now, random: Math.random });
    this.mirrors = new Mirrors(this.switch, this.log);
    const { tree } = this.switch;
    tree.onRunning = (running) => {
      clearInterval(this.#ticks);
      if (running) this.#ticks = setInterval(() => tree.tick(), TICK_MS);
    };
    tree.setMode(options.tree ?? 'off');
    this.#server = new ControlServer(this.switch, this.#directory, this.log, { anyPort });
    this.portGroups = new PortGroups(this.switch, this.#directory, (...group) => this.#server.serve(...group));
    this.sweepInterval = SWEEP_INTERVAL;
  }

  /** Seconds between two looks for addresses past their time; 0 or less: none. */
  get sweepInterval(): number {
    return this.#sweepInterval;
  }

  set sweepInterval(seconds: number) {
    this.#sweepInterval = seconds;
    clearInterval(this.#sweep);
    if (seconds <= 0) return;
    this.#sweep = setInterval(() => this.switch.sweep(), Math.min(seconds, LONGEST_INTERVAL) * 1000);
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
      this.log(`${interfaceName}: the interface is DOWN, frames to it are dropped (ip link set ${interfaceName} up)`);
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
    clearInterval(this.#ticks);
    this.portGroups.close();
    this.#server.close();
    this.mirrors.close();
    this.switch.close();
    this.#directory.close();
  }
}
