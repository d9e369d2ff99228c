/** `vde_switch`: runs a switch (reference: vde_switch management console, section 6). */

import { accessSync, constants, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { ConsoleCommand } from '../console/command-table.js';
import { HASH_SIZE_MAX, powerOfTwo } from '../console/hash-commands.js';
import { ManagementServer } from '../console/management.js';
import { runStartScript } from '../console/script.js';
import { banner, type ConsoleTarget, switchConsole } from '../console/switch-commands.js';
import { startTerminal } from '../console/terminal.js';
import { isMulticast, parseMac, randomMac } from '../frame/mac.js';
import type { Log } from '../switch/control.js';
import { SwitchService } from '../switch/service.js';
import { DEFAULT_PRIORITY, type TreeMode } from '../switch/spanning-tree.js';
import { DEFAULT_PORTS, PORTS_MAX } from '../switch/switch.js';
import { VdeError } from '../sys/errors.js';
import { openSyslog } from '../sys/syslog.js';
import { INTERFACE_NAME_MAX } from '../sys/tap.js';
import { groupId } from '../sys/users.js';
import { complain, onSignals, runCommand } from './command.js';
import { DAEMON, HELP, PIDFILE } from './common-options.js';
import { daemonize } from './daemon.js';
import { type OptionSpec, type ParsedLine, parseOptions, usageError } from './getopt.js';
import { type CommandPage, helpText } from './page.js';
import { writePidfile } from './pidfile.js';
import { version } from './version.js';

const EXIT_NO_DIRECTORY = 255;
const HASH_SIZE = 128;
const PRIORITY_MAX = 0xffff;

type OptionName =
  | 'help'
  | 'version'
  | 'numports'
  | 'hub'
  | 'fstp'
  | 'rstp'
  | 'macaddr'
  | 'priority'
  | 'hashsize'
  | 'sock'
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

interface Settings {
  ports: number;
  hub: boolean;
  tree: TreeMode;
  priority: number;
  mac: Uint8Array;
  hashSize: number;
  directory: string;
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

/** The launcher's entry point. */
export function main(): void {
  void runCommand('vde_switch', vdeSwitch);
}

function readSettings({ options: given, operands }: ParsedLine<OptionName>): Settings {
  const value = (name: OptionName) => given.findLast(({ option }) => option.name === name)?.value;
  const has = (name: OptionName) => given.some(({ option }) => option.name === name);
  if (operands.length > 0) {
    throw usageError(`"${operands[0]}"`, 'vde_switch takes options only', 'the directory of the switch goes after -s');
  }
  const macText = value('macaddr');
  const mac = macText === undefined ? randomSwitchMac() : parseMac(macText);
  if (mac === undefined || isMulticast(mac))
    throw usageError('--macaddr', `"${macText}" is not a station's MAC address`);
  return {
    ports: integer('--numports', value('numports'), 1, PORTS_MAX, DEFAULT_PORTS),
    hub: has('hub'),
    tree: treeMode(has('fstp'), has('rstp'), has('hub')),
    priority: integer('--priority', value('priority'), 0, PRIORITY_MAX, DEFAULT_PRIORITY),
    mac,
    hashSize: powerOfTwo(integer('--hashsize', value('hashsize'), 1, HASH_SIZE_MAX, HASH_SIZE)),
    directory: value('sock') ?? (process.geteuid?.() === 0 ? '/var/run/vde.ctl' : '/tmp/vde.ctl'),
    mode: octal('--mode', value('mode')),
    directoryMode: octal('--dirmode', value('dirmode')),
    group: groupOption('--group', value('group')),
    daemon: has('daemon'),
    pidfile: value('pidfile'),
    console: !has('daemon') && !has('nostdin'),
    management: value('mgmt'),
    managementMode: octal('--mgmtmode', value('mgmtmode')),
    managementGroup: groupOption('--mgmtgroup', value('mgmtgroup')),
    script: value('rcfile'),
    taps: given.filter(({ option }) => option.name === 'tap').map(({ value: name }) => tapName(name ?? '')),
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

function octal(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[0-7]{1,5}$/.test(text)) throw usageError(option, `"${text}" is not an octal mode`, 'such as 0660');
  return Number.parseInt(text, 8) & 0o7777;
}

function groupOption(option: string, name: string | undefined): number | undefined {
  if (name === undefined) return undefined;
  const gid = groupId(name);
  if (gid === undefined) throw usageError(option, `there is no group called ${name}`);
  return gid;
}

function tapName(name: string): string {
  if (name === '' || Buffer.byteLength(name) > INTERFACE_NAME_MAX) {
    throw usageError('--tap', `"${name}" cannot be the name of an interface`, `1 to ${INTERFACE_NAME_MAX} bytes`);
  }
  return name;
}

async function vdeSwitch(args: string[]): Promise<number> {
  const line = parseOptions(args, options, { longOnly: true });
  if (line.options.some(({ option }) => option.name === 'help')) {
    writeSync(1, helpText(page));
    return 1; // As C's does, and scripts may know.
  }
  if (line.options.some(({ option }) => option.name === 'version')) {
    writeSync(1, `VDE ${version}\nCopyright the vde authors, MIT licence\n`);
    return 0;
  }
  const settings = readSettings(line);
  const daemon = await daemonize(settings.daemon);
  const log = openLog(daemon.background);
  const cleanups: (() => void)[] = [];
  const cleanUp = () => {
    for (const step of cleanups.splice(0).reverse()) step();
  };
  try {
    onSignals((signal) => {
      log(`Caught signal ${signal}, cleaning up and exiting`);
      cleanUp();
    });
    let stop = () => {};
    const stopped = new Promise<number>((done) => {
      stop = () => done(0);
    });
    start(settings, log, cleanups, () => stop());
    daemon.ready();
    return await stopped;
  } catch (error) {
    if (error instanceof DirectoryFailure) {
      cleanUp();
      return daemon.fail(error.error, EXIT_NO_DIRECTORY);
    }
    throw error;
  } finally {
    cleanUp();
  }
}

/** The directory of the switch cannot be had: that has an exit status of its own. */
class DirectoryFailure extends Error {
  constructor(readonly error: Error) {
    super(error.message);
  }
}

function start(settings: Settings, log: Log, cleanups: (() => void)[], stop: () => void): void {
  if (settings.pidfile !== undefined) {
    const pidfile = writePidfile(settings.pidfile);
    cleanups.push(() => pidfile.remove());
  }
  const service = openService(settings, log);
  cleanups.push(() => service.close());
  const target: ConsoleTarget = {
    version,
    service,
    mac: settings.mac,
    hashSize: settings.hashSize,
    management: undefined,
    shutdown: () => {
      log('Shutdown from mgmt command');
      stop();
    },
  };
  const { table, plugins } = switchConsole(target);
  cleanups.push(() => plugins.close());
  if (settings.management !== undefined) {
    const { managementMode: mode, managementGroup: group } = settings;
    const server = new ManagementServer(settings.management, { mode, group, banner: banner(version), table, log });
    cleanups.push(() => server.close());
    target.management = server;
  }
  for (const name of settings.taps) addTap(service, name, log);
  runScript(settings.script, table, log);
  if (!settings.console) return;
  cleanups.push(
    startTerminal(table, () => {
      log('EOF on stdin, cleaning up and exiting');
      stop();
    }),
  );
}

/**
 * Runs the commands of the start script: the one that was named, else the user's own, else the machine's. What is wrong
 * with it is said, and the switch runs all the same, as C's does.
 */
function runScript(named: string | undefined, table: () => readonly ConsoleCommand[], log: Log): void {
  const places = [join(homedir(), '.vde2/vde_switch.rc'), '/etc/vde2/vde_switch.rc'];
  const path = named ?? places.find(isReadable);
  if (path === undefined) return;
  try {
    for (const { line, command, result } of runStartScript(table, path)) log(`${path}:${line}: ${command}: ${result}`);
  } catch (error) {
    if (!(error instanceof VdeError)) throw error;
    log(`start script: ${error.message}`);
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function openService(settings: Settings, log: Log): SwitchService {
  try {
    return new SwitchService(settings.directory, { ...settings, log });
  } catch (error) {
    throw error instanceof VdeError ? new DirectoryFailure(error) : error;
  }
}

/** A tap that cannot be opened is said, and the switch runs without it, as C's does. */
function addTap(service: SwitchService, name: string, log: Log): void {
  try {
    service.addTap(name);
  } catch (error) {
    if (!(error instanceof VdeError)) throw error;
    log(`ERROR OPENING tap interface: ${error.message}`);
  }
}

/** In the background there is no terminal to speak to. */
function openLog(background: boolean): Log {
  if (!background) return complain;
  const syslog = openSyslog({ ident: 'vde_switch' });
  return (line) => syslog.log(line);
}
