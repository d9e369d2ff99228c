/** The `port` menu: ports, who may use them, and what they count (reference: management console, "port"). */

import type { Endpoint, Port } from '../switch/port.js';
import {
  addPort,
  checkPortNumber,
  closeEndpoint,
  existingPort,
  removePort,
  resizeSwitch,
} from '../switch/port-management.js';
import type { Switch } from '../switch/switch.js';
import { setUntagged } from '../switch/vlan-management.js';
import { groupId, groupName, userId, userName } from '../sys/users.js';
import { integerAndRest, integers, leadingInteger, padded, printable } from './arguments.js';
import { type ConsoleCommand, consoleError, type Lines, MENU } from './command-table.js';

/** The greatest user and group id; the one above means none. */
const ID_MAX = 0xffff_fffe;

export function portCommands(target: Switch): ConsoleCommand[] {
  return [
    { name: 'port', syntax: MENU, help: 'PORT STATUS MENU' },
    {
      name: 'port/showinfo',
      syntax: '',
      help: 'show port info',
      data: true,
      run: (_, out) => {
        out.push(`Numports=${target.portCount}`, `HUB=${target.hub}`, 'counters=true');
      },
    },
    {
      name: 'port/setnumports',
      syntax: 'N',
      help: 'set the number of ports',
      run: (argument) => resizeSwitch(target, leadingInteger(argument)),
    },
    {
      name: 'port/sethub',
      syntax: '0/1',
      help: '1=HUB 0=switch',
      run: (argument) => target.setHub(leadingInteger(argument) !== 0),
    },
    {
      name: 'port/setvlan',
      syntax: 'N VLAN',
      help: 'set port VLAN (untagged)',
      run(argument) {
        const [number, vlan] = integers(argument, 2);
        setUntagged(target, number, vlan);
      },
    },
    {
      name: 'port/createauto',
      syntax: '',
      help: 'create a port with an automatically allocated id (inactive|notallocatable)',
      data: true,
      run: (_, out) => {
        out.push(`Port ${padded(addPort(target, 0).number)}`);
      },
    },
    {
      name: 'port/create',
      syntax: 'N',
      help: 'create the port N (inactive|notallocatable)',
      run: (argument) => {
        addPort(target, leadingInteger(argument));
      },
    },
    {
      name: 'port/remove',
      syntax: 'N',
      help: 'remove the port N',
      run: (argument) => removePort(target, leadingInteger(argument)),
    },
    {
      name: 'port/allocatable',
      syntax: 'N 0/1',
      help: 'Is the port allocatable as unnamed? 1=Y 0=N',
      run(argument) {
        const [number, allocatable] = integers(argument, 2);
        existingPort(target, number).allocatable = allocatable !== 0;
      },
    },
    {
      name: 'port/setuser',
      syntax: 'N user',
      help: 'access control: set user',
      run(argument) {
        const { value: number, rest } = integerAndRest(argument);
        if (rest === '') throw consoleError('EINVAL');
        const port = existingPort(target, number);
        port.user = parseId(rest, userId);
      },
    },
    {
      name: 'port/setgroup',
      syntax: 'N user',
      help: 'access control: set group',
      run(argument) {
        const { value: number, rest } = integerAndRest(argument);
        if (rest === '') throw consoleError('EINVAL');
        const port = existingPort(target, number);
        port.group = parseId(rest, groupId);
      },
    },
    {
      name: 'port/epclose',
      syntax: 'N ID',
      help: 'remove the endpoint port N/id ID',
      run(argument) {
        const [number, id] = integers(argument, 2);
        closeEndpoint(target, number, id);
      },
    },
    {
      name: 'port/resetcounter',
      syntax: '[N]',
      help: 'reset the port (N) counters',
      run(argument) {
        if (argument === '') for (const port of target.ports) port?.resetCounters();
        else {
          const number = leadingInteger(argument);
          checkPortNumber(target, number);
          target.ports[number]?.resetCounters();
        }
      },
    },
    {
      name: 'port/print',
      syntax: '[N]',
      help: 'print the port/endpoint table',
      data: true,
      run: (argument) => eachPort(target, argument, true, portLines),
    },
    {
      name: 'port/allprint',
      syntax: '[N]',
      help: 'print the port/endpoint table (including inactive port)',
      data: true,
      run: (argument) => eachPort(target, argument, false, portLines),
    },
    {
      name: 'port/drops',
      syntax: '[N]',
      help: 'print what was dropped at the ports, by reason',
      data: true,
      run: (argument) => eachPort(target, argument, false, dropLines),
    },
  ];
}

