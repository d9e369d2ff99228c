/**
 * `vde_autolink`: keeps cables to remote switches alive, choosing among several commands that make one (reference:
 * vde_autolink). It talks to the switch through its console: for ports, and for the debugging messages about spanning-tree
 * messages, by which a remote switch shows life.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { setImmediate as turn } from 'node:timers/promises';
import { type ConsoleClient, openConsole } from '../console/client.js';
import { answerLine, type ConsoleCommand, isBlank } from '../console/command-table.js';
import { ManagementServer } from '../console/management.js';
import { readScript } from '../console/script.js';
import { version } from '../console/version.js';
import { execError, VdeError } from '../sys/errors.js';
import { autolinkCommands, PROMPT } from './autolink-commands.js';
import { Autolink, type LinkWorld, type RunningWire } from './autolink-model.js';
import { onSignals, runCommand } from './command.js';
import { DAEMON, HELP, PIDFILE, VERSION } from './common-options.js';
import { daemonize } from './daemon.js';
import { type OptionSpec, parseOptions, usageError } from './getopt.js';
import { openLog } from './log.js';
import { octalMode } from './option-values.js';
import { answerHelp, type CommandPage } from './page.js';
import { writePidfile } from './pidfile.js';
import { findStartScript } from './start-script.js';

const EXIT_FAILURE = 255;
const TICK_MS = 500;
/** How long a wire may take to end by itself, in ms. */
const PATIENCE_MS = 2000;
const SUCCESS = 1000;
const EXISTS = 1017;
/** Categories `fstp/+` and `fstp/-`: a port has begun, or ceased, to get spanning-tree messages. */
const LIFE_CODE = 3041;
const DEATH_CODE = 3042;

type OptionName = 'help' | 'rcfile' | 'daemon' | 'pidfile' | 'mgmt' | 'mgmtmode' | 'sock' | 'switchmgmt' | 'version';

/** vde_autolink's options. */
export const options: readonly OptionSpec<OptionName>[] = [
  { name: 'sock', short: 's', long: ['sock'], arg: 'required', metavar: 'SWITCH', help: 'directory of the switch' },
  {
    name: 'switchmgmt',
    short: 'S',
    long: ['switchmgmt'],
    arg: 'required',
    metavar: 'SOCKET',
    help: 'management socket of the switch',
  },
  { name: 'mgmt', short: 'M', long: ['mgmt'], arg: 'required', metavar: 'SOCKET', help: 'management socket to make' },
  { name: 'mgmtmode', long: ['mgmtmode'], arg: 'required', metavar: 'MODE', help: 'its permissions (octal, 0600)' },
  {
    name: 'rcfile',
    short: 'f',
    long: ['rcfile'],
    arg: 'required',
    metavar: 'FILE',
    help: 'commands to begin with (~/.vde2/vde_autolink.rc, else /etc/vde2/vde_autolink.rc)',
  },
  DAEMON,
  PIDFILE,
  HELP,
  VERSION,
];

export const page: CommandPage = {
  name: 'vde_autolink',
  summary: 'keep cables to remote switches alive',
  usage: 'Usage: vde_autolink -s SWITCH -S SOCKET [OPTION]...\n\nKeeps cables to remote switches alive.\n\n',
  options,
  operands: 'none',
  longOnly: true,
};

/** The launcher's entry point. */
export function main(): void {
  void runCommand('vde_autolink', vdeAutolink, { failure: EXIT_FAILURE });
}

