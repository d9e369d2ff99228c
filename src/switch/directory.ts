/**
 * The directory of a switch: made, taken over from a dead one or refused because of a live one, and cleaned up
 * (reference: VDE switch socket protocol, sections 1, 5 and 6).
 *
 * Nothing of a live switch is touched: whether somebody answers is asked before any mode or owner changes, under a lock
 * on the directory, so that of two switches that start at once one wins and the other is told so.
 */

import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  rmdirSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { protectFile } from '../plug/permissions.js';
import type { Descriptor } from '../sys/descriptor.js';
import { fromNodeError, VdeError } from '../sys/errors.js';
import { lockFile } from '../sys/file.js';
import {
  AF_UNIX,
  bindUnix,
  checkUnixPath,
  clearUnixPath,
  listen,
  probeUnix,
  SOCK_DGRAM,
  SOCK_STREAM,
  socket,
  unlinkQuietly,
} from '../sys/socket.js';

/** Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn. */
const BACKLOG = 4096;
/** `PPP.F` of a switch, `fdN` of a C hub that a program made, `.PPPPP-SSSSS` of a client. */
const DATA_SOCKET = /^(\d{3,5}\.\d+|fd\d+|\.\d{5,}-\d{5})$/;
/** Permission bit of port groups' sockets, where it means nothing, to know them by when their switch was killed. */
const GROUP_MARK = 0o1000;
/** Longest name that a data socket may get: port, dot, descriptor. */
const LONGEST_NAME = '/.0000000-00000';

export interface DirectoryOptions {
  /** Permissions of the sockets (`--mode`). */
  mode?: number;
  /** Permissions of the directory (`--dirmode`). */
  directoryMode?: number;
  /** Gid of directory and sockets (`--group`). */
  group?: number;
  /** Whether the directories above are made if they are missing, to go at the end with the directory (`--mkdir`). */
  parents?: boolean;
}

/** The permissions that two optional settings stand for (reference: section 5). */
export function permissions(options: DirectoryOptions): { mode: number; directoryMode: number } {
  const { mode, directoryMode } = options;
  if (mode === undefined)
    return {
      mode: directoryMode === undefined ? 0o600 : directoryMode & 0o666,
      directoryMode: directoryMode ?? 0o2700,
    };
  // Whoever may read or write the sockets must be able to enter the directory.
  const enter = ((mode & 0o444) >> 2) | ((mode & 0o222) >> 1);
  return { mode, directoryMode: directoryMode ?? 0o2000 | mode | enter };
}

/** A switch's directory with its listening `ctl`. */
export class ControlDirectory {
  #closed = false;

  private constructor(
    /** Absolute and free of symbolic links: what clients are told. */
    readonly path: string,
    readonly listener: Descriptor,
    /** Permissions of the data sockets. */
    readonly mode: number,
    readonly group: number | undefined,
    /** Directories above that were made, the innermost last. */
    private readonly parents: readonly string[],
  ) {}

  /**
   * Makes the directory or takes it over, and listens in it.
   * @throws VdeError `EADDRINUSE` if a switch runs there; what the kernel says if it cannot be made.
   */
  static open(directory: string, options: DirectoryOptions = {}): ControlDirectory {
    const parents = options.parents ? makeParents(dirname(resolve(directory))) : [];
    try {
      return ControlDirectory.#open(directory, options, parents);
    } catch (error) {
      removeParents(parents);
      throw error;
    }
  }

