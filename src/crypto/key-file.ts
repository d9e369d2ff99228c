/**
 * Key files: text of which only the hexadecimal digits count, a pair for each byte (reference: agno encryption, "Key
 * file"). Usually `(umask 077; echo secret | md5sum > ~/.vde_agno_key)`.
 *
 * C's plugin reads the capital letter A as 1. A key for its format is read so too, or the two ends would not understand
 * each other, and its user is told.
 */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { userInfo } from 'node:os';
import { fromNodeError, VdeError } from '../sys/errors.js';

/** Bytes of a key file that are looked at. */
const FILE_MAX = 64 << 10;
/** Bytes of a key in C's format: AES-128. */
const KEY_BYTES = 16;
/** Most bytes of a key that others are derived from. */
const LONG_KEY_BYTES = 32;

export interface KeyFile {
  key: Buffer;
  /** What its user should be told, a line each. */
  notices: string[];
}

/**
 * The file that the path of a locator names: in the home directory of the effective user if it is empty or begins with
 * `~`, else an absolute path.
 * @throws VdeError `EINVAL` for any other path, `ENOENT` if the user has no home directory.
 */
export function keyFilePath(path: string, subject: string): string {
  if (path.startsWith('/')) return path;
  if (path !== '' && !path.startsWith('~')) {
    throw new VdeError({
      code: 'EINVAL',
      subject,
      cause: `key file "${path}": not an absolute path`,
      remedy: 'begin it with / or ~/, or leave it out for ~/.vde_agno_key',
    });
  }
  const name = path === '' ? '.vde_agno_key' : path.slice(1).replace(/^\/+/, '');
  return `${homeDirectory(subject)}/${name}`;
}

function homeDirectory(subject: string): string {
  try {
    // Of the effective user, by the user database: $HOME may be somebody else's.
    return userInfo().homedir;
  } catch (error) {
    throw new VdeError(
      {
        code: 'ENOENT',
        subject,
        cause: 'the user has no home directory',
        remedy: 'name the key file by its full path',
      },
      { cause: error },
    );
  }
}

/**
 * Reads a key file.
 * @param derived whether keys are derived from it: up to 32 bytes then, at least 16; else the 16 bytes of C's format.
 * @throws VdeError with the errno's name if it cannot be read, `EINVAL` if it has too few digits.
 */
export function readKeyFile(path: string, derived: boolean): KeyFile {
  const { text, mode } = readText(path);
  const result = parseKey(text, derived, path);
  if (mode !== undefined && mode & 0o044) {
    result.notices.push(`key file ${path} can be read by other users (chmod go= ${path})`);
  }
  return result;
}

function readText(path: string): { text: string; mode: number | undefined } {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const stat = fstatSync(fd);
    const bytes = Buffer.alloc(FILE_MAX);
    let length = 0;
    for (let n = -1; n !== 0 && length < FILE_MAX; length += n) {
      n = readSync(fd, bytes, length, FILE_MAX - length, null);
    }
    return { text: bytes.toString('latin1', 0, length), mode: stat.isFile() ? stat.mode : undefined };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw fromNodeError(error, path, missing ? `make a key: (umask 077; openssl rand -hex 16 > ${path})` : undefined);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The key in a text; see `readKeyFile`. */
export function parseKey(text: string, derived: boolean, subject: string): KeyFile {
  const digits = (text.match(/[0-9a-fA-F]/g) ?? []).slice(0, 2 * (derived ? LONG_KEY_BYTES : KEY_BYTES)).join('');
  const bytes = digits.length >> 1;
  if (bytes < (derived ? KEY_BYTES : 1)) {
    throw new VdeError({
      code: 'EINVAL',
      subject,
      cause: `a key of ${digits.length} hexadecimal digits`,
      remedy: `32 are needed: (umask 077; openssl rand -hex 16 > ${subject})`,
    });
  }
  if (derived) return { key: Buffer.from(digits.slice(0, bytes * 2), 'hex'), notices: [] };
  const notices: string[] = [];
  if (bytes < KEY_BYTES) notices.push(`key file ${subject} has ${digits.length} hexadecimal digits of 32: a weak key`);
  if (digits.includes('A')) {
    notices.push(`key file ${subject}: a capital A counts as 1, as in C's plugin; write it as a small letter`);
  }
  // The high half of a pair alone counts in C too: what is missing is 0.
  const key = Buffer.from(digits.replaceAll('A', '1').padEnd(2 * KEY_BYTES, '0'), 'hex');
  return { key, notices };
}
