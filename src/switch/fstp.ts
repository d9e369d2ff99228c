/**
 * VDE's own fast spanning tree (reference: forwarding rules, section 7): what C switches speak among each other.
 *
 * One tree per VLAN. Ports forward at once when they join. Each switch keeps the best claim that it has heard (root,
 * cost, sender, its port); the port that the claim came in at is its root port. A claim is repeated every 4 s on every
 * port. A link forwards if the switch at one of its ends has its root port there, or if nobody is heard on it; otherwise
 * both ends of it discard. Nothing is timed but the hello and the loss of the root.
 *
 * Time comes in by `tick`, once a second. Two rules are ours, so that old claims cannot run in circles for ever: a
 * claim that we are ourselves the root means that nobody knows one, and a path of more than 2^31 - 1 is none.
 */

import { BPDU_SECOND, type Bpdu, BpduFlag, BpduType, bridgeIdentifier, ROLE_SHIFT, writeBpdu } from '../frame/bpdu.js';
import type { Port } from './port.js';
import type { TreeHost } from './spanning-tree.js';
import { DISCARDING, FORWARDING, NOT_MEMBER, type PortState, TAGGED, type Vlan } from './vlan.js';

/** Cost of every port (reference: 7.3). */
export const PORT_COST = 20_000_000;
const COST_MAX = 0x7fff_ffff;
/** Seconds between hellos, and seconds after which a root that is not heard is lost. */
const HELLO = 4;
const ROOT_LOST = 12;
/** Hellos after which a port that was silent since the time before is no longer taken for a switch's. */
const HEARD_HELLOS = 4;
const MAX_AGE = 40;
const NOBODY = 0xffff_ffff_ffff_ffffn;

const ROLE_ROOT = 1;
const ROLE_BACKUP = 2;
const ROLE_DESIGNATED = 3;

/** The tree of one VLAN. */
export class FstpTree {
  root: bigint;
  cost = 0;
  /** The neighbour toward the root, and its port. */
  designated = NOBODY;
  designatedPort = 0;
  /** Undefined where this switch is the root. */
  rootPort: number | undefined;
  /** When the root was last heard of, by the switch's clock. */
  stamp = 0;
  /** A port that counts as cheaper than others, and by how much. */
  bonusPort = 0;
  bonusCost = 0;
  readonly edge = new Set<number>();
  readonly backup = new Set<number>();
  /** Active members, with their membership. */
  readonly ports = new Map<number, number>();
  /** Ports at which a switch was heard since the last turn, and before it. */
  heard = new Set<number>();
  heardBefore = new Set<number>();

  constructor(
    readonly vlan: Vlan,
    own: bigint,
  ) {
    this.root = own;
  }

  isHeard(port: number): boolean {
    return this.heard.has(port) || this.heardBefore.has(port);
  }
}

/** See the head of this file. */
export class Fstp {
  readonly #trees = new Map<Vlan, FstpTree>();
  #own: bigint;
  #enabled = false;
  #seconds = 0;
  #hellos = 0;

