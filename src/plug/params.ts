/**
 * Typed parameters of a locator scheme. A scheme declares one table; `readParams` turns the parsed `key=value` tokens
 * into a record of its types, `describeParams` turns the same table into help text.
 *
 * Keys match as in libvdeplug: a key may be shortened, and the first entry of the table that begins with it is meant
 * (so the order of a table is part of its interface); a later duplicate overrides. Values are strict where libvdeplug
 * guesses: a value that does not parse, or is out of range, is an error that says where and what is allowed.
 *
 *     const table = [
 *       { name: 'port', type: 'number', max: 65535, default: 14789, doc: 'UDP port of the group' },
 *       { name: 'v6', type: 'flag', doc: 'IPv6 only' },
 *     ] as const satisfies readonly ParamSpec[];
 *     readParams(table, parseSlash(body, bodyAt, locator).params, locator).port    // number
 */

import { VdeError } from '../sys/errors.js';
import { nearestName } from '../sys/nearest.js';
import { locatorError, type Param, shownLocator } from './locator.js';

interface CommonSpec {
  name: string;
  /** One line for the user: what it sets, in which unit. */
  doc: string;
  /** A token without `=` that matches no key is the value of this one, as in `vde:///tmp/sw[7]`. One per table. */
  bare?: true;
  /** What the value is called in help text, e.g. `ADDR`. */
  arg?: string;
}

/** A C-style integer: decimal or `0x...`. Bounds are inclusive; `min` is 0 if not given. */
export interface NumberSpec extends CommonSpec {
  type: 'number';
  min?: number;
  max?: number;
  default?: number;
}

/** An octal file mode, up to `max` (07777 if not given). */
export interface OctalSpec extends CommonSpec {
  type: 'octal';
  max?: number;
  default?: number;
}

/** Bytes: a C-style integer and any of the suffixes k m g t (powers of 1024, they multiply). `min` is 0 if not given. */
export interface SizeSpec extends CommonSpec {
  type: 'size';
  min?: number;
  max?: number;
  default?: number;
}

/** Any text; a key without `=` gives the empty string. */
export interface StringSpec extends CommonSpec {
  type: 'string';
  default?: string;
}

/** Texts, of which each occurrence of the key adds those between its commas. */
export interface ListSpec extends CommonSpec {
  type: 'list';
}

/** One of a list of words. */
export interface ChoiceSpec extends CommonSpec {
  type: 'choice';
  values: readonly string[];
  default?: string;
}

/** A number if it is all digits, else a group's name; the empty string stands for the caller's effective group. */
export interface GroupSpec extends CommonSpec {
  type: 'group';
  default?: number | string;
}

/** True if present. A value is not needed; `1`, `yes`, `on` and `true` are allowed. */
export interface FlagSpec extends CommonSpec {
  type: 'flag';
}

/** Another name for an entry of the same table. */
export interface AliasSpec {
  name: string;
  alias: string;
}

/** One row of a scheme's table. */
export type ParamSpec =
  | NumberSpec
  | OctalSpec
  | SizeSpec
  | StringSpec
  | ListSpec
  | ChoiceSpec
  | GroupSpec
  | FlagSpec
  | AliasSpec;

type ValueSpec = Exclude<ParamSpec, AliasSpec>;

type ValueOf<S> = S extends { type: 'choice'; values: readonly (infer V)[] }
  ? V
  : S extends { type: 'string' }
    ? string
    : S extends { type: 'list' }
      ? readonly string[]
      : S extends { type: 'group' }
        ? number | string
        : S extends { type: 'flag' }
          ? boolean
          : number;

type Value = string | number | boolean | readonly string[];

/** What `readParams` returns for a table: absent parameters are their default, `false` (flags), `[]` or `undefined`. */
export type Params<T extends readonly ParamSpec[]> = {
  [S in Exclude<T[number], { alias: string }> as S['name']]:
    | ValueOf<S>
    | (S extends { default: number | string } | { type: 'flag' | 'list' } ? never : undefined);
};

