/**
 * Port groups: ports of a switch that are had by way of a socket of their own, `DIR/NAME`, in place of `DIR/ctl`
 * (reference: VDE switch socket protocol, "Port groups"; clients name it `vde://DIR[NAME]`). Who may open that socket, by
 * its mode and group, gets any free port of the group; nobody but root gets one of them otherwise.
 */

import type { Descriptor } from '../sys/descriptor.js';
import type { ControlDirectory } from './directory.js';
import { refusal } from './port-management.js';
import type { Switch } from './switch.js';

/** Most port groups of a switch. */
const GROUPS_MAX = 64;
/** Keys of `vde://` that libvdeplug takes a shorter name for (reference: locator syntax, "Path-style"). */
const CLIENT_KEYS = ['port', 'portgroup', 'group', 'mode'];

/** A port group, as the console shows it. */
export interface PortGroup {
  readonly name: string;
  /** Permissions of its socket. */
  mode: number;
  /** Gid of its socket, if it was given to a group. */
  group: number | undefined;
}

interface Running extends PortGroup {
  listener: Descriptor;
  /** Stops to serve the socket. */
  stop: () => void;
}

/** Starts to serve a group's socket; returns what ends that. */
export type ServeGroup = (listener: Descriptor, name: string) => () => void;

/** See the head of this file. */
export class PortGroups {
  readonly #groups = new Map<string, Running>();

  constructor(
    private readonly target: Switch,
    private readonly directory: ControlDirectory,
    private readonly serve: ServeGroup,
  ) {}

  get list(): readonly PortGroup[] {
    return [...this.#groups.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Numbers of the ports in a group. */
  ports(name: string): Set<number> {
    return new Set(this.target.ports.flatMap((port) => (port?.portGroup === name ? [port.number] : [])));
  }

  /**
   * Makes a group, or gives one other ports. Ports that are not there are made; who is seated stays.
   * @param mode permissions of the socket; as they are, or those of the switch's own, if not given.
   * @throws VdeError `EINVAL` no such name, no ports, a port out of range; `EADDRINUSE` a port of another group, or
   *   somebody else has the name; `ENOSPC` too many groups; what the kernel says if the socket cannot be made.
   */
  set(name: string, numbers: ReadonlySet<number>, mode?: number, group?: number): void {
    const { ports, portCount } = this.target;
    if (!isGroupName(name)) throw refusal('EINVAL', `port group ${name}`);
    if (numbers.size === 0) throw refusal('EINVAL', `port group ${name}`);
    for (const number of numbers) {
      if (!(number >= 1 && number <= portCount)) throw refusal('EINVAL', `port ${number}`);
      const other = ports[number]?.portGroup;
      if (other !== undefined && other !== name) throw refusal('EADDRINUSE', `port ${number}`);
    }
    const known = this.#groups.get(name);
    if (known === undefined) this.#open(name, mode ?? this.directory.mode, group ?? this.directory.group);
    else if (mode !== undefined || group !== undefined) this.#protect(known, mode, group);
    for (const port of ports) if (port?.portGroup === name && !numbers.has(port.number)) port.portGroup = undefined;
    for (const number of numbers) {
      const port = ports[number] ?? this.target.createPort(number);
      port.portGroup = name;
      port.allocatable = false;
    }
  }

  #open(name: string, mode: number, group: number | undefined): void {
    if (this.#groups.size >= GROUPS_MAX) throw refusal('ENOSPC', `port group ${name}`);
    const listener = this.directory.listenFor(name, mode, group);
    this.#groups.set(name, { name, mode, group, listener, stop: this.serve(listener, name) });
  }

  #protect(known: Running, mode = known.mode, group = known.group): void {
    this.directory.protectGroup(known.name, mode, group);
    Object.assign(known, { mode, group });
  }

  /** Ends a group. Its ports stay, for who asks for them by number. @throws VdeError `ENOENT` if there is none. */
  remove(name: string): void {
    if (!this.#groups.has(name)) throw refusal('ENOENT', `port group ${name}`);
    this.#end(name);
    for (const port of this.target.ports) if (port?.portGroup === name) port.portGroup = undefined;
  }

  #end(name: string): void {
    const known = this.#groups.get(name);
    this.#groups.delete(name);
    known?.stop();
    known?.listener.close();
    this.directory.forgetGroup(name);
  }

  /** Stops to serve all of them. Idempotent. */
  close(): void {
    for (const name of [...this.#groups.keys()]) this.#end(name);
  }
}

/** A file's name that is no number, none of a data socket, and that C clients do not take for a parameter. */
export function isGroupName(name: string): boolean {
  return /^(?!fd\d+$)[A-Za-z][\w.-]{0,31}$/.test(name) && !CLIENT_KEYS.some((key) => key.startsWith(name));
}
