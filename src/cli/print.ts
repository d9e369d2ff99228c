/** Standard output of a command that says much: all of it is written before it goes on. */

import { writeSync } from 'node:fs';

/**
 * Writes a text whole, also to a pipe that takes a part of it at a time.
 * @throws Error EPIPE if nobody reads it any more, which ends the command as anywhere.
 */
export function print(text: string, encoding: BufferEncoding = 'utf8'): void {
  const bytes = Buffer.from(text, encoding);
  for (let sent = 0; sent < bytes.length; ) sent += writeSync(1, bytes, sent);
}
