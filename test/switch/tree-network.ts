/**
 * Networks of switches in virtual time: cables are in memory and take a millisecond, ticks come at each switch's own phase.
 *
 * Every switch has a station. `probe` lets one speak to all and says how many copies each of the others got: where there
 * is a spanning tree, exactly one.
 */

import type { Burst } from '../../src/frame/burst.js';
import { TICK_MS, type TreeMode } from '../../src/switch/spanning-tree.js';
import type { Switch } from '../../src/switch/switch.js';
import { BROADCAST, frame, MemoryPlug, station, virtualSwitch } from './memory-plug.js';

const CABLE_MS = 1;
/** Frames on all cables within one `run` that only a loop can bring about. */
const STORM = 200_000;
const STATION_PORT = 100;

/** One end of a cable in memory. */
class CablePlug extends MemoryPlug {
  constructor(private readonly carry: (bytes: Buffer) => void) {
    super('cable');
  }

  override send(frames: Burst, views: Uint8Array, count: number): void {
    if (this.closed) return;
    for (let k = 0; k < count; k++) this.carry(Buffer.from(frames.viewBytes(views[k])));
  }
}

export interface Bridge {
  index: number;
  sw: Switch;
  clock: { now: number };
  station: MemoryPlug;
  seat(port?: number): MemoryPlug;
  alive: boolean;
}

export class Link {
  /** False: frames are lost on the way, and nobody is told. */
  carrying = true;

  constructor(
    readonly ends: readonly [{ bridge: Bridge; port: number }, { bridge: Bridge; port: number }],
    private readonly plugs: readonly MemoryPlug[],
  ) {}

  get up(): boolean {
    return this.plugs.every((plug) => !plug.closed);
  }

  /** Pulls the cable out, as the end of a `vde_plug` does: both switches notice. */
  cut(): void {
    for (const plug of this.plugs) if (!plug.closed) plug.lose();
  }
}

interface Arrival {
  at: number;
  deliver: () => void;
}

export class TreeNetwork {
  now = 0;
  readonly bridges: Bridge[] = [];
  readonly links: Link[] = [];
  /** Frames on their way, in the order of their arrival. */
  readonly #flying: Arrival[] = [];
  readonly #ticks: { at: number; bridge: Bridge }[] = [];
  readonly #nextPort: number[] = [];
  #probes = 0;

  constructor(private readonly mode: TreeMode) {}

  /** @param phase ms after which its first tick comes. */
  addBridge(options: { priority?: number; mac?: number; phase?: number; mode?: TreeMode } = {}): Bridge {
    const index = this.bridges.length;
    const { priority, mac = index + 1, phase = 0, mode = this.mode } = options;
    const { sw, clock, seat } = virtualSwitch({ ports: STATION_PORT, mac: station(0x100 + mac), priority });
    clock.now = Math.floor(this.now / 1000);
    sw.tree.setMode(mode);
    const bridge: Bridge = { index, sw, clock, seat, station: seat(STATION_PORT), alive: true };
    this.bridges.push(bridge);
    this.#nextPort.push(1);
    this.#ticks.push({ at: this.now + phase, bridge });
    return bridge;
  }

