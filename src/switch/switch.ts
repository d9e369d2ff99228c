/**
 * The switch: bursts in, per-egress lists of views out (docs/design.md, "bursts, run to completion").
 *
 * A burst that arrives at a port is classified frame by frame (VLAN, learning, lookup); each egress collects the views
 * that go to it; then each egress sends its list with one call. Nothing is allocated per frame. Consecutive frames of the
 * same conversation reuse the previous frame's decision.
 *
 * The rules are those of the reference (forwarding rules, sections 1 to 4) with IEEE 802.1Q names.
 */

import { ALL_VIEWS, BURST_SIZE, Burst, FRAME_MIN, VIEWS } from '../frame/burst.js';
import { EtherType } from '../frame/ethernet.js';
import { type MacAddress, randomMac } from '../frame/mac.js';
import { type Tpid, vidOfWord } from '../frame/vlan.js';
import type { Plug } from '../plug/plug.js';
import { Concentrator, type ConcentratorKind } from './concentrator.js';
import { DebugCategories } from './debug.js';
import { Observers } from './observer.js';
import { type Endpoint, NO_VLAN, Port } from './port.js';
import { freePort, type Seat, wantedPort } from './seating.js';
import { SpanningTree } from './spanning-tree.js';
import { ForwardingTable } from './table.js';
import { DISCARDING, FORWARDING, NOT_MEMBER, TAGGED, UNTAGGED, Vlan } from './vlan.js';

/** Ports of a switch unless told otherwise. */
export const DEFAULT_PORTS = 32;
/** Most ports that a switch may have. */
export const PORTS_MAX = 4096;

/** A tagged frame: Ethernet header and tag. */
const TAGGED_MIN = 18;
const NO_DECISION = -2;
const FLOOD = -1;
/** To the bridge group address: for the spanning tree. */
const CONTROL = -3;
// 01:80:c2:00:00:00 as little-endian loads give it.
const GROUP0 = 0x00c2_8001;
const GROUP1 = 0x0000;

export interface SwitchOptions {
  /** Ports 1 to `ports`; port 0 exists beside them. */
  ports?: number;
  /** Whether every frame goes to every port. */
  hub?: boolean;
  /** Whether the ports reach only the one that is seated first, see `Concentrator`. */
  concentrator?: ConcentratorKind;
  /** See `Switch.transparent`. */
  transparent?: boolean;
  /** The switch's own address, which its spanning tree's frames come from; one at random if not given. */
  mac?: MacAddress;
  /** Spanning tree priority, 0 to 65535; 32768 if not given. */
  priority?: number;
  /** Whole seconds since the switch began. */
  now: () => number;
  /** Source of chance in [0, 1). */
  random: () => number;
}

/** See the head of this file. */
export class Switch {
  readonly table: ForwardingTable;
  readonly ports: (Port | undefined)[];
  readonly vlans = new Map<number, Vlan>();
  readonly debug = new DebugCategories();
  readonly tree: SpanningTree;
  readonly observers = new Observers();
  hub: boolean;
  /** Whether 802.1Q tags are left alone: who is in VLAN 0 is in every VLAN, only addresses are learned for each. */
  transparent: boolean;
  /** Called when an endpoint has left, whoever caused it. */
  onLeft: ((port: Port, endpoint: Endpoint) => void) | undefined;
  readonly #now: () => number;
  /** The ports that the burst in hand goes out of: the first `#egressCount`. Shortening an array is slow. */
  readonly #egresses: Port[] = [];
  #egressCount = 0;
  /** Active ports, for hub mode. */
  #active: readonly Port[] = [];
  readonly #concentrator: Concentrator | undefined;

