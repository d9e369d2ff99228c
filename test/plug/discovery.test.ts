import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { discoverScheme } from '../../src/plug/discovery.js';
import { listSchemes, openPlug } from '../../src/plug/registry.js';
import { VdeError } from '../../src/sys/errors.js';
import { bin } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { FrameStream, frame } from '../support/network.js';
import { run, start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

/** Without this the variable of whoever runs the tests would decide. */
const env: NodeJS.ProcessEnv = {};

/** The source of a scheme whose name is also its doc, unless something of it is replaced. */
const scheme = (name: string, replaced = ''): string => `
  const opened = { name: '${name}', syntax: 'ANYTHING', doc: '${name}', params: [],
    async open({ locator }) { throw new Error('opened ' + locator); }, ${replaced} };`;

/** Writes a package into `root/node_modules` (or `root` itself); returns its directory. */
function put(root: string, name: string, files: Record<string, string>, within = 'node_modules'): string {
  const dir = join(root, within, `vde-plug-${name}`);
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), text);
  }
  return dir;
}

const esm = (name: string, description: object = { type: 'module', exports: './x.js' }): Record<string, string> => ({
  'package.json': JSON.stringify({ name: `vde-plug-${name}`, ...description }),
  'x.js': `${scheme(name)} export default opened;`,
});

async function refusal(name: string, cwd: string): Promise<VdeError> {
  const error = await discoverScheme(name, { env, cwd }).then(
    (found) => assert.fail(`${name}: ${found?.name}`),
    (reason) => reason,
  );
  assert.ok(error instanceof VdeError, String(error));
  assert.match(error.message, new RegExp(`^${name}://: the package .*vde-plug-${name} `));
  assert.doesNotMatch(error.message, /\n/);
  return error;
}

test('a package of every form is found by name, from the working directory and those above it', async (t) => {
  const root = tmpDir(t);
  const forms: Record<string, object> = {
    f_string: { type: 'module', exports: './x.js' },
    f_conditions: { type: 'module', exports: { '.': { types: './x.d.ts', browser: './no.js', import: './x.js' } } },
    f_nested: { type: 'module', exports: { node: { default: './x.js' } } },
    f_list: { type: 'module', exports: [null, './x.js'] },
    f_main: { type: 'module', main: 'x.js' },
    f_short_main: { type: 'module', main: './x' },
  };
  for (const [name, description] of Object.entries(forms)) put(root, name, esm(name, description));
  put(root, 'f_common', { 'package.json': '{}', 'index.js': `${scheme('f_common')} module.exports = opened;` });
  const transpiled = `${scheme('f_transpiled')} exports.__esModule = true; exports.default = opened;`;
  put(root, 'f_transpiled', { 'package.json': '{"main":"lib"}', 'lib/index.js': transpiled });
  const cwd = join(root, 'a/b');
  mkdirSync(cwd, { recursive: true });
  for (const name of [...Object.keys(forms), 'f_common', 'f_transpiled']) {
    assert.equal((await discoverScheme(name, { env, cwd }))?.doc, name);
  }
  // Linked by `npm link`.
  symlinkSync(put(root, 'linked', esm('linked'), 'elsewhere'), join(root, 'node_modules/vde-plug-linked'));
  assert.equal((await discoverScheme('linked', { env, cwd }))?.name, 'linked');
});

test('VDE_PLUG_PATH names the only directories to look in, in its order', async (t) => {
  const root = tmpDir(t);
  put(root, 'p1', esm('p1'), 'first');
  put(root, 'p1', { 'package.json': 'broken' }, 'second');
  put(root, 'p2', esm('p2'), 'second');
  put(root, 'p3', esm('p3'));
  const VDE_PLUG_PATH = `${join(root, 'first')}::second`;
  const find = async (name: string): Promise<string | undefined> =>
    (await discoverScheme(name, { env: { VDE_PLUG_PATH }, cwd: root }))?.name;
  assert.deepEqual([await find('p1'), await find('p2'), await find('p3')], ['p1', 'p2', undefined]);
});

