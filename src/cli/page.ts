/** What a command says about itself: its help text, its manual page and the completion of its command line come from it. */

import { writeSync } from 'node:fs';
import { type OptionSpec, renderHelp } from './getopt.js';
import { version } from './version.js';

/** What a word of a command line can be, as far as a shell can complete it. */
export type WordKind = 'locator' | 'file' | 'interface' | 'command' | 'none';

/** See the head of this file. */
export interface CommandPage {
  name: string;
  /** What it does, in a few words. */
  summary: string;
  /** `Usage: ` lines, an empty line, and what there is to be said. Ends in an empty line. */
  usage: string;
  options: readonly OptionSpec[];
  /** What its operands are. */
  operands: WordKind;
  /** Whether long options may have one dash. */
  longOnly?: boolean;
}

/** What `--help` prints. */
export function helpText({ usage, options }: CommandPage): string {
  return usage + renderHelp(options);
}

/** What `--version` does. Returns the exit status. */
export function printVersion({ name }: CommandPage): number {
  writeSync(1, `${name} ${version}\n`);
  return 0;
}