  static #open(directory: string, options: DirectoryOptions, parents: readonly string[]): ControlDirectory {
    const path = absolute(directory);
    checkUnixPath(path + LONGEST_NAME);
    const { mode, directoryMode } = permissions(options);
    const { made, lock } = enter(path);
    let listener: Descriptor | undefined;
    try {
      const ctl = join(path, 'ctl');
      clearUnixPath(ctl, SOCK_STREAM, {
        alive: `a switch is running in ${path}: stop it, or give this one another directory`,
        foreign: 'remove it, or choose another directory',
      });
      protectFile(path, directoryMode, options.group);
      removeDead(path);
      listener = socket(AF_UNIX, SOCK_STREAM, ctl);
      bindUnix(listener, ctl);
      // Before it listens: who finds it ready may use it, or may not, as its mode says.
      protectFile(ctl, mode, options.group);
      listen(listener, BACKLOG);
      return new ControlDirectory(path, listener, mode, options.group, parents);
    } catch (error) {
      if (listener !== undefined) {
        listener.close();
        unlinkQuietly(join(path, 'ctl'));
      }
      if (made) removeEmpty(path);
      throw error;
    } finally {
      closeSync(lock);
    }
  }

  /**
   * Listens at the socket of a port group.
   * @throws VdeError `EADDRINUSE` if somebody answers there, `EEXIST` if there is a file; what the kernel says.
   */
  listenFor(group: string, mode: number, gid: number | undefined): Descriptor {
    const path = join(this.path, group);
    checkUnixPath(path);
    const remedy = 'give the port group another name';
    clearUnixPath(path, SOCK_STREAM, { alive: remedy, foreign: remedy });
    const listener = socket(AF_UNIX, SOCK_STREAM, path);
    try {
      bindUnix(listener, path);
      protectFile(path, mode | GROUP_MARK, gid);
      listen(listener, BACKLOG);
      return listener;
    } catch (error) {
      listener.close();
      unlinkQuietly(path);
      throw error;
    }
  }

  /** Sets mode and group of a port group's socket. */
  protectGroup(group: string, mode: number, gid: number | undefined): void {
    protectFile(join(this.path, group), mode | GROUP_MARK, gid);
  }

  /** Removes the socket of a port group. */
  forgetGroup(group: string): void {
    unlinkQuietly(join(this.path, group));
  }

  /** Path of the data socket for a client at a port; `fd` only makes it unique. */
  dataPath(port: number, fd: number): string {
    return join(this.path, `${String(port).padStart(3, '0')}.${fd}`);
  }

  /** Sets mode and owner of a data socket. A switch of root's gives it to the client's user alone. */
  protectDataSocket(path: string, user: number): void {
    const root = process.geteuid?.() === 0 && user >= 0;
    protectFile(path, root ? this.mode & 0o700 : this.mode, this.group, root ? user : undefined);
  }

  /** Stops to listen and removes everything that is a switch's. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // In this order another switch that starts here finds a live `ctl` or none, and never has its own removed.
    unlinkQuietly(join(this.path, 'ctl'));
    this.listener.close();
    removeDead(this.path);
    const lock = openDirectory(this.path);
    // Locked by another, the directory is that of a switch which is starting here this very moment.
    if (lock === undefined || lockFile(lock, this.path, false)) removeEmpty(this.path);
    if (lock !== undefined) closeSync(lock);
    removeParents(this.parents);
  }
}

/** A descriptor of a directory, or undefined if it is gone or not to be opened by us. */
function openDirectory(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return undefined;
  }
}

function absolute(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    // Not there yet: then its parent must be.
  }
  try {
    return join(realpathSync(dirname(directory)), basename(directory));
  } catch (error) {
    throw fromNodeError(error, directory, 'its parent directory must exist');
  }
}

/** Makes a directory and those above it that are missing. Returns those made, the innermost last. */
function makeParents(path: string): string[] {
  const made: string[] = [];
  const missing: string[] = [];
  for (let one = path; !existsSync(one); one = dirname(one)) missing.push(one);
  for (const one of missing.reverse()) {
    try {
      mkdirSync(one);
      made.push(one);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      removeParents(made);
      throw fromNodeError(error, one);
    }
  }
  return made;
}

function removeParents(made: readonly string[]): void {
  for (const path of made.toReversed()) removeEmpty(path);
}

/** Makes the directory if it is not there, and locks it. A switch that ends may remove it meanwhile: then once more. */
function enter(path: string): { made: boolean; lock: number } {
  for (;;) {
    const made = makeDirectory(path);
    let lock: number | undefined;
    try {
      lock = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
      lockFile(lock, path, true);
      if (fstatSync(lock).ino === lstatSync(path).ino) return { made, lock };
      closeSync(lock);
    } catch (error) {
      if (lock !== undefined) closeSync(lock);
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fromNodeError(error, path);
    }
  }
}

/** True if the directory was not there before. */
function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, 0o700);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fromNodeError(error, path);
  }
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== false) return false;
  throw new VdeError({
    code: 'ENOTDIR',
    subject: path,
    cause: 'there is a file of that name',
    remedy: 'choose another directory',
  });
}

/** Removes sockets that nobody has open: of clients and port groups of a switch that was killed, and of killed clients. */
function removeDead(path: string): void {
  let names: string[];
  try {
    names = readdirSync(path);
  } catch {
    return; // Gone, or not readable any more: nothing of ours can be left in it.
  }
  for (const name of names) {
    const file = join(path, name);
    const type = DATA_SOCKET.test(name) ? SOCK_DGRAM : hasGroupMark(file) ? SOCK_STREAM : undefined;
    if (type !== undefined && probeUnix(file, type) === 'stale') unlinkQuietly(file);
  }
}

function hasGroupMark(path: string): boolean {
  try {
    return (lstatSync(path).mode & GROUP_MARK) !== 0;
  } catch {
    return false;
  }
}

function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Not empty: what is in it is somebody else's.
  }
}
