/**
 * The state machines of a port of the rapid spanning tree: IEEE 802.1D-2004, 17.23 to 17.30; the last, topology change,
 * is in `rstp-topology.ts`.
 *
 * Each function makes every transition that its machine has to make now and says whether there was one. The bridge runs
 * all of them in turn until none moves any more (`Rstp`); timers are counted down by its tick. Port receive (17.23) is
 * the part of the bridge that hands over one BPDU at a time; port timers (17.22) are `RstpPort.countDown`.
 */

import { BpduFlag, BpduType, ROLE_SHIFT } from '../frame/bpdu.js';
import { compareVectors, type RstpPort, sameTimes, type Times } from './rstp-port.js';

/** Seconds before a port's neighbour is asked anew which protocol it speaks (17.13.9). */
export const MIGRATE_TIME = 3;
/** BPDUs that a port may send in a row, then one a second (17.13.12). */
const TX_HOLD_COUNT = 6;

/** What the machines need of the bridge. */
export interface RstpBridge {
  readonly ports: Iterable<RstpPort>;
  readonly rootTimes: Readonly<Times>;
  /** 17.21.19 to 21: hands a BPDU to the port. */
  transmit(port: RstpPort, type: BpduType): void;
  /** 17.25: lets the port learn and forward as its `learning` and `forwarding` say. */
  applyState(port: RstpPort): void;
  /** 17.19.7: forgets the addresses that were learned at the port. */
  flush(port: RstpPort): void;
  /** A topology change was noticed here or heard of. */
  topologyChanged(port: RstpPort): void;
}

const ROLE_DESIGNATED = 3;
const ROLE_UNKNOWN = 0;

/** Port protocol migration (17.24): rapid BPDUs or those of 802.1D-1998, as the neighbour understands. */
export function runMigration(port: RstpPort): boolean {
  const before = port.migration;
  switch (port.migration) {
    case 'checking':
      if (port.mdelayWhile !== MIGRATE_TIME && !port.portEnabled) startChecking(port);
      else if (port.mdelayWhile === 0) startSensing(port);
      break;
    case 'selecting':
      if (port.mdelayWhile === 0 || !port.portEnabled || port.mcheck) startSensing(port);
      break;
    case 'sensing':
      if (!port.portEnabled || port.mcheck || (!port.sendRSTP && port.rcvdRSTP)) startChecking(port);
      else if (port.sendRSTP && port.rcvdSTP) {
        port.migration = 'selecting';
        port.sendRSTP = false;
        port.mdelayWhile = MIGRATE_TIME;
      }
  }
  return port.migration !== before;
}

function startChecking(port: RstpPort): void {
  port.migration = 'checking';
  port.mcheck = false;
  port.sendRSTP = true;
  port.mdelayWhile = MIGRATE_TIME;
}

function startSensing(port: RstpPort): void {
  port.migration = 'sensing';
  port.rcvdRSTP = false;
  port.rcvdSTP = false;
}

/** Bridge detection (17.25 of the edge state): a port at which nobody answers proposals has no bridge behind it. */
export function runBridgeDetection(port: RstpPort): boolean {
  const { edge } = port.config;
  if (port.operEdge) {
    if (port.portEnabled || edge === true) return false;
    port.operEdge = false;
    return true;
  }
  const silent = edge === undefined && port.edgeDelayWhile === 0 && port.sendRSTP && port.proposing;
  if (!silent && !(edge === true && !port.portEnabled)) return false;
  port.operEdge = true;
  return true;
}

/** Port information (17.27): whose claim holds on the port's segment. */
export function runInformation(port: RstpPort): boolean {
  if (!port.portEnabled) {
    port.message = undefined;
    if (port.infoIs === 'Disabled') return false;
    port.proposing = port.proposed = port.agree = port.agreed = false;
    port.rcvdInfoWhile = 0;
    port.infoIs = 'Disabled';
    reselect(port);
    return true;
  }
  if (port.infoIs === 'Disabled') {
    age(port);
    return true;
  }
  if (port.selected && port.updtInfo) {
    port.proposing = port.proposed = false;
    // Stricter than 17.21.1 (betterorsameInfo): who agreed to a worse claim need not have agreed to this one. It keeps
    // old claims that run in circles after the loss of a root from bringing about a loop of data in most cases.
    port.agreed &&= port.infoIs === 'Mine' && compareVectors(port.designatedPriority, port.portPriority) === 0;
    port.synced = port.synced && port.agreed;
    port.portPriority = port.designatedPriority;
    port.portTimes = port.designatedTimes;
    port.updtInfo = false;
    port.infoIs = 'Mine';
    port.newInfo = true;
    return true;
  }
  if (port.updtInfo) return false;
  if (port.message !== undefined) {
    receiveMessage(port);
    port.message = undefined;
    return true;
  }
  if (port.infoIs === 'Received' && port.rcvdInfoWhile === 0) {
    age(port);
    return true;
  }
  return false;
}

function reselect(port: RstpPort): void {
  port.reselect = true;
  port.selected = false;
}