/** The error of one parameter's value; for plugs that check more than a table can say. */
export function paramError(
  locator: string,
  param: { name: string; at?: number },
  cause: string,
  remedy?: string,
): VdeError {
  const what = `parameter "${param.name}": ${cause}`;
  if (param.at !== undefined) return locatorError('EINVAL', locator, param.at, what, remedy);
  return new VdeError({ code: 'EINVAL', subject: shownLocator(locator), cause: what, remedy });
}

/**
 * Reads parsed parameters by a table.
 * @param locator the text that the parameters' offsets refer to, for messages.
 * @throws VdeError `EINVAL` for an unknown key (naming the nearest one and all of them) or an unacceptable value
 * (naming the parameter, the position and what is allowed).
 */
export function readParams<const T extends readonly ParamSpec[]>(
  table: T,
  params: readonly Param[],
  locator: string,
): Params<T> {
  const values: Record<string, Value | undefined> = {};
  for (const spec of table) {
    if ('alias' in spec) continue;
    values[spec.name] = spec.type === 'flag' ? false : spec.type === 'list' ? [] : spec.default;
  }
  const set = (spec: ValueSpec, text: string | undefined, at: number): void => {
    const value = readValue(spec, text, at, locator);
    values[spec.name] = Array.isArray(value) ? [...(values[spec.name] as string[]), ...value] : value;
  };
  for (const [key, value, at] of params) {
    const spec = findSpec(table, key);
    if (spec) {
      set(spec, value, at);
      continue;
    }
    const bare = value === undefined && table.find((one) => 'bare' in one && one.bare);
    if (!bare) throw unknownKey(table, key, at, locator);
    set(bare as ValueSpec, key, at);
  }
  return values as Params<T>;
}

/** The entry that a key means, aliases resolved: that very name, else the first in table order that begins with it. */
function findSpec(table: readonly ParamSpec[], key: string): ValueSpec | undefined {
  const found = table.find(({ name }) => name === key) ?? table.find(({ name }) => name.startsWith(key));
  if (found === undefined || !('alias' in found)) return found;
  const target = table.find(({ name }) => name === found.alias);
  if (target === undefined || 'alias' in target) throw new Error(`bad alias in a parameter table: ${found.name}`);
  return target;
}

function unknownKey(table: readonly ParamSpec[], key: string, at: number, locator: string): VdeError {
  const names = table.map(({ name }) => name);
  const near = nearestName(key, names);
  const valid = names.length === 0 ? 'there are none' : `valid: ${names.join(', ')}`;
  const remedy = near === undefined ? valid : `did you mean "${near}"? ${valid}`;
  return locatorError('EINVAL', locator, at, `unknown parameter "${clip(key)}"`, remedy);
}

function clip(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}

const SUFFIXES: Record<string, number> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** The value as its type, `undefined` if it has another form; ranges are not looked at. */
function parseValue(spec: ValueSpec, text: string): Value | undefined {
  switch (spec.type) {
    case 'number':
      return integer(text);
    case 'octal':
      return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined;
    case 'size': {
      const [, digits, suffixes] = /^(0[xX][0-9a-fA-F]+|[0-9]+)([kmgtKMGT]*)$/.exec(text) ?? [];
      if (digits === undefined) return undefined;
      // strtoull, which reads these in libvdeplug, takes a leading zero as octal
      const octal = /^0[0-9]+$/.test(digits);
      if (octal && !/^[0-7]+$/.test(digits)) return undefined;
      const units = octal ? Number.parseInt(digits, 8) : Number(digits);
      return [...suffixes.toLowerCase()].reduce((size, suffix) => size * SUFFIXES[suffix], units);
    }
    case 'choice':
      return spec.values.includes(text) ? text : undefined;
    case 'group':
      return /^[0-9]+$/.test(text) ? Number(text) : text;
    case 'flag':
      return /^(1|yes|on|true)?$/.test(text) ? true : undefined;
    case 'string':
      return text;
    case 'list':
      return text === '' ? undefined : text.split(',');
  }
}

