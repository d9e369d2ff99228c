/** The `vlan` menu: which VLANs there are, and which ports are members (reference: management console, "vlan"). */

import type { Switch } from '../switch/switch.js';
import { DISCARDING, LEARNING, NOT_MEMBER, TAGGED, type Vlan } from '../switch/vlan.js';
import { addTagged, addVlan, existingVlan, removeTagged, removeVlan, sortedVlans } from '../switch/vlan-management.js';
import { integers, leadingInteger, padded } from './arguments.js';
import { type ConsoleCommand, type Lines, MENU } from './command-table.js';

export function vlanCommands(target: Switch): ConsoleCommand[] {
  return [
    { name: 'vlan', syntax: MENU, help: 'VLAN MANAGEMENT MENU' },
    {
      name: 'vlan/create',
      syntax: 'N',
      help: 'create the VLAN with tag N',
      run: (argument) => {
        addVlan(target, leadingInteger(argument));
      },
    },
    {
      name: 'vlan/remove',
      syntax: 'N',
      help: 'remove the VLAN with tag N',
      run: (argument) => removeVlan(target, leadingInteger(argument)),
    },
    {
      name: 'vlan/addport',
      syntax: 'N PORT',
      help: 'add port to the vlan N (tagged)',
      run(argument) {
        const [vlan, port] = integers(argument, 2);
        addTagged(target, vlan, port);
      },
    },
    {
      name: 'vlan/delport',
      syntax: 'N PORT',
      help: 'delete port from the vlan N (tagged)',
      run(argument) {
        const [vlan, port] = integers(argument, 2);
        removeTagged(target, vlan, port);
      },
    },
    {
      name: 'vlan/print',
      syntax: '[N]',
      help: 'print the list of defined vlan',
      data: true,
      run: (argument) => print(target, argument, true),
    },
    {
      name: 'vlan/allprint',
      syntax: '[N]',
      help: 'print the list of defined vlan (including inactive port)',
      data: true,
      run: (argument) => print(target, argument, false),
    },
  ];
}

/** Lines about one VLAN, or about all. @throws VdeError EINVAL, ENXIO for one that cannot be or is not there. */
function print(target: Switch, argument: string, activeOnly: boolean): Lines {
  const vlans = argument === '' ? sortedVlans(target) : [existingVlan(target, leadingInteger(argument))];
  return everyVlan(target, vlans, activeOnly);
}

function* everyVlan({ ports }: Switch, vlans: Vlan[], activeOnly: boolean): Lines {
  for (const { id, member, discarding } of vlans) {
    yield `VLAN ${padded(id)}`;
    for (const port of ports) {
      if (port === undefined || member[port.number] === NOT_MEMBER || (activeOnly && !port.active)) continue;
      const tagged = member[port.number] === TAGGED ? 1 : 0;
      const state = port.active ? discarding[port.number] : LEARNING;
      const status = state === DISCARDING ? 'Discarding' : state === LEARNING ? 'Learning' : 'Forwarding';
      yield ` -- Port ${padded(port.number)} tagged=${tagged} active=${port.active ? 1 : 0} status=${status}`;
    }
    yield undefined;
  }
}
