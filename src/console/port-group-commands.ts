/** Commands of ours for port groups: ports that are had by way of a socket of their own. */

import type { SwitchService } from '../switch/service.js';
import { groupId, groupName } from '../sys/users.js';
import { type ConsoleCommand, consoleError, type Lines } from './command-table.js';
import { formatPortList, parsePortList } from './port-list.js';

export function portGroupCommands({ switch: forwarding, portGroups }: SwitchService): ConsoleCommand[] {
  return [
    {
      // Before port/group: the first command that begins a line is meant.
      name: 'port/groups',
      syntax: '',
      help: 'print the port groups',
      data: true,
      run: () =>
        portGroups.list.map(({ name, mode, group }) => {
          const owner = group === undefined ? 'NONE' : (groupName(group) ?? group);
          return `Group ${name} ports=${formatPortList(portGroups.ports(name))} mode=${octal(mode)} group=${owner}`;
        }),
    },
    {
      name: 'port/group',
      syntax: 'NAME LIST [...]',
      help: 'have ports (1-4,9) by way of the socket NAME only, of [MODE] (octal) and [GROUP]',
      run(argument) {
        const [name = '', list = '', mode, group, more] = argument.trim().split(/[ \t]+/);
        if (more !== undefined || (mode !== undefined && !/^[0-7]{1,4}$/.test(mode))) throw consoleError('EINVAL');
        const ports = parsePortList(list, forwarding.portCount);
        if (ports === undefined) throw consoleError('EINVAL');
        portGroups.set(name, ports, mode === undefined ? undefined : Number.parseInt(mode, 8), gidOf(group));
      },
    },
    {
      name: 'port/ungroup',
      syntax: 'NAME',
      help: 'end a port group; its ports stay',
      run: (argument) => portGroups.remove(argument.trim()),
    },
  ];
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

/** A group by name or number. */
function gidOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const gid = groupId(text) ?? (/^\d{1,9}$/.test(text) ? Number(text) : undefined);
  if (gid === undefined) throw consoleError('EINVAL');
  return gid;
}

/** The commands that make the port groups as they are. */
export function* portGroupConfiguration({ portGroups }: SwitchService): Lines {
  for (const { name, mode, group } of portGroups.list) {
    const owner = group === undefined ? '' : ` ${groupName(group) ?? group}`;
    yield `port/group ${name} ${formatPortList(portGroups.ports(name))} ${octal(mode)}${owner}`;
  }
}