async function vdeAutolink(args: string[]): Promise<number> {
  const line = parseOptions(args, options, { longOnly: true });
  const answered = answerHelp(line, page, { status: EXIT_FAILURE });
  if (answered !== undefined) return answered;
  const switchName = line.value('sock');
  const switchConsole = line.value('switchmgmt');
  if (switchName === undefined || switchConsole === undefined) {
    const cause = 'needs the switch (-s) and its management socket (-S)';
    throw usageError('vde_autolink', cause);
  }
  const mode = octalMode('--mgmtmode', line.value('mgmtmode'));
  const daemon = await daemonize(line.has('daemon'));
  const log = openLog(daemon.background, 'vde_autolink');
  const cleanUps: (() => unknown)[] = [];
  const cleanUp = async () => {
    for (const step of cleanUps.splice(0).reverse()) await step();
  };
  onSignals(cleanUp);
  try {
    const pidfile = line.value('pidfile');
    if (pidfile !== undefined) {
      const file = writePidfile(pidfile);
      cleanUps.push(() => file.remove());
    }
    const client = await openConsole(switchConsole);
    cleanUps.push(() => client.close());
    const { code, message } = await client.command('debug/add fstp');
    if (code !== SUCCESS && code !== EXISTS) {
      throw new VdeError({
        code: 'ENOTSUP',
        subject: switchConsole,
        cause: `the switch does not tell of spanning-tree messages: ${message}`,
        remedy: 'it must have debugging compiled in',
      });
    }
    let finish: (error?: VdeError) => void = () => {};
    const finished = new Promise<VdeError | undefined>((done) => {
      finish = done;
    });
    const world = new SwitchWorld(switchName, client, log);
    const model = new Autolink(world);
    cleanUps.push(async () => {
      await model.close();
      await world.ended();
    });
    client.on('event', ({ code: event, text }) => {
      const port = /^fstp\/[+-] Port (\d+)/.exec(text)?.[1];
      if (port !== undefined && (event === LIFE_CODE || event === DEATH_CODE))
        model.life(Number(port), event === LIFE_CODE);
    });
    client.on('end', (error) => finish(error ?? gone(switchConsole)));
    const table = autolinkCommands(model, () => finish());
    const socket = line.value('mgmt');
    if (socket !== undefined) {
      const banner = ['', `VDE autolink V.${version}`, '(C) the vde authors - MIT licence'];
      const server = new ManagementServer(socket, { mode, banner, prompt: PROMPT, table: () => table, log });
      cleanUps.push(() => server.close());
    }
    await runStart(table, findStartScript(line.value('rcfile'), 'vde_autolink'), log);
    const timer = setInterval(() => model.tick(), TICK_MS);
    cleanUps.push(() => clearInterval(timer));
    daemon.ready();
    const error = await finished;
    if (error !== undefined) {
      log(error.message);
      return EXIT_FAILURE;
    }
    // The console that asked for the end gets its answer first.
    await turn();
    return 0;
  } catch (error) {
    await cleanUp();
    if (error instanceof VdeError && daemon.background) return daemon.fail(error, EXIT_FAILURE);
    throw error;
  } finally {
    await cleanUp();
  }
}

function gone(path: string): VdeError {
  return new VdeError({ code: 'ECONNRESET', subject: path, cause: 'the switch has closed its console' });
}

/** Carries out the commands of the start script; those that fail are said. */
async function runStart(table: ConsoleCommand[], path: string | undefined, log: (line: string) => void): Promise<void> {
  if (path === undefined) return;
  const caller = { uid: undefined, debug: undefined, depth: 0, inBlock: false };
  for (const [i, line] of readScript(path).entries()) {
    if (isBlank(line)) continue;
    let result = '';
    for (const answer of answerLine(table, line, caller)) {
      if (answer === undefined) await turn();
      else result = answer;
    }
    if (!result.startsWith('1000')) log(`${path}: line ${i + 1}: ${line}: ${result}`);
  }
}

/** The switch, by its console, and the processes of this machine. */
class SwitchWorld implements LinkWorld {
  readonly #children = new Set<Promise<unknown>>();

  constructor(
    readonly switchName: string,
    private readonly client: ConsoleClient,
    private readonly log: (line: string) => void,
  ) {}

  now(): number {
    return performance.now() / 1000;
  }

  async createPort(port: number): Promise<boolean> {
    const { code } = await this.client.command(`port/create ${port}`);
    return code === SUCCESS;
  }

  async removePort(port: number): Promise<void> {
    try {
      await this.client.command(`port/remove ${port}`);
    } catch {
      // The switch has gone, and its ports with it.
    }
  }

  start([file, ...args]: string[], onEnd: () => void): Omit<RunningWire, 'host' | 'wire'> | undefined {
    if (file === undefined) return undefined;
    const refused = (error: unknown): void => this.log(execError(error, file, 'the wire cannot be made').message);
    let child: ChildProcess;
    try {
      child = spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    } catch (error) {
      refused(error);
      return undefined;
    }
    child.on('error', refused);
    const { pid } = child;
    if (pid === undefined) return undefined;
    let stopped = false;
    const ended = new Promise<void>((done) => child.once('exit', () => done()));
    this.#children.add(ended);
    void ended.then(() => {
      this.#children.delete(ended);
      if (!stopped) onEnd();
    });
    const stop = () => {
      if (stopped) return;
      stopped = true;
      child.kill('SIGQUIT');
      const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
      void ended.then(() => clearTimeout(timer));
    };
    return { pid, stop };
  }

  /** Waits for all that was stopped. */
  async ended(): Promise<void> {
    await Promise.all(this.#children);
  }
}
