/**
 * What `vde_plug2tap` and `vde_pcapplug` have in common: one cable between a switch and an interface, with the options of
 * C's programs (reference: vde_plug2tap, vde_pcapplug).
 */

import { registerNodeSchemes } from '../console/schemes.js';
import { RECORD_MAX_C_TOOLS } from '../frame/stream.js';
import { Cable, openEnds } from '../plug/cable.js';
import type { Plug } from '../plug/plug.js';
import { openPlug } from '../plug/registry.js';
import { StreamPlug } from '../plug/stream.js';
import { VdeError } from '../sys/errors.js';
import { complain, onSignals, runCommand } from './command.js';
import { DAEMON, HELP, PIDFILE, VERSION } from './common-options.js';
import { daemonize } from './daemon.js';
import { type OptionSpec, parseOptions, usageError } from './getopt.js';
import { octalMode, portNumber } from './option-values.js';
import { answerHelp, type CommandPage } from './page.js';
import { type Pidfile, writePidfile } from './pidfile.js';
import { complainIfDeleted, warnWhenDown } from './vde_plug.js';

const EXIT_USAGE = 255;
/** How long what has been read may take to go out after the other end has left, in ms. */
const DRAIN_MS = 2000;

type OptionName = 'port' | 'group' | 'mode' | 'sock' | 'daemon' | 'pidfile' | 'help' | 'version';

/** The options of both commands. */
export const options: readonly OptionSpec<OptionName>[] = [
  { name: 'port', short: 'p', long: ['port'], arg: 'required', metavar: 'N', help: 'port of the switch' },
  { name: 'group', short: 'g', long: ['group'], arg: 'required', metavar: 'GROUP', help: "group of the end's socket" },
  {
    name: 'mode',
    short: 'm',
    long: ['mode', 'mod'],
    arg: 'required',
    metavar: 'MODE',
    help: "permissions of the end's socket (octal)",
  },
  {
    name: 'sock',
    short: 's',
    long: ['sock'],
    arg: 'required',
    metavar: 'SWITCH',
    help: 'directory of the switch, or any locator; - for a stream on standard input and output',
  },
  DAEMON,
  { ...PIDFILE, short: 'P' },
  HELP,
  VERSION,
];

/** One of the two commands. */
export interface PlugTool {
  name: string;
  /** What its argument is, for the usage text. */
  operand: string;
  /** What it does, for the usage text. */
  text: string;
  /** The locator of an interface. */
  locator: (interfaceName: string) => string;
  /** Whether `-s -` stands for the standard streams. */
  streams: boolean;
}

/** What a tool says about itself. */
export function toolPage({ name, operand, text }: PlugTool): CommandPage {
  const usage = `Usage: ${name} [OPTION]... ${operand}\n\n${text}\n\n`;
  const summary = text.replace(/^Joins/, 'join').replace(/\.$/, '');
  return { name, summary, usage, options, operands: 'interface', longOnly: true };
}

/** The launchers' entry point. */
export function runPlugTool(tool: PlugTool): void {
  registerNodeSchemes();
  void runCommand(tool.name, (args) => plugTool(tool, args), { usage: EXIT_USAGE });
}

async function plugTool(tool: PlugTool, args: string[]): Promise<number> {
  const line = parseOptions(args, options, { longOnly: true });
  const answered = answerHelp(line, toolPage(tool), { to: 2, status: EXIT_USAGE });
  if (answered !== undefined) return answered;
  const [interfaceName = '', extra] = line.operands;
  if (interfaceName === '') throw usageError(tool.name, `which interface? The ${tool.operand} is missing`);
  if (extra !== undefined) throw usageError(`"${extra}"`, `${tool.name} takes one interface`);
  const sock = line.value('sock') ?? '';
  const end = {
    description: `${tool.name}:`,
    onNotice: complain,
    group: line.value('group'),
    mode: octalMode('--mode', line.value('mode')),
    port: portNumber('--port', line.value('port')),
  };
  const streams = tool.streams && sock === '-';
  if (streams && line.has('daemon')) {
    throw usageError('--daemon', 'in the background there are no standard streams', 'name a switch with -s');
  }
  const daemon = await daemonize(line.has('daemon'));
  const plugs: Plug[] = [];
  let pidfile: Pidfile | undefined;
  const cleanUp = () => {
    for (const plug of plugs) plug.close();
    pidfile?.remove();
  };
  onSignals(cleanUp);
  try {
    const file = line.value('pidfile');
    if (file !== undefined) pidfile = writePidfile(file);
    const other = { locator: tool.locator(interfaceName), options: { onNotice: complain } };
    if (streams) {
      plugs.push(new StreamPlug('standard streams', 0, 1, RECORD_MAX_C_TOOLS));
      plugs.push(await openPlug(other.locator, other.options));
    } else plugs.push(...(await openEnds({ locator: sock, options: end }, other)));
    const [network, device] = plugs;
    const cable = new Cable(network, device);
    warnWhenDown(device, network);
    daemon.ready();
    const { lost, error } = await cable.ended;
    await Cable.drain(lost === network ? device : network, DRAIN_MS);
    if (error !== undefined && error.code !== 'ECONNRESET') complain(error.message);
    else if (lost.adopted) complainIfDeleted(device);
    return 0;
  } catch (error) {
    if (error instanceof VdeError && daemon.background) {
      cleanUp();
      return daemon.fail(error);
    }
    throw error;
  } finally {
    cleanUp();
  }
}
