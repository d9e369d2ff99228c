/**
 * The two places of a point-to-point link and how one is taken (reference: plugs, section 5).
 *
 * The first end binds `PATH`, the second finds it and binds `PATH+`; each sends to the other's file. Upstream's newer
 * protocol has one file, a listening SOCK_SEQPACKET: an end that finds such a one connects to it. An end that finds nobody
 * offers datagrams, which is what packaged C ends speak, unless its last peer spoke the other protocol.
 *
 * A file that nobody has open is taken over, whatever its type. Whether somebody answers is asked before anything is
 * touched, under a lock on the directory, so that of ends that start at once each finds the others as they are.
 */

import { closeSync, constants, lstatSync, openSync, type Stats, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Descriptor } from '../sys/descriptor.js';
import { callError, errnoNumber, fromNodeError, VdeError } from '../sys/errors.js';
import { lockFile } from '../sys/file.js';
import {
  AF_UNIX,
  bindUnix,
  checkUnixPath,
  listen,
  probeUnix,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  socket,
  tryConnectUnix,
  unlinkQuietly,
} from '../sys/socket.js';
import { protectFile } from './permissions.js';

/** How long an end waits for a place that a dead one still blocks, and how often it looks, in ms. */
const PATIENCE_MS = 2000;
const STEP_MS = 50;
/** The lock is held for microseconds. Who holds a directory for this long is none of ours, and not waited for, in ms. */
const LOCK_MS = 500;

const ENOENT = errnoNumber('ENOENT');
const EPERM = errnoNumber('EPERM');
const EAGAIN = errnoNumber('EAGAIN');
const EPROTOTYPE = errnoNumber('EPROTOTYPE');
const ECONNREFUSED = errnoNumber('ECONNREFUSED');
const EADDRINUSE = errnoNumber('EADDRINUSE');

/** A socket's file of ours, and which one it is. */
export interface OwnFile {
  path: string;
  id: string;
}

/** A place at a link. */
export type Place =
  /** A bound datagram socket; the peer's file is `other`. */
  | { kind: 'datagram'; socket: Descriptor; own: OwnFile; other: string }
  /** A listening SOCK_SEQPACKET. */
  | { kind: 'listener'; socket: Descriptor; own: OwnFile }
  /** A SOCK_SEQPACKET connected to a listener, which has not said yet whether it takes us. */
  | { kind: 'caller'; socket: Descriptor };

export interface PlaceOptions {
  /** What the place is called in messages. */
  name: string;
  /** Permissions of the file. */
  mode: number;
  group: number | undefined;
  /** What to offer if nobody is there. */
  offer: 'datagram' | 'sequenced';
}

/**
 * Takes a place at the link of `path` (absolute).
 * @throws VdeError `EBUSY` if both are taken, `EEXIST` if the name is that of no socket, what the kernel says if the file
 * cannot be made or reached.
 */
export async function takePlace(path: string, options: PlaceOptions): Promise<Place> {
  checkUnixPath(`${path}+`);
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const lock = await lockDirectory(dirname(path));
    let place: Place | undefined;
    try {
      place = tryPlace(path, options);
    } finally {
      if (lock !== undefined) closeSync(lock);
    }
    if (place !== undefined) return place;
    if (Date.now() > end) throw taken(options.name, 'it may be that one of them died and the other has not noticed');
    await pause(STEP_MS);
  }
}

/** Removes a file of ours, unless another's has taken its name. */
export function removeOwn({ path, id }: OwnFile): void {
  if (identity(path) === id) unlinkQuietly(path);
}

function removeStale(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw fromNodeError(error, path, 'it was left by an end that has died: its owner can remove it');
  }
}

/** Which file a path names, empty if none. An inode's number alone may be a newer file's. */
export function identity(path: string): string {
  const stat = lstatSync(path, { throwIfNoEntry: false, bigint: true });
  return stat === undefined ? '' : `${stat.dev}:${stat.ino}:${stat.birthtimeNs}`;
}

