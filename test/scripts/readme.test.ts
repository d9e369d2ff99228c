import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { root } from '../support/bin.js';
import { type RunResult, run, waitForExit } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

/** Runs the examples of a Markdown text. */
function examples(t: TestContext, markdown: string): Promise<RunResult> {
  const file = join(tmpDir(t), 'README.md');
  writeFileSync(file, markdown);
  return run(process.execPath, [join(root, 'scripts', 'readme.mjs'), file], { timeout: 90_000 });
}

function block(info: string, text: string): string {
  return `\`\`\`${info}\n${text}\n\`\`\`\n`;
}

test('examples that work pass; blocks that are not marked are not run', async (t) => {
  const shell = block('sh example', `test "$(ls -A | wc -l)" = 0 && case "$PATH" in ${root}/bin:*) ;; *) exit 1; esac`);
  const script = block('js example', "import.meta.resolve('vde').endsWith('/dist/index.js') || process.exit(1);");
  const typed = block('ts example', "const path: string = import.meta.resolve('vde');\nif (!path) throw path;");
  const { code, stderr } = await examples(t, `# Title\n\n${shell}\n${script}\n${typed}\n${block('sh', 'exit 1')}`);
  assert.match(stderr, /3 examples of .*README\.md work/);
  assert.equal(code, 0);
});

test('a failing example is shown with its line and its output; the next still run', async (t) => {
  const { code, stderr } = await examples(
    t,
    `text\n\n${block('sh example', 'echo before\nfalse\necho after')}${block('js example', "console.log('x'); process.exit(7);")}`,
  );
  assert.match(
    stderr,
    /README\.md:3: an example failed: ended with 1\necho before\nfalse\necho after\n--- its output:\nbefore\n/,
  );
  assert.match(stderr, /README\.md:8: an example failed: ended with 7/);
  assert.equal(code, 1);
});

test('what an example leaves running is ended and reported, even a daemon', async (t) => {
  const text = 'sleep 60 &\nsetsid sleep 61 >/dev/null 2>&1 </dev/null &\necho begun';
  const { code, stderr } = await examples(t, block('sh example', text));
  const left = [...stderr.matchAll(/left running: (\d+) (sleep \d+)/g)];
  assert.deepEqual(left.map((match) => match[2]).sort(), ['sleep 60', 'sleep 61']);
  for (const [, pid] of left) await waitForExit(Number(pid));
  assert.match(stderr, /begun/);
  assert.equal(code, 1);
});

test('a README without examples is a failure', async (t) => {
  const { code, stderr } = await examples(t, block('sh', 'true'));
  assert.match(stderr, /README\.md has no block marked as an example/);
  assert.equal(code, 1);
});
