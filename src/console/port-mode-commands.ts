/**
 * Commands of ours for ports as other switches have them: access ports and trunks (IEEE 802.1Q), whose VLANs are set at
 * once instead of one by one. A port is neither until it is told so.
 */

import { NO_VLAN, type Port } from '../switch/port.js';
import { checkPortNumber } from '../switch/port-management.js';
import type { Switch } from '../switch/switch.js';
import { setAccess, setHybrid, setTrunk } from '../switch/vlan-management.js';
import { integerAndRest, integers, leadingInteger, padded } from './arguments.js';
import { type ConsoleCommand, consoleError } from './command-table.js';
import { eachPort } from './port-commands.js';
import { formatVlanList, parseVlanList } from './vlan-list.js';

export function portModeCommands(target: Switch): ConsoleCommand[] {
  return [
    {
      name: 'port/access',
      syntax: 'N VLAN',
      help: 'make port N an access port: in one vlan, no tags',
      run(argument) {
        const [number, vlan] = integers(argument, 2);
        checkPortNumber(target, number);
        setAccess(target, number, vlan);
      },
    },
    {
      name: 'port/trunk',
      syntax: 'N LIST [VLAN]',
      help: 'make port N a trunk for the vlans of LIST (1-9,20|all|none), VLAN untagged',
      run(argument) {
        const { value: number, rest } = integerAndRest(argument);
        const [list, native, more] = rest.trim().split(/[ \t]+/);
        if (list === '' || more !== undefined) throw consoleError('EINVAL');
        const allowed = parseVlanList(list);
        if (native !== undefined && !/^\d+$/.test(native)) throw consoleError('EINVAL');
        checkPortNumber(target, number);
        setTrunk(target, number, allowed, native === undefined ? NO_VLAN : Number(native));
      },
    },
    {
      name: 'port/hybrid',
      syntax: 'N',
      help: 'make port N an ordinary port again; its vlans stay',
      run: (argument) => setHybrid(target, leadingInteger(argument)),
    },
    {
      name: 'port/modes',
      syntax: '[N]',
      help: 'print the modes of the ports',
      data: true,
      run: (argument) => eachPort(target, argument, false, modeLine),
    },
  ];
}

function modeLine({ number, mode, untaggedVlan, allowed }: Port): string[] {
  const list = allowed === undefined ? '' : ` allowed=${formatVlanList(allowed)}`;
  return [`Port ${padded(number)} mode=${mode} untagged_vlan=${padded(untaggedVlan)}${list}`];
}
