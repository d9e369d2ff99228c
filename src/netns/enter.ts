/** Entering a namespace that has a name: `vdens --enter NAME [COMMAND]`. */

import { closeSync, constants, openSync } from 'node:fs';
import { constants as os } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type NamespaceDescriptors, spawnInside } from '../sys/enter.js';
import { fromNodeError, VdeError } from '../sys/errors.js';
import { type NamespaceKind, namespaceId } from '../sys/namespace.js';
import { processState, reap } from '../sys/wait.js';
import { commandCapabilities } from './inside.js';
import type { NamedNamespace } from './names.js';
import { accompany, type WardEnd } from './ward.js';

const KINDS: readonly NamespaceKind[] = ['user', 'net', 'mnt', 'uts'];

/**
 * Runs a command in a namespace, with the capabilities that its first command has.
 * @throws VdeError if it has ended meanwhile, or is another user's.
 */
export async function enter(target: NamedNamespace, command: readonly string[]): Promise<WardEnd> {
  const subject = `--enter ${target.name}`;
  const opened: NamespaceDescriptors = {};
  try {
    for (const kind of KINDS) {
      if (namespaceId('self', kind) === namespaceId(target.pid, kind)) continue;
      opened[kind] = openSync(`/proc/${target.pid}/ns/${kind}`, constants.O_RDONLY);
    }
    // What was opened is that process's only if it was still there afterwards.
    if (processState(target.pid)?.startTime !== target.startTime) throw ended(target);
    const inside = fileURLToPath(new URL('./inside.js', import.meta.url));
    const argv = [process.execPath, inside, String(process.pid), target.net, sysadminFlag(target), '--', ...command];
    const pid = spawnInside(opened, commandCapabilities(target.sysadmin), argv, process.env, subject);
    return await wait(pid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw ended(target);
    throw fromNodeError(error, subject, 'enter it from where it was started, not from another namespace');
  } finally {
    for (const fd of Object.values(opened)) closeSync(fd);
  }
}

function sysadminFlag({ sysadmin }: NamedNamespace): string {
  return sysadmin ? 'sysadmin' : 'plain';
}

function ended({ name }: NamedNamespace): VdeError {
  return new VdeError({ code: 'ESRCH', subject: `--enter ${name}`, cause: 'it has just ended' });
}

function wait(pid: number): Promise<WardEnd> {
  return new Promise((done) => {
    // What keeps us alive: a signal's handler does not.
    const hold = setInterval(() => look(), 1000);
    const look = (): void => {
      const end = reap(pid);
      if (end === undefined) return;
      clearInterval(hold);
      const names = Object.entries(os.signals) as [NodeJS.Signals, number][];
      done({ code: end.code, signal: names.find(([, number]) => number === end.signal)?.[0] ?? null });
    };
    process.on('SIGCHLD', look);
    accompany(pid);
    look();
  });
}