test('what is no package of a scheme is refused in one line that says what is wrong', async (t) => {
  const root = tmpDir(t);
  const module = (text: string): Record<string, string> => ({
    'package.json': '{"type":"module","exports":"./x.js"}',
    'x.js': text,
  });
  const cases: [name: string, files: Record<string, string>, pattern: RegExp][] = [
    ['c_json', { 'package.json': '{' }, /cannot be used: .*JSON/],
    ['c_null', { 'package.json': 'null' }, /cannot be used/],
    ['c_exports', { 'package.json': '{"exports":{"./other":"./x.js"}}' }, /names no file to import/],
    ['c_outside', { 'package.json': '{"exports":"/etc/passwd"}' }, /names no file to import/],
    ['c_missing', { 'package.json': '{"exports":"./none.js"}' }, /no such file/],
    ['c_main', { 'package.json': '{}' }, /Cannot find module/],
    ['c_syntax', module('export default {'), /cannot be used: Unexpected end/],
    ['c_throws', module('throw new Error("first line\\nsecond")'), /cannot be used: first line$/],
    ['c_throws_odd', module('throw null'), /cannot be used: null$/],
    ['c_nothing', module('export const a = 1;'), /its default export is no scheme/],
    ['c_function', module('export default () => {};'), /its default export is no scheme/],
    ['c_name', module(`${scheme('other')} export default opened;`), /its scheme is called "other", not "c_name"/],
    ['c_open', module(`${scheme('c_open', 'open: 3')} export default opened;`), /has no function "open"/],
    ['c_doc', module(`${scheme('c_doc', 'doc: undefined')} export default opened;`), /has no text "doc"/],
    ['c_params', module(`${scheme('c_params', 'params: [null]')} export default opened;`), /has no table "params"/],
  ];
  for (const [name, files, pattern] of cases) {
    put(root, name, files);
    const error = await refusal(name, root);
    assert.equal(error.code, 'ELIBBAD');
    assert.match(error.message, pattern);
  }
});

test('a package that others could have made is not run, unless it is named by VDE_PLUG_PATH', async (t) => {
  const root = tmpDir(t);
  for (const [name, file] of [
    ['w_dir', '.'],
    ['w_file', 'x.js'],
  ]) {
    chmodSync(join(put(root, name, esm(name)), file), 0o777);
    const error = await refusal(name, root);
    assert.equal(error.code, 'EACCES');
    assert.match(error.message, /others may write to it \(if you trust it, name .* with VDE_PLUG_PATH\)/);
    const env = { VDE_PLUG_PATH: join(root, 'node_modules') };
    assert.equal((await discoverScheme(name, { env, cwd: root }))?.name, name);
  }
});

test('a name that no package can have is not looked for', async (t) => {
  const root = tmpDir(t);
  put(root, 'UP', esm('UP'));
  put(root, 'x.y', esm('x.y'));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), fc.constantFrom('UP', 'x.y', '../x', '..', '', '@a/b')), async (name) => {
      assert.equal(await discoverScheme(name, { env, cwd: root }), undefined);
    }),
  );
});

test('openPlug finds, runs and keeps it: once, also for two at a time', async (t) => {
  const root = tmpDir(t);
  put(root, 'counted', {
    'package.json': '{"type":"module","exports":"./x.js"}',
    'x.js': `${scheme('counted')} globalThis.counted = (globalThis.counted ?? 0) + 1; export default opened;`,
  });
  const before = process.env.VDE_PLUG_PATH;
  process.env.VDE_PLUG_PATH = join(root, 'node_modules');
  t.after(() => {
    if (before === undefined) delete process.env.VDE_PLUG_PATH;
    else process.env.VDE_PLUG_PATH = before;
  });
  const opened = (locator: string): Promise<void> => assert.rejects(openPlug(locator), new RegExp(`opened ${locator}`));
  await Promise.all([opened('counted://a'), opened('counted://b'), opened('counted://c')]);
  assert.equal((globalThis as { counted?: number }).counted, 1);
  assert.ok((await listSchemes()).some(({ name }) => name === 'counted'));
  await assert.rejects(openPlug('neverheardof://x'), /an npm package vde-plug-neverheardof would add it\)$/);
});

test('vde_plug uses a scheme from a package beside it, also within another locator', async (t) => {
  leakCheck(t);
  const root = tmpDir(t);
  // An end that gives everything back.
  const echo = `export default { name: 'echo', syntax: '', doc: 'echo', params: [], async open({ locator }) {
    return { name: locator, maxFrame: 1514, takesOffloads: false, drops: { full: 0, oversize: 0, runt: 0, error: 0 },
      sink: undefined, receiving: true, backlogged: false, close() {}, timer: setInterval(() => {}, 1000),
      send(burst) { this.sink?.(burst); } };
  } };`;
  put(root, 'echo', { 'package.json': '{"type":"module","exports":"./x.js"}', 'x.js': echo });
  put(root, 'bad', { 'package.json': '{"type":"module","exports":"./x.js"}', 'x.js': 'export default 1' });
  for (const locator of ['echo://x', 'restart://{echo://x}']) {
    const stream = new FrameStream(start(t, bin('vde_plug'), [locator], { cwd: root }));
    stream.send(frame({ tag: 'hello' }));
    assert.deepEqual(await stream.receive('hello'), frame({ tag: 'hello' }));
    stream.process.kill();
    await stream.process.exited;
  }
  const { code, stderr } = await run(bin('vde_plug'), ['null://', 'bad://x'], { cwd: root });
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^vde_plug: bad:\/\/: the package .*vde-plug-bad cannot be used: its default export is no scheme\n$/,
  );
});
