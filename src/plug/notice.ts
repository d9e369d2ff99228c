/** What a user should be told about an end that was opened all the same. */

import type { OpenOptions } from './scheme.js';

/** Tells a line, without full stop: to who opened the end, or as a warning of the process if that does not listen. */
export function notice(options: OpenOptions, line: string): void {
  if (options.onNotice) options.onNotice(line);
  else process.emitWarning(line, 'VdeWarning');
}
