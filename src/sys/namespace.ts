/** What is done inside a fresh namespace: mounts, the host's name, and a tie to the parent's life. */

import { readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { check, native } from './ffi.js';

const mountCall = native<
  (source: string, target: string, type: string | null, flags: number, data: string | null) => number
>('int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)');
const sethostname = native<(name: string, length: number) => number>(
  'int sethostname(const char *name, size_t length)',
);
const prctl = native<(option: number, a: number, b: number, c: number, d: number) => number>(
  'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
);

const MS_NODEV = 0x4;
const MS_NOSUID = 0x2;
const MS_BIND = 0x1000;
const MS_MOVE = 0x2000;
const MS_REC = 0x4000;
const PR_SET_PDEATHSIG = 1;

/** Longest name of a host (HOST_NAME_MAX). */
export const HOST_NAME_MAX = 64;

/** The kinds of namespaces, as they are called under /proc/PID/ns. */
export type NamespaceKind = 'user' | 'net' | 'mnt' | 'uts';

/** What identifies a process's namespace, e.g. `net:[4026531840]`. @throws what `readlink` throws. */
export function namespaceId(pid: number | 'self', kind: NamespaceKind): string {
  return readlinkSync(`/proc/${pid}/ns/${kind}`);
}

/** Shows `source`, with what is mounted below it, at `target` too. @throws VdeError `ENOENT`, `EPERM`. */
export function bindMount(source: string, target: string): void {
  check(mountCall(source, target, null, MS_BIND | MS_REC, null), 'mount', target);
}

/** Mounts an empty file system in memory at `target`. @throws VdeError `ENOENT`, `EPERM`. */
export function mountTmpfs(target: string): void {
  check(mountCall('tmpfs', target, 'tmpfs', MS_NOSUID | MS_NODEV, 'mode=755,size=1m'), 'mount', target);
}

/** Moves the mount at `from` to `to`. @throws VdeError `EINVAL`, `EPERM`. */
export function moveMount(from: string, to: string): void {
  check(mountCall(from, to, null, MS_MOVE, null), 'mount', to);
}

/** Sets the name of the host in this UTS namespace. @throws VdeError `EINVAL`, `EPERM`. */
export function setHostname(name: string): void {
  check(sethostname(name, Buffer.byteLength(name)), 'sethostname', `hostname ${name}`);
}

/** Has the kernel send `signal` to this process when its parent ends, also after `exec`. */
export function signalOnParentDeath(signal: NodeJS.Signals): void {
  check(prctl(PR_SET_PDEATHSIG, constants.signals[signal], 0, 0, 0), 'prctl', signal);
}