  constructor(options: SwitchOptions) {
    const count = (options.ports ?? DEFAULT_PORTS) + 1;
    this.ports = new Array(count).fill(undefined);
    this.table = new ForwardingTable(PORTS_MAX + 1, options.random);
    this.table.added = this.debug.hashAdded;
    this.table.removed = this.debug.hashRemoved;
    this.hub = options.hub ?? false;
    this.#concentrator = options.concentrator && new Concentrator(options.concentrator);
    this.transparent = options.transparent ?? false;
    this.#now = options.now;
    this.vlans.set(0, new Vlan(0, PORTS_MAX + 1));
    this.tree = new SpanningTree(this, options.mac ?? randomMac(options.random), options.priority);
  }

  /** Highest port number. */
  get portCount(): number {
    return this.ports.length - 1;
  }

  /** Seconds since the switch began. */
  get uptime(): number {
    return this.#now();
  }

  /** Forgets old addresses; to be called about once in two seconds. */
  sweep(): void {
    this.table.sweep(this.#now());
  }

  /**
   * Seats a plug in a port and starts to forward for it.
   * @throws VdeError `EADDRNOTAVAIL` no such port, `EADDRINUSE` another user's, `EACCES` kept for others, `ENOSPC` none free.
   */
  attach(plug: Plug, seat: Seat): Port {
    const port = seat.port === undefined ? freePort(this, seat) : wantedPort(this, seat.port, seat);
    const first = !port.active;
    const endpoint: Endpoint = { id: seat.id, plug, module: seat.module, description: seat.description };
    port.endpoints = [endpoint, ...port.endpoints];
    if (first) {
      this.#concentrator?.join(port);
      port.currentUser = seat.user;
      this.#refresh();
    }
    this.debug.joined(port.number, endpoint);
    if (first) this.tree.activityChanged(port);
    plug.onLost = () => this.detach(port, endpoint);
    try {
      plug.sink = (burst) => this.input(port, burst);
    } catch (error) {
      this.detach(port, endpoint);
      throw error;
    }
    return port;
  }

  /** Makes the port of a number that is free and in range; it is a member of VLAN 0 as every new one. */
  createPort(number: number): Port {
    const port = new Port(number);
    this.ports[number] = port;
    const vlan = this.vlans.get(port.untaggedVlan) as Vlan;
    vlan.member[number] = UNTAGGED;
    this.debug.created(number);
    return port;
  }

  /** Due after a change of a port's membership in a VLAN. */
  membershipChanged(vlan: Vlan, port: Port): void {
    if (port.active) vlan.refresh(this.ports);
    this.tree.membershipChanged(vlan, port);
  }

  /** Turns hub mode on or off; with it, no spanning tree runs. */
  setHub(on: boolean): void {
    if (on) this.tree.setMode('off');
    this.hub = on;
  }

  /** Keeps a port for mirrored frames, or gives it back: nothing is forwarded from or to one that is kept. */
  setMonitor(port: Port, on: boolean): void {
    if (port.monitor === on) return;
    port.monitor = on;
    this.table.flushPort(port.number);
    this.#refresh();
  }

  /** Takes an endpoint out and closes its plug. Idempotent. */
  detach(port: Port, endpoint: Endpoint): void {
    if (!port.endpoints.includes(endpoint)) return;
    port.endpoints = port.endpoints.filter((other) => other !== endpoint);
    port.retire(endpoint.plug);
    endpoint.plug.close();
    this.debug.left(port.number, endpoint);
    if (!port.active) {
      this.table.flushPort(port.number);
      this.#concentrator?.leave(port);
      port.currentUser = -1;
      this.#refresh();
      this.debug.emptied(port.number);
      this.observers.portLeft(port);
      this.tree.activityChanged(port);
    }
    this.onLeft?.(port, endpoint);
  }

  /** Detaches everything. */
  close(): void {
    for (const port of this.ports) {
      for (const endpoint of port?.endpoints ?? []) this.detach(port as Port, endpoint);
    }
  }

  #refresh(): void {
    this.#active = this.ports.filter((port): port is Port => port?.active === true && !port.monitor);
    for (const vlan of this.vlans.values()) vlan.refresh(this.ports);
  }

