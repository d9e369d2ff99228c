/**
 * Commands of ours for ports as other switches have them: access ports and trunks (IEEE 802.1Q), whose VLANs are set at
 * once instead of one by one; tunnel ports and service tags (IEEE 802.1ad). A port is none of these until it is told so.
 * And a switch that leaves all tags alone.
 */

import { EtherType } from '../frame/ethernet.js';
import type { Tpid } from '../frame/vlan.js';
import { NO_VLAN, type Port } from '../switch/port.js';
import { setIsolated, setPriority } from '../switch/port-management.js';
import type { Switch } from '../switch/switch.js';
import { setAccess, setHybrid, setTagProtocol, setTrunk, setTunnel } from '../switch/vlan-management.js';
import { integerAndRest, integers, leadingInteger, padded } from './arguments.js';
import { type ConsoleCommand, consoleError } from './command-table.js';
import { eachPort } from './port-commands.js';
import { formatVlanList, parseVlanList } from './vlan-list.js';

/** As they are written: in hexadecimal. */
const TAG_PROTOCOLS: ReadonlyMap<string, Tpid> = new Map([
  ['8100', EtherType.customerTag],
  ['88a8', EtherType.serviceTag],
]);

export function portModeCommands(target: Switch): ConsoleCommand[] {
  return [
    {
      name: 'port/access',
      syntax: 'N VLAN',
      help: 'make port N an access port: in one vlan, no tags',
      run(argument) {
        const [number, vlan] = integers(argument, 2);
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
        setTrunk(target, number, allowed, native === undefined ? NO_VLAN : Number(native));
      },
    },
    {
      name: 'port/tunnel',
      syntax: 'N VLAN',
      help: 'make port N a tunnel port: all frames are in one vlan, whatever their tags',
      run(argument) {
        const [number, vlan] = integers(argument, 2);
        setTunnel(target, number, vlan);
      },
    },
    {
      name: 'port/settpid',
      syntax: 'N TPID',
      help: 'set the tags of port N: 8100 (802.1Q) or 88a8 (802.1ad)',
      run(argument) {
        const { value: number, rest } = integerAndRest(argument);
        const tpid = TAG_PROTOCOLS.get(rest.trim().toLowerCase().replace(/^0x/, ''));
        if (tpid === undefined) throw consoleError('EINVAL');
        setTagProtocol(target, number, tpid);
      },
    },
    {
      name: 'port/hybrid',
      syntax: 'N',
      help: 'make port N an ordinary port again; its vlans stay',
      run: (argument) => setHybrid(target, leadingInteger(argument)),
    },
    {
      name: 'port/setpcp',
      syntax: 'N PCP',
      help: 'set the priority (0-7) in the tags of frames that reach port N without one',
      run(argument) {
        const [number, priority] = integers(argument, 2);
        setPriority(target, number, priority);
      },
    },
    {
      name: 'port/isolate',
      syntax: 'N 0/1',
      help: 'have port N reach no other isolated port. 1=Y 0=N',
      run(argument) {
        const [number, on] = integers(argument, 2);
        if (on !== 0 && on !== 1) throw consoleError('EINVAL');
        setIsolated(target, number, on === 1);
      },
    },
    {
      name: 'vlan/transparent',
      syntax: '0/1',
      help: 'leave tags alone: ports of vlan 0 carry all vlans. 1=Y 0=N',
      run(argument) {
        const [on] = integers(argument, 1);
        if (on !== 0 && on !== 1) throw consoleError('EINVAL');
        target.transparent = on === 1;
      },
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

function modeLine({ number, mode, untaggedVlan, tpid, allowed, priority, isolated }: Port): string[] {
  const tags = tpid === EtherType.customerTag ? '' : ` tpid=${tpid.toString(16)}`;
  const list = allowed === undefined ? '' : ` allowed=${formatVlanList(allowed)}`;
  const pcp = priority === 0 ? '' : ` pcp=${priority}`;
  const apart = isolated ? ' isolated' : '';
  return [`Port ${padded(number)} mode=${mode} untagged_vlan=${padded(untaggedVlan)}${tags}${list}${pcp}${apart}`];
}
