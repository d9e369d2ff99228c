/**
 * Commands of a management console: a table, and the rules by which a line picks one and is answered (reference:
 * vde_switch management console, sections 2 and 3).
 *
 * The first command in table order whose whole name begins the line is meant; there is no word boundary, so
 * `port/create9` is `port/create 9`. Scripts rely on all of this.
 *
 * An answer is made line by line, as fast as whoever reads it takes the lines, so that a long one neither holds up the
 * switch nor piles up in memory.
 */

import type { DebugCategory } from '../switch/debug.js';
import { errnoNumber, errnoText, VdeError } from '../sys/errors.js';

/** Who gives a command. */
export interface Caller {
  /** Uid of whoever is connected; undefined for those who started the switch themselves: its terminal, its start script. */
  readonly uid: number | undefined;
  /** The categories that this session listens to; undefined where there is no session. */
  readonly debug: DebugSubscriptions | undefined;
  /** How many scripts deep the command stands. */
  depth: number;
  /** Set while a data block is being written: debugging messages wait for its end. */
  inBlock: boolean;
}

/** Categories that a session can turn on and off for itself. */
export interface DebugSubscriptions {
  has(category: DebugCategory): boolean;
  /** False if it was on already. */
  add(category: DebugCategory): boolean;
  /** False if it was off already. */
  delete(category: DebugCategory): boolean;
}

/** What a command may return: lines, some time later; an undefined one lets others have their turn. */
export type Lines = Iterable<string | undefined>;

/** One command, or the heading of a menu (without `run`). */
export interface ConsoleCommand {
  name: string;
  /** What follows the name, as `help` shows it. */
  syntax: string;
  help: string;
  /** Whether the answer has a data block, also when the command fails. */
  data?: boolean;
  /** Whether it ends the session. Then it has no answer; in scripts it is passed over. */
  ends?: boolean;
  /**
   * Carries the command out, adding lines to `out`, or returns lines that are asked for one by one.
   * @throws VdeError whose errno becomes the result code, `EINVAL` if it has none.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: most commands return nothing at all
  run?: (argument: string, out: string[], caller: Caller) => Lines | undefined | void;
}

const DATA_BEGIN = "0000 DATA END WITH '.'";
const DATA_END = '.';
const SUCCESS = '1000 Success';
/** Heading of a menu, where a command has its syntax. */
export const MENU = '============';

/** The result line for an errno: `1017 File exists`. */
function failure(errno: number): string {
  return `1${String(errno).padStart(3, '0')} ${errnoText(errno)}`;
}

/** The error that a command answers with errno `name`. */
export function consoleError(name: string): VdeError {
  const errno = errnoNumber(name);
  return new VdeError({ code: name, subject: 'command', cause: errnoText(errno), errno });
}

/** What is meant of a line: without leading blanks, up to its end or a NUL, as C sees it. */
function meaning(line: string): string {
  return line.replace(/\0[\s\S]*$/, '').replace(/^[ \t]+/, '');
}

/** Whether a line is a blank one or a comment, which have no answer. */
export function isBlank(line: string): boolean {
  const text = meaning(line);
  return text === '' || text.startsWith('#');
}

/** The command that a line means. */
export function findCommand(table: readonly ConsoleCommand[], line: string): ConsoleCommand | undefined {
  const text = meaning(line);
  return table.find(({ name, run }) => run !== undefined && text.startsWith(name));
}

/**
 * Answers one line: every line of the reply, without the prompt; undefined ones give others a turn. Nothing for a blank
 * line or a comment. Returns whether the session ends with it.
 */
export function* answerLine(
  table: readonly ConsoleCommand[],
  line: string,
  caller: Caller,
): Generator<string | undefined, boolean> {
  if (isBlank(line)) return false;
  const command = findCommand(table, line);
  if (command?.run === undefined) {
    yield failure(errnoNumber('ENOSYS'));
    return false;
  }
  const argument = meaning(line)
    .slice(command.name.length)
    .replace(/^[ \t]+/, '');
  const out: string[] = [];
  let lines: Lines = out;
  let result = SUCCESS;
  try {
    lines = command.run(argument, out, caller) ?? out;
  } catch (error) {
    result = failureOf(error);
  }
  if (command.ends) return true;
  if (command.data) {
    caller.inBlock = true;
    yield DATA_BEGIN;
  }
  try {
    yield* lines;
  } catch (error) {
    result = failureOf(error);
  }
  if (command.data) yield DATA_END;
  yield result;
  caller.inBlock = false;
  return false;
}

function failureOf(error: unknown): string {
  if (!(error instanceof VdeError)) throw error;
  return failure(error.errno ?? errnoNumber('EINVAL'));
}

/** The `help` command of a table: commands whose names begin with its argument. */
export function helpCommand(table: () => readonly ConsoleCommand[]): ConsoleCommand {
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
      for (const { name, syntax, help } of table()) if (name.startsWith(argument)) row(name, syntax, help);
    },
  };
}
