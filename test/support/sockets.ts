/**
 * Waiting for paths to appear and to go: a switch is ready when its control socket listens.
 *
 * inotify on the parent directory says when to look again. A directory that does not exist yet is awaited by watching
 * its nearest existing ancestor.
 */

import { existsSync, type FSWatcher, lstatSync, readFileSync, watch } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { probeUnix, SOCK_STREAM } from '../../src/sys/socket.js';

export interface PathWait {
  /** Milliseconds; 30 s by default. */
  timeout?: number;
}

/** Resolves when `path` is a socket that is ready: one for connections must listen, not only be bound. */
export function waitForSocket(path: string, options: PathWait = {}): Promise<void> {
  const absolute = resolve(path);
  return waitForPath(absolute, 'socket', () => isSocket(absolute) && isReady(absolute), options);
}

/** Resolves when there is nothing at `path` any more. */
export function waitForGone(path: string, options: PathWait = {}): Promise<void> {
  const absolute = resolve(path);
  return waitForPath(absolute, 'absence', () => lstatSync(absolute, { throwIfNoEntry: false }) === undefined, options);
}

/** Resolves when `path` exists (a pid file, say). */
export function waitForFile(path: string, options: PathWait = {}): Promise<void> {
  const absolute = resolve(path);
  return waitForPath(absolute, 'file', () => existsSync(absolute), options);
}

/** Resolves when `ready` says so, asked at each change of the directory of `path` and every few milliseconds. */
export function waitUntil(path: string, what: string, ready: () => boolean, options: PathWait = {}): Promise<void> {
  return waitForPath(resolve(path), what, ready, options);
}

function waitForPath(path: string, what: string, ready: () => boolean, { timeout = 30_000 }: PathWait): Promise<void> {
  return new Promise((done, fail) => {
    let watcher: FSWatcher | undefined;
    let watched = '';
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      clearInterval(poll);
      watcher?.close();
      if (error) fail(error);
      else done();
    };
    const look = (): void => {
      try {
        if (ready()) settle();
        else follow();
      } catch (error) {
        settle(error as Error);
      }
    };
    const follow = (): void => {
      const dir = nearest(dirname(path));
      if (dir === watched) return;
      watcher?.close();
      watcher = undefined;
      watched = '';
      try {
        watcher = watch(dir, look);
        watcher.on('error', () => {
          watched = '';
        });
        watched = dir;
      } catch {
        // The directory went between the look and the watch; the poll below looks again.
      }
    };
    const timer = setTimeout(() => settle(new Error(`${path}: no ${what} after ${timeout} ms`)), timeout);
    // inotify says nothing about listen(2), nor about what happens between two watches.
    const poll = setInterval(look, 10);
    look();
  });
}

function nearest(dir: string): string {
  while (!existsSync(dir)) dir = dirname(dir);
  return dir;
}

function isSocket(path: string): boolean {
  try {
    return lstatSync(path).isSocket();
  } catch {
    return false;
  }
}

/** SOCK_STREAM and SOCK_SEQPACKET as /proc/net/unix writes them. */
const CONNECTED_TYPES = ['0001', '0005'];
/** __SO_ACCEPTCON: listen(2) was called. */
const LISTENING = 0x10000;

/**
 * False for a stream socket that is bound only, and for what a dead process has left.
 *
 * /proc/net/unix shows the sockets of this network namespace, by the names that they were bound with, and a moment after
 * the file is there. Of one that it does not show a connection tells.
 */
function isReady(path: string): boolean {
  const sockets = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map((line) => line.match(/^\S+ \S+ \S+ (\S+) (\S+) \S+ +\S+ (.*)$/))
    .filter((fields) => fields?.[3] === path)
    .map((fields) => ({ flags: Number.parseInt(fields![1], 16), type: fields![2] }));
  if (sockets.length === 0) return probeUnix(path, SOCK_STREAM) === 'alive';
  const stream = sockets.filter(({ type }) => CONNECTED_TYPES.includes(type));
  return stream.length === 0 || stream.some(({ flags }) => (flags & LISTENING) !== 0);
}
