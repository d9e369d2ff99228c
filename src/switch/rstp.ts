/**
 * Rapid spanning tree: IEEE 802.1D-2004, clause 17, one tree for the whole switch whatever its VLANs.
 *
 * This is the bridge: its identifier and times, role selection (17.28), and the round in which the machines of all ports
 * run until none moves any more. Time comes in by `tick`, once a second; BPDUs by `receive`; what is sent leaves by the
 * host. Neighbours that speak 802.1D-1998 (the Linux bridge's own) are spoken to in their tongue, port by port.
 *
 * A port's state holds in every VLAN alike. BPDUs are untagged, also where a port takes no untagged frames otherwise.
 */

import {
  BPDU_SECOND,
  type Bpdu,
  BpduFlag,
  BpduType,
  bridgeIdentifier,
  ROLE_SHIFT,
  topologyChangeBpdu,
  writeBpdu,
} from '../frame/bpdu.js';
import type { Port } from './port.js';
import {
  MIGRATE_TIME,
  type RstpBridge,
  runBridgeDetection,
  runInformation,
  runMigration,
  runRole,
  runState,
  runTransmit,
} from './rstp-machines.js';
import {
  compareVectors,
  defaultPortConfig,
  type PortConfig,
  type PriorityVector,
  RstpPort,
  sameTimes,
  type Times,
} from './rstp-port.js';
import { type BridgeTimes, timesOf } from './rstp-times.js';
import { runTopologyChange } from './rstp-topology.js';
import type { TreeHost } from './spanning-tree.js';
import { DISCARDING, FORWARDING, LEARNING, type PortState, type Vlan } from './vlan.js';

/** Rounds of all machines after which something is wrong with them: a settled network needs a handful. */
const ROUNDS_MAX = 1000;
/** Greatest port path cost (802.1D table 17-3). */
export const PATH_COST_MAX = 200_000_000;

const ROLE_CODES = { Disabled: 0, Alternate: 1, Backup: 1, Root: 2, Designated: 3 } as const;

/** See the head of this file. */
export class Rstp implements RstpBridge {
  readonly #ports = new Map<number, RstpPort>();
  /** Kept as long as the port object is, also while the tree is off. */
  readonly #configs = new WeakMap<Port, PortConfig>();
  #identifier: bigint;
  #times: Readonly<Times> = { messageAge: 0, maxAge: 20, helloTime: 2, forwardDelay: 15 };
  #rootPriority: Readonly<PriorityVector>;
  rootTimes: Readonly<Times> = this.#times;
  #rootPort: RstpPort | undefined;
  #enabled = false;
  /** Topology changes noticed or heard of since the tree began, and when the last was, by the switch's clock. */
  topologyChanges = 0;
  lastChange = 0;

  constructor(private readonly host: TreeHost) {
    this.#identifier = this.#ownIdentifier();
    this.#rootPriority = this.#ownPriority();
  }

