/** Whom a socket's file is given to: its group and mode, as a user writes them. */

import { chmodSync, chownSync } from 'node:fs';
import { fromNodeError } from '../sys/errors.js';
import { groupId } from '../sys/users.js';
import { paramError } from './params.js';

/**
 * The gid of a group that is named, or numbered; the empty name stands for the caller's own.
 * @param parameter the one that the group was given with, for the message.
 * @throws VdeError `EINVAL` if there is no such group.
 */
export function groupNumber(group: string | number, locator: string, parameter = 'group'): number {
  if (typeof group === 'number') return group;
  if (group === '') return process.getegid?.() ?? 0;
  const gid = groupId(group) ?? (/^\d+$/.test(group) ? Number(group) : undefined);
  if (gid === undefined) throw paramError(locator, { name: parameter }, `no group called ${group}`);
  return gid;
}

/** @throws VdeError if the kernel refuses: the caller is not a member of the group, or does not own the file. */
export function protectFile(path: string, mode: number, group: number | undefined): void {
  try {
    if (group !== undefined) chownSync(path, -1, group);
    chmodSync(path, mode);
  } catch (error) {
    throw fromNodeError(error, path, group === undefined ? undefined : `are you a member of group ${group}?`);
  }
}