  link(a: Bridge, b: Bridge): Link {
    const ends = [a, b].map((bridge) => ({ bridge, port: this.#nextPort[bridge.index]++ }));
    const plugs: CablePlug[] = [];
    const make = (other: number): CablePlug =>
      new CablePlug((bytes) => {
        if (!link.carrying) return;
        const deliver = () => {
          if (!plugs[other].closed && ends[other].bridge.alive) plugs[other].receive(bytes);
        };
        this.#flying.push({ at: this.now + CABLE_MS, deliver });
      });
    plugs.push(make(1), make(0));
    const link = new Link(ends as unknown as Link['ends'], plugs);
    this.links.push(link);
    for (const [side, { bridge, port }] of ends.entries()) {
      bridge.sw.attach(plugs[side], { port, id: 1000 + port, module: 'cable', user: -1 });
    }
    return link;
  }

  /** Takes a switch away: its cables end, or with `silently` its neighbours hear nothing any more. */
  kill(bridge: Bridge, silently = false): void {
    bridge.alive = false;
    for (const link of this.links) {
      if (!link.ends.some((end) => end.bridge === bridge)) continue;
      if (silently) link.carrying = false;
      else link.cut();
    }
  }

  /** Lets `ms` of virtual time pass. */
  run(ms: number): void {
    const end = this.now + ms;
    let frames = 0;
    for (;;) {
      const tick = this.#ticks.reduce((first, one) => (one.at < first.at ? one : first));
      const arrival = this.#flying[0];
      const at = Math.min(tick.at, arrival?.at ?? Number.POSITIVE_INFINITY);
      if (at > end) break;
      this.now = at;
      for (const { clock } of this.bridges) clock.now = Math.floor(at / 1000);
      if (arrival !== undefined && arrival.at === at) {
        this.#flying.shift();
        arrival.deliver();
        if (++frames > STORM) throw new Error('a storm');
      } else {
        tick.at += TICK_MS;
        if (tick.bridge.alive) tick.bridge.sw.tree.tick();
      }
    }
    this.now = end;
  }

  /** Runs until `done` says so, looking every `step` ms. Returns the ms that it took; undefined if not within `limit`. */
  runUntil(done: () => boolean, limit: number, step = 10): number | undefined {
    const begin = this.now;
    while (!done()) {
      if (this.now - begin >= limit) return undefined;
      this.run(step);
    }
    return this.now - begin;
  }

  /** Lets a switch's station speak to all, and says how often each living other one heard it. */
  probe(from: Bridge): number[] {
    const payload = `probe ${this.#probes++} `.padEnd(46);
    for (const { station: one } of this.bridges) one.take();
    from.station.receive(frame(BROADCAST, station(1000 + from.index), { payload }));
    this.run((this.bridges.length + 2) * CABLE_MS);
    return this.bridges.map(({ station: one }) => one.take().filter((bytes) => bytes.includes(payload)).length);
  }

  /** Of each switch, which others it is joined to by cables that are up. */
  components(): number[] {
    const of = this.bridges.map((_, index) => index);
    for (let pass = 0; pass < of.length; pass++) {
      for (const { up, carrying, ends } of this.links) {
        if (!up || !carrying) continue;
        const least = Math.min(of[ends[0].bridge.index], of[ends[1].bridge.index]);
        for (const { bridge } of ends) of[bridge.index] = least;
      }
    }
    return of;
  }

  /** Cables over which data passes both ways, by state of the ports. */
  forwarding(): Link[] {
    return this.links.filter(
      ({ up, carrying, ends }) =>
        up && carrying && ends.every(({ bridge, port }) => bridge.sw.vlans.get(0)?.discarding[port] === 0),
    );
  }

  /** Whether the cables that forward make a tree of each component. */
  isTree(): boolean {
    const of = this.bridges.map((_, index) => index);
    const find = (i: number): number => (of[i] === i ? i : find(of[i]));
    for (const { ends } of this.forwarding()) {
      const [a, b] = ends.map(({ bridge }) => find(bridge.index));
      if (a === b) return false;
      of[a] = b;
    }
    const components = this.components();
    return this.bridges.every((one, i) =>
      this.bridges.every(
        (other, k) => !one.alive || !other.alive || components[i] !== components[k] || find(i) === find(k),
      ),
    );
  }

  /** Throws unless every living station hears every other of its component exactly once. */
  assertSpanning(context: string): void {
    const components = this.components();
    for (const from of this.bridges) {
      if (!from.alive) continue;
      const heard = this.probe(from);
      for (const to of this.bridges) {
        if (to === from || !to.alive) continue;
        const expected = components[to.index] === components[from.index] ? 1 : 0;
        if (heard[to.index] !== expected) {
          throw new Error(`${context}: ${from.index} to ${to.index}: ${heard[to.index]} copies, not ${expected}`);
        }
      }
    }
  }
}

/** `count` switches in a ring; priorities rise, so that the first is the root. */
export function ring(mode: TreeMode, count: number): TreeNetwork {
  const network = new TreeNetwork(mode);
  for (let i = 0; i < count; i++) network.addBridge({ phase: (i * 377) % 1000 });
  for (let i = 0; i < count; i++) network.link(network.bridges[i], network.bridges[(i + 1) % count]);
  return network;
}
