/**
 * Topology change, a state machine of a port of the rapid spanning tree: IEEE 802.1D-2004, 17.31. A port that begins to
 * forward makes its bridge's neighbours, and theirs, forget the addresses that they learned elsewhere.
 */

import type { RstpBridge } from './rstp-machines.js';
import type { RstpPort } from './rstp-port.js';

/** Topology change (17.31): addresses are forgotten where stations may have moved to. */
export function runTopologyChange(bridge: RstpBridge, port: RstpPort): boolean {
  const carries = port.role === 'Root' || port.role === 'Designated';
  switch (port.topology) {
    case 'inactive':
      if (!port.learn) return false;
      port.topology = 'learning';
      clearNotices(port);
      return true;
    case 'learning':
      if (carries && port.forward && !port.operEdge) {
        startTopologyTimer(bridge, port);
        propagate(bridge, port);
        bridge.topologyChanged(port);
        port.newInfo = true;
        port.topology = 'active';
        return true;
      }
      if (!carries && !port.learn && !port.learning) {
        port.topology = 'inactive';
        port.tcWhile = 0;
        port.tcAck = false;
        clearNotices(port);
        bridge.flush(port);
        return true;
      }
      return clearNotices(port);
    case 'active':
      return runActive(bridge, port, carries);
  }
}

function runActive(bridge: RstpBridge, port: RstpPort, carries: boolean): boolean {
  if (!carries || port.operEdge) {
    port.topology = 'learning';
    clearNotices(port);
    return true;
  }
  if (port.rcvdTcn) startTopologyTimer(bridge, port);
  if (port.rcvdTcn || port.rcvdTc) {
    // A notification is acknowledged; other BPDUs with the flag need no answer, which one does no harm.
    if (port.role === 'Designated') port.tcAck = true;
    port.rcvdTcn = port.rcvdTc = false;
    propagate(bridge, port);
    bridge.topologyChanged(port);
    return true;
  }
  if (port.tcProp) {
    startTopologyTimer(bridge, port);
    bridge.flush(port);
    port.tcProp = false;
    return true;
  }
  if (port.rcvdTcAck) {
    port.tcWhile = 0;
    port.rcvdTcAck = false;
    return true;
  }
  return false;
}

function clearNotices(port: RstpPort): boolean {
  const any = port.rcvdTc || port.rcvdTcn || port.rcvdTcAck || port.tcProp;
  port.rcvdTc = port.rcvdTcn = port.rcvdTcAck = port.tcProp = false;
  return any;
}

/** 17.21.7, newTcWhile. */
function startTopologyTimer(bridge: RstpBridge, port: RstpPort): void {
  if (port.tcWhile !== 0) return;
  if (port.sendRSTP) {
    port.tcWhile = port.designatedTimes.helloTime + 1;
    port.newInfo = true;
  } else {
    port.tcWhile = bridge.rootTimes.maxAge + bridge.rootTimes.forwardDelay;
  }
}

/** 17.21.18, setTcPropTree. */
function propagate(bridge: RstpBridge, from: RstpPort): void {
  for (const port of bridge.ports) if (port !== from) port.tcProp = true;
}
