/** Directories for tests: short, since an AF_UNIX path has 107 bytes, and removed with the test. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanup, type Owner } from './cleanup.js';

/** A fresh directory under os.tmpdir() for this test. */
export function tmpDir(t: Owner): string {
  const dir = mkdtempSync(join(tmpdir(), 'v-'));
  cleanup(t, () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
