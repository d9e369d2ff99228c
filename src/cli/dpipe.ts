/**
 * `dpipe`: runs commands with their standard inputs and outputs cross-connected (grammar: dpipe-chain.ts).
 *
 * dpipe leads a process group with all commands in it, waits for all of them and exits with the status of the last.
 * SIGTERM, SIGINT and SIGHUP are passed on to the commands, and to nobody else; dpipe ends after them.
 */

import { VdeError } from '../sys/errors.js';
import { closeInheritedOnExec, getpgrp, setpgid } from '../sys/process.js';
import { onSignals, runCommand } from './command.js';
import { DAEMON, HELP, PIDFILE, VERSION } from './common-options.js';
import { daemonize } from './daemon.js';
import { parseChain } from './dpipe-chain.js';
import { Chain, EXIT_NOT_EXECUTED, removeAfterEnd, StageFailure } from './dpipe-run.js';
import { type OptionSpec, parseOptions } from './getopt.js';
import { answerHelp, type CommandPage } from './page.js';
import { type Pidfile, writePidfile } from './pidfile.js';

type OptionName = 'pidfile' | 'pgrpfile' | 'daemon' | 'nowrapproc' | 'nowrapnoclean' | 'help' | 'version';

/** dpipe's options. */
export const options: readonly OptionSpec<OptionName>[] = [
  PIDFILE,
  {
    name: 'pgrpfile',
    short: 'P',
    long: ['pgrpfile'],
    arg: 'required',
    metavar: 'FILE',
    help: 'write the process group id to FILE with a minus sign in front, for kill -- $(cat FILE)',
  },
  DAEMON,
  {
    name: 'nowrapproc',
    short: 'n',
    long: ['nowrapproc'],
    arg: 'none',
    help: 'the last command takes the place of the dpipe process',
  },
  {
    name: 'nowrapnoclean',
    short: 'N',
    long: ['nowrapnoclean'],
    arg: 'none',
    help: 'as -n, and the files of -p and -P are left behind at the end',
  },
  HELP,
  VERSION,
];

/** Statuses above this are 128 + the signal that killed a command. */
const SIGNALLED = 128;
/** How long a signal may take to reach all of a process group, in ms. */
const SIGNAL_MS = 50;

const USAGE = `Usage: dpipe [OPTION]... COMMAND [ARG]... = COMMAND [ARG]... [= COMMAND [ARG]...]...

Runs the commands with their standard inputs and outputs cross-connected.

  A = B          what A writes B reads, what B writes A reads
  A = B = C      B talks to A on descriptors 0 and 1, and to C on those that
                 ALTERNATE_STDIN and ALTERNATE_STDOUT name in its environment
  A =} B }= C    B sees only what goes from A to C
  A ={ B {= C    B sees only what goes from C to A
  }={  {=}       close one direction and open the other

Every argument that starts with = is a connector; write \\= for one that is not.

`;

export const page: CommandPage = {
  ...{ name: 'dpipe', summary: 'a pipe of commands, in both directions', usage: USAGE, options },
  operands: 'command',
};

/** The launcher's entry point. */
export function main(): void {
  void runCommand('dpipe', dpipe);
}

async function dpipe(args: string[]): Promise<number> {
  const line = parseOptions(args, options, { mode: 'posix' });
  const answered = answerHelp(line, page);
  if (answered !== undefined) return answered;
  const stages = parseChain(line.operands);
  const daemon = await daemonize(line.has('daemon'));
  leadGroup();
  // A command has the pipes of its place and standard error, and nothing else that could keep a neighbour waiting.
  closeInheritedOnExec();

  const files: Pidfile[] = [];
  const removeFiles = (): void => {
    for (const file of files) file.remove();
  };
  const chain = new Chain(stages, daemon.background);
  onSignals(async (signal) => {
    await chain.stop(signal);
    removeFiles();
  });
  try {
    const [pidfile, pgrpfile] = [line.value('pidfile'), line.value('pgrpfile')];
    if (pidfile !== undefined) files.push(writePidfile(pidfile));
    if (pgrpfile !== undefined) files.push(writePidfile(pgrpfile, -getpgrp()));
    if (line.has('nowrapproc', 'nowrapnoclean')) {
      if (!line.has('nowrapnoclean')) await removeAfterEnd(files);
      return await chain.become(daemon.ready);
    }
    await chain.start();
    daemon.ready();
    const status = await chain.ended();
    // A signal to the whole group ends the commands too: ours, then, may be a moment behind theirs.
    if (status > SIGNALLED) await new Promise((done) => setTimeout(done, SIGNAL_MS));
    return status;
  } catch (error) {
    await chain.stop('SIGTERM');
    if (!(error instanceof StageFailure)) throw error;
    removeFiles();
    return daemon.fail(error, EXIT_NOT_EXECUTED);
  } finally {
    removeFiles();
  }
}

/** A process group for dpipe and its commands. A session leader has one already and may not leave it. */
function leadGroup(): void {
  try {
    setpgid(0, 0);
  } catch (error) {
    if (!(error instanceof VdeError) || error.code !== 'EPERM') throw error;
  }
}
