/** The page on managing a switch: its scripts are carried out without an error, its plugin is one. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { runStartScript } from '../src/console/script.js';
import { switchConsole } from '../src/console/switch-commands.js';
import { SwitchService } from '../src/switch/service.js';
import { loop } from '../src/sys/loop.js';
import { answer, data } from './console/tables.js';
import { root } from './support/bin.js';
import { cleanup, type Owner } from './support/cleanup.js';
import { tmpDir } from './support/tmp.js';
import { BROADCAST, frame, MemoryPlug, station } from './switch/memory-plug.js';

const page = readFileSync(join(root, 'docs/switch.md'), 'utf8');

function managed(t: Owner) {
  loop();
  const dir = tmpDir(t);
  const service = new SwitchService(join(dir, 'sw'));
  const target = {
    version: '0',
    service,
    mac: new Uint8Array(6),
    hashSize: 128,
    management: undefined,
    shutdown: () => {},
  };
  const { table, plugins } = switchConsole(target);
  cleanup(t, () => {
    plugins.close();
    service.close();
  });
  return { dir, service, table };
}

test('the scripts of the page are carried out', (t) => {
  const blocks = page.split(/^```/m).filter((_, index) => index % 2 === 1);
  const scripts = blocks
    .flatMap((text) => text.trim().split(/\n\n/))
    .filter((text) => /^(#.*\n)?(vlan|port)\//.test(text));
  assert.equal(scripts.length, 4);
  for (const script of scripts) {
    const { dir, table } = managed(t);
    writeFileSync(join(dir, 'rc'), script);
    assert.deepEqual(runStartScript(table, join(dir, 'rc')), []);
  }
});

test('the commands that the page names are there', (t) => {
  const { table } = managed(t);
  const names = table().map(({ name }) => name);
  for (const [, name] of page.matchAll(/`((?:port|vlan|fstp|rstp|plugin|debug)\/\w+)/g))
    assert.ok(names.includes(name), name);
});

test('the plugin of the page counts', (t) => {
  const { dir, service, table } = managed(t);
  const [, text] = /```js\n([\s\S]*?)```/.exec(page) ?? [];
  writeFileSync(join(dir, 'count.mjs'), text ?? '');
  assert.deepEqual(answer(table(), `plugin/add ${dir}/count.mjs`), ['1000 Success']);
  const plug = new MemoryPlug();
  service.switch.attach(plug, { id: 5, module: 'memory', user: -1 });
  plug.receive(frame(BROADCAST, station(1)));
  assert.deepEqual(data(table(), 'count/show'), ['1 frames']);
});
