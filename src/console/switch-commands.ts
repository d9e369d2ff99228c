/** The console commands of a switch that only look (reference: vde_switch management console, section 4). */

import { formatMac } from '../frame/mac.js';
import type { Endpoint, Port } from '../switch/port.js';
import type { SwitchService } from '../switch/service.js';
import type { Switch } from '../switch/switch.js';
import { groupName, userName } from '../sys/users.js';
import { type ConsoleCommand, consoleError, helpCommand, leadingInteger } from './command-table.js';

/** What the commands are about. */
export interface ConsoleTarget {
  version: string;
  service: SwitchService;
  mac: Uint8Array;
  /** Buckets of the table that a C switch would have: only shown. */
  hashSize: number;
  shutdown: () => void;
}

/** Lines that a console greets with. */
export function banner(version: string): string[] {
  return [`VDE switch V.${version}`, '(C) the vde authors - MIT licence', ''];
}

/** The commands, in the order in which `help` lists them and lines are matched. */
export function switchCommands(target: ConsoleTarget): ConsoleCommand[] {
  const { service } = target;
  const table: ConsoleCommand[] = [];
  table.push(
    { name: 'ds', syntax: '============', help: 'DATA SOCKET MENU' },
    {
      name: 'ds/showinfo',
      syntax: '',
      help: 'show ds info',
      data: true,
      run: (_, out) =>
        out.push(`ctl dir ${service.directory}`, `std mode 0${service.mode.toString(8).padStart(3, '0')}`),
    },
    helpCommand(table),
    { name: 'logout', syntax: '', help: 'logout from this mgmt terminal', run: () => {} },
    { name: 'shutdown', syntax: '', help: 'shutdown of the switch', run: () => target.shutdown() },
    {
      name: 'showinfo',
      syntax: '',
      help: 'show switch version and info',
      data: true,
      run: (_, out) =>
        out.push(
          ...banner(target.version),
          `pid ${process.pid} MAC ${formatMac(target.mac)} uptime ${service.switch.uptime}`,
        ),
    },
    { name: 'hash', syntax: '============', help: 'HASH TABLE MENU' },
    {
      name: 'hash/showinfo',
      syntax: '',
      help: 'show hash info',
      data: true,
      run: (_, out) =>
        out.push(
          `Hash size ${target.hashSize}`,
          'GC interval 2 secs',
          `GC expire ${service.switch.table.expire} secs`,
          `Min persistence ${service.switch.table.minPersistence} secs`,
        ),
    },
    {
      name: 'hash/print',
      syntax: '',
      help: 'print the hash table',
      data: true,
      run: (_, out) => printTable(target, out),
    },
    { name: 'port', syntax: '============', help: 'PORT STATUS MENU' },
    {
      name: 'port/showinfo',
      syntax: '',
      help: 'show port info',
      data: true,
      run: (_, out) => out.push(`Numports=${service.switch.portCount}`, `HUB=${service.switch.hub}`, 'counters=true'),
    },
    {
      name: 'port/print',
      syntax: '[N]',
      help: 'print the port/endpoint table',
      data: true,
      run: (argument, out) => printPorts(service.switch, argument, out, true),
    },
    {
      name: 'port/allprint',
      syntax: '[N]',
      help: 'print the port/endpoint table (including inactive port)',
      data: true,
      run: (argument, out) => printPorts(service.switch, argument, out, false),
    },
  );
  return table;
}

/** The bucket that a C switch keeps an address in (reference: management console, "Bucket number"). */
export function hashBucket(address: Uint8Array, vlan: number, size: number): number {
  const MASK = 0xffff_ffff_ffff_ffffn;
  let key = BigInt(vlan) << 48n;
  address.forEach((byte, i) => {
    key |= BigInt(byte) << BigInt(8 * i);
  });
  key ^= key >> 33n;
  key = (key * 0xff51afd7ed558ccdn) & MASK;
  key ^= key >> 33n;
  key = (key * 0xc4ceb9fe1a85ec53n) & MASK;
  return Number(key & BigInt(size - 1));
}

function printTable(target: ConsoleTarget, out: string[]): void {
  const { table, uptime: now } = target.service.switch;
  const rows = [...table.entries(now)].map((entry) => ({
    ...entry,
    bucket: hashBucket(entry.address, entry.vlan, target.hashSize),
  }));
  rows.sort((a, b) => a.bucket - b.bucket);
  for (const { bucket, address, vlan, port, lastSeen } of rows) {
    const age = now - lastSeen;
    out.push(
      `Hash: ${pad(bucket)} Addr: ${formatMac(address)} VLAN ${pad(vlan)} to port: ${pad(port, 3)}  age ${age} secs`,
    );
  }
}

function pad(number: number, width = 4): string {
  return String(number).padStart(width, '0');
}

function printPorts(target: Switch, argument: string, out: string[], activeOnly: boolean): void {
  if (argument === '') {
    for (const port of target.ports) if (port && (port.active || !activeOnly)) printPort(port, out);
    return;
  }
  const number = leadingInteger(argument);
  if (number < 0 || number > target.portCount) throw consoleError('EINVAL');
  const port = target.ports[number];
  if (port === undefined || (activeOnly && !port.active)) throw consoleError('ENXIO');
  printPort(port, out);
}

function printPort(port: Port, out: string[]): void {
  const state = port.active ? 'ACTIVE' : 'INACTIVE';
  out.push(
    `Port ${pad(port.number)} untagged_vlan=${pad(port.untaggedVlan)} ${state} - ${port.allocatable ? '' : 'NOT '}Unnamed Allocatable`,
    ` Current User: ${shownUser(port.currentUser)} Access Control: (User: ${shownUser(port.user)} - Group: ${shownGroup(port.group)})`,
    ` IN:  pkts ${count(port.input.frames, 10)}          bytes ${count(port.input.bytes, 20)}`,
    ` OUT: pkts ${count(port.output.frames, 10)}          bytes ${count(port.output.bytes, 20)}`,
    ...port.endpoints.map(printEndpoint),
  );
}

function printEndpoint({ id, module, description }: Endpoint): string {
  return `  -- endpoint ID ${pad(id)} module ${module.padEnd(12)}: ${printable(description ?? 'no endpoint description')}`;
}

/** A client describes itself: what it says must not look like lines of ours or drive a terminal. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
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
