/** Commands without a socket: the tables of a switch in virtual time, asked line by line. */

import { answerLine, type Caller, type ConsoleCommand } from '../../src/console/command-table.js';
import { portCommands } from '../../src/console/port-commands.js';
import { portModeCommands } from '../../src/console/port-mode-commands.js';
import { vlanCommands } from '../../src/console/vlan-commands.js';
import type { Switch } from '../../src/switch/switch.js';

/** Somebody without a session. */
export function nobody(): Caller {
  return { uid: undefined, debug: undefined, depth: 0, inBlock: false };
}

/** The lines of an answer. */
export function answer(table: readonly ConsoleCommand[], line: string): string[] {
  return [...answerLine(table, line, nobody())].filter((one) => one !== undefined);
}

/** The commands about ports and VLANs. */
export function forwardingCommands(sw: Switch): ConsoleCommand[] {
  return [...portCommands(sw), ...portModeCommands(sw), ...vlanCommands(sw)];
}

/** The data block of an answer that must be a success. */
export function data(table: readonly ConsoleCommand[], line: string): string[] {
  const lines = answer(table, line);
  if (lines.at(-1) !== '1000 Success') throw new Error(`${line}: ${lines.at(-1)}`);
  return lines.slice(1, -2);
}