  constructor(private readonly host: TreeHost) {
    this.#own = bridgeIdentifier(host.priority, host.mac);
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /** The tree of a VLAN. */
  tree(vlan: Vlan): FstpTree {
    let tree = this.#trees.get(vlan);
    if (tree === undefined) {
      tree = new FstpTree(vlan, this.#own);
      this.#trees.set(vlan, tree);
    }
    return tree;
  }

  enable(): void {
    if (this.#enabled) return;
    this.#enabled = true;
    for (const port of this.host.ports) if (port?.active) this.activityChanged(port);
  }

  /** Ends: every port forwards. Edge ports and bonuses are remembered. */
  disable(): void {
    if (!this.#enabled) return;
    this.#enabled = false;
    for (const tree of this.#trees.values()) {
      this.#becomeRoot(tree);
      for (const port of tree.ports.keys()) this.#setState(tree, port, FORWARDING, true);
      for (const set of [tree.ports, tree.backup, tree.heard, tree.heardBefore]) set.clear();
    }
  }

  /** A priority was given to the switch. */
  priorityChanged(): void {
    this.#own = bridgeIdentifier(this.host.priority, this.host.mac);
    for (const tree of this.#trees.values()) if (tree.rootPort === undefined) tree.root = this.#own;
  }

  /** A port has become active or inactive. */
  activityChanged(port: Port): void {
    for (const vlan of this.host.vlans.values()) this.#follow(vlan, port);
  }

  /** A port has joined or left a VLAN, or is in it in another way: it is no edge port any more. */
  membershipChanged(vlan: Vlan, port: Port): void {
    this.#trees.get(vlan)?.edge.delete(port.number);
    if (this.#enabled) this.#follow(vlan, port);
  }

  /** Takes note of how a port belongs to a VLAN now. */
  #follow(vlan: Vlan, { active, number }: Port): void {
    const tree = this.tree(vlan);
    const membership = active ? vlan.member[number] : NOT_MEMBER;
    const before = tree.ports.get(number) ?? NOT_MEMBER;
    if (membership === before) return;
    if (before !== NOT_MEMBER) this.#leave(tree, number);
    if (membership !== NOT_MEMBER) this.#join(tree, number, membership);
  }

  #join(tree: FstpTree, port: number, membership: number): void {
    tree.ports.set(port, membership);
    this.#setState(tree, port, FORWARDING);
    this.#say(tree, port, 0);
    this.#changeTopology(tree, port);
  }

  #leave(tree: FstpTree, port: number): void {
    const heard = tree.isHeard(port);
    tree.ports.delete(port);
    tree.edge.delete(port);
    tree.backup.delete(port);
    tree.heard.delete(port);
    tree.heardBefore.delete(port);
    this.#setState(tree, port, FORWARDING);
    if (heard) this.host.heardChanged(tree.vlan.id, port, false);
    if (tree.rootPort === port) this.#loseRoot(tree);
    this.#changeTopology(tree, port);
  }

  /** Says whether a port leads to no switch. */
  setEdge(vlan: Vlan, port: number, edge: boolean): void {
    const tree = this.tree(vlan);
    if (edge) {
      tree.edge.add(port);
      this.#setState(tree, port, FORWARDING, true);
    } else {
      tree.edge.delete(port);
    }
    tree.backup.delete(port);
  }

  /** Makes a port of a VLAN cheaper by `cost`; only one may be. */
  setBonus(vlan: Vlan, port: number, cost: number): void {
    const tree = this.tree(vlan);
    tree.bonusPort = port;
    tree.bonusCost = cost;
  }

  /** A second has passed. */
  tick(): void {
    if (++this.#seconds % HELLO !== 0) return;
    const turn = ++this.#hellos % HEARD_HELLOS === 0;
    for (const [vlan, tree] of this.#trees) {
      if (this.host.vlans.get(vlan.id) !== vlan) {
        this.#trees.delete(vlan);
        continue;
      }
      this.#hello(tree);
      if (turn) this.#turn(tree);
    }
  }

  #hello(tree: FstpTree): void {
    if (tree.rootPort !== undefined && this.host.uptime - tree.stamp > ROOT_LOST) this.#loseRoot(tree);
    for (const port of tree.ports.keys()) this.#say(tree, port, BpduFlag.agreement);
  }

  /** Ports that have been silent for long lead to no switch. */
  #turn(tree: FstpTree): void {
    const silent = [...tree.heardBefore].filter((port) => !tree.heard.has(port));
    tree.heardBefore = tree.heard;
    tree.heard = new Set();
    for (const port of silent) {
      this.host.heardChanged(tree.vlan.id, port, false);
      if (tree.backup.delete(port)) {
        this.#setState(tree, port, FORWARDING, true);
        this.#changeTopology(tree, port);
      }
    }
  }

  #loseRoot(tree: FstpTree): void {
    this.#becomeRoot(tree);
    for (const port of tree.backup) this.#setState(tree, port, FORWARDING, true);
    tree.backup.clear();
  }

  #becomeRoot(tree: FstpTree): void {
    tree.root = this.#own;
    tree.cost = 0;
    tree.designated = NOBODY;
    tree.designatedPort = 0;
    tree.rootPort = undefined;
    tree.stamp = 0;
    this.host.rootChanged(tree.vlan.id, undefined, tree.root);
  }