function integer(text: string): number | undefined {
  const [, sign, digits] = /^([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  return sign === '-' ? 0 - Number(digits) : Number(digits);
}

/** Inclusive bounds of a numeric type; group numbers are 32 bits wide, and the last one means "none" to the kernel. */
function bounds(spec: ValueSpec): [min: number, max: number] {
  if (spec.type === 'octal') return [0, spec.max ?? 0o7777];
  if (spec.type === 'group') return [0, 0xffff_fffe];
  if (spec.type !== 'number' && spec.type !== 'size') return [-Infinity, Infinity];
  return [spec.min ?? 0, spec.max ?? Number.MAX_SAFE_INTEGER];
}

function readValue(spec: ValueSpec, text = '', at: number, locator: string): Value {
  const value = parseValue(spec, text);
  const [min, max] = bounds(spec);
  if (value !== undefined && !(typeof value === 'number' && (value < min || value > max))) return value;
  const kind = KINDS[spec.type];
  const wrong = value === undefined ? `is not ${kind}` : 'is out of range';
  const cause = text === '' ? `needs ${kind}` : `"${clip(text)}" ${wrong}`;
  throw paramError(locator, { name: spec.name, at }, cause, allowed(spec));
}

const KINDS: Record<ValueSpec['type'], string> = {
  number: 'a number',
  octal: 'an octal mode',
  size: 'a size',
  string: 'a text',
  list: 'a value',
  choice: 'one of its words',
  group: 'a group',
  flag: 'a value for a flag',
};

/** What a value may be, for errors and help; empty for free text. */
function allowed(spec: ValueSpec): string {
  const [min, max] = bounds(spec);
  switch (spec.type) {
    case 'choice':
      return `one of ${spec.values.join(', ')}`;
    case 'flag':
      return 'give it without a value, or leave it out';
    case 'group':
      return `a name, or a number up to ${max}`;
    case 'octal':
      return `octal, up to ${max.toString(8).padStart(4, '0')}`;
    case 'string':
    case 'list':
      return '';
    default: {
      const range = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`;
      return spec.type === 'size' ? `${range}; suffixes k, m, g, t` : range;
    }
  }
}

const ARGS: Record<Exclude<ValueSpec['type'], 'flag'>, string> = {
  number: 'N',
  octal: 'MODE',
  size: 'SIZE',
  string: 'TEXT',
  list: 'TEXT,...',
  choice: 'WORD',
  group: 'GROUP',
};

function initialText(spec: ValueSpec): string | undefined {
  if (!('default' in spec)) return undefined;
  return spec.type === 'octal' ? spec.default?.toString(8).padStart(4, '0') : spec.default?.toString();
}

/**
 * A table as help text, one line for each entry in table order: `key=ARG  what it does (what is allowed; default)`, the
 * columns aligned. A key in brackets, `[port=]N`, may be left out.
 */
export function describeParams(table: readonly ParamSpec[]): string[] {
  const rows = table.map((spec): [form: string, text: string] => {
    if ('alias' in spec) return [spec.name, `the same as ${spec.alias}`];
    if (spec.type === 'flag') return [spec.name, spec.doc];
    const key = spec.bare ? `[${spec.name}=]` : `${spec.name}=`;
    const initial = initialText(spec);
    const notes = [allowed(spec), initial === undefined || initial === '' ? '' : `default ${initial}`].filter(Boolean);
    return [key + (spec.arg ?? ARGS[spec.type]), spec.doc + (notes.length === 0 ? '' : ` (${notes.join('; ')})`)];
  });
  const width = Math.max(0, ...rows.map(([form]) => form.length));
  return rows.map(([form, text]) => `${form.padEnd(width)}  ${text}`);
}
