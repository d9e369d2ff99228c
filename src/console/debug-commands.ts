/** The `debug` menu: which messages a console wants to see (reference: management console, "debug"). */

import type { DebugCategories } from '../switch/debug.js';
import { type Caller, type ConsoleCommand, consoleError, type DebugSubscriptions, MENU } from './command-table.js';

export function debugCommands(categories: DebugCategories): ConsoleCommand[] {
  const matching = (prefix: string) => {
    const found = categories.list.filter(({ path }) => path.startsWith(prefix));
    if (found.length === 0) throw consoleError('EINVAL');
    return found;
  };
  return [
    { name: 'debug', syntax: MENU, help: 'DEBUG MENU' },
    {
      name: 'debug/list',
      syntax: '',
      help: 'list debug categories',
      data: true,
      run(prefix, out, caller) {
        const row = (path: string, tag: string, status: string, help: string) =>
          out.push(`${path.padEnd(22)} ${tag.padEnd(3)} ${status.padEnd(6)} ${help}`);
        row('CATEGORY', 'TAG', 'STATUS', 'HELP');
        row('------------', '---', '------', '----');
        const found = categories.list.filter(({ path }) => path.startsWith(prefix));
        for (const category of found) {
          const on = caller.debug?.has(category) ? 'ON' : 'OFF';
          row(category.path, category.tag.toString(8).padStart(3, '0'), on, category.help);
        }
        if (found.length === 0) throw consoleError('ENOENT');
      },
    },
    {
      name: 'debug/add',
      syntax: 'dbgpath',
      help: 'enable debug info for a given category',
      run(prefix, _, caller) {
        const debug = session(caller);
        const added = matching(prefix).filter((category) => debug.add(category));
        if (added.length === 0) throw consoleError('EEXIST');
      },
    },
    {
      name: 'debug/del',
      syntax: 'dbgpath',
      help: 'disable debug info for a given category',
      run(prefix, _, caller) {
        const debug = session(caller);
        const removed = matching(prefix).filter((category) => debug.delete(category));
        if (removed.length === 0) throw consoleError('ENOENT');
      },
    },
  ];
}

/** @throws VdeError EBADF where no session is. */
function session({ debug }: Caller): DebugSubscriptions {
  if (debug === undefined) throw consoleError('EBADF');
  return debug;
}
