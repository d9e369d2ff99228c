/** `vde_switch`: runs a switch (reference: vde_switch management console, section 6). */

import { writeSync } from 'node:fs';
import { switchCommands } from '../console/switch-commands.js';
import { startTerminal } from '../console/terminal.js';
import { isMulticast, parseMac, randomMac } from '../frame/mac.js';
import type { Log } from '../switch/control.js';
import { SwitchService } from '../switch/service.js';
import { DEFAULT_PORTS, PORTS_MAX } from '../switch/switch.js';
import { VdeError } from '../sys/errors.js';
import { openSyslog } from '../sys/syslog.js';
import { INTERFACE_NAME_MAX } from '../sys/tap.js';
import { groupId } from '../sys/users.js';
import { complain, onSignals, runCommand } from './command.js';
import { DAEMON, HELP, PIDFILE } from './common-options.js';
import { daemonize } from './daemon.js';
import { type OptionSpec, type ParsedLine, parseOptions, renderHelp, usageError } from './getopt.js';
import { writePidfile } from './pidfile.js';
import { version } from './version.js';

const EXIT_NO_DIRECTORY = 255;
const HASH_SIZE = 128;
const HASH_SIZE_MAX = 1 << 20;

type OptionName =
  | 'help'
  | 'version'
  | 'numports'
  | 'hub'
  | 'fstp'
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
  { name: 'fstp', short: 'F', long: ['fstp'], arg: 'none', help: 'fast spanning tree (not available yet)' },
  { name: 'macaddr', long: ['macaddr'], arg: 'required', metavar: 'MAC', help: "the switch's own address" },
  {
    name: 'priority',
    long: ['priority'],
    arg: 'required',
    metavar: 'N',
    help: 'spanning tree priority (not available yet)',
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
    help: 'commands to run at the start (not available yet)',
  },
  {
    name: 'mgmt',
    short: 'M',
    long: ['mgmt'],
    arg: 'required',
    metavar: 'PATH',
    help: 'management socket (not available yet)',
  },
  {
    name: 'mgmtmode',
    long: ['mgmtmode'],
    arg: 'required',
    metavar: 'MODE',
    help: 'its permissions (not available yet)',
  },
  { name: 'mgmtgroup', long: ['mgmtgroup'], arg: 'required', metavar: 'GROUP', help: 'its group (not available yet)' },
  { name: 'nostdin', long: ['nostdin'], arg: 'none', help: 'no console on standard input, and no end with it' },
  {
    name: 'debugclients',
    short: 'D',
    long: ['debugclients'],
    arg: 'required',
    metavar: 'N',
    help: 'debugging consoles (not available yet)',
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

/** Options of parts that are still to come: refused by name rather than taken and not obeyed. */
const NOT_YET: Partial<Record<OptionName, string>> = {
  fstp: 'the spanning tree',
  priority: 'the spanning tree',
  rcfile: 'the management console',
  mgmt: 'the management console',
  mgmtmode: 'the management console',
  mgmtgroup: 'the management console',
  debugclients: 'the management console',
};

interface Settings {
  ports: number;
  hub: boolean;
  mac: Uint8Array;
  hashSize: number;
  directory: string;
  mode: number | undefined;
  directoryMode: number | undefined;
  group: number | undefined;
  daemon: boolean;
  pidfile: string | undefined;
  console: boolean;
  taps: string[];
}

/** The launcher's entry point. */
export function main(): void {
  void runCommand('vde_switch', vdeSwitch);
}

function readSettings({ options: given, operands }: ParsedLine<OptionName>): Settings {
  const value = (name: OptionName) => given.findLast(({ option }) => option.name === name)?.value;
  const has = (name: OptionName) => given.some(({ option }) => option.name === name);
  for (const { option, spelling } of given) {
    const part = NOT_YET[option.name];
    if (part) throw usageError(spelling, `${part} is not available yet`, 'leave the option out');
  }
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
    mac,
    hashSize: 2 ** Math.ceil(Math.log2(integer('--hashsize', value('hashsize'), 1, HASH_SIZE_MAX, HASH_SIZE))),
    directory: value('sock') ?? (process.geteuid?.() === 0 ? '/var/run/vde.ctl' : '/tmp/vde.ctl'),
    mode: octal('--mode', value('mode')),
    directoryMode: octal('--dirmode', value('dirmode')),
    group: groupOption(value('group')),
    daemon: has('daemon'),
    pidfile: value('pidfile'),
    console: !has('daemon') && !has('nostdin'),
    taps: given.filter(({ option }) => option.name === 'tap').map(({ value: name }) => tapName(name ?? '')),
  };
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

function groupOption(name: string | undefined): number | undefined {
  if (name === undefined) return undefined;
  const gid = groupId(name);
  if (gid === undefined) throw usageError('--group', `there is no group called ${name}`);
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
    writeSync(1, `Usage: vde_switch [OPTION]...\n\nRuns a virtual Ethernet switch.\n\n${renderHelp(options)}`);
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
  for (const name of settings.taps) addTap(service, name, log);
  if (!settings.console) return;
  const commands = switchCommands({
    version,
    service,
    mac: settings.mac,
    hashSize: settings.hashSize,
    shutdown: () => {
      log('Shutdown from mgmt command');
      stop();
    },
  });
  cleanups.push(
    startTerminal(commands, () => {
      log('EOF on stdin, cleaning up and exiting');
      stop();
    }),
  );
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