/** A directory that we may not read has no lock to be had: then ends that start in the same instant may clash. */
async function lockDirectory(directory: string): Promise<number | undefined> {
  let fd: number;
  try {
    fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    return undefined;
  }
  const end = Date.now() + LOCK_MS;
  try {
    while (!lockFile(fd, directory, false) && Date.now() < end) await pause(5);
    return fd;
  } catch {
    return fd; // A file system without locks.
  }
}

/** One try; undefined if things are in flux and worth another. */
function tryPlace(path: string, options: PlaceOptions): Place | undefined {
  const data = socket(AF_UNIX, SOCK_DGRAM, options.name);
  try {
    const place = tryDatagram(data, path, options);
    if (place === undefined || place.socket !== data) data.close();
    return place;
  } catch (error) {
    data.close();
    // A C end does not know of our lock.
    if (error instanceof VdeError && error.errno === EADDRINUSE) return undefined;
    throw error;
  }
}

function tryDatagram(data: Descriptor, path: string, options: PlaceOptions): Place | undefined {
  const { name } = options;
  const stat = look(path);
  if (stat !== undefined && !stat.isSocket()) {
    throw new VdeError({
      code: 'EEXIST',
      subject: path,
      cause: 'a file that is no socket',
      remedy: 'remove it, or choose another path',
    });
  }
  const error = stat === undefined ? ENOENT : tryConnectUnix(data, path);
  switch (error) {
    case 0:
      return second(data, path, options);
    case ECONNREFUSED:
      removeStale(path);
      return first(data, path, options);
    case ENOENT:
      return first(data, path, options);
    case EPROTOTYPE:
      return call(path, name);
    case EPERM:
      // Its holder has a peer; if that has died, the holder comes to notice.
      if (probeUnix(`${path}+`, SOCK_DGRAM) === 'alive') throw taken(name);
      return undefined;
    default:
      throw callError('connect', error, name, `you may not use ${path}`);
  }
}

function look(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw fromNodeError(error, path);
  }
}

/** The place beside an end that is there. */
function second(data: Descriptor, path: string, options: PlaceOptions): Place {
  const own = `${path}+`;
  const state = probeUnix(own, SOCK_DGRAM);
  if (state === 'alive') throw taken(options.name);
  if (state === 'stale') removeStale(own);
  return { kind: 'datagram', socket: data, own: bindOwn(data, own, options), other: path };
}

/** The place of an end that finds nobody, or one who had been second and stayed. */
function first(data: Descriptor, path: string, options: PlaceOptions): Place {
  if (options.offer === 'sequenced') {
    const listener = socket(AF_UNIX, SOCK_SEQPACKET, options.name);
    try {
      const own = bindOwn(listener, path, options);
      listen(listener, 1);
      return { kind: 'listener', socket: listener, own };
    } catch (error) {
      listener.close();
      throw error;
    }
  }
  return { kind: 'datagram', socket: data, own: bindOwn(data, path, options), other: `${path}+` };
}

/** Connects to an end that speaks the newer protocol. */
function call(path: string, name: string): Place | undefined {
  const stream = socket(AF_UNIX, SOCK_SEQPACKET, name);
  const error = tryConnectUnix(stream, path);
  if (error === 0) return { kind: 'caller', socket: stream };
  stream.close();
  if (error === ECONNREFUSED || error === ENOENT || error === EAGAIN) return undefined;
  throw callError('connect', error, name, `${path} is a socket of something else: choose another path`);
}

function bindOwn(data: Descriptor, path: string, { mode, group }: PlaceOptions): OwnFile {
  bindUnix(data, path);
  const own = { path, id: identity(path) };
  try {
    protectFile(path, mode, group);
  } catch (error) {
    unlinkQuietly(path);
    throw error;
  }
  return own;
}

/** The error for a third end. */
export function taken(
  name: string,
  remedy = 'a point-to-point link has two ends: choose another path, or a switch',
): VdeError {
  return new VdeError({
    code: 'EBUSY',
    subject: name,
    cause: 'it has a peer already',
    remedy,
    errno: errnoNumber('EBUSY'),
  });
}
