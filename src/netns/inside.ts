/**
 * How a process that is in the namespace becomes the command; run by itself, the second half of `vdens --enter`:
 *
 *     node inside.js PARENT net:[INODE] sysadmin|plain -- COMMAND [ARG]...
 */

import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { Capability, keepOnlyCapabilities } from '../sys/capabilities.js';
import { callError, VdeError } from '../sys/errors.js';
import { namespaceId, signalOnParentDeath } from '../sys/namespace.js';
import { execvp } from '../sys/process.js';

const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;

/** What a command in a namespace may do: all that concerns its network, and to mount if it was asked for. */
export function commandCapabilities(sysadmin: boolean): number[] {
  const { netAdmin, netRaw, netBindService, netBroadcast, sysAdmin } = Capability;
  return [netBindService, netBroadcast, netAdmin, netRaw, ...(sysadmin ? [sysAdmin] : [])];
}

/** Becomes the command, with exactly those capabilities. @throws VdeError if it cannot be run. */
export function become([file, ...args]: readonly string[], sysadmin: boolean): never {
  keepOnlyCapabilities(commandCapabilities(sysadmin));
  try {
    execvp(file, [file, ...args]);
  } catch (error) {
    const errno = error instanceof VdeError ? (error.errno ?? 0) : 0;
    throw callError('execve', errno, file, 'the command cannot be run');
  }
}

/** The exit status for a command that could not be run, as shells have it, or for another failure. */
export function failureStatus(error: unknown): number {
  if (!(error instanceof VdeError) || error.call !== 'execve') return 1;
  return error.code === 'ENOENT' ? NOT_FOUND : NOT_EXECUTABLE;
}

function main([parent, net, mode, , ...command]: string[]): void {
  try {
    signalOnParentDeath('SIGHUP');
    if (process.ppid !== Number(parent)) return;
    if (namespaceId('self', 'net') !== net) {
      const cause = 'the kernel did not let us in';
      throw new VdeError({ code: 'EPERM', subject: 'namespace', cause, remedy: 'only its own user may enter it' });
    }
    become(command, mode === 'sysadmin');
  } catch (error) {
    writeSync(2, `vdens: ${(error as Error).message}\n`);
    process.exitCode = failureStatus(error);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main(process.argv.slice(2));
