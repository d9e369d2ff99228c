/** Values of options, read from their text: each is undefined where the option was not given. */

import { groupId } from '../sys/users.js';
import { usageError } from './getopt.js';

/**
 * Permissions in octal.
 * @param option as the error names it.
 * @throws VdeError `EUSAGE`.
 */
export function octalMode(option: string, text: string): number;
export function octalMode(option: string, text: string | undefined): number | undefined;
export function octalMode(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^0?[0-7]{1,4}$/.test(text)) throw usageError(option, `"${text}" is not an octal mode`, 'such as 0660');
  return Number.parseInt(text, 8);
}

/**
 * The number of a group.
 * @param option as the error names it.
 * @throws VdeError `EUSAGE`.
 */
export function groupOption(option: string, name: string | undefined): number | undefined {
  if (name === undefined) return undefined;
  const gid = groupId(name);
  if (gid === undefined) throw usageError(option, `there is no group called ${name}`);
  return gid;
}

/**
 * The number of a switch's port.
 * @param option as the error names it.
 * @throws VdeError `EUSAGE`.
 */
export function portNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text) || Number(text) < 1) throw usageError(option, `"${text}" is not a port number from 1`);
  return Number(text);
}

/**
 * A time in seconds, from 0.1 to a day; an option that was given without one has none.
 * @param option as the error names it.
 * @throws VdeError `EUSAGE`.
 */
export function seconds(option: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) < 0.1 || Number(text) > 86_400) {
    throw usageError(option, `"${text}" is not a time`, 'seconds, 0.1 to 86400');
  }
  return Number(text);
}
