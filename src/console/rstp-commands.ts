/** The `rstp` menu, ours: the rapid spanning tree of IEEE 802.1D-2004, one for all VLANs. */

import { formatBridgeIdentifier } from '../frame/bpdu.js';
import type { Port } from '../switch/port.js';
import { existingPort } from '../switch/port-management.js';
import { PATH_COST_MAX, type Rstp } from '../switch/rstp.js';
import { defaultPortConfig, type RstpPort } from '../switch/rstp-port.js';
import { validTimes } from '../switch/rstp-times.js';
import type { Switch } from '../switch/switch.js';
import { integerAndRest, integers, leadingInteger, padded } from './arguments.js';
import { type ConsoleCommand, consoleError, type Lines, MENU } from './command-table.js';
import { hubRefusal } from './fstp-commands.js';

/** Port priorities go from 0 to this in steps of 16 (802.1D table 17-2). */
const PORT_PRIORITY_MAX = 240;
const DEFAULTS = defaultPortConfig();

export function rstpCommands(target: Switch): ConsoleCommand[] {
  const { tree } = target;
  const { rstp } = tree;
  return [
    { name: 'rstp', syntax: MENU, help: 'RAPID SPANNING TREE MENU' },
    { name: 'rstp/showinfo', syntax: '', help: 'show rstp info', data: true, run: () => showInfo(target) },
    {
      name: 'rstp/setrstp',
      syntax: '0/1',
      help: 'Rapid spanning tree protocol 1=ON 0=OFF',
      data: true,
      run(argument): Lines {
        const on = leadingInteger(argument) !== 0;
        if (on && target.hub) return hubRefusal('rstp');
        if (on) tree.setMode('rstp');
        else if (tree.mode === 'rstp') tree.setMode('off');
        return [];
      },
    },
    {
      name: 'rstp/setpriority',
      syntax: 'N',
      help: 'set the bridge priority 0-65535: the least becomes root',
      run(argument) {
        const [priority] = integers(argument, 1);
        if (!(priority >= 0 && priority <= 0xffff)) throw consoleError('EINVAL');
        tree.priority = priority;
      },
    },
    {
      name: 'rstp/settimes',
      syntax: 'HELLO AGE DELAY',
      help: 'set hello time, max age and forward delay (secs)',
      run(argument) {
        const [helloTime, maxAge, forwardDelay] = integers(argument, 3);
        const times = { helloTime, maxAge, forwardDelay };
        if (!validTimes(times)) throw consoleError('EINVAL');
        tree.change(() => rstp.setTimes(times));
      },
    },
    {
      name: 'rstp/setedge',
      syntax: 'PORT 1/0/auto',
      help: 'say whether a port leads to no bridge 1=Y 0=N',
      run(argument) {
        const { port, choice } = portAndChoice(target, argument);
        tree.change(() => rstp.configure(port, { edge: choice }));
      },
    },
    {
      name: 'rstp/setp2p',
      syntax: 'PORT 1/0/auto',
      help: 'say whether a port leads to one bridge only 1=Y 0=N',
      run(argument) {
        const { port, choice } = portAndChoice(target, argument);
        tree.change(() => rstp.configure(port, { pointToPoint: choice }));
      },
    },
    {
      name: 'rstp/setcost',
      syntax: 'PORT COST',
      help: 'set the path cost of a port',
      run(argument) {
        const [number, cost] = integers(argument, 2);
        const port = existingPort(target, number);
        if (!(cost >= 1 && cost <= PATH_COST_MAX)) throw consoleError('EINVAL');
        tree.change(() => rstp.configure(port, { cost }));
      },
    },
    {
      name: 'rstp/setportprio',
      syntax: 'PORT N',
      help: 'set the priority of a port 0-240 in steps of 16',
      run(argument) {
        const [number, priority] = integers(argument, 2);
        const port = existingPort(target, number);
        if (!(priority >= 0 && priority <= PORT_PRIORITY_MAX && priority % 16 === 0)) throw consoleError('EINVAL');
        tree.change(() => rstp.configure(port, { priority }));
      },
    },
    {
      name: 'rstp/mcheck',
      syntax: 'PORT',
      help: 'try again whether the neighbour speaks rstp',
      run(argument) {
        const [number] = integers(argument, 1);
        const port = existingPort(target, number);
        tree.change(() => rstp.checkMigration(port));
      },
    },
    {
      name: 'rstp/print',
      syntax: '[N]',
      help: 'print the rstp port table',
      data: true,
      run: (text) => print(target, text),
    },
  ];
}

