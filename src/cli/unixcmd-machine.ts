/**
 * The small state machines by which `unixcmd` talks to a socket (reference: unixcmd, "State machine file"):
 *
 *     TIMEOUT 1000
 *     1 IN '$ ' 100
 *     2 SEND '$*\n'
 *     100 EXIT -1
 *
 * States run in numeric order. A line buffer collects what `IN` reads; a position in it is moved by `SKIP`.
 */

import { VdeError } from '../sys/errors.js';

const OPCODES = [
  'IN',
  'THROW',
  'SEND',
  'SHIFT',
  'IFARG',
  'IF',
  'GOTO',
  'EXIT',
  'EXITRV',
  'EXITATOI',
  'SKIP',
  'RVATOI',
  'COPY',
  'OUTSHIFT',
  'OUTTAG',
] as const;
type Opcode = (typeof OPCODES)[number];

/** One state: an opcode that is not known does nothing, as in C. */
export interface MachineState {
  number: number;
  opcode: Opcode | undefined;
  text: string | undefined;
  argument: number | undefined;
}

export interface Machine {
  /** How long an `IN` waits, in ms. */
  timeout: number;
  /** By number. */
  states: MachineState[];
}

/** States that a machine may have, and steps that it may take. */
const STATES_MAX = 10_000;
const STEPS_MAX = 1_000_000;
const DEFAULT_TIMEOUT = 1000;
/** Characters of the line buffer. */
const BUFFER_MAX = 1 << 20;

const LINE = /^(\d+)\s+([A-Z]+)(?:\s+'((?:[^'\\]|\\.)*)')?(?:\s+([+-]?\d+))?\s*(?:#.*)?$/;
const ESCAPES: Record<string, string> = { n: '\n', t: '\t', f: '\f' };

/**
 * Reads a machine.
 * @param name of its file, for messages.
 * @throws VdeError `EMALFORMED` with the line that cannot be understood.
 */
export function parseMachine(text: string, name: string): Machine {
  const states = new Map<number, MachineState>();
  let timeout = DEFAULT_TIMEOUT;
  for (const [i, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const time = /^TIMEOUT\s+(\d+)$/.exec(line);
    if (time) {
      timeout = Math.min(Number(time[1]), 2 ** 31 - 1);
      continue;
    }
    const found = LINE.exec(line);
    if (!found || states.size >= STATES_MAX) {
      const cause = `line ${i + 1} is no state: ${line.slice(0, 60)}`;
      throw new VdeError({ code: 'EMALFORMED', subject: name, cause, remedy: "NUMBER OPCODE ['TEXT'] [NUMBER]" });
    }
    const [, number, word, quoted, argument] = found;
    states.set(Number(number), {
      number: Number(number),
      opcode: OPCODES.find((one) => one === word),
      text: quoted?.replace(/\\(.)/g, (_, c: string) => ESCAPES[c] ?? c),
      argument: argument === undefined ? undefined : Number(argument),
    });
  }
  return { timeout, states: [...states.values()].sort((a, b) => a.number - b.number) };
}

/** What a machine talks to. */
export interface MachineChannel {
  send(text: string): void;
  /** The next character (as a byte); undefined after `ms` without one, or at the end. */
  receive(ms: number): Promise<string | undefined>;
}

/** What a machine has come to. */
export interface MachineResult {
  /** Exit status, 0 to 255. */
  status: number;
  /** Lines copied by `COPY`, in order. */
  output: string[];
}

/**
 * Runs a machine.
 * @param words of the command, for `$*`.
 * @param trace called before each state with its number and the line buffer.
 * @throws VdeError `EMALFORMED` if it goes to a state that is not there, or goes on for ever.
 */
export async function runMachine(
  machine: Machine,
  words: readonly string[],
  channel: MachineChannel,
  trace: (state: number, buffer: string) => void = () => {},
): Promise<MachineResult> {
  const { states, timeout } = machine;
  const indexOf = new Map(states.map(({ number }, i) => [number, i]));
  const output: string[] = [];
  let args = [...words];
  let buffer = '';
  let position = 0;
  let value = 0;
  let at = 0;
  const fail = (cause: string) => new VdeError({ code: 'EMALFORMED', subject: 'state machine', cause });
  const goto = (number: number | undefined, from: number) => {
    const index = indexOf.get(number ?? 0);
    if (index === undefined) throw fail(`state ${from} goes to ${number ?? 0}, which is not there`);
    at = index;
  };
  const result = (status: number): MachineResult => ({ status: status & 0xff, output });

  for (let step = 0; step < STEPS_MAX; step++) {
    const state = states[at++];
    if (state === undefined) throw fail('it ends without EXIT');
    const { number, opcode, text = '', argument } = state;
    trace(number, buffer);
    switch (opcode) {
      case 'IN': {
        while (!buffer.endsWith(text) || buffer === '') {
          const char = await channel.receive(timeout);
          if (char === undefined) break;
          buffer += char;
          if (buffer.length > BUFFER_MAX) throw fail(`no "${text}" in a million characters`);
        }
        if (buffer === '' || !buffer.endsWith(text)) goto(argument, number);
        break;
      }
      case 'THROW':
        buffer = '';
        position = 0;
        break;
      case 'SEND':
        channel.send(expand(text, args));
        break;
      case 'SHIFT':
        args = args.slice(1);
        break;
      case 'IFARG':
        goto(argument, number);
        break;
      case 'IF':
        if (text !== '' && buffer.startsWith(text, position)) goto(argument, number);
        break;
      case 'GOTO':
        goto(argument, number);
        break;
      case 'EXIT':
        return result(argument ?? 0);
      case 'EXITRV':
        return result(value);
      case 'EXITATOI':
        return result(leadingNumber(buffer.slice(position), 10));
      case 'SKIP':
        position = Math.min(buffer.length, position + (state.text === undefined ? (argument ?? 0) : text.length));
        break;
      case 'RVATOI':
        value = leadingNumber(buffer.slice(position), argument ?? 10);
        break;
      case 'COPY':
        output.push(buffer.slice(position));
        break;
      default:
        // OUTSHIFT and OUTTAG sort what a program that links the machine gets; here all of it is printed. An opcode that
        // is not known does nothing.
        break;
    }
  }
  throw fail('it goes on for ever');
}

/**
 * Text with its variables: `$*` and `$0` are all arguments; `$k` is the one behind the k-th, and swallows the character
 * after it, which machines written for C's program know.
 */
function expand(text: string, args: readonly string[]): string {
  return text.replace(/\$(?:([*0])|(\d*)[\s\S]?)/g, (_, all: string | undefined, digits: string | undefined) =>
    all === undefined ? (args[Number(digits)] ?? '') : args.join(' '),
  );
}

/** `strtol`: as many digits of the base as there are, 0 without any. */
function leadingNumber(text: string, base: number): number {
  if (base < 2 || base > 36) return 0;
  const number = Number.parseInt(text.trimStart(), base);
  return Number.isNaN(number) ? 0 : number;
}
