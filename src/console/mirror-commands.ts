/** Commands of ours for mirrors: copies of what passes some ports, for somebody to look at. */

import { resolve } from 'node:path';
import type { Mirror, MirrorDirection, MirrorTarget } from '../switch/mirror.js';
import type { SwitchService } from '../switch/service.js';
import { existingVlan, setRemoteSpan } from '../switch/vlan-management.js';
import { integers, leadingInteger, padded, printable } from './arguments.js';
import { requireOwner } from './caller.js';
import { type ConsoleCommand, consoleError, type Lines } from './command-table.js';
import { formatPortList, parsePortList } from './port-list.js';

const DIRECTIONS: readonly string[] = ['in', 'out', 'both'] satisfies MirrorDirection[];

export function mirrorCommands({ switch: forwarding, mirrors }: SwitchService): ConsoleCommand[] {
  return [
    {
      // Before port/mirror: the first command that begins a line is meant.
      name: 'port/mirrors',
      syntax: '',
      help: 'print the mirrors',
      data: true,
      run: () => mirrors.list.map(mirrorLine),
    },
    {
      name: 'port/mirror',
      syntax: 'LIST DIR TO',
      help: 'mirror ports (1-4,9|all), in, out or both, to: port N, vlan N, file PATH',
      data: true,
      run(argument, out, caller) {
        const match = /^(\S+)[ \t]+(\S+)[ \t]+(port|vlan|file)[ \t]+(\S.*)$/.exec(argument);
        if (match === null || !DIRECTIONS.includes(match[2])) throw consoleError('EINVAL');
        const ports = parsePortList(match[1], forwarding.portCount);
        const to = target(match[3], match[4]);
        if ('file' in to) requireOwner(caller);
        const { id } = mirrors.add({ ports, direction: match[2] as MirrorDirection, to });
        out.push(`Mirror ${padded(id)}`);
      },
    },
    {
      name: 'port/unmirror',
      syntax: 'ID',
      help: 'end a mirror',
      run: (argument) => mirrors.remove(leadingInteger(argument)),
    },
    {
      name: 'vlan/rspan',
      syntax: 'N 0/1',
      help: 'keep the vlan N for mirrored frames: flood, learn nothing. 1=Y 0=N',
      run(argument) {
        const [vlan, on] = integers(argument, 2);
        if (on === 0 && mirrors.usesVlan(existingVlan(forwarding, vlan).id)) throw consoleError('EADDRINUSE');
        setRemoteSpan(forwarding, vlan, on !== 0);
      },
    },
  ];
}

function target(kind: string, text: string): MirrorTarget {
  if (kind === 'file') return { file: resolve(text.trimEnd()) };
  if (!/^\d{1,4}[ \t]*$/.test(text)) throw consoleError('EINVAL');
  return kind === 'port' ? { port: Number(text) } : { vlan: Number(text) };
}

function targetText(to: MirrorTarget): string {
  if ('port' in to) return `port ${to.port}`;
  return 'vlan' in to ? `vlan ${to.vlan}` : `file ${to.file}`;
}

function mirrorLine({ id, ports, direction, to, frames, bytes }: Mirror): string {
  const place = printable(targetText(to));
  return `Mirror ${padded(id)} ports=${formatPortList(ports)} direction=${direction} pkts=${frames} bytes=${bytes} to ${place}`;
}

/** The commands that make the mirrors as they are. */
export function* mirrorConfiguration({ mirrors }: SwitchService): Lines {
  for (const { ports, direction, to } of mirrors.list) {
    yield `port/mirror ${formatPortList(ports)} ${direction} ${printable(targetText(to))}`;
  }
}
