/** What holds for all examples: they are listed, they clean up when they fail or are stopped. */

import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { root } from '../support/bin.js';
import { requireLab, startExample } from '../support/example.js';
import { tmpDir } from '../support/tmp.js';

const dir = join(root, 'examples');
const scripts = readdirSync(dir).filter((name) => name.endsWith('.sh') && name !== 'lab.sh');

test('each example can be run, is listed in the README and is run by a test', () => {
  const listed = [...readFileSync(join(dir, 'README.md'), 'utf8').matchAll(/^\| \[(\S+\.sh)\]\(\1\) \|/gm)];
  assert.deepEqual(listed.map((match) => match[1]).sort(), scripts.sort());
  const tests = ['namespaces', 'functions', 'clouds'].map((name) =>
    readFileSync(join(root, 'test', 'examples', `${name}.test.ts`), 'utf8'),
  );
  for (const name of scripts) {
    assert.ok((statSync(join(dir, name)).mode & 0o111) !== 0, `${name} is not executable`);
    assert.ok(tests.join().includes(`runExample(t, '${name.slice(0, -3)}'`), `${name} is not run`);
  }
});

test('an example that fails ends with status 1 at the step that failed, and leaves nothing', async (t) => {
  if (!requireLab(t)) return;
  const commands = tmpDir(t);
  writeFileSync(join(commands, 'ping'), '#!/bin/sh\necho no ping today\nexit 1\n');
  chmodSync(join(commands, 'ping'), 0o755);
  chmodSync(commands, 0o755);
  const output = await startExample(t, 'router', { commands }).done(1);
  assert.match(output, /left# ping -c 3 -i 0\.2 10\.0\.2\.2\nno ping today\n$/);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`an example that gets ${signal} ends and leaves nothing`, async (t) => {
    if (!requireLab(t)) return;
    const example = startExample(t, 'router');
    await example.process.waitFor('left# ping');
    example.process.kill(signal);
    await example.done(1);
  });
}
