/**
 * Mirrors: what passes some ports of a switch, in copies, for somebody to look at. Copies go
 *
 * - to a port (SPAN), which is kept for them: nothing else leaves there, and what arrives there is dropped;
 * - onto a VLAN (RSPAN), which carries them, with its tag outside of any other, through more switches to where they are
 *   looked at; addresses are not learned in it;
 * - to a capture file or FIFO, which ends the mirror if it cannot be written, or its reader leaves.
 *
 * Copies do not come from a mirror's own port or from frames of a VLAN that carries copies, so none is copied again.
 */

import { type Burst, VIEWS } from '../frame/burst.js';
import { PacketDirection } from '../frame/pcapng-packet.js';
import { CaptureFile } from '../plug/capture-file.js';
import { Pool } from '../plug/pool.js';
import { VdeError } from '../sys/errors.js';
import type { Log } from './control.js';
import type { SwitchObserver } from './observer.js';
import type { Port } from './port.js';
import { existingPort, refusal } from './port-management.js';
import { RemoteSpan } from './remote-span.js';
import type { Switch } from './switch.js';
import { viewVlan } from './view-vlan.js';
import { existingVlan, setRemoteSpan } from './vlan-management.js';

/** Mirrors of a switch, at most. */
const MIRRORS_MAX = 64;
/** Ports that a capture tells apart, at most. */
const PLACES_MAX = 1024;

/** Which frames are mirrored: those that arrive at the ports, those that leave there, or both. */
export type MirrorDirection = 'in' | 'out' | 'both';

/** Where copies go. */
export type MirrorTarget = { port: number } | { vlan: number } | { file: string };

/** What a mirror is to do. */
export interface MirrorSpec {
  /** Numbers of the ports that are looked at; undefined for all. */
  ports: ReadonlySet<number> | undefined;
  direction: MirrorDirection;
  to: MirrorTarget;
}

/** Takes copies. */
interface Output {
  send(port: Port, burst: Burst, views: Uint8Array, count: number, direction: PacketDirection): void;
  close(): void;
}

/** A mirror at work. */
export interface Mirror extends MirrorSpec {
  /** Number that the console names it by. */
  readonly id: number;
  /** Copied so far; a super-frame is one. */
  readonly frames: number;
  readonly bytes: number;
}

interface Running extends Mirror {
  frames: number;
  bytes: number;
  output: Output;
}

