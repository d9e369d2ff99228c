/** vdens of either make, for tests: run to its end, or started. */

import type { Owner } from './cleanup.js';
import { command, type Make } from './network.js';
import { requireTun, requireUserNamespaces, type Skippable } from './peers.js';
import { type Running, type RunOptions, type RunResult, run, type StartOptions, start } from './proc.js';

/** True if namespaces with interfaces can be made here. */
export function requireVdens(t: Skippable): boolean {
  return requireUserNamespaces(t) && requireTun(t);
}

/** Variables that vdens looks at, away. */
const CLEAN = { VDE_RESOLVCONF: undefined, VDE_RESOLVADDR: undefined };

/** Runs vdens to its end. */
export function vdens(make: Make, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return run(command(make, 'vdens'), args, { ...options, env: { ...CLEAN, ...options.env } });
}

/** Starts vdens; it ends with the test. */
export function startVdens(t: Owner, make: Make, args: readonly string[], options: StartOptions = {}): Running {
  return start(t, command(make, 'vdens'), args, { ...options, env: { ...CLEAN, ...options.env } });
}
