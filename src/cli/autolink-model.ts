/**
 * What `vde_autolink` knows: wires (kinds of cable, each a command), links (a port of the switch, remote hosts in order of
 * preference, the wires to try for each), and which command runs next (reference: vde_autolink). Time, ports and processes
 * come from outside.
 *
 * A started link tries every wire for every host in turn. A wire that shows no life within `CHECK_S` is ended, and the next
 * is tried; one that lives stays until its process ends or life is no longer seen. Life is what the switch says about
 * spanning-tree messages on the link's port: whoever sends some is a switch.
 */

import { consoleError } from '../console/command-table.js';

/** Seconds until a link is looked at: its wire must have shown life by then. */
export const CHECK_S = 30;
/** Seconds of rest after all wires for all hosts have failed, doubled each round. */
const REST_S = [30, 60, 120];
/** Most wires, links, and hosts or wires of a link. */
const TABLE_MAX = 1024;
const PORT_MAX = 256;

const VARIABLES = ['$mysock', '$myport', '$remotehost'] as const;

/** A kind of wire. */
export interface WireType {
  name: string;
  command: string;
}

/** A remote host of a link, with its wires. */
export interface RemoteHost {
  name: string;
  /** Commands with their variables replaced. */
  wires: WireType[];
}

/** Something that runs for a link. */
export interface RunningWire {
  host: RemoteHost;
  wire: WireType;
  pid: number;
  /** Ends it; `onEnd` is not called any more. */
  stop(): void;
}

export interface Link {
  name: string;
  port: number;
  hosts: RemoteHost[];
  on: boolean;
  running: RunningWire | undefined;
  /** Whether the switch has seen spanning-tree messages on the port. */
  alive: boolean;
  /** Next place in the list of (host, wire). */
  next: number;
  /** Rounds that have failed in a row. */
  failures: number;
  /** When it is looked at next, in s. */
  due: number;
}

/** What the model needs of the world. */
export interface LinkWorld {
  /** Control directory of the switch. */
  readonly switchName: string;
  /** Seconds, monotonic. */
  now(): number;
  /** Makes a port of the switch; false if it is there already. */
  createPort(port: number): Promise<boolean>;
  removePort(port: number): Promise<void>;
  /** Starts a command; `onEnd` when it ends by itself. Undefined if it cannot be run. */
  start(words: string[], onEnd: () => void): Omit<RunningWire, 'host' | 'wire'> | undefined;
}

const invalid = () => consoleError('EINVAL');

/** See the head of this file. */
export class Autolink {
  readonly wires: WireType[] = [];
  readonly links: Link[] = [];

  constructor(private readonly world: LinkWorld) {}

  /** @throws VdeError `EINVAL` if the command lacks a variable, or there is a wire of that name. */
  addWire(name: string, command: string): void {
    if (name === '' || !VARIABLES.every((variable) => command.includes(variable))) throw invalid();
    if (this.wires.some((wire) => wire.name === name) || this.wires.length >= TABLE_MAX) throw invalid();
    this.wires.push({ name, command });
  }

  /** Links keep the copies that they have. */
  deleteWire(name: string): void {
    const at = this.wires.findIndex((wire) => wire.name === name);
    if (at < 0) throw invalid();
    this.wires.splice(at, 1);
  }