/** A port, and 1, 0 or `auto` (undefined). */
function portAndChoice(target: Switch, argument: string): { port: Port; choice: boolean | undefined } {
  const { value, rest } = integerAndRest(argument);
  const port = existingPort(target, value);
  const word = rest.trim();
  if (!['0', '1', 'auto'].includes(word)) throw consoleError('EINVAL');
  return { port, choice: word === 'auto' ? undefined : word === '1' };
}

function* showInfo({ tree: { mode, rstp, priority }, uptime }: Switch): Lines {
  const { times, rootPriority, rootTimes, rootPort, topologyChanges, lastChange } = rstp;
  yield `RSTP=${mode === 'rstp'}`;
  yield `bridge ${formatBridgeIdentifier(rstp.identifier)} priority ${priority} hello ${times.helloTime} maxage ${times.maxAge} forwarddelay ${times.forwardDelay}`;
  yield `root ${formatBridgeIdentifier(rootPriority.root)} cost ${rootPriority.cost} rootport ${padded(rootPort ?? 0)} hello ${rootTimes.helloTime} maxage ${rootTimes.maxAge} forwarddelay ${rootTimes.forwardDelay}`;
  yield `topology changes ${topologyChanges} last ${topologyChanges === 0 ? 'never' : `${uptime - lastChange} secs ago`}`;
}

function print(target: Switch, argument: string): string[] {
  const { rstp } = target.tree;
  const states = [...rstp.ports].sort((a, b) => a.number - b.number);
  if (argument === '') return states.map((state) => portLine(rstp, state));
  const { number } = existingPort(target, leadingInteger(argument));
  return states.filter((state) => state.number === number).map((state) => portLine(rstp, state));
}

function portLine(rstp: Rstp, state: RstpPort): string {
  const { role, learning, forwarding, operEdge, operPointToPoint, sendRSTP, designatedPriority } = state;
  const { cost, priority } = rstp.config(state.port);
  const name = forwarding ? 'Forwarding' : learning ? 'Learning' : 'Discarding';
  const { bridge } = state.infoIs === 'Received' ? state.portPriority : designatedPriority;
  return ` -- Port ${padded(state.number)} role=${role} status=${name} cost=${cost} priority=${priority} edge=${Number(operEdge)} p2p=${Number(operPointToPoint)} protocol=${sendRSTP ? 'rstp' : 'stp'} designated=${formatBridgeIdentifier(bridge)}`;
}

/** The commands that set the spanning trees up as they are. */
export function* treeConfiguration({ tree, vlans, ports }: Switch): Lines {
  const { rstp, fstp, mode } = tree;
  yield `rstp/setpriority ${tree.priority}`;
  yield `rstp/settimes ${rstp.times.helloTime} ${rstp.times.maxAge} ${rstp.times.forwardDelay}`;
  for (const port of ports) if (port && port.number > 0) yield* portConfiguration(rstp, port);
  for (const vlan of vlans.values()) {
    const { edge, bonusPort, bonusCost } = fstp.tree(vlan);
    for (const port of edge) yield `fstp/setedge ${vlan.id} ${port} 1`;
    if (bonusCost !== 0) yield `fstp/bonus ${vlan.id} ${bonusPort} ${bonusCost}`;
  }
  if (mode !== 'off') yield mode === 'fstp' ? 'fstp/setfstp 1' : 'rstp/setrstp 1';
}

/** Only a port that was made by hand outlives its clients, and only its settings can be made before they come. */
function* portConfiguration(rstp: Rstp, port: Port): Lines {
  if (port.allocatable) return;
  const { number } = port;
  const { edge, pointToPoint, cost, priority } = rstp.config(port);
  if (edge !== undefined) yield `rstp/setedge ${number} ${Number(edge)}`;
  if (pointToPoint !== undefined) yield `rstp/setp2p ${number} ${Number(pointToPoint)}`;
  if (cost !== DEFAULTS.cost) yield `rstp/setcost ${number} ${cost}`;
  if (priority !== DEFAULTS.priority) yield `rstp/setportprio ${number} ${priority}`;
}
