/**
 * Finding what a command has left running, even if it became a daemon: everything that a command starts inherits a
 * variable from it, which /proc/PID/environ shows.
 */

import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const VARIABLE = 'VDE_RUN_ID';

/** A variable for the environment of a command whose descendants are to be found again. */
export function mark() {
  return { [VARIABLE]: randomUUID() };
}

/** The processes that carry a mark: `{ pid, command }`. Zombies have no environment and don't count. */
export function marked(env) {
  const wanted = `${VARIABLE}=${env[VARIABLE]}`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && read(`/proc/${name}/environ`).split('\0').includes(wanted))
    .map((pid) => ({ pid: Number(pid), command: read(`/proc/${pid}/cmdline`).split('\0').join(' ').trim() }));
}

/**
 * Ends what carries the mark and returns what had to be ended. What is on its way out gets `grace` ms, since nobody
 * but its parent is told of the end of a process.
 */
export async function endMarked(env, grace = 10_000) {
  const deadline = Date.now() + grace;
  while (marked(env).length > 0 && Date.now() < deadline) await pause(20);
  const left = marked(env);
  for (const { pid } of left) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended just now.
    }
  }
  return left;
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
