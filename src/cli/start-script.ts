/** The file of console commands that a command begins with (reference: management console, "Start-up"). */

import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * The one that was named, else the user's own, else the machine's; undefined if there is none.
 * @param name of the command.
 */
export function findStartScript(named: string | undefined, name: string): string | undefined {
  const places = [join(homedir(), `.vde2/${name}.rc`), `/etc/vde2/${name}.rc`];
  return named ?? places.find(isReadable);
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
