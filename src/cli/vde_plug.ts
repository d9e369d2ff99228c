/**
 * `vde_plug`: the cable builder. One locator is joined to the standard streams or to a command's, two to each other
 * (reference: vde_plug command line).
 */

import { writeSync } from 'node:fs';
import { basename } from 'node:path';
import { registerNodeSchemes } from '../console/schemes.js';
import { registerCryptoSchemes } from '../crypto/schemes.js';
import { RECORD_MAX_C_TOOLS } from '../frame/stream.js';
import { Cable, openEnds } from '../plug/cable.js';
import { CommandProcess } from '../plug/command.js';
import type { Observer } from '../plug/join.js';
import type { Plug } from '../plug/plug.js';
import { listSchemes, openPlug } from '../plug/registry.js';
import { describeScheme, type OpenOptions } from '../plug/scheme.js';
import { StreamPlug } from '../plug/stream.js';
import { VdeError } from '../sys/errors.js';
import { openSyslog } from '../sys/syslog.js';
import { isInterfaceUp } from '../sys/tap.js';
import { CableStats } from './cable-stats.js';
import { complain, onSignals, runCommand } from './command.js';
import { DAEMON, HELP, PIDFILE, VERSION } from './common-options.js';
import { daemonize } from './daemon.js';
import { DropNotice } from './drop-notice.js';
import { type OptionSpec, type ParsedLine, parseOptions, usageError } from './getopt.js';
import { IpLog } from './iplog.js';
import { octalMode, portNumber, seconds } from './option-values.js';
import { answerHelp, type CommandPage } from './page.js';
import { writePidfile } from './pidfile.js';
import { isWatched, startJournal, who } from './tunnel-user.js';

const EXIT_USAGE = 255;
/** What shells report for a command that cannot be executed. */
const EXIT_NOT_EXECUTED = 127;
/** How long what has been read may take to go out after the other end has left, in ms. */
const DRAIN_MS = 2000;

type OptionName =
  | 'daemon'
  | 'pidfile'
  | 'log'
  | 'iplog'
  | 'help'
  | 'help-vnl'
  | 'json'
  | 'stats'
  | 'group'
  | 'group2'
  | 'mode'
  | 'mode2'
  | 'port'
  | 'port2'
  | 'descr'
  | 'command'
  | 'version';

/** vde_plug's options. */
export const options: readonly OptionSpec<OptionName>[] = [
  DAEMON,
  PIDFILE,
  { name: 'log', short: 'l', long: ['log'], arg: 'none', help: 'say START and STOP on syslog' },
  { name: 'iplog', short: 'L', long: ['iplog'], arg: 'none', help: 'as -l, and say which IP addresses are used' },
  HELP,
  {
    name: 'help-vnl',
    long: ['help-vnl'],
    arg: 'none',
    help: 'list the locator schemes with their parameters and exit',
  },
  { name: 'json', long: ['json'], arg: 'none', help: 'with --help-vnl or --stats: as JSON' },
  {
    name: 'stats',
    long: ['stats'],
    arg: 'optional',
    metavar: 'SECONDS',
    help: 'say on standard error at the end, and every SECONDS, what has passed',
  },
  {
    name: 'group',
    short: 'g',
    long: ['group'],
    arg: 'required',
    metavar: 'GROUP',
    help: "group of the first end's socket",
  },
  {
    name: 'group2',
    short: 'G',
    long: ['group2'],
    arg: 'required',
    metavar: 'GROUP',
    help: "group of the second end's socket",
  },
  {
    name: 'mode',
    short: 'm',
    long: ['mod', 'mode'],
    arg: 'required',
    metavar: 'MODE',
    help: "permissions of the first end's socket (octal)",
  },
  {
    name: 'mode2',
    short: 'M',
    long: ['mod2', 'mode2'],
    arg: 'required',
    metavar: 'MODE',
    help: "permissions of the second end's socket",
  },
  { name: 'port', long: ['port'], arg: 'required', metavar: 'N', help: 'port of the first switch, as DIR[N]' },
  { name: 'port2', long: ['port2'], arg: 'required', metavar: 'N', help: 'port of the second switch' },
  {
    name: 'descr',
    short: 'D',
    long: ['descr'],
    arg: 'required',
    metavar: 'TEXT',
    help: 'what the switch shows for the connection (vdeplug:)',
  },
  { name: 'command', short: 'c', arg: 'required', metavar: 'vde_plug', help: 'as the login shell of a tunnel user' },
  VERSION,
];

const USAGE = `Usage: vde_plug [OPTION]... [LOCATOR]
       vde_plug [OPTION]... LOCATOR LOCATOR
       vde_plug [OPTION]... [LOCATOR] = COMMAND [ARG]...

Joins the network that LOCATOR names to the standard streams, to another one,
or to the standard streams of COMMAND. No LOCATOR, or an empty one, means the
default switch. Options end at =, so a command keeps its own.

`;

