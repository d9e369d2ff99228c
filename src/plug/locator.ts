/**
 * The locator grammar (Virtual Network Locators, VNL): pure functions from text to parts and back, no I/O.
 *
 *     locator = [ scheme "://" ] body
 *     body    = path [ "[" params "]" ] [ "{" locator "}" ]        path style   (vde, switch, hub, agno, ...)
 *             | address { "/" key [ "=" value ] } [ "{" ... "}" ]  slash style  (vxvde, slirp, vlan, ...)
 *             | anything                                           raw          (tap, udp, cmd, ...)
 *
 * The scheme decides the style, so a plug picks its parser: `splitNested` first if it wraps another locator, then
 * `parsePath` or `parseSlash`. Delimiters count only outside quotes: `'...'` and `"..."` protect everything, `\c` one
 * character, and `%XX` is a byte that is never a delimiter. A part is cut out first and decoded afterwards.
 *
 * What libvdeplug tolerates is tolerated: an open quote, a missing `]` or `}`, text after either. Errors are kept for
 * what cannot be meant or cannot be represented, and say at which character: see `checkLocator`, `splitScheme`,
 * `splitNested` and `decode`.
 */

import { VdeError } from '../sys/errors.js';

/** Longest locator, in characters. */
export const MAX_LOCATOR = 4096;
/** Most locators nested in one another, the outermost not counted. */
export const MAX_NESTING = 16;

/** A parameter as written: its key (never empty), its value (`undefined` without `=`), its offset in the locator. */
export type Param = readonly [key: string, value: string | undefined, at: number];

/** A locator cut at its scheme. `bodyAt` is the offset of `body` in the locator. */
export interface SplitLocator {
  scheme: string | undefined;
  body: string;
  bodyAt: number;
}

/** How a locator is shown in messages: cut if long, and the empty one under the name of what it stands for. */
export function shownLocator(locator: string): string {
  if (locator === '') return 'default switch';
  return locator.length <= 200 ? locator : `${locator.slice(0, 197)}...`;
}

/** The error for a locator that is wrong at offset `at` (from 0; shown from 1). */
export function locatorError(code: string, locator: string, at: number, cause: string, remedy?: string): VdeError {
  return new VdeError({ code, subject: shownLocator(locator), cause: `${cause} at character ${at + 1}`, remedy });
}

/**
 * @throws VdeError `EMALFORMED` if `locator` is longer than `MAX_LOCATOR`, holds a control character, or is not
 * well-formed Unicode. `subject` names it in the error, if not its own text.
 */
export function checkLocator(locator: string, subject = locator): void {
  if (locator.length > MAX_LOCATOR) {
    throw locatorError('EMALFORMED', subject, MAX_LOCATOR, `over the limit of ${MAX_LOCATOR} characters`);
  }
  const bad = /\p{Cc}|\p{Cs}/u.exec(locator);
  if (!bad) return;
  const code = locator.charCodeAt(bad.index);
  if (code >= 0xd800) throw locatorError('EMALFORMED', subject, bad.index, 'half a surrogate pair');
  const remedy = code === 0 ? undefined : `write it as ${quote(bad[0])}`;
  throw locatorError('EMALFORMED', subject, bad.index, code === 0 ? 'NUL' : 'control character', remedy);
}

/**
 * Cuts a locator at its first `://`, wherever that is; without one the whole text is the body and there is no scheme.
 * @throws VdeError `EMALFORMED` as `checkLocator`, or for a scheme that is empty or not of `[a-zA-Z0-9_+.-]`.
 */
export function splitScheme(vnl: string, subject = vnl): SplitLocator {
  checkLocator(vnl, subject);
  const end = vnl.indexOf('://');
  if (end < 0) return { scheme: undefined, body: vnl, bodyAt: 0 };
  const scheme = vnl.slice(0, end);
  if (scheme === '') throw locatorError('EMALFORMED', subject, 0, 'no scheme before "://"');
  const bad = /[^a-zA-Z0-9_+.-]/u.exec(scheme);
  if (bad) {
    const remedy = 'the first "://" ends the scheme; a path with "://" in it is written vde://PATH';
    throw locatorError('EMALFORMED', subject, bad.index, `"${bad[0]}" in a scheme`, remedy);
  }
  return { scheme, body: vnl.slice(end + 3), bodyAt: end + 3 };
}