  /** Makes a link, with the first port of the switch that is free. */
  async addLink(name: string, hosts: readonly string[]): Promise<void> {
    if (name === '' || hosts.length === 0 || hosts.length > TABLE_MAX) throw invalid();
    if (this.#find(name) || this.links.length >= TABLE_MAX) throw invalid();
    const link: Link = {
      name,
      port: 0,
      hosts: hosts.map((host) => ({ name: host, wires: [] })),
      on: false,
      running: undefined,
      alive: false,
      next: 0,
      failures: 0,
      due: Number.POSITIVE_INFINITY,
    };
    // The name is taken before the switch has answered, for another console.
    this.links.push(link);
    for (let port = 1; port <= PORT_MAX; port++) {
      if (!(await this.world.createPort(port))) continue;
      link.port = port;
      return;
    }
    this.links.splice(this.links.indexOf(link), 1);
    throw invalid();
  }

  deleteLink(name: string): void {
    const link = this.#find(name);
    if (!link) throw invalid();
    this.#stop(link);
    this.links.splice(this.links.indexOf(link), 1);
    void this.world.removePort(link.port);
  }

  /** @throws VdeError `ENXIO` if there is no such link or wire, `EINVAL` if the link has it. */
  addLinkWire(name: string, type: string): void {
    const link = this.#find(name);
    const wire = this.wires.find((one) => one.name === type);
    if (!link || !wire) throw consoleError('ENXIO');
    if (link.hosts.some(({ wires }) => wires.some((one) => one.name === type))) throw invalid();
    for (const host of link.hosts) host.wires.push({ name: type, command: this.#fill(wire.command, link, host) });
  }

  deleteLinkWire(name: string, type: string): void {
    const link = this.#find(name);
    if (!link) throw consoleError('ENXIO');
    if (!link.hosts.some(({ wires }) => wires.some((one) => one.name === type))) throw invalid();
    for (const host of link.hosts) host.wires = host.wires.filter((one) => one.name !== type);
  }

  switchLink(name: string, on: boolean): void {
    const link = this.#find(name);
    if (!link) throw consoleError('ENXIO');
    if (link.on === on) return;
    if (!on) {
      this.#stop(link);
      return;
    }
    link.on = true;
    link.next = 0;
    link.failures = 0;
    this.#startNext(link);
  }

  /** The switch has begun, or ceased, to see spanning-tree messages on a port. */
  life(port: number, alive: boolean): void {
    for (const link of this.links) {
      if (link.port !== port) continue;
      link.alive = alive;
      if (alive) link.failures = 0;
    }
  }

  /** Links that wait for their next look, the first first. */
  get jobs(): { link: Link; seconds: number }[] {
    const now = this.world.now();
    return this.links
      .filter(({ due }) => Number.isFinite(due))
      .sort((a, b) => a.due - b.due)
      .map((link) => ({ link, seconds: Math.max(0, Math.ceil(link.due - now)) }));
  }

  /** Looks at every link whose time has come. */
  tick(): void {
    const now = this.world.now();
    for (const link of this.links) {
      if (link.due > now) continue;
      if (link.running !== undefined && link.alive) link.due = now + CHECK_S;
      else this.#startNext(link);
    }
  }

  /** Ends all wires and gives the ports back. */
  async close(): Promise<void> {
    for (const link of this.links.splice(0)) {
      this.#stop(link);
      await this.world.removePort(link.port);
    }
  }

  #find(name: string): Link | undefined {
    return this.links.find((link) => link.name === name);
  }

  #fill(command: string, link: Link, host: RemoteHost): string {
    return command
      .replaceAll('$mysock', () => this.world.switchName)
      .replaceAll('$myport', () => String(link.port))
      .replaceAll('$remotehost', () => host.name);
  }

  #stop(link: Link): void {
    link.on = false;
    link.due = Number.POSITIVE_INFINITY;
    link.running?.stop();
    link.running = undefined;
    link.alive = false;
  }

  /** Ends what runs, and starts the next wire; after the last there is a rest. */
  #startNext(link: Link): void {
    link.running?.stop();
    link.running = undefined;
    link.alive = false;
    const places = link.hosts.flatMap((host) => host.wires.map((wire) => ({ host, wire })));
    const now = this.world.now();
    while (link.next < places.length) {
      const place = places[link.next++];
      const started = this.world.start(
        place.wire.command.split(/ +/).filter((word) => word !== ''),
        () => {
          if (link.running !== running) return;
          link.running = undefined;
          link.alive = false;
          link.due = Math.min(link.due, this.world.now() + 1);
        },
      );
      if (started === undefined) continue;
      const running: RunningWire = { ...started, ...place };
      link.running = running;
      link.due = now + CHECK_S;
      return;
    }
    link.next = 0;
    link.due = now + (places.length === 0 ? CHECK_S : REST_S[Math.min(link.failures, REST_S.length - 1)]);
    link.failures++;
  }
}