export const page: CommandPage = {
  ...{ name: 'vde_plug', summary: 'join a network to the standard streams, or to another one', usage: USAGE, options },
  operands: 'locator',
};

const PACKAGES = `NAME://...
    any other scheme, by the npm package vde-plug-NAME if it is installed here
`;

const BROKER = `This is a tunnel broker of Virtual Distributed Ethernet.
It runs vde_plug and nothing else: it is no login shell.
`;

/** What is to be joined. */
interface Plan {
  first: string;
  /** The other end: a locator, a command, or the standard streams. */
  second: { locator: string } | { command: string[] } | undefined;
}

/** The launcher's entry point. */
export function main(): void {
  registerNodeSchemes();
  registerCryptoSchemes();
  if (isLoginShell()) process.exit(refuseShell());
  void runCommand('vde_plug', vdePlug, { usage: EXIT_USAGE });
}

/**
 * Whether somebody wants to log in. login(1) and sshd put `-` before the name of a login shell, but the kernel does not
 * pass that name on to the interpreter of a script, which this command is; they also set SHELL.
 */
function isLoginShell(): boolean {
  return (
    process.argv0.startsWith('-') || (process.argv.length <= 2 && basename(process.env.SHELL ?? '') === 'vde_plug')
  );
}

/** Says what a tunnel user may do; returns the exit status. */
function refuseShell(): number {
  openSyslog({ ident: 'vde_plug' }).log(`FAILED: ${who()}`);
  writeSync(2, BROKER);
  return EXIT_USAGE;
}

/** Which ends the operands name (reference: "Forms"). */
function readPlan(operands: string[]): Plan {
  const [first = '', second] = operands;
  if (operands.length <= 1) return { first, second: undefined };
  if (first === '=') return { first: '', second: { command: operands.slice(1) } };
  if (operands.length === 2) return { first, second: { locator: second } };
  if (second === '=') return { first, second: { command: operands.slice(2) } };
  throw usageError(`"${operands[2]}"`, 'there are two ends to a cable, not more', 'a command goes after =');
}

function readOptions(line: ParsedLine<OptionName>): { first: OpenOptions; second: OpenOptions } {
  const description = line.value('descr') || 'vdeplug:';
  const side = (group: 'group' | 'group2', mode: 'mode' | 'mode2', port: 'port' | 'port2'): OpenOptions => ({
    description,
    onNotice: complain,
    group: line.value(group),
    mode: octalMode(`--${mode}`, line.value(mode)),
    port: portNumber(`--${port}`, line.value(port)),
  });
  return { first: side('group', 'mode', 'port'), second: side('group2', 'mode2', 'port2') };
}

async function schemeHelp(): Promise<string> {
  const schemes = (await listSchemes())
    .map((scheme) =>
      [`${scheme.name}://${scheme.syntax}`, ...describeScheme(scheme).map((row) => `    ${row}`), ''].join('\n'),
    )
    .join('\n');
  return `${schemes}\n${PACKAGES}`;
}

async function vdePlug(args: string[]): Promise<number> {
  const line = parseOptions(args, options, { stopAt: '=' });
  const answered = answerHelp(line, page, { to: 2, status: EXIT_USAGE });
  if (answered !== undefined) return answered;
  if (line.has('help-vnl')) {
    writeSync(1, line.has('json') ? `${JSON.stringify(await listSchemes(), null, 2)}\n` : await schemeHelp());
    return 0;
  }
  const stats = line.has('stats')
    ? { seconds: seconds('--stats', line.value('stats')), json: line.has('json') }
    : undefined;
  if (line.has('json') && !stats) {
    throw usageError('--json', 'there is nothing to list', 'use it with --help-vnl or --stats');
  }
  const shell = line.options.find(({ option }) => option.name === 'command');
  if (shell && shell.value !== 'vde_plug') return refuseShell();
  const plan = readPlan(line.operands);
  const open = readOptions(line);
  if (line.has('daemon') && plan.second === undefined) {
    throw usageError(
      '--daemon',
      'in the background there are no standard streams to join',
      'name two locators, or a command after =',
    );
  }
  if (line.has('daemon') && stats) {
    throw usageError('--stats', 'in the background there is no standard error', 'leave out one of the two');
  }
  const daemon = await daemonize(line.has('daemon'));
  const addresses = line.has('iplog') || (shell !== undefined && isWatched());
  const journal = line.has('log') || addresses || shell ? startJournal() : undefined;
  const session = new Session();
  session.onCleanUp(() => journal?.stop());
  const pidfile = line.value('pidfile');
  onSignals(async (signal) => {
    await session.end(signal);
  });
  try {
    if (pidfile !== undefined) {
      const file = writePidfile(pidfile);
      session.onCleanUp(() => file.remove());
    }
    const [a, b] = await openBoth(plan, open, session, addresses || stats !== undefined);
    const log = addresses && journal ? new IpLog((seen) => journal.address(seen), Date.now) : undefined;
    const counters = stats && new CableStats([a, b], stats);
    if (counters) session.onCleanUp(() => counters.close());
    const cable = new Cable(a, b, observer(log, counters));
    warnWhenDown(a, b);
    warnWhenDown(b, a);
    for (const plug of [a, b]) session.tellDrops(plug);
    daemon.ready();
    const { lost, error } = await cable.ended;
    const other = lost === a ? b : a;
    await Cable.drain(other, DRAIN_MS);
    if (error !== undefined && error.code !== 'ECONNRESET') complain(error.message);
    else if (lost.adopted) complainIfDeleted(other);
    return (await session.end()) ?? 0;
  } catch (error) {
    await session.end('SIGTERM');
    if (error instanceof CommandFailure) return daemon.fail(error, EXIT_NOT_EXECUTED);
    if (error instanceof VdeError && daemon.background) return daemon.fail(error);
    throw error;
  }
}