/** Offsets of every `wanted` (one character) in `text` that no quote and no backslash protects. */
function unquotedOffsets(text: string, wanted: string): number[] {
  const offsets: number[] = [];
  let quoteMark = '';
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoteMark !== '') {
      if (c === quoteMark) quoteMark = '';
    } else if (c === "'" || c === '"') quoteMark = c;
    else if (c === '\\') i++;
    else if (c === wanted) offsets.push(i);
  }
  return offsets;
}

/** Cuts `text` at the given offsets, dropping the delimiters; each piece keeps where it began. */
function cutAt(text: string, offsets: number[]): { text: string; at: number }[] {
  const starts = [0, ...offsets.map((offset) => offset + 1)];
  return starts.map((at, i) => ({ text: text.slice(at, offsets[i]), at }));
}

/**
 * Removes quotes and backslashes and decodes `%XX` outside them; a `%` without two hex digits stands for itself.
 * @param at offset of `text` in `locator`, which the error names.
 * @throws VdeError `EMALFORMED` if the escaped bytes are a NUL or are not UTF-8.
 */
export function decode(text: string, at = 0, locator = text): string {
  let out = '';
  let quoteMark = '';
  let bytes: number[] = [];
  let bytesAt = 0;
  const flush = (): void => {
    if (bytes.length === 0) return;
    try {
      out += new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
    } catch {
      throw locatorError('EMALFORMED', locator, at + bytesAt, 'escaped bytes that are not UTF-8');
    }
    bytes = [];
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoteMark !== '' ? c === quoteMark : c === "'" || c === '"') {
      quoteMark = quoteMark === '' ? c : '';
      continue;
    }
    if (quoteMark === '' && c === '%' && /^[0-9a-fA-F]{2}$/.test(text.slice(i + 1, i + 3))) {
      const byte = Number.parseInt(text.slice(i + 1, i + 3), 16);
      if (byte === 0) throw locatorError('EMALFORMED', locator, at + i, 'escaped NUL');
      if (bytes.length === 0) bytesAt = i;
      bytes.push(byte);
      i += 2;
      continue;
    }
    flush();
    if (quoteMark === '' && c === '\\') {
      i++;
      out += text[i] ?? '';
    } else out += c;
  }
  flush();
  return out;
}

/** `key[=value]` tokens between slashes. The `=` is looked for after decoding, so `%3d` is one; empty keys are skipped. */
function parseParams(list: string, at: number, locator: string): Param[] {
  const params: Param[] = [];
  for (const piece of cutAt(list, unquotedOffsets(list, '/'))) {
    const token = decode(piece.text, at + piece.at, locator);
    const equals = token.indexOf('=');
    const key = equals < 0 ? token : token.slice(0, equals);
    if (key !== '') params.push([key, equals < 0 ? undefined : token.slice(equals + 1), at + piece.at]);
  }
  return params;
}

/**
 * Slash style: `address/key=value/flag`. Everything is decoded.
 * @param at offset of `body` in `locator`: what the params' offsets and the errors count from.
 * @throws VdeError as `decode`.
 */
export function parseSlash(body: string, at = 0, locator = body): { address: string; params: Param[] } {
  const [slash] = unquotedOffsets(body, '/');
  if (slash === undefined) return { address: decode(body, at, locator), params: [] };
  return {
    address: decode(body.slice(0, slash), at, locator),
    params: parseParams(body.slice(slash + 1), at + slash + 1, locator),
  };
}

/**
 * Path style: `path[key=value/flag]`. The list runs from the first unquoted `[` to the last unquoted `]`, or to the end
 * if there is none. Everything is decoded.
 * @param at offset of `body` in `locator`: what the params' offsets and the errors count from.
 * @throws VdeError as `decode`.
 */
export function parsePath(body: string, at = 0, locator = body): { path: string; params: Param[] } {
  const [open] = unquotedOffsets(body, '[');
  if (open === undefined) return { path: decode(body, at, locator), params: [] };
  const rest = body.slice(open + 1);
  return {
    path: decode(body.slice(0, open), at, locator),
    params: parseParams(rest.slice(0, unquotedOffsets(rest, ']').at(-1)), at + open + 1, locator),
  };
}

/**
 * The outer part of a body, and the locator between its first unquoted `{` and the last unquoted `}` after it. Both may
 * be doubled, as some documents have them.
 */
