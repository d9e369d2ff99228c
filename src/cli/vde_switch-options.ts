/** The command line of `vde_switch` (reference: vde_switch management console, section 6). */

import { HASH_SIZE_MAX, powerOfTwo } from '../console/hash-commands.js';
import { isMulticast, parseMac, randomMac } from '../frame/mac.js';
import { DEFAULT_PRIORITY, type TreeMode } from '../switch/spanning-tree.js';
import { DEFAULT_PORTS, PORTS_MAX } from '../switch/switch.js';
import { INTERFACE_NAME_MAX } from '../sys/tap.js';
import { DAEMON, HELP, PIDFILE } from './common-options.js';
import { type OptionSpec, type ParsedLine, usageError } from './getopt.js';
import { groupOption, octalMode } from './option-values.js';
import type { CommandPage } from './page.js';

const HASH_SIZE = 128;
const PRIORITY_MAX = 0xffff;

type OptionName =
  | 'help'
  | 'version'
  | 'numports'
  | 'hub'
  | 'transparent'
  | 'fstp'
  | 'rstp'
  | 'macaddr'
  | 'priority'
  | 'hashsize'
  | 'sock'
  | 'mkdir'
  | 'mode'
  | 'dirmode'
  | 'group'
  | 'daemon'
  | 'pidfile'
  | 'rcfile'
  | 'mgmt'
  | 'mgmtmode'
  | 'mgmtgroup'
  | 'nostdin'
  | 'debugclients'
  | 'tap';

/** vde_switch's options. */
export const options: readonly OptionSpec<OptionName>[] = [
  HELP,
  { name: 'version', short: 'v', long: ['version'], arg: 'none', help: 'print the version and exit' },
  {
    name: 'numports',
    short: 'n',
    long: ['numports'],
    arg: 'required',
    metavar: 'N',
    help: `number of ports (${DEFAULT_PORTS}), at most ${PORTS_MAX}`,
  },
  { name: 'hub', short: 'x', long: ['hub'], arg: 'none', help: 'be a hub: every frame goes to every port' },
  {
    name: 'transparent',
    long: ['transparent'],
    arg: 'none',
    help: 'leave VLAN tags alone: every port carries every VLAN',
  },
  { name: 'fstp', short: 'F', long: ['fstp'], arg: 'none', help: "VDE's fast spanning tree, one for each VLAN" },
  { name: 'rstp', long: ['rstp'], arg: 'none', help: 'rapid spanning tree of IEEE 802.1D-2004, one for all VLANs' },
  { name: 'macaddr', long: ['macaddr'], arg: 'required', metavar: 'MAC', help: "the switch's own address" },
  {
    name: 'priority',
    long: ['priority'],
    arg: 'required',
    metavar: 'N',
    help: 'spanning tree priority, 0 to 65535 (32768): the least becomes root',
  },
  {
    name: 'hashsize',
    long: ['hashsize'],
    arg: 'required',
    metavar: 'N',
    help: `buckets that hash/print shows (${HASH_SIZE}); the table grows by itself`,
  },
  {
    name: 'sock',
    short: 's',
    long: ['sock', 'vdesock', 'unix'],
    arg: 'required',
    metavar: 'DIR',
    help: 'directory of the control socket',
  },
  {
    name: 'mkdir',
    long: ['mkdir'],
    arg: 'none',
    help: 'make the directories above it too; those made go at the end',
  },
  {
    name: 'mode',
    short: 'm',
    long: ['mode', 'mod'],
    arg: 'required',
    metavar: 'MODE',
    help: 'permissions of the sockets (octal, 0600)',
  },
  {
    name: 'dirmode',
    long: ['dirmode'],
    arg: 'required',
    metavar: 'MODE',
    help: 'permissions of the directory (octal)',
  },
  {
    name: 'group',
    short: 'g',
    long: ['group'],
    arg: 'required',
    metavar: 'GROUP',
    help: 'group of directory and sockets',
  },
  DAEMON,
  PIDFILE,
  {
    name: 'rcfile',
    short: 'f',
    long: ['rcfile'],
    arg: 'required',
    metavar: 'FILE',
    help: 'console commands to run at the start (~/.vde2/vde_switch.rc or /etc/vde2/vde_switch.rc)',
  },
  {
    name: 'mgmt',
    short: 'M',
    long: ['mgmt'],
    arg: 'required',
    metavar: 'PATH',
    help: 'management socket: a console for whoever connects',
  },
  {
    name: 'mgmtmode',
    long: ['mgmtmode'],
    arg: 'required',
    metavar: 'MODE',
    help: 'permissions of the management socket (octal, 0600)',
  },
  {
    name: 'mgmtgroup',
    long: ['mgmtgroup'],
    arg: 'required',
    metavar: 'GROUP',
    help: 'group of the management socket',
  },
  { name: 'nostdin', long: ['nostdin'], arg: 'none', help: 'no console on standard input, and no end with it' },
  {
    name: 'debugclients',
    short: 'D',
    long: ['debugclients'],
    arg: 'required',
    metavar: 'N',
    help: 'accepted, without effect: every console can debug',
  },
  {
    name: 'tap',
    short: 't',
    long: ['tap'],
    arg: 'required',
    metavar: 'NAME',
    help: 'a tap interface as a port; may be given several times',
  },
];

