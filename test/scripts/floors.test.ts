import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { root } from '../support/bin.js';
import { run } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

/** Runs the check on a tree of the given files. */
async function floors(
  t: TestContext,
  files: Record<string, string>,
): Promise<{ code: number | null; lines: string[] }> {
  const tree = tmpDir(t);
  const manifest = { dependencies: { koffi: '1', ws: '1', '@scope/dep': '1' }, devDependencies: { svelte: '1' } };
  for (const [name, text] of Object.entries({ 'package.json': JSON.stringify(manifest), ...files })) {
    mkdirSync(dirname(join(tree, name)), { recursive: true });
    writeFileSync(join(tree, name), text);
  }
  const { code, stderr } = await run(process.execPath, [join(root, 'scripts', 'floors.mjs'), tree]);
  return { code, lines: stderr.split('\n').filter((line) => line !== '') };
}

test('imports from below, from the own room and from dependencies are allowed', async (t) => {
  const { code, lines } = await floors(t, {
    'src/index.ts': "export * from './cli/main.js';\nexport { a } from './sys/a.js';\n",
    'src/sys/a.ts':
      "import koffi from 'koffi';\nimport './b.js';\nimport { readFileSync } from 'node:fs';\nimport net from 'net';\n",
    'src/switch/a.ts': "import type { Plug } from '../plug/plug.js';\nimport deep from '@scope/dep/deep.js';\n",
    'src/web/page/App.svelte': '<script lang="ts">\n  import { mount } from \'svelte\';\n</script>\n',
    'src/cli/main.ts': "const a = await import('../sys/a.js');\n",
    'bin/vde': "#!/usr/bin/env node\nrequire('../scripts/launch.cjs')('vde');\n",
  });
  assert.deepEqual(lines, []);
  assert.equal(code, 0);
});

test('each kind of import from above is reported with file and line', async (t) => {
  const { code, lines } = await floors(t, {
    'src/frame/a.ts': [
      '// the head',
      "import { b } from '../switch/b.js';",
      'import type {',
      '  C,',
      '  D,',
      "} from '../plug/c.js';",
      "export * as e from '../console/e.js';",
      "import '../lab/f.js';",
      "const g = await import('../web/g.js');",
      "type H = import('../cli/h.js').H;",
      "export { i, type I } from '../index.js';",
    ].join('\n'),
  });
  const rule = 'a room imports only from its own and from floors below';
  assert.deepEqual(lines, [
    `src/frame/a.ts:2: ../switch/b.js: src/frame/ is below src/switch/: ${rule}`,
    `src/frame/a.ts:6: ../plug/c.js: src/frame/ is below src/plug/: ${rule}`,
    `src/frame/a.ts:7: ../console/e.js: src/frame/ is below src/console/: ${rule}`,
    `src/frame/a.ts:8: ../lab/f.js: src/frame/ is below src/lab/: ${rule}`,
    `src/frame/a.ts:9: ../web/g.js: src/frame/ is below src/web/: ${rule}`,
    `src/frame/a.ts:10: ../cli/h.js: src/frame/ is below src/cli/: ${rule}`,
    'src/frame/a.ts:11: ../index.js: src/index.ts stands above all rooms',
  ]);
  assert.equal(code, 1);
});

test('koffi, strangers, the outside and unknown rooms are reported', async (t) => {
  const { lines } = await floors(t, {
    'bin/vde': "#!/usr/bin/env node\nimport fs from 'node:fs';\nimport '../dist/index.js';\n",
    'src/attic/a.ts': '',
    'src/cli/a.ts': "import koffi from 'koffi';\nimport { mount } from 'svelte';\nimport t from '../../test/t.js';\n",
    'src/cli/b.ts':
      "import { createRequire } from 'node:module';\nconst k = createRequire(import.meta.url)('x'), l = require('koffi');\n",
    'src/cli/c.ts': "import x from '../attic/a.js';\n",
    'src/util.ts': '',
  });
  const only =
    'src/ holds index.ts and the rooms sys, frame, plug, switch, console, wire, stack, gateway, crypto, netns, lab, web, cli only';
  assert.deepEqual(lines, [
    `src/attic/a.ts:1: ${only}`,
    'src/cli/a.ts:1: koffi: only src/sys/ imports koffi',
    'src/cli/a.ts:2: svelte: svelte is not among the dependencies in package.json',
    'src/cli/a.ts:3: ../../test/t.js: src/ imports only from src/ and from packages',
    'src/cli/b.ts:2: koffi: only src/sys/ imports koffi',
    'src/cli/c.ts:1: ../attic/a.js: there is no room src/attic/',
    `src/util.ts:1: ${only}`,
    'bin/vde:2: node:fs: bin/ imports only scripts/launch.cjs',
    'bin/vde:3: ../dist/index.js: bin/ imports only scripts/launch.cjs',
  ]);
});

test('what only looks like an import is not reported, and does not hide one', async (t) => {
  const { lines } = await floors(t, {
    'src/frame/a.ts': [
      "// import { a } from '../switch/a.js';",
      '/**',
      " * import { a } from '../switch/a.js';",
      ' */',
      'const help = `usage:',
      "import { a } from '../switch/a.js';",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: source text of a template
      "${[1].map((n) => { return `${n}// '`; }).join()}",
      "import { a } from '../switch/a.js';",
      '`;',
      "const url = 'http://example.net/*';",
      "import { b } from '../switch/b.js'; // and so on",
    ].join('\n'),
  });
  assert.equal(lines.length, 1);
  assert.match(lines[0], /^src\/frame\/a\.ts:11: \.\.\/switch\/b\.js: /);
});
