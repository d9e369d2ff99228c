/** `vde`: the umbrella command. */

import { Command, CommanderError } from 'commander';
import { runCommand } from './command.js';
import { start } from './start.js';
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
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    throw error;
  }
  return status;
}