  /** Forwards a burst that arrived at a port. */
  input(port: Port, burst: Burst): void {
    if (this.observers.watching) {
      if (port.monitor) {
        port.inputDrops.blocked += burst.count;
        return;
      }
      this.observers.arrived(port, burst);
    }
    if (this.hub || this.#concentrator !== undefined) this.#repeat(port, burst);
    else this.#forward(port, burst);
    this.#flush(burst);
    if (this.#controlCount > 0) this.#takeControl(port, burst);
  }

  /** Slots of the burst in hand that are the spanning tree's: it gets them when the others have gone their way. */
  readonly #control = new Uint8Array(BURST_SIZE);
  #controlCount = 0;

  #takeControl(port: Port, burst: Burst): void {
    const count = this.#controlCount;
    this.#controlCount = 0;
    for (let i = 0; i < count; i++) this.tree.receive(port, burst.frame(this.#control[i]));
  }

  /** Made when the switch has something of its own to send. */
  #own: Burst | undefined;

  /** Sends a frame of the switch's own out of a port, as it is. */
  transmit(port: Port, frame: Uint8Array): void {
    if (port.monitor) return;
    this.#own ??= new Burst();
    this.#own.count = 0;
    this.#own.add(frame);
    port.output.frames++;
    port.output.bytes += frame.length;
    if (this.observers.watching) this.observers.leaving(port, this.#own, ALL_VIEWS, 1);
    for (const { plug } of port.endpoints) plug.send(this.#own, ALL_VIEWS, 1);
  }

  /** Hub mode: everything goes everywhere, untouched, or where the concentrator says. */
  #repeat(port: Port, burst: Burst): void {
    const { count, length } = burst;
    for (let slot = 0; slot < count; slot++) {
      const size = length[slot];
      if (size < FRAME_MIN) {
        port.inputDrops.malformed++;
        continue;
      }
      port.input.frames++;
      port.input.bytes += size;
      const outputs = this.#concentrator?.outputs(port) ?? this.#active;
      for (let i = 0; i < outputs.length; i++) {
        if (outputs[i] !== port && !(port.isolated && outputs[i].isolated)) this.#push(outputs[i], slot);
      }
    }
  }

  #forward(port: Port, burst: Burst): void {
    const { count, length, start, words, shorts } = burst;
    const { table } = this;
    const { tagWord, isolated } = port;
    const now = this.#now();
    const drops = port.inputDrops;
    // The previous frame's conversation and what was decided about it.
    let last0 = 0;
    let last1 = 0;
    let last2 = 0;
    let lastVlan = -1;
    let decision = NO_DECISION;
    let vlan: Vlan | undefined;
    let frames = 0;
    let bytes = 0;
    if (table.large) table.touch(burst, tagWord, port.untaggedVlan);
    for (let slot = 0; slot < count; slot++) {
      const size = length[slot];
      if (size < FRAME_MIN) {
        drops.malformed++;
        continue;
      }
      frames++;
      bytes += size;
      const word = start[slot] >>> 2;
      // Bytes 0-3 | 4-5 and 6-7 | 8-11: destination, then source.
      const w0 = words[word];
      const w1 = words[word + 1];
      const w2 = words[word + 2];
      const tagged = shorts[(word << 1) + 6] === tagWord;
      let id = port.untaggedVlan;
      if (tagged) {
        if (size < TAGGED_MIN) {
          drops.malformed++;
          continue;
        }
        id = vidOfWord(shorts[(word << 1) + 7]);
        if (id !== 0 && port.mode === 'access') {
          drops.vlan++;
          continue;
        }
      }
      if (id !== lastVlan || w0 !== last0 || w1 !== last1 || w2 !== last2) {
        last0 = w0;
        last1 = w1;
        last2 = w2;
        lastVlan = id;
        decision = NO_DECISION;
        vlan = this.transparent ? this.vlans.get(0) : id === NO_VLAN ? undefined : this.vlans.get(id);
        if (w0 === GROUP0 && (w1 & 0xffff) === GROUP1 && this.tree.running) {
          decision = CONTROL;
        } else if (vlan !== undefined && vlan.member[port.number] !== NOT_MEMBER) {
          const state = vlan.discarding[port.number];
          // The lowest bit of an address's first byte marks a group address, which is never a source.
          if (state !== DISCARDING && (w1 & 0x0001_0000) === 0 && !vlan.remoteSpan) {
            table.learn((w1 >>> 16) | (w2 << 16), w2 >>> 16, id, port.number, now);
          }
          if (state === FORWARDING) {
            decision = w0 & 1 || vlan.remoteSpan ? FLOOD : table.lookup(w0, w1 & 0xffff, id, now);
          }
          if (decision >= 0 && vlan.discarding[decision] !== FORWARDING) decision = NO_DECISION;
        }
      }
      if (decision === FLOOD) {
        for (const egress of (vlan as Vlan).flood) {
          if (egress === port || (isolated && egress.isolated)) continue;
          this.#egress(port, egress, vlan as Vlan, burst, slot, tagged);
        }
      } else if (decision >= 0) {
        const egress = this.ports[decision];
        if (egress === port) drops.hairpin++;
        else if (isolated && egress?.isolated) drops.blocked++;
        else if (egress?.active) this.#egress(port, egress, vlan as Vlan, burst, slot, tagged);
      } else if (decision === CONTROL) {
        this.#control[this.#controlCount++] = slot;
      } else if (vlan !== undefined && vlan.member[port.number] !== NOT_MEMBER) {
        drops.blocked++;
      } else {
        drops.vlan++;
      }
    }
    port.input.frames += frames;
    port.input.bytes += bytes;
  }

  /** Sends a frame out at a port in the form that its membership and its kind of tags ask for. */
  #egress(from: Port, egress: Port, vlan: Vlan, burst: Burst, slot: number, tagged: boolean): void {
    const wantsTag = vlan.member[egress.number] === TAGGED;
    if ((wantsTag === tagged && (!tagged || egress.tpid === from.tpid)) || this.transparent) this.#push(egress, slot);
    else this.#push(egress, this.#retag(burst, slot, vlan.id | (from.priority << 13), tagged, wantsTag, egress.tpid));
  }

  /** 1 for each changed view that has been made of the burst in hand. */
  readonly #made = new Uint8Array(VIEWS);
  #anyMade = false;

  #retag(burst: Burst, slot: number, tci: number, tagged: boolean, wantsTag: boolean, tpid: Tpid): number {
    const third = wantsTag && (tagged || tpid === EtherType.serviceTag);
    const view = (third ? 2 * BURST_SIZE : BURST_SIZE) + slot;
    if (this.#made[view]) return view;
    this.#made[view] = 1;
    this.#anyMade = true;
    return third ? burst.retagService(slot, tci, tagged, tpid) : burst.retag(slot, tci, tagged);
  }

  #push(egress: Port, view: number): void {
    const n = egress.viewCount;
    if (n === 0) this.#egresses[this.#egressCount++] = egress;
    egress.views[n] = view;
    egress.viewCount = n + 1;
  }

  /** Gives each egress its list. */
  #flush(burst: Burst): void {
    const egresses = this.#egresses;
    const count = this.#egressCount;
    this.#egressCount = 0;
    const { length } = burst;
    for (let i = 0; i < count; i++) {
      const { views, viewCount, endpoints, output } = egresses[i];
      egresses[i].viewCount = 0;
      let bytes = 0;
      for (let k = 0; k < viewCount; k++) bytes += length[views[k]];
      output.frames += viewCount;
      output.bytes += bytes;
      if (this.observers.watching) this.observers.leaving(egresses[i], burst, views, viewCount);
      for (let e = 0; e < endpoints.length; e++) endpoints[e].plug.send(burst, views, viewCount);
    }
    if (this.#anyMade) {
      this.#made.fill(0);
      this.#anyMade = false;
    }
  }
}
