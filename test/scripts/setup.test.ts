import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { root } from '../support/bin.js';
import { run } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

test('set-up compiles what has changed, drops what is gone, and is quiet otherwise', async (t) => {
  const tree = tmpDir(t);
  for (const name of ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts']) {
    cpSync(join(root, name), join(tree, name), { recursive: true, preserveTimestamps: true });
  }
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
  mkdirSync(join(tree, 'src'));
  const source = (name: string): string => join(tree, 'src', name);
  const setup = () => run(process.execPath, [join(tree, 'scripts', 'setup.mjs')], { timeout: 60_000 });
  const value = async (): Promise<string> => {
    const script = `import(${JSON.stringify(join(tree, 'dist', 'a.js'))}).then(({ a }) => console.log(a))`;
    return (await run(process.execPath, ['-e', script])).stdout;
  };
  writeFileSync(source('a.ts'), 'export const a: number = 1;\n');
  writeFileSync(source('b.ts'), 'export const b = 1;\n');

  const both = await Promise.all([setup(), setup()]);
  assert.deepEqual(
    both.map(({ code }) => code),
    [0, 0],
  );
  assert.equal(both.filter(({ stderr }) => stderr.includes('compiling')).length, 1, 'one works, the other waits');
  assert.equal(await value(), '1\n');
  assert.deepEqual(await setup(), { code: 0, signal: null, stdout: '', stderr: '' });

  writeFileSync(source('a.ts'), 'export const a: number = 2;\n');
  rmSync(source('b.ts'));
  assert.equal((await setup()).code, 0);
  assert.equal(await value(), '2\n');
  assert.equal(existsSync(join(tree, 'dist', 'b.js')), false);

  rmSync(join(tree, 'dist'), { recursive: true });
  assert.equal((await setup()).code, 0);
  assert.equal(await value(), '2\n');

  writeFileSync(source('a.ts'), "export const a: number = 'x';\n");
  for (const attempt of ['first', 'again']) {
    const { code, stderr } = await setup();
    assert.equal(code, 1, attempt);
    assert.match(stderr, /src\/a\.ts[\s\S]*vde: .* failed: exit/);
  }
});