function age(port: RstpPort): void {
  port.infoIs = 'Aged';
  reselect(port);
}

/** 17.21.8 (rcvInfo) and the states of 17.27 that follow from it. */
function receiveMessage(port: RstpPort): void {
  const { message } = port;
  if (message === undefined) return;
  if (message.type === BpduType.topologyChange) {
    port.rcvdTcn = true;
    return;
  }
  const rapid = message.type === BpduType.rapid;
  const role = rapid ? (message.flags >> ROLE_SHIFT) & 3 : ROLE_DESIGNATED;
  const order = compareVectors(port.msgPriority, port.portPriority);
  if (role === ROLE_DESIGNATED) {
    const { portPriority: known, msgPriority: said } = port;
    const sameSender = known.bridge === said.bridge && known.port === said.port;
    const repeated = order === 0 && sameTimes(port.msgTimes, port.portTimes);
    if (!repeated && (order <= 0 || sameSender)) superior(port, rapid, message.flags);
    else if (repeated) {
      recordProposal(port, rapid, message.flags);
      recordTopologyChange(port, rapid, message.flags);
      startInfoTimer(port);
    } else if (rapid && message.flags & BpduFlag.learning) {
      // 17.21.10, recordDispute: a neighbour that did not hear us forwards.
      port.disputed = true;
      port.agreed = false;
    }
  } else if (role !== ROLE_UNKNOWN && order >= 0) {
    // 17.21.9, recordAgreement. Stricter: who names another root agrees to what was claimed before, and has not heard of
    // this one yet.
    const current = port.msgPriority.root === port.portPriority.root;
    port.agreed = port.operPointToPoint && current && (message.flags & BpduFlag.agreement) !== 0;
    if (port.agreed) port.proposing = false;
    recordTopologyChange(port, rapid, message.flags);
  }
}

function superior(port: RstpPort, rapid: boolean, flags: number): void {
  port.agreed = port.proposing = false;
  recordProposal(port, rapid, flags);
  recordTopologyChange(port, rapid, flags);
  // 17.21.1, betterorsameInfo.
  port.agree = port.agree && port.infoIs === 'Received' && compareVectors(port.msgPriority, port.portPriority) <= 0;
  port.portPriority = port.msgPriority;
  port.portTimes = port.msgTimes;
  startInfoTimer(port);
  port.infoIs = 'Received';
  reselect(port);
}

function recordProposal(port: RstpPort, rapid: boolean, flags: number): void {
  if (rapid && flags & BpduFlag.proposal) port.proposed = true;
}

function recordTopologyChange(port: RstpPort, rapid: boolean, flags: number): void {
  if (flags & BpduFlag.topologyChange) port.rcvdTc = true;
  if (!rapid && flags & BpduFlag.topologyChangeAck) port.rcvdTcAck = true;
}

/** 17.21.23: three hello times, unless the claim has come too far. */
function startInfoTimer(port: RstpPort): void {
  const { messageAge, maxAge, helloTime } = port.portTimes;
  port.rcvdInfoWhile = messageAge + 1 <= maxAge ? 3 * helloTime : 0;
}

/** Port role transitions (17.29): carries out what role selection has decided. */
export function runRole(bridge: RstpBridge, port: RstpPort): boolean {
  if (!port.selected || port.updtInfo) return false;
  const { role } = port;
  if (role !== port.selectedRole) enterRole(port);
  const moved =
    port.role === 'Root'
      ? runRoot(bridge, port)
      : port.role === 'Designated'
        ? runDesignated(bridge, port)
        : runBlocked(bridge, port);
  return moved || role !== port.role;
}

function enterRole(port: RstpPort): void {
  port.role = port.selectedRole;
  if (port.role === 'Root') {
    port.rrWhile = port.designatedTimes.forwardDelay;
  } else if (port.role !== 'Designated') {
    port.learn = port.forward = false;
    port.fdWhile = port.role === 'Disabled' ? port.designatedTimes.maxAge : forwardDelay(port);
    if (port.role === 'Backup') port.rbWhile = 2 * port.designatedTimes.helloTime;
    port.synced = false;
  }
}

/** 17.20.5: a neighbour that agrees explicitly needs no long wait. */
function forwardDelay(port: RstpPort): number {
  return port.sendRSTP ? port.designatedTimes.helloTime : port.designatedTimes.forwardDelay;
}

/** Whether every other port has been made to agree with the root's claim (17.20.3). */
function allSynced(bridge: RstpBridge): boolean {
  for (const port of bridge.ports) {
    if (!port.selected || port.role !== port.selectedRole || (port.role !== 'Root' && !port.synced)) return false;
  }
  return true;
}

/** Whether no other port is left that was a root port a short while ago (17.20.10). */
function reRooted(bridge: RstpBridge, self: RstpPort): boolean {
  for (const port of bridge.ports) if (port !== self && port.rrWhile !== 0) return false;
  return true;
}

function setSync(bridge: RstpBridge): void {
  for (const port of bridge.ports) port.sync = true;
}