  get ports(): Iterable<RstpPort> {
    return this.#ports.values();
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  get identifier(): bigint {
    return this.#identifier;
  }

  /** The bridge's own times, which hold where it is root. */
  get times(): Readonly<BridgeTimes> {
    return this.#times;
  }

  /** What the bridge takes for the root, and the cost of the path to it. */
  get rootPriority(): Readonly<PriorityVector> {
    return this.#rootPriority;
  }

  /** Undefined where the bridge is itself the root. */
  get rootPort(): number | undefined {
    return this.#rootPort?.number;
  }

  /** Begins with the ports that are active. */
  enable(): void {
    if (this.#enabled) return;
    this.#enabled = true;
    this.#identifier = this.#ownIdentifier();
    this.#rootPriority = this.#ownPriority();
    this.portsChanged();
  }

  /** Ends: every port forwards. */
  disable(): void {
    if (!this.#enabled) return;
    this.#enabled = false;
    this.#ports.clear();
    this.#rootPort = undefined;
    this.rootTimes = this.#times;
    this.#rootPriority = this.#ownPriority();
    for (const vlan of this.host.vlans.values()) {
      vlan.discarding.fill(FORWARDING);
      vlan.refresh(this.host.ports);
    }
  }

  /** A priority was given to the switch. */
  priorityChanged(): void {
    this.#identifier = this.#ownIdentifier();
    this.#reselectAll();
  }

  /** @param times such as `validTimes` says so of. */
  setTimes(times: BridgeTimes): void {
    this.#times = { messageAge: 0, ...times };
    this.#reselectAll();
  }

  #ownIdentifier(): bigint {
    return bridgeIdentifier(this.host.priority, this.host.mac);
  }

  #ownPriority(): PriorityVector {
    return { root: this.#identifier, cost: 0, bridge: this.#identifier, port: 0 };
  }

  /** What is said about a port. */
  config(port: Port): Readonly<PortConfig> {
    return this.#config(port);
  }

  #config(port: Port): PortConfig {
    let config = this.#configs.get(port);
    if (config === undefined) {
      config = defaultPortConfig();
      this.#configs.set(port, config);
    }
    return config;
  }

  /** Says something about a port; what is not named stays. */
  configure(port: Port, change: Partial<PortConfig>): void {
    Object.assign(this.#config(port), change);
    const state = this.#ports.get(port.number);
    if (state === undefined) return;
    if ('edge' in change) state.operEdge = change.edge === true;
    this.#seePort(state);
    this.#reselectAll();
  }

  /** Asks a port's neighbour anew whether it speaks the rapid protocol (17.19.13). */
  checkMigration(port: Port): void {
    const state = this.#ports.get(port.number);
    if (state === undefined) return;
    state.mcheck = true;
    this.#settle();
  }

  #reselectAll(): void {
    this.#selectRoles();
    this.#settle();
  }

  /** Ports have become active or inactive, or were made or removed. */
  portsChanged(): void {
    if (!this.#enabled) return;
    const { ports } = this.host;
    for (const [number, { port }] of this.#ports) if (ports[number] !== port) this.#ports.delete(number);
    for (const port of ports) {
      if (port === undefined || (!port.active && !this.#ports.has(port.number))) continue;
      let state = this.#ports.get(port.number);
      if (state === undefined) {
        state = new RstpPort(port, this.#config(port));
        state.operEdge = state.config.edge === true;
        this.#ports.set(port.number, state);
        this.applyState(state);
      }
      this.#seePort(state);
    }
    // A root port may have gone with its object.
    if (this.#rootPort !== undefined && !this.#ports.has(this.#rootPort.number)) this.#reselectAll();
    this.#settle();
  }

  #seePort(state: RstpPort): void {
    const { port, config } = state;
    if (!state.portEnabled && port.active) {
      state.edgeDelayWhile = MIGRATE_TIME;
      state.mdelayWhile = MIGRATE_TIME;
      // 17.29.1: a port that comes up waits, unless its neighbour agrees or there is none.
      state.fdWhile = this.rootTimes.maxAge;
      state.helloWhen = 0;
      state.txCount = 0;
    }
    state.portEnabled = port.active;
    state.operPointToPoint = config.pointToPoint ?? port.endpoints.length <= 1;
  }

  /** A port has joined a VLAN, maybe a new one: its state is the same there. */
  membershipChanged(vlan: Vlan, { number }: Port): void {
    const port = this.#ports.get(number);
    if (port === undefined) return;
    vlan.discarding[number] = stateOf(port);
    vlan.refresh(this.host.ports);
  }

  /** A second has passed. */
  tick(): void {
    for (const port of this.#ports.values()) {
      port.countDown();
      this.#seePort(port);
    }
    this.#settle();
  }

  /** A BPDU has arrived (17.23, with the checks of 9.3.4). */
  receive(port: Port, message: Bpdu): void {
    const state = this.#ports.get(port.number);
    if (state === undefined || !state.portEnabled) return;
    if (message.type !== BpduType.topologyChange) {
      if (message.type === BpduType.configuration && message.messageAge >= message.maxAge) return;
      // Our own, come back to the port that it left by.
      if (message.bridge === this.#identifier && message.port === state.identifier) return;
    }
    if (message.type === BpduType.rapid) state.rcvdRSTP = true;
    else state.rcvdSTP = true;
    state.operEdge = false;
    state.edgeDelayWhile = MIGRATE_TIME;
    const { root, cost, bridge, port: sender } = message;
    state.message = message;
    state.msgPriority = { root, cost, bridge, port: sender };
    state.msgTimes = timesOf(message);
    this.#settle();
  }

  /** Runs the machines until none moves, then sends what there is to say. */
  #settle(): void {
    if (!this.#enabled) return;
    let moved = true;
    for (let round = 0; moved; round++) {
      if (round === ROUNDS_MAX) throw new Error('the spanning tree does not settle');
      moved = false;
      let reselect = false;
      for (const port of this.#ports.values()) {
        moved = runMigration(port) || moved;
        moved = runBridgeDetection(port) || moved;
        moved = runInformation(port) || moved;
        reselect ||= port.reselect;
      }
      if (reselect) {
        this.#selectRoles();
        moved = true;
      }
      for (const port of this.#ports.values()) {
        moved = runRole(this, port) || moved;
        moved = runState(this, port) || moved;
        moved = runTopologyChange(this, port) || moved;
      }
    }
    for (const port of this.#ports.values()) runTransmit(this, port);
  }

  /** Port role selection (17.28, 17.21.25). */
  #selectRoles(): void {
    const own = this.#ownPriority();
    let best: PriorityVector = own;
    let bestPort: RstpPort | undefined;
    for (const port of this.#ports.values()) {
      port.reselect = false;
      if (port.infoIs !== 'Received' || port.portPriority.bridge === this.#identifier) continue;
      const path = { ...port.portPriority, cost: port.portPriority.cost + port.config.cost };
      const order = compareVectors(path, best);
      if (order < 0 || (order === 0 && bestPort !== undefined && port.identifier < bestPort.identifier)) {
        best = path;
        bestPort = port;
      }
    }
    const moved = this.#rootPort !== bestPort || this.#rootPriority.root !== best.root;
    this.#rootPriority = best;
    this.#rootPort = bestPort;
    this.rootTimes =
      bestPort === undefined ? this.#times : { ...bestPort.portTimes, messageAge: bestPort.portTimes.messageAge + 1 };
    for (const port of this.#ports.values()) this.#selectRole(port);
    if (moved) this.host.rootChanged(0, bestPort?.number, best.root);
  }

  #selectRole(port: RstpPort): void {
    const { root, cost } = this.#rootPriority;
    port.designatedPriority = { root, cost, bridge: this.#identifier, port: port.identifier };
    port.designatedTimes = { ...this.rootTimes, helloTime: this.#times.helloTime };
    port.updtInfo = false;
    port.selected = true;
    if (port.infoIs === 'Disabled') {
      port.selectedRole = 'Disabled';
    } else if (port.infoIs === 'Aged') {
      port.selectedRole = 'Designated';
      port.updtInfo = true;
    } else if (port.infoIs === 'Mine') {
      port.selectedRole = 'Designated';
      port.updtInfo =
        compareVectors(port.portPriority, port.designatedPriority) !== 0 ||
        !sameTimes(port.portTimes, port.designatedTimes);
    } else if (port === this.#rootPort) {
      port.selectedRole = 'Root';
    } else if (compareVectors(port.designatedPriority, port.portPriority) < 0) {
      port.selectedRole = 'Designated';
      port.updtInfo = true;
    } else {
      port.selectedRole = port.portPriority.bridge === this.#identifier ? 'Backup' : 'Alternate';
    }
  }

  transmit(port: RstpPort, type: BpduType): void {
    const message = type === BpduType.topologyChange ? topologyChangeBpdu() : this.#claim(port, type);
    this.host.send(port.port, writeBpdu(message, this.host.mac));
  }

  /** 17.21.19 and 17.21.20. */
  #claim(port: RstpPort, type: BpduType): Bpdu {
    const { messageAge, maxAge, helloTime, forwardDelay } = port.designatedTimes;
    let flags = port.tcWhile !== 0 ? BpduFlag.topologyChange : 0;
    if (type === BpduType.configuration) {
      if (port.tcAck) flags |= BpduFlag.topologyChangeAck;
    } else {
      flags |= ROLE_CODES[port.role] << ROLE_SHIFT;
      if (port.agree) flags |= BpduFlag.agreement;
      if (port.proposing) flags |= BpduFlag.proposal;
      if (port.learning) flags |= BpduFlag.learning;
      if (port.forwarding) flags |= BpduFlag.forwarding;
    }
    return {
      type,
      flags,
      ...port.designatedPriority,
      // Costs of a path longer than 32 bits count are as bad as can be said.
      cost: Math.min(port.designatedPriority.cost, 0xffff_ffff),
      messageAge: messageAge * BPDU_SECOND,
      maxAge: maxAge * BPDU_SECOND,
      helloTime: helloTime * BPDU_SECOND,
      forwardDelay: forwardDelay * BPDU_SECOND,
    };
  }

  applyState(port: RstpPort): void {
    port.learning = port.learn;
    port.forwarding = port.forward;
    const state = stateOf(port);
    for (const vlan of this.host.vlans.values()) {
      vlan.discarding[port.number] = state;
      vlan.refresh(this.host.ports);
    }
    this.host.stateChanged(0, port.number, state);
  }

  flush(port: RstpPort): void {
    this.host.table.flushPort(port.number);
  }

  topologyChanged(): void {
    this.topologyChanges++;
    this.lastChange = this.host.uptime;
  }
}

function stateOf({ learning, forwarding }: RstpPort): PortState {
  return forwarding ? FORWARDING : learning ? LEARNING : DISCARDING;
}
