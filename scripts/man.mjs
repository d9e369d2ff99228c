/** Writes man/NAME.1 for every command, from the tables that their options are read by: for the package, or into a directory. */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, setup } from './setup.mjs';

setup();
const { umbrella } = await import('../dist/cli/vde.js');
const { manPages } = await import('../dist/cli/vde-man.js');
const own = join(root, 'man');
const directory = process.argv[2] ?? own;
if (directory === own) rmSync(own, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
for (const [name, source] of await manPages(umbrella(() => {}))) writeFileSync(join(directory, `${name}.1`), source);
// The loop of the data path would keep the process.
process.exit(0);