/** PROPOSED and AGREED, which root and alternate ports have alike. */
function answerProposal(bridge: RstpBridge, port: RstpPort): boolean {
  if (port.proposed && !port.agree) {
    setSync(bridge);
    port.proposed = false;
    return true;
  }
  if ((!port.agree && allSynced(bridge)) || (port.proposed && port.agree)) {
    port.proposed = port.sync = false;
    port.agree = port.newInfo = true;
    return true;
  }
  return false;
}

function runRoot(bridge: RstpBridge, port: RstpPort): boolean {
  let moved = answerProposal(bridge, port);
  if (!port.forward && !port.reRoot) {
    for (const other of bridge.ports) other.reRoot = true;
    moved = true;
  }
  const free = port.fdWhile === 0 || (port.rbWhile === 0 && reRooted(bridge, port));
  if (free && !port.learn) {
    port.fdWhile = forwardDelay(port);
    port.learn = true;
    moved = true;
  } else if (free && !port.forward) {
    port.fdWhile = 0;
    port.forward = true;
    moved = true;
  }
  if (port.reRoot && port.forward) {
    port.reRoot = false;
    moved = true;
  }
  port.rrWhile = port.designatedTimes.forwardDelay;
  return moved;
}

function runDesignated(bridge: RstpBridge, port: RstpPort): boolean {
  let moved = false;
  if (!port.forward && !port.agreed && !port.proposing && !port.operEdge) {
    port.proposing = true;
    port.edgeDelayWhile = port.operPointToPoint ? MIGRATE_TIME : port.designatedTimes.maxAge;
    port.newInfo = true;
    moved = true;
  }
  const still = !port.learning && !port.forwarding;
  if ((!port.synced && (still || port.agreed || port.operEdge)) || (port.sync && port.synced)) {
    port.rrWhile = 0;
    port.synced = true;
    port.sync = false;
    moved = true;
  }
  if (port.reRoot && port.rrWhile === 0) {
    port.reRoot = false;
    moved = true;
  }
  const mustStop = (port.sync && !port.synced) || (port.reRoot && port.rrWhile !== 0) || port.disputed;
  if (mustStop && !port.operEdge && (port.learn || port.forward)) {
    port.learn = port.forward = port.disputed = false;
    port.fdWhile = forwardDelay(port);
    bridge.applyState(port);
    return true;
  }
  const free = port.fdWhile === 0 || port.agreed || port.operEdge;
  if (free && (port.rrWhile === 0 || !port.reRoot) && !port.sync) {
    if (!port.learn) {
      port.learn = true;
      port.fdWhile = forwardDelay(port);
      moved = true;
    } else if (!port.forward) {
      port.forward = true;
      port.fdWhile = 0;
      port.agreed = port.sendRSTP;
      moved = true;
    }
  }
  return moved;
}

/** Disabled, alternate and backup ports. */
function runBlocked(bridge: RstpBridge, port: RstpPort): boolean {
  if (port.learning || port.forwarding) bridge.applyState(port);
  let moved = port.role !== 'Disabled' && answerProposal(bridge, port);
  const delay = port.role === 'Disabled' ? port.designatedTimes.maxAge : forwardDelay(port);
  port.fdWhile = delay;
  if (port.role === 'Backup') port.rbWhile = 2 * port.designatedTimes.helloTime;
  if (port.sync || port.reRoot || !port.synced || port.rrWhile !== 0) {
    port.synced = true;
    port.rrWhile = 0;
    port.sync = port.reRoot = false;
    moved = true;
  }
  return moved;
}

/** Port state transitions (17.30). */
export function runState(bridge: RstpBridge, port: RstpPort): boolean {
  if (port.learning === port.learn && port.forwarding === port.forward) return false;
  bridge.applyState(port);
  return true;
}

/** Port transmit (17.26). */
export function runTransmit(bridge: RstpBridge, port: RstpPort): boolean {
  if (!port.selected || port.updtInfo || !port.portEnabled) return false;
  if (port.helloWhen === 0) {
    port.newInfo ||= port.role === 'Designated' || (port.role === 'Root' && port.tcWhile !== 0);
    port.helloWhen = port.designatedTimes.helloTime;
  }
  if (!port.newInfo || port.txCount >= TX_HOLD_COUNT) return false;
  const type = messageType(port);
  // Toward 802.1D-1998, a blocked port has nothing to say, and a root port nothing but changes.
  if (type === undefined) return false;
  port.newInfo = false;
  port.txCount++;
  port.helloWhen = port.designatedTimes.helloTime;
  bridge.transmit(port, type);
  if (type !== BpduType.topologyChange) port.tcAck = false;
  return true;
}

function messageType(port: RstpPort): BpduType | undefined {
  if (port.sendRSTP) return port.role === 'Disabled' ? undefined : BpduType.rapid;
  if (port.role === 'Root') return port.tcWhile > 0 ? BpduType.topologyChange : undefined;
  return port.role === 'Designated' ? BpduType.configuration : undefined;
}
