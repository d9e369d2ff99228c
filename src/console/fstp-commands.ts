/** The `fstp` menu: VDE's own spanning tree, one for each VLAN (reference: management console, "fstp"). */

import { formatBridgeIdentifier } from '../frame/bpdu.js';
import { formatMac } from '../frame/mac.js';
import { type FstpTree, PORT_COST } from '../switch/fstp.js';
import { checkPortNumber } from '../switch/port-management.js';
import type { Switch } from '../switch/switch.js';
import { NOT_MEMBER, UNTAGGED } from '../switch/vlan.js';
import { checkVlan, existingVlan, sortedVlans } from '../switch/vlan-management.js';
import { integers, leadingInteger, padded } from './arguments.js';
import { type ConsoleCommand, consoleError, type Lines, MENU } from './command-table.js';

export function fstpCommands(target: Switch): ConsoleCommand[] {
  const { tree } = target;
  return [
    { name: 'fstp', syntax: MENU, help: 'FAST SPANNING TREE MENU' },
    {
      name: 'fstp/showinfo',
      syntax: '',
      help: 'show fstp info',
      data: true,
      run(_, out) {
        out.push(
          `MAC ${formatMac(tree.mac)} Priority ${tree.priority} (0x${tree.priority.toString(16)})`,
          `FSTP=${tree.mode === 'fstp'}`,
        );
      },
    },
    {
      name: 'fstp/setfstp',
      syntax: '0/1',
      help: 'Fast spanning tree protocol 1=ON 0=OFF',
      data: true,
      run(argument): Lines {
        const on = leadingInteger(argument) !== 0;
        if (on && target.hub) return hubRefusal('fstp');
        if (on) tree.setMode('fstp');
        else if (tree.mode === 'fstp') tree.setMode('off');
        return [];
      },
    },
    {
      name: 'fstp/setedge',
      syntax: 'VLAN PORT 1/0',
      help: 'Define an edge port for a vlan 1=Y 0=N',
      run(argument) {
        const [id, port, edge] = integers(argument, 3);
        checkVlan(id);
        checkPortNumber(target, port);
        const vlan = existingVlan(target, id);
        tree.change(() => tree.fstp.setEdge(vlan, port, edge !== 0));
      },
    },
    {
      name: 'fstp/bonus',
      syntax: 'VLAN PORT COST',
      help: 'set the port bonus for a vlan',
      run(argument) {
        const [id, port, cost] = integers(argument, 3);
        checkVlan(id);
        checkPortNumber(target, port);
        tree.fstp.setBonus(existingVlan(target, id), port, cost);
      },
    },
    {
      name: 'fstp/print',
      syntax: '[N]',
      help: 'print fst data for the defined vlan',
      data: true,
      run: (argument) => print(target, argument),
    },
  ];
}

/** What is answered in hub mode, before the error. */
export function* hubRefusal(protocol: string): Lines {
  yield `Can't use ${protocol} in hub mode`;
  throw consoleError('EINVAL');
}

function* print(target: Switch, argument: string): Lines {
  const vlans = argument === '' ? sortedVlans(target) : [existingVlan(target, leadingInteger(argument))];
  for (const vlan of vlans) {
    yield* printTree(target, target.tree.fstp.tree(vlan));
    yield undefined;
  }
}

function* printTree({ tree: { mode }, ports, uptime }: Switch, tree: FstpTree): Lines {
  const { vlan, rootPort } = tree;
  yield `FST DATA VLAN ${padded(vlan.id)} ${rootPort === undefined ? 'ROOTSWITCH' : ''} ${mode === 'fstp' ? '' : 'FSTP IS DISABLED'}`;
  yield ` ++ root ${formatBridgeIdentifier(tree.root)}`;
  yield ` ++ designated ${formatBridgeIdentifier(tree.designated)}`;
  yield ` ++ rootport ${padded(rootPort ?? 0)} cost ${tree.cost} age ${uptime - tree.stamp} bonusport ${padded(tree.bonusPort)} bonuscost ${tree.bonusCost}`;
  const members = ports.filter((port) => port?.active && vlan.member[port.number] !== NOT_MEMBER);
  for (const tagged of [0, 1]) {
    for (const port of members) {
      if (port === undefined || (vlan.member[port.number] === UNTAGGED) === (tagged === 1)) continue;
      const role = tagged ? 'Unknown' : roleOf(tree, port.number);
      yield ` -- Port ${padded(port.number)} tagged=${tagged} portcost=${PORT_COST} role=${role}`;
    }
  }
}

/** As C says it: it does not look up the role of tagged ports. */
function roleOf({ edge, backup, rootPort }: FstpTree, port: number): string {
  if (edge.has(port)) return 'Edge';
  if (backup.has(port)) return 'Alternate/Backup';
  return port === rootPort ? 'Root' : 'Designated';
}
