/** Whom a socket's file is given to: its group and mode, as a user writes them. */

import { chmodSync, chownSync } from 'node:fs';
import { fromNodeError } from '../sys/errors.js';
import { groupId, groupName } from '../sys/users.js';
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

/**
 * @param user uid of a new owner.
 * @throws VdeError if the kernel refuses: the caller is not a member of the group, or does not own the file.
 */
export function protectFile(path: string, mode: number, group: number | undefined, user = -1): void {
  try {
    if (group !== undefined || user >= 0) chownSync(path, user, group ?? -1);
    chmodSync(path, mode);
  } catch (error) {
    const name = group === undefined ? undefined : (groupName(group) ?? group);
    throw fromNodeError(error, path, name === undefined ? undefined : `are you a member of group ${name}?`);
  }
}