function cutNested(body: string): { outer: string; nested: string | undefined; nestedAt: number } {
  const [open] = unquotedOffsets(body, '{');
  if (open === undefined) return { outer: body, nested: undefined, nestedAt: body.length };
  const rest = body.slice(open + 1);
  const closing = unquotedOffsets(rest, '}');
  const end = closing.at(-1);
  const doubled = end !== undefined && rest.startsWith('{') && closing.at(-2) === end - 1 ? 1 : 0;
  return {
    outer: body.slice(0, open),
    nested: rest.slice(doubled, end === undefined ? undefined : end - doubled),
    nestedAt: open + 1 + doubled,
  };
}

/**
 * Separates `outer{nested}`. Nothing is decoded: `outer` is for `parsePath` or `parseSlash`, `nested` is a locator that
 * is opened as it stands. No braces: `nested` is undefined, which like the empty locator means the default network.
 * @param at offset of `body` in `locator`: what `nestedAt` and the error count from.
 * @throws VdeError `EMALFORMED` if the body nests more than `MAX_NESTING` deep.
 */
export function splitNested(
  body: string,
  at = 0,
  locator = body,
): { outer: string; nested: string | undefined; nestedAt: number } {
  const result = cutNested(body);
  let innermost = result;
  let innermostAt = result.nestedAt;
  for (let depth = 1; innermost.nested !== undefined; depth++) {
    if (depth > MAX_NESTING) {
      const cause = `over the limit of ${MAX_NESTING} nested locators`;
      throw locatorError('EMALFORMED', locator, at + innermostAt - 1, cause);
    }
    innermost = cutNested(innermost.nested);
    innermostAt += innermost.nestedAt;
  }
  return { ...result, nestedAt: at + result.nestedAt };
}

/** Percent-escapes, as UTF-8, every character that `matching` matches. */
function escapeMatching(text: string, matching: RegExp): string {
  if (/\0|\p{Cs}/u.test(text)) {
    throw new VdeError({ code: 'EINVAL', subject: shownLocator(text), cause: 'not text that a locator can carry' });
  }
  return text.replace(matching, (c) => Buffer.from(c).toString('hex').toUpperCase().replace(/../g, '%$&'));
}

/**
 * Text made safe for any place of a parsed locator (address, path, value): whatever has a meaning in the grammar, blanks
 * and control characters become `%XX`.
 * @throws VdeError `EINVAL` if it holds a NUL or half a surrogate pair.
 */
export function quote(text: string): string {
  return escapeMatching(text, /['"\\%/[\]{}\s\p{Cc}]/gu);
}

/** `quote` for the path of the path style, where slashes are harmless and stay. */
export function quotePath(text: string): string {
  return escapeMatching(text, /['"\\%[\]{}\s\p{Cc}]/gu);
}

/** A parameter to be written; a `Param` will do. */
export type ParamText = readonly [key: string, value?: string, ...rest: unknown[]];

function composeParams(params: readonly ParamText[]): string[] {
  return params.map(([key, value]) => {
    if (key === '' || key.includes('=')) {
      throw new VdeError({ code: 'EINVAL', subject: shownLocator(key), cause: 'not a name a parameter can have' });
    }
    return value === undefined ? quote(key) : `${quote(key)}=${quote(value)}`;
  });
}

/** The slash-style body that `parseSlash` reads back as `parts`. Throws as `quote`, or `EINVAL` for an impossible key. */
export function composeSlash(parts: { address: string; params: readonly ParamText[] }): string {
  return [quote(parts.address), ...composeParams(parts.params)].join('/');
}

/** The path-style body that `parsePath` reads back as `parts`. Throws as `quote`, or `EINVAL` for an impossible key. */
export function composePath(parts: { path: string; params: readonly ParamText[] }): string {
  const list = composeParams(parts.params).join('/');
  return quotePath(parts.path) + (list === '' ? '' : `[${list}]`);
}

/**
 * Puts a locator into the braces of a composed body.
 * @throws VdeError `EINVAL` if braces cannot hold it (an open quote in it would swallow the closing one).
 */
export function composeNested(outer: string, nested: string): string {
  const body = `${outer}{${nested}}`;
  const back = splitNested(body);
  if (back.outer !== outer || back.nested !== nested) {
    throw new VdeError({ code: 'EINVAL', subject: shownLocator(body), cause: 'quotes or braces do not match' });
  }
  return body;
}

/** `scheme://body`. @throws VdeError `EMALFORMED` as `splitScheme`. */
export function composeLocator(scheme: string, body: string): string {
  const locator = `${scheme}://${body}`;
  splitScheme(locator);
  return locator;
}
