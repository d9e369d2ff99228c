/** Which management socket a user means by a directory or a path. */

import { statSync } from 'node:fs';
import { VdeError } from '../sys/errors.js';

/**
 * The management socket that a name stands for: itself, or, for the directory of a switch, the one in it called `mgmt`,
 * or the one beside it called `DIR.mgmt` (`NAME.mgmt` for `NAME.ctl`).
 * @throws VdeError `ENOENT` if a directory has none of them.
 */
export function consolePath(name: string): string {
  if (!statSync(name, { throwIfNoEntry: false })?.isDirectory()) return name;
  const directory = name.replace(/(?<=.)\/+$/, '');
  const candidates = [`${directory}/mgmt`, `${directory}.mgmt`, directory.replace(/\.ctl$/, '.mgmt')];
  const found = candidates.find((path) => statSync(path, { throwIfNoEntry: false })?.isSocket());
  if (found !== undefined) return found;
  throw new VdeError({
    code: 'ENOENT',
    subject: name,
    cause: `no management socket in this directory, and no ${directory}.mgmt beside it`,
    remedy: 'start the switch with -M SOCKET, and name that socket',
  });
}

/** Text of a switch, which quotes its clients: it must not drive a terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, '?');
}