/** The mirrors of a switch. */
export class Mirrors {
  /** Replaced, never changed in place: it may be walked while one ends. */
  #all: readonly Running[] = [];
  #last = 0;
  readonly #lists = new Pool(() => new Uint8Array(VIEWS));
  readonly #observer: SwitchObserver = {
    arrived: (port, burst, views, count) => this.#copy(PacketDirection.inbound, port, burst, views, count),
    leaving: (port, burst, views, count) => this.#copy(PacketDirection.outbound, port, burst, views, count),
  };

  constructor(
    private readonly owner: Switch,
    private readonly log: Log,
  ) {}

  get list(): readonly Mirror[] {
    return this.#all;
  }

  /**
   * Begins to mirror. A port or VLAN that copies go to is kept for them from then on.
   * @throws VdeError `EINVAL` out of range, or a port mirrored to itself; `ENXIO` no such port or VLAN; `ENOSPC` too many
   *   mirrors; what the kernel says if the file cannot be written.
   */
  add(spec: MirrorSpec): Mirror {
    if (this.#all.length >= MIRRORS_MAX) throw refusal('ENOSPC', 'mirrors');
    for (const port of spec.ports ?? []) this.#checkSource(port, spec);
    const id = this.#last + 1;
    const mirror: Running = { ...spec, id, frames: 0, bytes: 0, output: this.#open(id, spec) };
    this.#last = id;
    if (this.#all.length === 0) this.owner.observers.add(this.#observer);
    this.#all = [...this.#all, mirror];
    return mirror;
  }

  #checkSource(number: number, { to }: MirrorSpec): void {
    if (!(number >= 0 && number <= this.owner.portCount)) throw refusal('EINVAL', `port ${number}`);
    const taken = this.owner.ports[number]?.monitor || ('port' in to && to.port === number);
    if (taken) throw refusal('EINVAL', `port ${number}`, 'mirrored frames go there');
  }

  #open(id: number, { to, ports }: MirrorSpec): Output {
    if ('port' in to) return this.#openPort(to.port);
    if ('vlan' in to) {
      existingVlan(this.owner, to.vlan);
      setRemoteSpan(this.owner, to.vlan, true);
      return new RemoteSpan(this.owner, to.vlan);
    }
    return this.#openFile(id, to.file, ports);
  }

  #openPort(number: number): Output {
    const target = existingPort(this.owner, number);
    if (this.#all.some(({ ports }) => ports?.has(number))) {
      throw refusal('EINVAL', `port ${number}`, 'it is mirrored itself');
    }
    this.owner.setMonitor(target, true);
    return {
      send(_, burst, views, count) {
        const { endpoints, output } = target;
        if (endpoints.length === 0) return;
        output.frames += count;
        for (let k = 0; k < count; k++) output.bytes += burst.length[views[k]];
        for (const { plug } of endpoints) plug.send(burst, views, count);
      },
      close: () => {
        if (!this.#all.some(({ to }) => 'port' in to && to.port === number)) this.owner.setMonitor(target, false);
      },
    };
  }

  #openFile(id: number, path: string, ports: ReadonlySet<number> | undefined): Output {
    const numbers = [...(ports ?? this.owner.ports.keys())].slice(0, PLACES_MAX);
    const places = new Map(numbers.map((number, place) => [number, place]));
    const file = new CaptureFile(path, `mirror ${id}`, {
      interfaceName: [...numbers.map((number) => `port ${number}`), 'other ports'],
      notice: this.log,
      onStopped: () => this.#end(id),
    });
    if (file.stopped) throw new VdeError({ code: 'EIO', subject: `mirror ${id}`, cause: `${path} cannot be written` });
    return {
      send: ({ number }, burst, views, count, direction) =>
        file.record(burst, views, count, direction, places.get(number) ?? numbers.length),
      close: () => file.close(),
    };
  }

  /** @throws VdeError `ENOENT` if there is no such mirror. */
  remove(id: number): void {
    if (!this.#end(id)) throw refusal('ENOENT', `mirror ${id}`);
  }

  /** False if there is no such mirror. */
  #end(id: number): boolean {
    const mirror = this.#all.find((one) => one.id === id);
    if (mirror === undefined) return false;
    this.#all = this.#all.filter((other) => other !== mirror);
    if (this.#all.length === 0) this.owner.observers.remove(this.#observer);
    mirror.output.close();
    return true;
  }

  /** Whether a mirror's copies go onto a VLAN. */
  usesVlan(id: number): boolean {
    return this.#all.some(({ to }) => 'vlan' in to && to.vlan === id);
  }

  /** Ends all. */
  close(): void {
    for (const { id } of this.#all) this.#end(id);
  }

  #copy(direction: PacketDirection, port: Port, burst: Burst, views: Uint8Array, count: number): void {
    const unwanted = direction === PacketDirection.inbound ? 'out' : 'in';
    const kept = this.#lists.take();
    const wanted = this.#withoutCopies(port, burst, views, count, kept);
    for (const mirror of this.#all) {
      if (wanted === 0) break;
      if (mirror.direction === unwanted || mirror.ports?.has(port.number) === false) continue;
      mirror.frames += wanted;
      for (let k = 0; k < wanted; k++) mirror.bytes += burst.length[kept[k]];
      mirror.output.send(port, burst, kept, wanted, direction);
    }
    this.#lists.give(kept);
  }

  /** Leaves out the frames of VLANs that carry copies. */
  #withoutCopies(port: Port, burst: Burst, views: Uint8Array, count: number, kept: Uint8Array): number {
    let n = 0;
    for (let k = 0; k < count; k++) {
      const vlan = viewVlan(port, burst, views[k]);
      if (this.owner.vlans.get(vlan)?.remoteSpan !== true) kept[n++] = views[k];
    }
    return n;
  }
}
