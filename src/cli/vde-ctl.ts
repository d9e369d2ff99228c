/** `vde ctl DIR|SOCKET [COMMAND...]`: one console command for scripts, or a terminal. */

import { openConsole } from '../console/client.js';
import { parseReply } from '../console/parse-reply.js';
import { complain } from './command.js';
import { consolePath, printable } from './console-path.js';
import { print } from './print.js';
import { runTerminal } from './vdeterm.js';

export interface CtlOptions {
  /** Says everything as one JSON object; the data as rows for the commands that list things, else as lines. */
  json?: boolean;
  /** Status 1 if a command from standard input has failed. */
  strict?: boolean;
}

/**
 * Carries a command out and prints its data; without one, it is a terminal. Returns the exit status: 1 if the console
 * refuses the command; of a terminal, or of commands from standard input, with `strict` only.
 * @param name of a management socket, or a switch's directory.
 */
export async function ctl(
  name: string,
  words: readonly string[],
  { json = false, strict }: CtlOptions,
): Promise<number> {
  const console = await openConsole(consolePath(name));
  if (words.length === 0) return runTerminal(console, strict);
  const line = words.join(' ');
  try {
    const { code, message, data } = await console.command(line);
    const failed = code !== 1000 && code !== 9999;
    if (json) {
      print(`${JSON.stringify({ code, message, data: parseReply(line, data) }, null, 2)}\n`);
    } else {
      print(data.map((text) => `${printable(text)}\n`).join(''));
      if (failed) complain(`${printable(line)}: ${printable(message)}`);
    }
    return failed ? 1 : 0;
  } finally {
    console.close();
  }
}
