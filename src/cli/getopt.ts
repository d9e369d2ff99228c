/**
 * Command lines as the GNU C library reads them (getopt_long(3) and getopt_long_only(3)), from one table per command that
 * also makes its help text. Commands that replace a C tool must take what its users type: options anywhere or only in
 * front, abbreviations, `-pFILE`, `--name=value`, clusters such as `-dx`, and single-dash long names such as `-sock`.
 *
 * An unknown or incomplete option is always an error here; what to do with it is the caller's business.
 */

import { VdeError } from '../sys/errors.js';
import { nearestName } from '../sys/nearest.js';

/** One option of a command. */
export interface OptionSpec<Name extends string = string> {
  /** What the program calls it. */
  name: Name;
  /** One letter, without dash. */
  short?: string;
  /** Long names without dashes, the preferred one first. */
  long?: readonly string[];
  /** Whether a value follows; an optional one only in the same word (`-oVALUE`, `--name=VALUE`). */
  arg: 'none' | 'required' | 'optional';
  /** What stands for the value in the help text. */
  metavar?: string;
  /** One sentence for the help text. */
  help: string;
}

/** How to read the arguments. */
export interface ParseSettings {
  /** `permute` (default): options are taken anywhere. `posix`: only before the first operand. */
  mode?: 'permute' | 'posix';
  /** An argument that ends the options like `--`, but is itself the first of the remaining operands. */
  stopAt?: string;
  /** Long names may be written with one dash. */
  longOnly?: boolean;
}

/** One option found on a command line. */
export interface ParsedOption<Name extends string = string> {
  option: OptionSpec<Name>;
  /** The option in full, as the user could have written it: `-p`, `--pidfile`. */
  spelling: string;
  /** Its value; undefined if it has none. */
  value: string | undefined;
  /** Which argument (from 0) it was found in. */
  index: number;
}

/** A command line, taken apart. */
export class ParsedLine<Name extends string = string> {
  constructor(
    /** In the order of the command line. */
    readonly options: ParsedOption<Name>[],
    readonly operands: string[],
  ) {}

  /** True if one of these options was given. */
  has(...names: Name[]): boolean {
    return this.options.some(({ option }) => names.includes(option.name));
  }

  /** The value of an option: of the last one if it was given several times, undefined if it was not. */
  value(name: Name): string | undefined {
    return this.options.findLast(({ option }) => option.name === name)?.value;
  }

  /** The values of an option that may be given several times; an empty one where it had none. */
  values(name: Name): string[] {
    return this.options.filter(({ option }) => option.name === name).map(({ value }) => value ?? '');
  }
}

/**
 * Takes `args` (without the program's name) apart.
 * @throws VdeError `EUSAGE` naming the option that is unknown, ambiguous, lacks its value or has one too many.
 */
export function parseOptions<Name extends string>(
  args: readonly string[],
  table: readonly OptionSpec<Name>[],
  settings: ParseSettings = {},
): ParsedLine<Name> {
  const options: ParsedOption<Name>[] = [];
  const operands: string[] = [];
  const { mode = 'permute', stopAt, longOnly = false } = settings;
  let at = 0;

  /** Takes the next argument as a value, or fails. */
  const take = (spelling: string): string => {
    if (at >= args.length) throw usageError(spelling, 'requires a value');
    return args[at++];
  };

  const long = (word: string, dashes: string, index: number): boolean => {
    const text = word.slice(dashes.length);
    const equals = text.indexOf('=');
    const name = equals < 0 ? text : text.slice(0, equals);
    const inline = equals < 0 ? undefined : text.slice(equals + 1);
    const found = findLong(name, table, dashes);
    if (!found) {
      if (dashes === '-' && findShort(text[0], table)) return false;
      throw unknownOption(dashes + name, table, dashes);
    }
    const { option } = found;
    const spelling = dashes + found.name;
    if (inline !== undefined && option.arg === 'none') throw usageError(spelling, 'takes no value');
    const value = inline ?? (option.arg === 'required' ? take(spelling) : undefined);
    options.push({ option, spelling, value, index });
    return true;
  };

  const cluster = (word: string, index: number): void => {
    for (let i = 1; i < word.length; i++) {
      const option = findShort(word[i], table);
      if (!option) throw unknownOption(`-${String.fromCodePoint(word.codePointAt(i)!)}`, table, '--');
      const spelling = `-${word[i]}`;
      if (option.arg === 'none') {
        options.push({ option, spelling, value: undefined, index });
        continue;
      }
      const rest = word.slice(i + 1) || undefined;
      options.push({
        option,
        spelling,
        value: rest ?? (option.arg === 'required' ? take(spelling) : undefined),
        index,
      });
      return;
    }
  };

  while (at < args.length) {
    const word = args[at];
    if (word === stopAt) break;
    if (word === '--') {
      at++;
      break;
    }
    if (!word.startsWith('-') || word === '-') {
      if (mode === 'posix') break;
      operands.push(word);
      at++;
      continue;
    }
    const index = at++;
    if (word.startsWith('--')) long(word, '--', index);
    else if (!(longOnly && (word.length > 2 || !findShort(word[1], table)) && long(word, '-', index)))
      cluster(word, index);
  }
  operands.push(...args.slice(at));
  return new ParsedLine(options, operands);
}

