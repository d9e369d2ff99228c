/** `vde`: the umbrella command. */

import { Command, CommanderError } from 'commander';
import { runCommand } from './command.js';
import { start } from './start.js';
import { ctl } from './vde-ctl.js';
import { type TopOptions, top } from './vde-top.js';
import { version } from './version.js';

/** The launcher's entry point. */
export function main(): void {
  void runCommand('vde', vde);
}

async function vde(args: string[]): Promise<number> {
  let status = 0;
  const program = new Command('vde')
    .description('Virtual Distributed Ethernet: switches, cables and plugs for everybody, without root')
    .version(version)
    .exitOverride();
  program
    .command('start [directory]')
    .description('run a switch to see and use; without a terminal, show that it works and end')
    .action(async (directory: string | undefined) => {
      status = await start({ directory, interactive: process.stdin.isTTY === true && process.stdout.isTTY === true });
    });
  program
    .command('ctl <switch> [command...]')
    .description('have the console of a switch carry out a command; without one, a terminal')
    .usage('[--json] DIR|SOCKET [COMMAND [ARG]...]')
    .option('--json', 'print result and data as JSON: rows for commands that list things, else lines')
    .allowUnknownOption()
    .action(async (name: string, words: string[], options: { json?: boolean }) => {
      status = await ctl(name, words, options);
    });
  program
    .command('top <switch>')
    .description('a live table of the ports of a switch: rates, drops, history; q quits')
    .usage('[OPTION]... DIR|SOCKET')
    .option('--once', 'print the table once, after one interval, and end')
    .option('--json', 'print one JSON object per interval')
    .option('-n, --interval <seconds>', 'time between two looks', Number, 1)
    .action(async (name: string, options: TopOptions) => {
      status = await top(name, options);
    });
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    throw error;
  }
  return status;
}
