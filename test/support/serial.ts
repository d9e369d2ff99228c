/** A serial line for tests: two pseudo terminals, joined by socat. Needs `socat`. */

import { join } from 'node:path';
import type { Owner } from './cleanup.js';
import { type Running, start } from './proc.js';
import { waitForFile } from './sockets.js';
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
  const line = start(t, 'socat', [`PTY,link=${a},raw,echo=0`, `PTY,link=${b},raw,echo=0`]);
  await Promise.all([waitForFile(a), waitForFile(b)]);
  return { a, b, process: line };
}
