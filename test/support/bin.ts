/** Where the commands under test and their C peers are. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the tree under test. */
export const root = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');

/** The absolute path of one of this project's commands, e.g. `bin('vde_switch')`. */
export function bin(name: string): string {
  return join(root, 'bin', name);
}

/** The absolute path of Debian's command of that name, e.g. `debian('vde_switch')`, whatever PATH says. */
export function debian(name: string): string {
  const sbin = join('/usr/sbin', name);
  return existsSync(sbin) ? sbin : join('/usr/bin', name);
}
