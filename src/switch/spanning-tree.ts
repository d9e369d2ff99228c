/**
 * What keeps loops out of a switch's network: nothing, VDE's fast spanning tree or the standard's rapid one; one at a time.
 *
 * The switch hands over the BPDUs that arrive and says when ports and VLANs change; the tree says which ports discard
 * (`Vlan.discarding`), has addresses forgotten, and sends BPDUs out of ports. What a protocol sends is collected and goes
 * out when it has finished with what it is doing: a port that is lost by the sending changes nothing in its midst.
 */

import { formatBridgeIdentifier, parseBpdu } from '../frame/bpdu.js';
import { readU16 } from '../frame/bytes.js';
import { ETHERNET_TYPE_AT } from '../frame/ethernet.js';
import type { MacAddress } from '../frame/mac.js';
import { VID_MAX, VLAN_TAG } from '../frame/vlan.js';
import { VdeError } from '../sys/errors.js';
import { Fstp } from './fstp.js';
import type { Port } from './port.js';
import { Rstp } from './rstp.js';
import type { Switch } from './switch.js';
import type { ForwardingTable } from './table.js';
import { DISCARDING, FORWARDING, LEARNING, type PortState, type Vlan } from './vlan.js';

/** Which protocol runs. */
export type TreeMode = 'off' | 'fstp' | 'rstp';

/** Bridge priority unless told otherwise (802.1D 17.14). */
export const DEFAULT_PRIORITY = 0x8000;
/** How often `tick` is to be called, in ms. */
export const TICK_MS = 1000;
/** BPDUs heeded from a port in a VLAN within a tick; a neighbour sends one in two seconds, and some when things change. */
const BPDUS_MAX = 64;

/** What the protocols see of the switch. */
export interface TreeHost {
  readonly mac: MacAddress;
  readonly priority: number;
  readonly ports: readonly (Port | undefined)[];
  readonly vlans: ReadonlyMap<number, Vlan>;
  readonly table: ForwardingTable;
  /** Whole seconds since the switch began. */
  readonly uptime: number;
  /** Sends a frame out of a port. */
  send(port: Port, frame: Uint8Array): void;
  /** For those who watch: the root, or the port toward it (undefined: none), is another. */
  rootChanged(vlan: number, port: number | undefined, root: bigint): void;
  /** A port's state, as in `Vlan.discarding`. */
  stateChanged(vlan: number, port: number, state: PortState): void;
  /** A switch is heard at a port, or no longer. */
  heardChanged(vlan: number, port: number, heard: boolean): void;
}

/** See the head of this file. */
export class SpanningTree implements TreeHost {
  readonly fstp: Fstp;
  readonly rstp: Rstp;
  /** Called when ticks are needed, or no longer. */
  onRunning: ((running: boolean) => void) | undefined;
  /** BPDUs that were not heeded because too many came. */
  ignored = 0;
  #mode: TreeMode = 'off';
  #priority: number;
  readonly #outbox: { port: Port; frame: Uint8Array }[] = [];
  #depth = 0;
  #sending = false;
  readonly #received = new Map<number, number>();

  /** @param mac address of the switch, which its identifier ends with and its BPDUs come from. */
  constructor(
    private readonly owner: Switch,
    readonly mac: MacAddress,
    priority = DEFAULT_PRIORITY,
  ) {
    this.#priority = priority;
    this.fstp = new Fstp(this);
    this.rstp = new Rstp(this);
  }

  get mode(): TreeMode {
    return this.#mode;
  }

  /** Whether BPDUs are the tree's to take. */
  get running(): boolean {
    return this.#mode !== 'off';
  }

