/**
 * Commands of a management console: a table, and the rules by which a line picks one and is answered (reference:
 * vde_switch management console, sections 2 and 3).
 *
 * The first command in table order whose whole name begins the line is meant; there is no word boundary, so
 * `port/create9` is `port/create 9`. Scripts rely on all of this.
 */

import { errnoNumber, errnoText, VdeError } from '../sys/errors.js';

/** One command, or the heading of a menu (without `run`). */
export interface ConsoleCommand {
  name: string;
  /** What follows the name, as `help` shows it. */
  syntax: string;
  help: string;
  /** Whether the answer has a data block, also when the command fails. */
  data?: boolean;
  /**
   * Carries the command out, adding lines to `out`.
   * @throws VdeError whose errno becomes the result code.
   */
  run?: (argument: string, out: string[]) => void;
}

const DATA_BEGIN = "0000 DATA END WITH '.'";
const DATA_END = '.';
const SUCCESS = '1000 Success';

/** The result line for an errno: `1017 File exists`. */
function failure(errno: number): string {
  return `1${String(errno).padStart(3, '0')} ${errnoText(errno)}`;
}

/** The error that a command answers with errno `name`. */
export function consoleError(name: string): VdeError {
  const errno = errnoNumber(name);
  return new VdeError({ code: name, subject: 'command', cause: errnoText(errno), errno });
}

/** Answers one line: every line of the reply, without the prompt. Undefined for a blank line or a comment. */
export function answerLine(table: readonly ConsoleCommand[], line: string): string[] | undefined {
  const text = line.replace(/^[ \t]+/, '');
  if (text === '' || text.startsWith('#')) return undefined;
  const command = table.find(({ name, run }) => run !== undefined && text.startsWith(name));
  if (command?.run === undefined) return [failure(errnoNumber('ENOSYS'))];
  const out: string[] = [];
  let result = SUCCESS;
  try {
    command.run(text.slice(command.name.length).replace(/^[ \t]+/, ''), out);
  } catch (error) {
    if (!(error instanceof VdeError)) throw error;
    result = failure(error.errno ?? errnoNumber('EINVAL'));
  }
  return command.data ? [DATA_BEGIN, ...out, DATA_END, result] : [result];
}

/** The `help` command of a table: commands whose names begin with its argument. */
export function helpCommand(table: readonly ConsoleCommand[]): ConsoleCommand {
  return {
    name: 'help',
    syntax: '[arg]',
    help: 'Help (limited to arg when specified)',
    data: true,
    run(argument, out) {
      const row = (name: string, syntax: string, help: string) =>
        out.push(`${name.padEnd(18)} ${syntax.padEnd(15)} ${help}`);
      row('COMMAND PATH', 'SYNTAX', 'HELP');
      row('------------', '--------------', '------------');
      for (const { name, syntax, help } of table) if (name.startsWith(argument)) row(name, syntax, help);
    },
  };
}

/** `atoi`: leading blanks, a sign, digits; anything else is 0. */
export function leadingInteger(text: string): number {
  const digits = /^[ \t]*([+-]?\d+)/.exec(text);
  return digits ? Number(digits[1]) : 0;
}
