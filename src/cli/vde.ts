/** `vde`: the umbrella command. */

import { Argument, Command, CommanderError } from 'commander';
import { version } from '../console/version.js';
import { complain, runCommand } from './command.js';
import { SHELLS, type Shell } from './completion.js';
import { start } from './start.js';
import { type CtlOptions, ctl } from './vde-ctl.js';
import { type TopOptions, top } from './vde-top.js';

/** The launcher's entry point. */
export function main(): void {
  void runCommand('vde', vde);
}

async function vde(args: string[]): Promise<number> {
  let status = 0;
  const program = umbrella((result) => {
    status = result;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    throw error;
  }
  return status;
}

/** The command line of `vde`. @param done is told the exit status. */
export function umbrella(done: (status: number) => void): Command {
  const program = new Command('vde')
    .description('Virtual Distributed Ethernet: switches, cables and plugs for everybody, without root')
    .version(version)
    .exitOverride()
    .configureOutput({
      outputError: (text) =>
        complain(
          text
            .trim()
            .replace(/^error: /, '')
            .replace(/\s*\n\s*/g, ' '),
        ),
    });
  program
    .command('start [directory]')
    .description('run a switch to see and use; without a terminal, show that it works and end')
    .action(async (directory: string | undefined) => {
      done(await start({ directory, interactive: process.stdin.isTTY === true && process.stdout.isTTY === true }));
    });
  program
    .command('ctl <switch> [command...]')
    .description(
      'have the console of a switch carry out a command: status 1 if that fails; without one, a terminal, or the commands on standard input',
    )
    .usage('[--json | --strict] DIR|SOCKET [COMMAND [ARG]...]')
    .option('--json', 'print result and data as JSON: rows for commands that list things, else lines')
    .option('--strict', 'status 1 if a command on standard input has failed; without it, 0')
    .allowUnknownOption()
    .action(async (name: string, words: string[], options: CtlOptions) => {
      done(await ctl(name, words, options));
    });
  program
    .command('top <switch>')
    .description('a live table of the ports of a switch: rates, drops, history; q quits')
    .usage('[OPTION]... DIR|SOCKET')
    .option('--once', 'print the table once, after one interval, and end')
    .option('--json', 'print one JSON object per interval')
    .option('-n, --interval <seconds>', 'time between two looks', Number, 1)
    .action(async (name: string, options: TopOptions) => {
      done(await top(name, options));
    });
  program
    .command('man [command]')
    .description('the manual page of a command: on a terminal by man(1), else its source')
    .action(async (name: string | undefined) => {
      done(await (await import('./vde-man.js')).man(program, name));
    });
  program
    .command('completion')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .description('a script that teaches your shell to complete the options of all commands')
    .action(async (shell: Shell) => {
      done((await import('./vde-man.js')).completion(program, shell));
    });
  return program;
}