/** Who looks at what passes; nobody, if nobody was asked to. */
function observer(log: IpLog | undefined, counters: CableStats | undefined): Observer | undefined {
  if (!log) return counters && ((burst, from) => counters.look(burst, from));
  return (burst, from) => {
    log.look(burst);
    counters?.look(burst, from);
  };
}

/** An end that has to do with an interface of the kernel's. */
export type InterfacePlug = Plug & { onDown?: (() => void) | undefined; interfaceName?: string };

/**
 * Says once that frames to an interface are lost because it is DOWN: when the first is, or at once if the other end
 * serves it, and nobody here will see its frames.
 */
export function warnWhenDown(plug: InterfacePlug, other: Plug): void {
  const { name, interfaceName } = plug;
  if (interfaceName === undefined) return;
  plug.onDown = () =>
    complain(`${name}: the interface is DOWN, frames to it are dropped (ip link set ${interfaceName} up)`);
  if (other.adopted && isInterfaceUp(interfaceName) === false) plug.onDown();
}

/** A switch that serves an interface itself closes the cable when it is deleted; the reason is found here. */
export function complainIfDeleted({ name, interfaceName }: InterfacePlug): void {
  if (interfaceName === undefined || isInterfaceUp(interfaceName) !== undefined) return;
  complain(`${name}: interface ${interfaceName} has been deleted`);
}

/** Opens what the plan names. What is observed must pass here. */
async function openBoth(
  { first, second }: Plan,
  open: { first: OpenOptions; second: OpenOptions },
  session: Session,
  observed: boolean,
): Promise<[Plug, Plug]> {
  if (second !== undefined && 'locator' in second) {
    const ends = await openEnds(
      { locator: first, options: open.first },
      { locator: second.locator, options: open.second },
      observed,
    );
    return [session.own(ends[0]), session.own(ends[1])];
  }
  const a = session.own(await openPlug(first, open.first));
  const b = second ? await session.run(second.command) : new StreamPlug('standard streams', 0, 1, RECORD_MAX_C_TOOLS);
  return [a, session.own(b)];
}

/** The command after `=` cannot be executed: that has an exit status of its own. */
class CommandFailure extends Error {}

/** What a run of vde_plug holds, and how it is given back: plugs, files, the command. */
class Session {
  readonly #plugs: Plug[] = [];
  readonly #cleanUps: (() => void)[] = [];
  #command: CommandProcess | undefined;
  #ended: Promise<number | undefined> | undefined;

  own(plug: Plug): Plug {
    this.#plugs.push(plug);
    return plug;
  }

  /** Has the user told of frames that an end drops, unless somebody else serves it. */
  tellDrops(plug: Plug): void {
    if (plug.adopted) return;
    const drops = new DropNotice(plug, complain);
    this.onCleanUp(() => drops.close());
  }

  onCleanUp(step: () => void): void {
    this.#cleanUps.push(step);
  }

  /** Starts a command whose standard streams carry frames. */
  async run(command: string[]): Promise<Plug> {
    try {
      this.#command = await CommandProcess.start(command);
    } catch (error) {
      throw error instanceof VdeError ? new CommandFailure(error.message) : error;
    }
    return this.#command.plug;
  }

  /**
   * Closes everything and waits for the command. Idempotent.
   * @param signal passed to the command; without one it is expected to end by the end of its input.
   * @returns its exit status (128 + signal number if it was killed), undefined if there was none.
   */
  end(signal?: NodeJS.Signals): Promise<number | undefined> {
    this.#ended ??= this.#end(signal);
    return this.#ended;
  }

  async #end(signal: NodeJS.Signals | undefined): Promise<number | undefined> {
    for (const plug of this.#plugs) plug.close();
    const status = await this.#command?.end(signal);
    for (const step of this.#cleanUps.reverse()) step();
    return status;
  }
}
