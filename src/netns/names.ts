/**
 * The namespaces that have a name: a file for each in a directory of the user's, which says which process is in it.
 *
 * A file whose process has ended is as good as none, and removed by whoever comes across it. The directory must be the
 * user's alone: what is written there decides where `vdens --enter` goes.
 */

import { linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromNodeError, VdeError } from '../sys/errors.js';
import { namespaceId } from '../sys/namespace.js';
import { processState } from '../sys/wait.js';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** A namespace with a name. */
export interface NamedNamespace {
  name: string;
  /** The command, or the first process of it, and when it started in clock ticks after boot. */
  pid: number;
  startTime: string;
  /** `user:[...]` and `net:[...]` of it. */
  user: string;
  net: string;
  interfaces: { name: string; locator: string }[];
  /** Whether the command may mount. */
  sysadmin: boolean;
  command: string[];
  /** When it was made, ISO 8601. */
  since: string;
}

/** @throws VdeError `EUSAGE` for a name that could not be a file's. */
export function checkName(name: string): void {
  if (NAME.test(name)) return;
  const remedy = 'letters, digits, dots, dashes and underscores, at most 64';
  throw new VdeError({ code: 'EUSAGE', subject: '--name', cause: `"${name}" cannot be a name`, remedy });
}

/** Where the names are kept: $XDG_RUNTIME_DIR/vdens, or /tmp/vdens-UID. @throws VdeError if it is not the user's alone. */
function namesDirectory(): string {
  const uid = process.geteuid?.() ?? 0;
  const runtime = process.env.XDG_RUNTIME_DIR;
  const dir = runtime ? join(runtime, 'vdens') : `/tmp/vdens-${uid}`;
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fromNodeError(error, dir);
  }
  const stats = lstatSync(dir);
  if (!stats.isDirectory() || stats.uid !== uid || (stats.mode & 0o022) !== 0) {
    const cause = 'not a directory of yours alone';
    throw new VdeError({ code: 'EACCES', subject: dir, cause, remedy: 'remove it, or set XDG_RUNTIME_DIR' });
  }
  return dir;
}

/** The live namespace of a name; what an ended one left is removed. */
export function findName(name: string, dir = namesDirectory()): NamedNamespace | undefined {
  const path = join(dir, name);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fromNodeError(error, path);
  }
  const entry = readEntry(text, name);
  if (entry !== undefined && isAlive(entry)) return entry;
  remove(path, text);
  return undefined;
}

function readEntry(text: string, name: string): NamedNamespace | undefined {
  try {
    const entry = JSON.parse(text) as NamedNamespace;
    return Number.isInteger(entry.pid) && typeof entry.startTime === 'string' ? { ...entry, name } : undefined;
  } catch {
    return undefined;
  }
}

function isAlive({ pid, startTime }: NamedNamespace): boolean {
  const process = processState(pid);
  return process !== undefined && process.startTime === startTime && process.state !== 'Z' && process.state !== 'X';
}

/** Removes a file if it still says `text`: another start may have taken the name. */
function remove(path: string, text: string): void {
  try {
    if (readFileSync(path, 'utf8') === text) unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fromNodeError(error, path);
  }
}

/** All live namespaces of the user that have a name. */
export function listNames(): NamedNamespace[] {
  const dir = namesDirectory();
  const names = readdirSync(dir).filter((name) => NAME.test(name));
  return names.sort().flatMap((name) => findName(name, dir) ?? []);
}

/**
 * Gives the namespaces of process `pid` a name. Returns what takes it away again.
 * @throws VdeError `EEXIST` if another has it.
 */
export function giveName(
  name: string,
  pid: number,
  rest: Pick<NamedNamespace, 'interfaces' | 'command' | 'sysadmin'>,
): () => void {
  const dir = namesDirectory();
  const entry: NamedNamespace = {
    name,
    pid,
    startTime: processState(pid)?.startTime ?? '',
    user: namespaceId(pid, 'user'),
    net: namespaceId(pid, 'net'),
    ...rest,
    since: new Date().toISOString(),
  };
  const text = `${JSON.stringify(entry)}\n`;
  // Written whole before it has its name, so that nobody reads half of it.
  const draft = join(dir, `.${name}.${process.pid}`);
  const path = join(dir, name);
  try {
    writeFileSync(draft, text, { mode: 0o600 });
  } catch (error) {
    throw fromNodeError(error, dir);
  }
  try {
    for (let tries = 0; ; tries++) {
      const other = findName(name, dir);
      if (other) throw taken(other);
      try {
        linkSync(draft, path);
        return () => remove(path, text);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries >= 10) throw fromNodeError(error, path);
      }
    }
  } finally {
    unlinkSync(draft);
  }
}

/** The error for a name that another namespace has. */
export function taken({ name, pid }: NamedNamespace): VdeError {
  const cause = `there is a namespace called ${name} already, process ${pid}`;
  return new VdeError({ code: 'EEXIST', subject: '--name', cause, remedy: `vdens --enter ${name}` });
}