/** A name, a number, or NONE or ANY for -1. @throws VdeError EINVAL for a name that nobody has. */
function parseId(text: string, idOf: (name: string) => number | undefined): number {
  if (text === 'NONE' || text === 'ANY') return -1;
  const id = idOf(text) ?? (/^\d/.test(text) ? Number.parseInt(text, 10) : undefined);
  if (id === undefined || id > ID_MAX) throw consoleError('EINVAL');
  return id;
}

/**
 * Lines about one port, or about all.
 * @param activeOnly whether those without endpoints are passed over.
 * @throws VdeError EINVAL, ENXIO for one that cannot be or is not there.
 */
export function eachPort(
  target: Switch,
  argument: string,
  activeOnly: boolean,
  lines: (port: Port) => string[],
): Lines {
  if (argument === '') return everyPort(target, activeOnly, lines);
  const port = existingPort(target, leadingInteger(argument));
  if (activeOnly && !port.active) throw consoleError('ENXIO');
  return lines(port);
}

function* everyPort(target: Switch, activeOnly: boolean, lines: (port: Port) => string[]): Lines {
  for (const port of target.ports) if (port && (port.active || !activeOnly)) yield* lines(port);
}

function portLines(port: Port): string[] {
  const { input, output } = port;
  const state = port.active ? 'ACTIVE' : 'INACTIVE';
  const allocatable = port.allocatable ? 'Unnamed Allocatable' : 'NOT Unnamed Allocatable';
  const control = `(User: ${shownUser(port.user)} - Group: ${shownGroup(port.group)})`;
  return [
    `Port ${padded(port.number)} untagged_vlan=${padded(port.untaggedVlan)} ${state} - ${allocatable}`,
    ` Current User: ${shownUser(port.currentUser)} Access Control: ${control}`,
    ` IN:  pkts ${count(input.frames, 10)}          bytes ${count(input.bytes, 20)}`,
    ` OUT: pkts ${count(output.frames, 10)}          bytes ${count(output.bytes, 20)}`,
    ...port.endpoints.map(endpointLine),
  ];
}

function endpointLine({ id, module, description }: Endpoint): string {
  const shown = printable(description ?? 'no endpoint description');
  return `  -- endpoint ID ${padded(id)} module ${module.padEnd(12)}: ${shown}`;
}

function dropLines({ number, inputDrops, drops, arrivalDrops }: Port): string[] {
  const { malformed, vlan, blocked, hairpin } = inputDrops;
  const { full, oversize, runt, error } = drops;
  const { oversize: long, runt: short } = arrivalDrops;
  return [
    `Port ${padded(number)}`,
    ` IN:  malformed ${malformed} vlan ${vlan} blocked ${blocked} hairpin ${hairpin} oversize ${long} runt ${short}`,
    ` OUT: full ${full} oversize ${oversize - long} runt ${runt - short} error ${error}`,
  ];
}

function count(number: number, width: number): string {
  return String(number).padStart(width);
}

function shownUser(uid: number): string {
  return uid < 0 ? 'NONE' : (userName(uid) ?? String(uid));
}

function shownGroup(gid: number): string {
  return gid < 0 ? 'NONE' : (groupName(gid) ?? String(gid));
}
