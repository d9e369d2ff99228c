/** The command line of vdens: its options, its help, and what an invocation asks for. */

import { type InterfacePlan, planInterfaces } from '../netns/interfaces.js';
import { nameserverLines, type ResolvPlan } from '../netns/resolvconf-plan.js';
import { HOST_NAME_MAX } from '../sys/namespace.js';
import { HELP, VERSION } from './common-options.js';
import { type OptionSpec, parseOptions, usageError } from './getopt.js';
import type { CommandPage } from './page.js';

type OptionName =
  | 'help'
  | 'multi'
  | 'iface'
  | 'resolvconf'
  | 'resolvaddr'
  | 'hostname'
  | 'sysadm'
  | 'clone'
  | 'unshare'
  | 'up'
  | 'ip'
  | 'dhcp'
  | 'mac'
  | 'mtu'
  | 'name'
  | 'enter'
  | 'list'
  | 'json'
  | 'version';

/** vdens's options: C's first. */
export const options: readonly OptionSpec<OptionName>[] = [
  HELP,
  { name: 'multi', short: 'm', long: ['multi'], arg: 'none', help: 'several networks, an interface for each' },
  {
    name: 'iface',
    short: 'i',
    long: ['iface'],
    arg: 'required',
    metavar: 'PREFIX',
    help: 'interfaces are called PREFIX0, PREFIX1 and so on (vde)',
  },
  {
    name: 'resolvconf',
    short: 'r',
    long: ['resolvconf'],
    arg: 'required',
    metavar: 'FILE',
    help: 'FILE is seen as /etc/resolv.conf (VDE_RESOLVCONF)',
  },
  {
    name: 'resolvaddr',
    short: 'R',
    long: ['resolvaddr'],
    arg: 'required',
    metavar: 'ADDR[,ADDR]...',
    help: 'these name servers are in /etc/resolv.conf (VDE_RESOLVADDR)',
  },
  {
    name: 'hostname',
    short: 'H',
    long: ['hostname'],
    arg: 'required',
    metavar: 'NAME',
    help: 'name of the host inside',
  },
  { name: 'sysadm', short: 's', long: ['sysadm'], arg: 'none', help: 'with CAP_SYS_ADMIN too: the command may mount' },
  { name: 'clone', short: 'c', long: ['clone'], arg: 'none', help: 'no effect: there is one way, and it always works' },
  { name: 'unshare', short: 'u', long: ['unshare'], arg: 'none', help: 'no effect' },
  { name: 'up', long: ['up'], arg: 'none', help: 'bring lo and the interfaces up' },
  {
    name: 'ip',
    long: ['ip'],
    arg: 'required',
    metavar: '[IFACE=]ADDR[/LEN][,gw=ADDR]',
    help: 'address, IPv4 (/24 if nothing else is said) or IPv6 (/64), and default route; the n-th --ip is for the n-th interface unless it names one; brings it up',
  },
  {
    name: 'dhcp',
    long: ['dhcp'],
    arg: 'optional',
    metavar: 'IFACE',
    help: 'get address, default route and name servers by DHCP, for all interfaces without --ip or for one',
  },
  {
    name: 'mac',
    long: ['mac'],
    arg: 'required',
    metavar: '[IFACE=]MAC',
    help: 'MAC address; as --ip, the n-th for the n-th',
  },
  {
    name: 'mtu',
    long: ['mtu'],
    arg: 'required',
    metavar: '[IFACE=]BYTES',
    help: 'MTU; as --ip, the n-th for the n-th',
  },
  { name: 'name', long: ['name'], arg: 'required', metavar: 'NAME', help: 'give the namespace a name to enter it by' },
  {
    name: 'enter',
    long: ['enter'],
    arg: 'required',
    metavar: 'NAME',
    help: 'run a command in the namespace called NAME',
  },
  { name: 'list', long: ['list'], arg: 'none', help: 'list your namespaces that have a name' },
  { name: 'json', long: ['json'], arg: 'none', help: 'with --list: as JSON' },
  VERSION,
];

