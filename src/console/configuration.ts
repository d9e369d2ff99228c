/** `showconfig`: the commands that make a switch what it is now, for a start script (`--rcfile`) or for `load`. */

import { EtherType } from '../frame/ethernet.js';
import { NO_VLAN, type Port } from '../switch/port.js';
import type { Switch } from '../switch/switch.js';
import { TAGGED } from '../switch/vlan.js';
import { sortedVlans } from '../switch/vlan-management.js';
import type { ConsoleCommand, Lines } from './command-table.js';
import { mirrorConfiguration } from './mirror-commands.js';
import { portGroupConfiguration } from './port-group-commands.js';
import { treeConfiguration } from './rstp-commands.js';
import type { ConsoleTarget } from './target.js';
import { formatVlanList } from './vlan-list.js';

export function configurationCommand(target: ConsoleTarget): ConsoleCommand {
  return {
    name: 'showconfig',
    syntax: '',
    help: 'print the commands that set the switch up as it is',
    data: true,
    run: () => configuration(target),
  };
}

function* configuration({ service, hashSize }: ConsoleTarget): Lines {
  const { switch: target, sweepInterval } = service;
  const { table } = target;
  yield `port/setnumports ${target.portCount}`;
  yield `port/sethub ${target.hub ? 1 : 0}`;
  if (target.transparent) yield 'vlan/transparent 1';
  yield `hash/setsize ${hashSize}`;
  yield `hash/setgcint ${sweepInterval}`;
  yield `hash/setexpire ${table.expire}`;
  yield `hash/setminper ${table.minPersistence}`;
  for (const { id } of sortedVlans(target)) if (id !== 0) yield `vlan/create ${id}`;
  for (const port of target.ports) if (port) yield* portConfiguration(target, port);
  yield* portGroupConfiguration(service);
  yield* treeConfiguration(target);
  for (const { id, remoteSpan } of sortedVlans(target)) if (remoteSpan) yield `vlan/rspan ${id} 1`;
  yield* mirrorConfiguration(service);
}

/** A port that is as every new one needs no command. */
function* portConfiguration(target: Switch, port: Port): Lines {
  const { number, allocatable, untaggedVlan, mode, user, group } = port;
  const tagged = sortedVlans(target).filter(({ member }) => member[number] === TAGGED);
  const set: string[] = [];
  if (port.priority !== 0) set.push(`port/setpcp ${number} ${port.priority}`);
  if (port.isolated) set.push(`port/isolate ${number} 1`);
  if (user >= 0) set.push(`port/setuser ${number} ${user}`);
  if (group >= 0) set.push(`port/setgroup ${number} ${group}`);
  if (port.tpid !== EtherType.customerTag) set.push(`port/settpid ${number} ${port.tpid.toString(16)}`);
  if (mode === 'access' || mode === 'tunnel') set.push(`port/${mode} ${number} ${untaggedVlan}`);
  else if (port.allowed) {
    const native = untaggedVlan === NO_VLAN ? '' : ` ${untaggedVlan}`;
    set.push(`port/trunk ${number} ${formatVlanList(port.allowed)}${native}`);
  } else if (untaggedVlan !== 0) set.push(`port/setvlan ${number} ${untaggedVlan}`);
  if (!port.allowed) for (const { id } of tagged) set.push(`vlan/addport ${id} ${number}`);
  else if (tagged.some(({ id }) => id === 0)) set.push(`vlan/addport 0 ${number}`);
  if (allocatable && set.length === 0 && !port.monitor) return;
  // Port 0 comes into being by being asked for only.
  if (number === 0) yield '# port 0 cannot be made by a command:';
  yield number === 0 ? `# port/create 0` : `port/create ${number}`;
  if (allocatable) yield `port/allocatable ${number} 1`;
  for (const line of set) yield number === 0 ? `# ${line}` : line;
}
