/** The page for authors of schemes: its program works, with nothing but what the library exports. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { pathToFileURL } from 'node:url';
import { root } from './support/bin.js';
import { run } from './support/proc.js';
import { tmpDir } from './support/tmp.js';

test('the scheme of the page opens, reads its parameter, and gives frames back', async (t) => {
  const page = readFileSync(join(root, 'docs/schemes.md'), 'utf8');
  const [, program] = /```ts\n([\s\S]*?)```/.exec(page) ?? [];
  assert.ok(program);
  const library = JSON.stringify(pathToFileURL(join(root, 'src/index.ts')).href);
  const file = join(tmpDir(t), 'page.mts');
  const use = `
let count = 0;
end.on('frame', (frame) => { console.log(frame.length); if (++count === 2) end.close(); });
end.send(new Uint8Array(60));
const refused = await open('echo:///copies=11').catch((error) => error.message);
console.log(refused);
`;
  writeFileSync(file, program.replace("'vde'", library) + use);
  const { code, stdout, stderr } = await run(process.execPath, ['--import', 'tsx', file], { cwd: root });
  assert.equal(code, 0, stderr);
  assert.deepEqual(stdout.trim().split('\n').sort(), [
    '60',
    '60',
    'echo:///copies=11: parameter "copies": "11" is out of range at character 9 (0 to 10)',
  ]);
});