/** What a command line says. */
export interface Settings {
  ports: number;
  hub: boolean;
  transparent: boolean;
  tree: TreeMode;
  priority: number;
  mac: Uint8Array;
  hashSize: number;
  directory: string;
  parents: boolean;
  mode: number | undefined;
  directoryMode: number | undefined;
  group: number | undefined;
  daemon: boolean;
  pidfile: string | undefined;
  console: boolean;
  management: string | undefined;
  managementMode: number | undefined;
  managementGroup: number | undefined;
  script: string | undefined;
  taps: string[];
}

export const page: CommandPage = {
  name: 'vde_switch',
  summary: 'a virtual Ethernet switch',
  usage: 'Usage: vde_switch [OPTION]...\n\nRuns a virtual Ethernet switch.\n\n',
  options,
  operands: 'none',
  longOnly: true,
};

/** @throws VdeError `EUSAGE`. */
export function readSettings(line: ParsedLine<OptionName>): Settings {
  if (line.operands.length > 0) {
    throw usageError(
      `"${line.operands[0]}"`,
      'vde_switch takes options only',
      'the directory of the switch goes after -s',
    );
  }
  const macText = line.value('macaddr');
  const mac = macText === undefined ? randomSwitchMac() : parseMac(macText);
  if (mac === undefined || isMulticast(mac))
    throw usageError('--macaddr', `"${macText}" is not a station's MAC address`);
  return {
    ports: integer('--numports', line.value('numports'), 1, PORTS_MAX, DEFAULT_PORTS),
    hub: line.has('hub'),
    transparent: line.has('transparent'),
    tree: treeMode(line.has('fstp'), line.has('rstp'), line.has('hub')),
    priority: integer('--priority', line.value('priority'), 0, PRIORITY_MAX, DEFAULT_PRIORITY),
    mac,
    hashSize: powerOfTwo(integer('--hashsize', line.value('hashsize'), 1, HASH_SIZE_MAX, HASH_SIZE)),
    directory: line.value('sock') ?? (process.geteuid?.() === 0 ? '/var/run/vde.ctl' : '/tmp/vde.ctl'),
    parents: line.has('mkdir'),
    mode: octalMode('--mode', line.value('mode')),
    directoryMode: octalMode('--dirmode', line.value('dirmode')),
    group: groupOption('--group', line.value('group')),
    daemon: line.has('daemon'),
    pidfile: line.value('pidfile'),
    console: !line.has('daemon') && !line.has('nostdin'),
    management: line.value('mgmt'),
    managementMode: octalMode('--mgmtmode', line.value('mgmtmode')),
    managementGroup: groupOption('--mgmtgroup', line.value('mgmtgroup')),
    script: line.value('rcfile'),
    taps: line.values('tap').map(tapName),
  };
}

/** A hub has no tree: as with C's, `--fstp` is then passed over. */
function treeMode(fstp: boolean, rstp: boolean, hub: boolean): TreeMode {
  if (rstp && (fstp || hub)) throw usageError('--rstp', `it cannot be together with ${hub ? '--hub' : '--fstp'}`);
  if (rstp) return 'rstp';
  return fstp && !hub ? 'fstp' : 'off';
}

/** 00:ff and four random bytes, as a C switch chooses. */
function randomSwitchMac(): Uint8Array {
  const mac = randomMac(Math.random);
  mac.set([0x00, 0xff]);
  return mac;
}

/** Decimal, `0x` hexadecimal or `0` octal, as C's `%i`. */
function integer(option: string, text: string | undefined, min: number, max: number, preset: number): number {
  if (text === undefined) return preset;
  const octalText = /^0[0-7]+$/.test(text);
  const number = octalText ? Number.parseInt(text, 8) : /^(0x[\da-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!(number >= min && number <= max)) throw usageError(option, `"${text}" is not a number from ${min} to ${max}`);
  return number;
}

function tapName(name: string): string {
  if (name === '' || Buffer.byteLength(name) > INTERFACE_NAME_MAX) {
    throw usageError('--tap', `"${name}" cannot be the name of an interface`, `1 to ${INTERFACE_NAME_MAX} bytes`);
  }
  return name;
}
