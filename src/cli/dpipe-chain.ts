/**
 * The grammar of dpipe: commands joined by connectors, and which descriptor of which command feeds which.
 *
 *     a = b          both ways: a.1 -> b.0, b.1 -> a.0
 *     a = b = c      b has two sides: 0 and 1 towards a, the alternate descriptors 3 and 4 towards c
 *     a =} b }= c    b stands in the way from a to c only: a.1 -> b.0, b.1 -> c.0, c.1 -> a.0
 *     a ={ b {= c    b stands in the way from c to a only
 *
 * A brace stays open until it is closed, or until the other one is opened; each command in between, however joined,
 * is one more stage of that one way. An argument that would be read as a connector is passed to a command by putting a
 * backslash in front: `\=x` becomes `=x`, `\\=x` becomes `\=x`.
 */

import { usageError } from './getopt.js';

/** One command, and which way the data goes that it sees. */
export interface Stage {
  /** Program and arguments; never empty. */
  words: string[];
  flow: 'both' | 'right' | 'left';
}

/** A descriptor of the stage with that index. */
export interface StageEnd {
  stage: number;
  fd: number;
}

/** One pipe: what is written to `from` is read from `to`. */
export interface Connection {
  from: StageEnd;
  to: StageEnd;
}

/** The descriptors of a stage toward its right neighbour, announced in ALTERNATE_STDIN and ALTERNATE_STDOUT. */
export const ALTERNATE_STDIN = 3;
export const ALTERNATE_STDOUT = 4;

type Brace = '}' | '{' | '';

/**
 * Splits dpipe's operands into stages, from left to right.
 * @throws VdeError `EUSAGE` for a missing command or a brace that is not closed.
 */
export function parseChain(operands: readonly string[]): Stage[] {
  const stages: Stage[] = [{ words: [], flow: 'both' }];
  let open: Brace = '';
  let opener = '';
  let connector = '';
  for (const word of operands) {
    const text: string = open && word.startsWith(`${open}=`) ? word.slice(1) : word;
    const last = stages[stages.length - 1];
    if (!text.startsWith('=')) {
      last.words.push(unescaped(word, open));
      continue;
    }
    if (last.words.length === 0)
      throw usageError(word, connector ? `no command between ${connector} and it` : 'no command before it');
    if (text !== word) open = '';
    if (text[1] === '}' || text[1] === '{') [open, opener] = [text[1], word];
    connector = word;
    stages.push({ words: [], flow: open === '}' ? 'right' : open === '{' ? 'left' : 'both' });
  }
  if (stages.length < 2) throw usageError('arguments', 'at least two commands joined by = are needed', 'see dpipe -h');
  if (stages[stages.length - 1].words.length === 0) throw usageError(connector, 'no command after it');
  if (open) throw usageError(opener, `not closed by ${open}=`);
  return stages;
}

/** Takes one backslash off an argument that would be a connector without its backslashes. */
function unescaped(word: string, open: Brace): string {
  const bare = word.replace(/^\\+/, '');
  return bare !== word && (bare.startsWith('=') || (open && bare.startsWith(`${open}=`))) ? word.slice(1) : word;
}

/** The pipes of a chain. Every stage has descriptors 0 and 1; each two-way stage but the first and last has 3 and 4, too. */
export function connections(stages: readonly Stage[]): Connection[] {
  const pipes: Connection[] = [];
  const pair = stages.flatMap(({ flow }, index) => (flow === 'both' ? [index] : []));
  for (let k = 0; k + 1 < pair.length; k++) {
    const [left, right] = [pair[k], pair[k + 1]];
    const between = stages.map((_, index) => index).slice(left + 1, right);
    const rightward = between.filter((index) => stages[index].flow === 'right');
    const leftward = between.filter((index) => stages[index].flow === 'left').reverse();
    const [out, back] = k === 0 ? [1, 0] : [ALTERNATE_STDOUT, ALTERNATE_STDIN];
    pipes.push(...way({ stage: left, fd: out }, rightward, { stage: right, fd: 0 }));
    pipes.push(...way({ stage: right, fd: 1 }, leftward, { stage: left, fd: back }));
  }
  return pipes;
}

/** The pipes of one way: from an end through stages to an end. */
function way(from: StageEnd, through: readonly number[], to: StageEnd): Connection[] {
  const sources = [from, ...through.map((stage) => ({ stage, fd: 1 }))];
  const sinks = [...through.map((stage) => ({ stage, fd: 0 })), to];
  return sources.map((source, i) => ({ from: source, to: sinks[i] }));
}
