/** A serial line for tests: two pseudo terminals, joined by socat. Needs `socat`. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Owner } from './cleanup.js';
import { type Running, start } from './proc.js';
import { waitUntil } from './sockets.js';
import { tmpDir } from './tmp.js';

export interface SerialLine {
  /** The paths of its two ends. */
  readonly a: string;
  readonly b: string;
  readonly process: Running;
}

/** Lays a line that ends with the test. */
export async function serialLine(t: Owner): Promise<SerialLine> {
  const dir = tmpDir(t);
  const [a, b] = [join(dir, 'a'), join(dir, 'b')];
  const process = await startSocat(t, dir, [`PTY,link=${a},raw,echo=0`, `PTY,link=${b},raw,echo=0`]);
  return { a, b, process };
}

/** Starts socat and waits until it passes bytes on: a terminal's link is there before its settings are made. */
export async function startSocat(t: Owner, dir: string, addresses: readonly string[]): Promise<Running> {
  const log = join(dir, 'socat.log');
  const socat = start(t, 'socat', ['-d', '-d', '-lf', log, ...addresses]);
  const begun = (): boolean => existsSync(log) && readFileSync(log, 'utf8').includes('starting data transfer loop');
  await waitUntil(log, 'sign of bytes being passed on', begun);
  return socat;
}
