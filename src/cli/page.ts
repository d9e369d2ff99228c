/** What a command says about itself: its help text, its manual page and the completion of its command line come from it. */

import { writeSync } from 'node:fs';
import { version } from '../console/version.js';
import { type OptionSpec, type ParsedLine, renderHelp } from './getopt.js';

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

/** Where the help text goes and what the exit status is then, where C's program has another than 1 and 0. */
export interface HelpSettings {
  to?: 1 | 2;
  status?: number;
}

/** Answers `--help` and `--version`. Returns the exit status, undefined if neither was asked for. */
export function answerHelp(
  line: Pick<ParsedLine<'help' | 'version'>, 'has'>,
  page: CommandPage,
  { to = 1, status = 0 }: HelpSettings = {},
): number | undefined {
  if (line.has('help')) {
    writeSync(to, helpText(page));
    return status;
  }
  return line.has('version') ? printVersion(page) : undefined;
}