  /** A BPDU has arrived. */
  receive(vlan: Vlan, { number: port }: Port, message: Bpdu): void {
    const tree = this.tree(vlan);
    if (message.type !== BpduType.rapid || tree.edge.has(port) || !tree.ports.has(port)) return;
    // Our own, come back to the port that it left by.
    if (message.bridge === this.#own && message.port === portIdentifier(port)) return;
    if (!tree.isHeard(port)) this.host.heardChanged(vlan.id, port, true);
    tree.heard.add(port);
    if (message.flags & BpduFlag.topologyChange) this.#changeTopology(tree, port);
    const bonus = port === tree.bonusPort ? tree.bonusCost : 0;
    const cost = Math.max(0, message.cost + PORT_COST - bonus);
    const order = compareClaims(tree, message, cost);
    if (order === 0) {
      tree.stamp = this.host.uptime;
    } else if (order > 0 || tree.rootPort === port) {
      if (message.root === this.#own || cost > COST_MAX) {
        if (tree.rootPort === port) this.#loseRoot(tree);
      } else {
        this.#adopt(tree, port, message, cost);
      }
    } else if (tree.root !== message.root) {
      this.#say(tree, port, 0);
    } else if (((message.flags >> ROLE_SHIFT) & 3) === ROLE_ROOT) {
      if (tree.backup.delete(port)) {
        this.#setState(tree, port, FORWARDING, true);
        this.#changeTopology(tree, port);
      }
    } else if (!tree.backup.has(port)) {
      this.#block(tree, port);
      this.#changeTopology(tree, port);
    }
  }

  #adopt(tree: FstpTree, port: number, message: Bpdu, cost: number): void {
    tree.root = message.root;
    tree.cost = cost;
    tree.designated = message.bridge;
    tree.designatedPort = message.port;
    tree.rootPort = port;
    tree.stamp = this.host.uptime;
    this.host.rootChanged(tree.vlan.id, port, tree.root);
    for (const other of tree.ports.keys()) {
      if (other === port || !tree.isHeard(other) || tree.edge.has(other) || tree.backup.has(other)) continue;
      this.#block(tree, other);
      this.#say(tree, other, 0);
    }
    tree.backup.delete(port);
    this.#setState(tree, port, FORWARDING, true);
    this.#say(tree, port, BpduFlag.agreement);
    this.#changeTopology(tree, port);
  }

  #block(tree: FstpTree, port: number): void {
    tree.backup.add(port);
    this.#setState(tree, port, DISCARDING, true);
  }

  /** Stations may have moved: all addresses are forgotten, and the neighbours told, but for the one who told us. */
  #changeTopology(tree: FstpTree, except: number): void {
    this.host.table.flushVlan(tree.vlan.id);
    for (const port of tree.ports.keys()) {
      if (port === except || !tree.isHeard(port) || tree.backup.has(port)) continue;
      this.#say(tree, port, BpduFlag.topologyChange);
    }
  }

  #setState({ vlan }: FstpTree, port: number, state: PortState, told = false): void {
    if (vlan.discarding[port] !== state) {
      vlan.discarding[port] = state;
      vlan.refresh(this.host.ports);
    }
    if (told) this.host.stateChanged(vlan.id, port, state);
  }

  /** Sends what this switch claims out of a port. */
  #say(tree: FstpTree, number: number, extra: number): void {
    const port = this.host.ports[number];
    if (port === undefined || tree.edge.has(number)) return;
    const backup = tree.backup.has(number);
    const role = backup ? ROLE_BACKUP : number === tree.rootPort ? ROLE_ROOT : ROLE_DESIGNATED;
    const discarding = tree.vlan.discarding[number] !== FORWARDING;
    const state = discarding ? 0 : BpduFlag.learning | BpduFlag.forwarding;
    // The bit that means a proposal in 802.1D says "backup" here.
    const flags = extra | (backup ? BpduFlag.proposal : 0) | (role << ROLE_SHIFT) | state;
    const age = tree.rootPort === undefined ? 0 : this.host.uptime - tree.stamp;
    const message: Bpdu = {
      type: BpduType.rapid,
      flags,
      root: tree.root,
      cost: tree.cost,
      bridge: this.#own,
      port: portIdentifier(number),
      // Seconds, the lower octet first.
      messageAge: ((age & 0xff) << 8) | ((age >> 8) & 0xff),
      maxAge: MAX_AGE * BPDU_SECOND,
      helloTime: HELLO * BPDU_SECOND,
      forwardDelay: 0,
    };
    const tag = tree.ports.get(number) === TAGGED ? tree.vlan.id : undefined;
    this.host.send(port, writeBpdu(message, this.host.mac, tag, port.tpid));
  }
}

/** A priority of 8 over the port number, the bits of which overlap (reference: 7.1). */
function portIdentifier(port: number): number {
  return (((0x80 | (port >> 4)) & 0xff) << 8) | (port & 0xff);
}

/** Positive if the message's claim is better than the tree's, negative if it is worse. */
function compareClaims(tree: FstpTree, message: Bpdu, cost: number): number {
  if (tree.root !== message.root) return tree.root > message.root ? 1 : -1;
  if (tree.cost !== cost) return tree.cost - cost;
  if (tree.designated !== message.bridge) return tree.designated > message.bridge ? 1 : -1;
  return tree.designatedPort - message.port;
}
