/** What a console may do beside commanding the switch: only who could do it without the switch may have it done. */

import { type Caller, consoleError } from './command-table.js';

/**
 * Has files written, or code run, in the name of the switch's user: for that user, for root, and for who started the
 * switch. Others may be allowed to connect to a console, but own nothing here.
 * @throws VdeError EACCES for anybody else.
 */
export function requireOwner({ uid }: Caller): void {
  if (uid !== undefined && uid !== 0 && uid !== process.geteuid?.()) throw consoleError('EACCES');
}
