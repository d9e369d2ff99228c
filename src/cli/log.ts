/** Where a command that may be a daemon says what happens: on standard error, or in the system's log. */

import { openSyslog } from '../sys/syslog.js';
import { complain } from './command.js';

/**
 * The log of a command.
 * @param background whether it is a daemon: there is no terminal to speak to then.
 * @param ident what the system's log calls it.
 */
export function openLog(background: boolean, ident: string): (line: string) => void {
  if (!background) return complain;
  const syslog = openSyslog({ ident });
  return (line) => syslog.log(line);
}