  /**
   * Begins or ends a protocol; the other one ends.
   * @throws VdeError `EINVAL` in hub mode.
   */
  setMode(mode: TreeMode): void {
    if (mode === this.#mode) return;
    if (mode !== 'off' && this.owner.hub) {
      throw new VdeError({
        code: 'EINVAL',
        subject: 'spanning tree',
        cause: 'a hub sends every frame everywhere',
        remedy: 'turn hub mode off first (port/sethub 0)',
      });
    }
    this.#run(() => {
      if (this.#mode === 'fstp') this.fstp.disable();
      if (this.#mode === 'rstp') this.rstp.disable();
      this.#mode = mode;
      if (mode === 'fstp') this.fstp.enable();
      if (mode === 'rstp') this.rstp.enable();
    });
    this.onRunning?.(this.running);
  }

  get priority(): number {
    return this.#priority;
  }

  /** 0 to 65535, the smaller the likelier to be the root. */
  set priority(priority: number) {
    this.#priority = priority;
    this.change(() => {
      this.fstp.priorityChanged();
      this.rstp.priorityChanged();
    });
  }

  /** Runs something that changes what a protocol was told, and sends what comes of it. */
  change(action: () => void): void {
    this.#run(action);
  }

  /** A second has passed. */
  tick(): void {
    this.#received.clear();
    if (this.#mode === 'fstp') this.#run(() => this.fstp.tick());
    if (this.#mode === 'rstp') this.#run(() => this.rstp.tick());
  }

  /** A port has become active or inactive. */
  activityChanged(port: Port): void {
    if (this.#mode === 'fstp') this.#run(() => this.fstp.activityChanged(port));
    if (this.#mode === 'rstp') this.#run(() => this.rstp.portsChanged());
  }

  /** A port has joined or left a VLAN, or is in it in another way. */
  membershipChanged(vlan: Vlan, port: Port): void {
    this.#run(() => this.fstp.membershipChanged(vlan, port));
    if (this.#mode === 'rstp') this.rstp.membershipChanged(vlan, port);
  }

  /** A frame to the bridge group address has arrived. */
  receive(port: Port, frame: Uint8Array): void {
    const tagged =
      frame.length >= ETHERNET_TYPE_AT + VLAN_TAG &&
      port.mode !== 'tunnel' &&
      readU16(frame, ETHERNET_TYPE_AT) === port.tpid;
    const id = tagged ? readU16(frame, ETHERNET_TYPE_AT + 2) & VID_MAX : port.untaggedVlan;
    const key = port.number * (VID_MAX + 1) + id;
    const received = (this.#received.get(key) ?? 0) + 1;
    this.#received.set(key, received);
    if (received > BPDUS_MAX) {
      this.ignored++;
      return;
    }
    const message = parseBpdu(frame, tagged);
    if (message === undefined) return;
    if (this.#mode === 'rstp' && !tagged) this.#run(() => this.rstp.receive(port, message));
    const vlan = this.owner.vlans.get(id);
    if (this.#mode === 'fstp' && vlan !== undefined) this.#run(() => this.fstp.receive(vlan, port, message));
  }

  #run(action: () => void): void {
    this.#depth++;
    try {
      action();
    } finally {
      this.#depth--;
    }
    if (this.#depth > 0 || this.#sending) return;
    this.#sending = true;
    try {
      // What is lost by the sending adds to the box.
      for (let i = 0; i < this.#outbox.length; i++) this.owner.transmit(this.#outbox[i].port, this.#outbox[i].frame);
    } finally {
      this.#outbox.length = 0;
      this.#sending = false;
    }
  }

  get ports(): readonly (Port | undefined)[] {
    return this.owner.ports;
  }

  get vlans(): ReadonlyMap<number, Vlan> {
    return this.owner.vlans;
  }

  get table(): ForwardingTable {
    return this.owner.table;
  }

  get uptime(): number {
    return this.owner.uptime;
  }

  send(port: Port, frame: Uint8Array): void {
    this.#outbox.push({ port, frame });
  }

  rootChanged(vlan: number, port: number | undefined, root: bigint): void {
    const { treeRoot } = this.owner.debug;
    if (treeRoot.wanted) treeRoot.say(`${place(vlan, port ?? 0)} -> ${formatBridgeIdentifier(root)}`);
  }

  stateChanged(vlan: number, port: number, state: PortState): void {
    const { treeStatus } = this.owner.debug;
    if (treeStatus.wanted) treeStatus.say(`${place(vlan, port)} ${STATE_NAMES[state]}`);
  }

  heardChanged(vlan: number, port: number, heard: boolean): void {
    const { treeOn, treeOff } = this.owner.debug;
    const category = heard ? treeOn : treeOff;
    if (category.wanted) category.say(place(vlan, port));
  }
}

/** How the states are named to those who debug. */
const STATE_NAMES = { [FORWARDING]: 'learning+forwarding', [LEARNING]: 'learning', [DISCARDING]: 'discarding' };

/** `Port 0001 VLAN 00:14`: the VLAN as two octets in hexadecimal. */
function place(vlan: number, port: number): string {
  const [high, low] = [vlan >> 8, vlan & 0xff].map((octet) => octet.toString(16).padStart(2, '0'));
  return `Port ${String(port).padStart(4, '0')} VLAN ${high}:${low}`;
}
