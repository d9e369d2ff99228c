/** `vde_vxvdexd`: the broker of vxvdex networks. It decides who may join which, and has their sockets. */

import { existsSync } from 'node:fs';
import { VXVDEX_SOCKET } from '../plug/vxvdex-protocol.js';
import { MEMBERS_OF_USER, VxvdexBroker } from '../switch/vxvdex-broker.js';
import { Policy, readPolicy } from '../switch/vxvdex-policy.js';
import type { Log } from '../sys/acceptor.js';
import { VdeError } from '../sys/errors.js';
import { interfaceIndex } from '../sys/inet.js';
import { onSignals, runCommand } from './command.js';
import { DAEMON, HELP, PIDFILE, VERSION } from './common-options.js';
import { daemonize } from './daemon.js';
import { type OptionSpec, type ParsedLine, parseOptions, usageError } from './getopt.js';
import { openLog } from './log.js';
import { answerHelp, type CommandPage } from './page.js';
import { writePidfile } from './pidfile.js';

/** Read if it is there and no other is named. */
const DEFAULT_CONFIG = '/etc/vde/vxvdexd.conf';
const TTL_MAX = 255;
const LIMIT_MAX = 1000;

type OptionName = 'help' | 'version' | 'sock' | 'config' | 'if' | 'v4' | 'v6' | 'ttl' | 'limit' | 'daemon' | 'pidfile';

/** vde_vxvdexd's options. */
export const options: readonly OptionSpec<OptionName>[] = [
  {
    name: 'sock',
    short: 's',
    long: ['sock'],
    arg: 'required',
    metavar: 'PATH',
    help: `socket that members connect to (${VXVDEX_SOCKET})`,
  },
  {
    name: 'config',
    short: 'c',
    long: ['config'],
    arg: 'required',
    metavar: 'FILE',
    help: `networks and who may join them (${DEFAULT_CONFIG}, if it is there)`,
  },
  {
    name: 'if',
    short: 'i',
    long: ['if'],
    arg: 'required',
    metavar: 'NAME',
    help: 'interface of the networks; otherwise the routes choose',
  },
  { name: 'v4', short: '4', long: ['v4'], arg: 'none', help: 'groups of IPv4: 239.x.y.z (the default)' },
  { name: 'v6', short: '6', long: ['v6'], arg: 'none', help: 'groups of IPv6: ff05:56de::x:yz' },
  {
    name: 'ttl',
    long: ['ttl'],
    arg: 'required',
    metavar: 'N',
    help: 'routers that frames may pass, the first network counted (1)',
  },
  {
    name: 'limit',
    long: ['limit'],
    arg: 'required',
    metavar: 'N',
    help: `memberships that a user may have at a time (${MEMBERS_OF_USER})`,
  },
  DAEMON,
  PIDFILE,
  HELP,
  VERSION,
];

export const page: CommandPage = {
  name: 'vde_vxvdexd',
  summary: 'lets users join vxvde networks that they are allowed to',
  usage: `Usage: vde_vxvdexd [OPTION]...

Lets users join the vxvde networks of their groups from network namespaces of
their own, and no others: see vxvdex:// in vde_plug --help-vnl. SIGHUP has the
file of networks read again, a line for each:

  network NAME NUMBER|GROUP [groups=GROUP,...] [users=USER,...]

`,
  options,
  operands: 'none',
};

interface Settings {
  path: string;
  config: string | undefined;
  interfaceName: string | undefined;
  family: 4 | 6;
  ttl: number;
  membersOfUser: number;
}

/** The launcher's entry point. */
export function main(): void {
  void runCommand('vde_vxvdexd', vdeVxvdexd);
}

function readSettings(line: ParsedLine<OptionName>): Settings {
  if (line.operands.length > 0) throw usageError(`"${line.operands[0]}"`, 'vde_vxvdexd takes options only');
  if (line.has('v4') && line.has('v6'))
    throw usageError('--v6', 'it cannot be together with --v4', 'run two, each with a --sock');
  const interfaceName = line.value('if');
  if (interfaceName !== undefined) checkInterface(interfaceName);
  return {
    path: line.value('sock') ?? VXVDEX_SOCKET,
    config: line.value('config') ?? (existsSync(DEFAULT_CONFIG) ? DEFAULT_CONFIG : undefined),
    interfaceName,
    family: line.has('v6') ? 6 : 4,
    ttl: integer('--ttl', line.value('ttl'), TTL_MAX, 1),
    membersOfUser: integer('--limit', line.value('limit'), LIMIT_MAX, MEMBERS_OF_USER),
  };
}

function checkInterface(name: string): void {
  try {
    interfaceIndex(name);
  } catch {
    throw usageError('--if', `there is no interface called "${name}"`, 'ip link lists them');
  }
}

function integer(option: string, text: string | undefined, max: number, preset: number): number {
  if (text === undefined) return preset;
  const number = /^\d+$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > max) throw usageError(option, `"${text}" is not a number from 1 to ${max}`);
  return number;
}

async function vdeVxvdexd(args: string[]): Promise<number> {
  const line = parseOptions(args, options);
  const answered = answerHelp(line, page);
  if (answered !== undefined) return answered;
  const settings = readSettings(line);
  const pidfile = line.value('pidfile');
  const daemon = await daemonize(line.has('daemon'));
  const log = openLog(daemon.background, 'vde_vxvdexd');
  const cleanUps: (() => void)[] = [];
  const cleanUp = () => {
    for (const step of cleanUps.splice(0).reverse()) step();
  };
  let broker: VxvdexBroker | undefined;
  onSignals(cleanUp, () => reload(broker, settings.config, log));
  try {
    if (pidfile !== undefined) {
      const file = writePidfile(pidfile);
      cleanUps.push(() => file.remove());
    }
    const { config, ...rest } = settings;
    const policy = config === undefined ? new Policy() : readPolicy(config);
    const running = new VxvdexBroker({ ...rest, policy, log });
    broker = running;
    cleanUps.push(() => running.close());
    log(`listening at ${running.path}`);
    daemon.ready();
    // From here on, signals decide.
    return await new Promise<number>(() => {});
  } catch (error) {
    cleanUp();
    if (error instanceof VdeError && daemon.background) return daemon.fail(error);
    throw error;
  }
}

/** Reads the file again. One that is wrong changes nothing. */
function reload(broker: VxvdexBroker | undefined, config: string | undefined, log: Log): void {
  if (broker === undefined) return;
  if (config === undefined) {
    log('SIGHUP: there is no file of networks to read again');
    return;
  }
  try {
    broker.policy = readPolicy(config);
    log(`${config} read again`);
  } catch (error) {
    if (!(error instanceof VdeError)) throw error;
    log(`the rules stay as they were: ${error.message}`);
  }
}
