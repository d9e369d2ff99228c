/**
 * From what the user wrote to a scheme and a body: the default network and locator files.
 *
 * - The empty locator is the default network: `$HOME/.vdeplug/default`, else `$HOME/.vde2/default.switch`, each a locator
 *   file or a switch's directory (often through a symlink; one that dangles is passed over), else `vde` with an empty
 *   body, which is the system's switch. `vde://` names that one directly.
 * - Text without a scheme that names a regular file stands for the first line of it that is not blank.
 * - Any other text without a scheme is the body of a `vde` locator: a switch's directory.
 *
 * Names are relative to the working directory, also those found in a file.
 */

import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { callError, errnoNumber, fromNodeError, VdeError } from '../sys/errors.js';
import { quotePath, shownLocator, splitScheme } from './locator.js';

/** How many locator files may name one another in a row. */
export const MAX_FILES = 8;
/** Only so much of a locator file is read, in bytes. */
export const MAX_FILE_BYTES = 4096;

/** What resolution needs to know of a file system. */
export interface LocatorFiles {
  /** Follows symlinks; undefined if there is nothing (or it cannot be seen). Equal `id`s mean the same file. */
  look(path: string): { regular: boolean; id: string } | undefined;
  /** The first `limit` bytes of a regular file, or all of a shorter one. Throws what Node throws. */
  head(path: string, limit: number): Uint8Array;
}

/** A locator after resolution. */
export interface ResolvedLocator {
  scheme: string;
  body: string;
  /** What the user wrote. */
  locator: string;
  /** The locator that it stands for, which offsets in messages refer to; the same text unless `via` has a name. */
  text: string;
  /** Offset of `body` in `text`. */
  bodyAt: number;
  /** The default name and the files that led from one to the other, in order. */
  via: string[];
}

/** The machine's files, through node:fs. */
const machineFiles: LocatorFiles = {
  look(path) {
    try {
      const stats = statSync(path, { bigint: true });
      return { regular: stats.isFile(), id: `${stats.dev}:${stats.ino}` };
    } catch {
      return undefined;
    }
  },
  head(path, limit) {
    // a name may have become a FIFO since it was looked at, and opening that would wait
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!fstatSync(fd).isFile()) throw callError('read', errnoNumber('EINVAL'), path);
      const bytes = new Uint8Array(limit);
      let length = 0;
      for (let n = -1; n !== 0 && length < limit; length += n) n = readSync(fd, bytes, length, limit - length, null);
      return bytes.subarray(0, length);
    } finally {
      closeSync(fd);
    }
  },
};

/**
 * Resolves a locator as the head of this file says.
 * @param options.home where the defaults are looked for; `$HOME` if not given, nowhere if empty.
 * @throws VdeError `EMALFORMED` for a malformed locator or a file that holds none, `ELOOP` if files lead back to
 * themselves or further than `MAX_FILES`, and the errno's name if a file cannot be read.
 */
export function resolveLocator(vnl: string, options: { home?: string; fs?: LocatorFiles } = {}): ResolvedLocator {
  const { home = process.env.HOME ?? '', fs = machineFiles } = options;
  const via: string[] = [];
  const seen = new Set<string>();
  const plain = (body: string): ResolvedLocator => ({ scheme: 'vde', body, locator: vnl, text: body, bodyAt: 0, via });

  /** The locator in `name`; undefined if that is not a regular file. */
  const follow = (name: string): string | undefined => {
    const file = fs.look(name);
    if (!file?.regular) return undefined;
    via.push(name);
    if (seen.has(file.id)) throw chainError(vnl, via, 'locator files lead back to themselves');
    if (via.length > MAX_FILES) throw chainError(vnl, via, `more than ${MAX_FILES} locator files in a row`);
    seen.add(file.id);
    return readLocatorFile(name, fs);
  };

  let text = vnl;
  if (vnl === '') {
    const name = defaultNames(home).find((candidate) => fs.look(candidate) !== undefined);
    if (name === undefined) return plain('');
    const found = follow(name);
    if (found === undefined) {
      via.push(name);
      // a file's name is not a body: what has a meaning in the grammar must lose it
      return plain(quotePath(name));
    }
    text = found;
  }
  for (;;) {
    const { scheme, body, bodyAt } = splitScheme(text, via.length === 0 ? text : `${via.at(-1)}: ${text}`);
    if (scheme !== undefined) return { scheme, body, locator: vnl, text, bodyAt, via };
    const found = follow(text);
    if (found === undefined) return plain(text);
    text = found;
  }
}

function defaultNames(home: string): string[] {
  return home === '' ? [] : [join(home, '.vdeplug/default'), join(home, '.vde2/default.switch')];
}

function chainError(vnl: string, via: string[], cause: string): VdeError {
  return new VdeError({ code: 'ELOOP', subject: shownLocator(vnl), cause: `${cause}: ${via.join(' -> ')}` });
}

/** The first line of a file that is not blank, trimmed; it need not end in a newline. */
function readLocatorFile(name: string, fs: LocatorFiles): string {
  let bytes: Uint8Array;
  try {
    // one byte more tells a file that ends at the limit from one that goes on
    bytes = fs.head(name, MAX_FILE_BYTES + 1);
  } catch (error) {
    throw fromNodeError(error, name, 'a file is taken for a locator file; a switch is named by its directory');
  }
  const malformed = (cause: string, remedy: string): VdeError =>
    new VdeError({ code: 'EMALFORMED', subject: shownLocator(name), cause, remedy });
  const remedy = 'its first line should be a locator; a switch is named by its directory';
  if (bytes.includes(0)) throw malformed('not a locator file: it is not text', remedy);

  const tooLong = bytes.length > MAX_FILE_BYTES;
  const lines = splitLines(bytes);
  for (const [i, line] of lines.entries()) {
    const cut = tooLong && i === lines.length - 1;
    let text: string;
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(line, { stream: cut }).trim();
    } catch {
      throw malformed('not a locator file: it is not text', remedy);
    }
    if (/\p{Cc}/u.test(text)) throw malformed('not a locator file: it is not text', remedy);
    if (cut && text !== '') throw malformed(`its first line goes on after ${MAX_FILE_BYTES} bytes`, remedy);
    if (text !== '') return text;
  }
  throw malformed(`no locator in ${tooLong ? `its first ${MAX_FILE_BYTES} bytes` : 'it'}`, remedy);
}

function splitLines(bytes: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let start = 0; start <= bytes.length; ) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}
