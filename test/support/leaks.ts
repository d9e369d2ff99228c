/**
 * What processes hold: descriptors, children, files, memory, CPU time; read from /proc.
 *
 * A leak check is registered first in a test and so looks last, after what was started later has been ended.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { peerInode } from '../../src/sys/unix-diag.js';
import { cleanup, type Owner } from './cleanup.js';

type Snapshot = Map<string, string>;

/**
 * Asserts that when the test ends this process has no descriptor, no child and, under `dir`, no file that it did not
 * have at the call. The returned function asserts the same at once.
 *
 * What closes asynchronously gets up to `settle` ms (10 s) to do so.
 */
export function leakCheck(t: Owner, dir?: string, { settle = 10_000 } = {}): () => Promise<void> {
  const before = snapshot(dir);
  const check = async (): Promise<void> => {
    const deadline = Date.now() + settle;
    let left = added(before, snapshot(dir));
    // The kernel does not announce closed descriptors: look again until the time is up.
    while (left.length > 0 && Date.now() < deadline) {
      await pause(10);
      left = added(before, snapshot(dir));
    }
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  };
  cleanup(t, check);
  return check;
}

function snapshot(dir: string | undefined): Snapshot {
  const all: Snapshot = new Map();
  for (const [fd, target] of descriptors(process.pid)) {
    all.set(`descriptor ${fd} -> ${target}`, target);
  }
  for (const pid of children(process.pid)) all.set(`child ${pid} (${commandOf(pid)})`, '');
  if (dir !== undefined) for (const file of filesUnder(dir)) all.set(`file ${relative(dir, file)}`, file);
  return all;
}

function added(before: Snapshot, after: Snapshot): string[] {
  const keys = [...after.keys()].filter((key) => !before.has(key));
  // The compiler of tests starts a child when a module is loaded that is not in its cache, and keeps it and its streams.
  const compiler = keys.find((key) => key.startsWith('child ') && key.includes('esbuild'));
  if (compiler === undefined) return keys;
  const streams = descriptors(Number(compiler.split(' ')[1])).map(([, target]) => {
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    return inode && `socket:[${peerInode(Number(inode))}]`;
  });
  return keys.filter((key) => key !== compiler && !streams.includes(after.get(key)));
}

/** Of which a process makes one when it first needs it, and keeps it: libuv for fs.watch, the plugs for sending. */
const KEPT = ['anon_inode:inotify', 'anon_inode:[io_uring]'];

/** The open descriptors of a process and what they are, without those in `KEPT`. */
function descriptors(pid: number): [number, string][] {
  const dir = `/proc/${pid}/fd`;
  return list(dir).flatMap((fd): [number, string][] => {
    try {
      const target = readlinkSync(join(dir, fd));
      return KEPT.includes(target) ? [] : [[Number(fd), target]];
    } catch {
      // The descriptor by which the directory is being listed.
      return [];
    }
  });
}

/** The children of a process, without those that only wait to be reaped. */
export function children(pid: number): number[] {
  return list(`/proc/${pid}/task`)
    .flatMap((task) => read(`/proc/${pid}/task/${task}/children`).split(' '))
    .filter((child) => child !== '' && /^State:\s+[^ZX]/m.test(read(`/proc/${child}/status`)))
    .map(Number);
}

function commandOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`).split('\0').join(' ').trim();
}

function filesUnder(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    return entry.isDirectory() ? [path, ...filesUnder(path)] : [path];
  });
}

/** How many descriptors a process has open, but for those that it makes once. */
export function fdCount(pid: number): number {
  return descriptors(pid).length;
}

/** Resident memory of a process in KiB. */
export function rssKb(pid: number): number {
  const line = read(`/proc/${pid}/status`).match(/^VmRSS:\s+(\d+) kB$/m);
  if (!line) throw new Error(`process ${pid} has no resident memory: it has ended`);
  return Number(line[1]);
}

/** CPU time, user and system, that the present threads of a process have used, in microseconds. */
export function cpuTime(pid: number): number {
  const tasks = list(`/proc/${pid}/task`);
  if (tasks.length === 0) throw new Error(`process ${pid} has ended`);
  const nanoseconds = tasks.map((task) => Number(read(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0]));
  return Math.round(nanoseconds.reduce((sum, one) => sum + one, 0) / 1000);
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