const USAGE = `Usage: vdens [OPTION]... [LOCATOR [COMMAND [ARG]...]]
       vdens [OPTION]... -- COMMAND [ARG]...
       vdens --multi [OPTION]... [LOCATOR]... [-- COMMAND [ARG]...]
       vdens --enter NAME [COMMAND [ARG]...]
       vdens --list [--json]

Runs COMMAND, or your shell, in a network namespace whose interfaces are joined
to the networks that the LOCATORs name. Inside you administer the network as if
you were root. No LOCATOR, or no, - or an empty one: no network but lo.
=COMMAND as a LOCATOR: a stream of frames over the command's input and output.

`;

export const page: CommandPage = {
  ...{ name: 'vdens', summary: 'a command in a network namespace, joined to virtual networks', usage: USAGE, options },
  operands: 'locator',
};

/** What an invocation asks for. */
export type Invocation =
  | { kind: 'help' }
  | { kind: 'version' }
  | { kind: 'list'; json: boolean }
  | { kind: 'enter'; name: string; command: string[] }
  | StartInvocation;

export interface StartInvocation {
  kind: 'start';
  /** One for each interface. */
  locators: string[];
  interfaces: InterfacePlan[];
  loopback: boolean;
  resolv: ResolvPlan | undefined;
  hostname: string | undefined;
  sysadmin: boolean;
  name: string | undefined;
  /** Empty: the shell. */
  command: string[];
}

/** Locators that stand for no network at all. */
const NO_NETWORK = ['', '-', 'no'];

/**
 * Reads a command line.
 * @throws VdeError `EUSAGE`.
 */
export function readInvocation(args: readonly string[], env: NodeJS.ProcessEnv): Invocation {
  const line = parseOptions(args, options, { mode: 'posix' });
  const { options: given, operands } = line;
  if (line.has('help')) return { kind: 'help' };
  if (line.has('version')) return { kind: 'version' };
  if (line.has('list')) return { kind: 'list', json: line.has('json') };
  if (line.has('json')) throw usageError('--json', 'goes with --list');
  // `--` right after the options says that there is no network; it may also be the value of the last of them.
  const before = args.length - operands.length - 1;
  const final = given.at(-1);
  const dashes = args[before] === '--' && !(final?.value === '--' && final.index === before - 1);
  const enter = line.value('enter');
  if (enter !== undefined) {
    for (const { option, spelling } of given) {
      if (option.name !== 'enter') throw usageError(spelling, 'has no meaning with --enter');
    }
    return { kind: 'enter', name: enter, command: operands };
  }
  const { locators, command } = splitOperands(operands, line.has('multi'), dashes);
  const interfaces = planInterfaces(locators.length, {
    prefix: line.value('iface') ?? 'vde',
    ip: line.values('ip'),
    mac: line.values('mac'),
    mtu: line.values('mtu'),
    up: line.has('up'),
    dhcp: line.values('dhcp'),
  });
  const hostname = line.value('hostname');
  if (hostname !== undefined && (hostname === '' || Buffer.byteLength(hostname) > HOST_NAME_MAX)) {
    throw usageError('--hostname', `"${hostname}" cannot be the name of a host`, `1 to ${HOST_NAME_MAX} bytes`);
  }
  return {
    kind: 'start',
    locators,
    interfaces,
    loopback: line.has('up') || interfaces.some(({ up }) => up),
    resolv: readResolv(
      line.value('resolvconf') ?? env.VDE_RESOLVCONF,
      line.value('resolvaddr') ?? env.VDE_RESOLVADDR,
      interfaces,
    ),
    hostname,
    sysadmin: line.has('sysadm'),
    name: line.value('name'),
    command,
  };
}

function splitOperands(operands: string[], multi: boolean, dashes: boolean): { locators: string[]; command: string[] } {
  if (dashes) return { locators: [], command: operands };
  if (multi) {
    const end = operands.indexOf('--');
    return end < 0
      ? { locators: operands, command: [] }
      : { locators: operands.slice(0, end), command: operands.slice(end + 1) };
  }
  const [locator = '', ...command] = operands;
  if (command[0] === '--') command.shift();
  return { locators: NO_NETWORK.includes(locator) ? [] : [locator], command };
}

function readResolv(
  file: string | undefined,
  addresses: string | undefined,
  interfaces: InterfacePlan[],
): ResolvPlan | undefined {
  if (addresses !== undefined) return { text: nameserverLines(addresses) };
  if (file !== undefined) return { file };
  if (interfaces.some(({ dhcp }) => dhcp)) return { text: '', writable: true };
  return undefined;
}