function findShort<Name extends string>(letter: string, table: readonly OptionSpec<Name>[]) {
  return table.find((option) => option.short === letter);
}

/** The option that `name` is or abbreviates; two names of one option do not make an abbreviation ambiguous. */
function findLong<Name extends string>(name: string, table: readonly OptionSpec<Name>[], dashes: string) {
  const matches: { option: OptionSpec<Name>; name: string }[] = [];
  for (const option of table) {
    for (const candidate of option.long ?? []) {
      if (candidate === name) return { option, name: candidate };
      if (candidate.startsWith(name)) matches.push({ option, name: candidate });
    }
  }
  if (matches.some(({ option }) => option !== matches[0].option)) {
    const names = matches.map((match) => dashes + match.name).join(', ');
    throw usageError(dashes + name, `ambiguous, could be ${names}`);
  }
  return matches[0];
}

/** A command line that cannot be run, as an error that names the offending word. */
export function usageError(subject: string, cause: string, remedy?: string): VdeError {
  return new VdeError({ code: 'EUSAGE', subject, cause, remedy });
}

function unknownOption(word: string, table: readonly OptionSpec[], dashes: string): VdeError {
  const names = table.flatMap((option) => (option.long ?? []).map((name) => dashes + name));
  const guess = nearestName(word, names);
  return usageError(word, 'unknown option', guess && `did you mean ${guess}?`);
}

const HELP_WIDTH = 80;
/** Options wider than this push their help text to the next line. */
const NAMES_WIDTH = 28;

/** The options of a table in two columns, at most 80 characters wide, each line ending in a newline. */
export function renderHelp(table: readonly OptionSpec[]): string {
  const names = table.map(optionNames);
  const column = 2 + Math.max(0, ...names.map((text) => text.length).filter((length) => length <= NAMES_WIDTH)) + 2;
  return table
    .map((option, i) => {
      const lines = wrap(option.help, HELP_WIDTH - column);
      const head = `  ${names[i]}`;
      const [first, rest] = head.length + 2 > column ? [head, lines] : [head.padEnd(column) + lines[0], lines.slice(1)];
      return [first, ...rest.map((line) => ' '.repeat(column) + line)].map((line) => `${line.trimEnd()}\n`).join('');
    })
    .join('');
}

/** `-p, --pidfile FILE`, indented as if it had a short name if it has none. */
function optionNames({ short, long = [], arg, metavar = 'VALUE' }: OptionSpec): string {
  const spellings = [...(short ? [`-${short}`] : []), ...long.map((name) => `--${name}`)].join(', ');
  const attached = arg === 'optional' ? (long.length > 0 ? `[=${metavar}]` : `[${metavar}]`) : '';
  return `${short ? '' : '    '}${spellings}${arg === 'required' ? ` ${metavar}` : attached}`;
}

function wrap(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines[lines.length - 1];
    if (last === '') lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
