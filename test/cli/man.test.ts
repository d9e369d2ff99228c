/** Manual pages: made from the option tables, and good roff. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { options as vdensOptions } from '../../src/cli/vdens-options.js';
import { bin, root } from '../support/bin.js';
import { requirePeer, which } from '../support/peers.js';
import { run } from '../support/proc.js';
import { pty } from '../support/pty.js';
import { tmpDir } from '../support/tmp.js';

const { bin: bins } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const names = Object.keys(bins).sort();

/** A page as text in lines of any length, with single blanks; a warning fails the test. */
async function formatted(path: string): Promise<string> {
  const { code, stdout, stderr } = await run('groff', [
    '-man',
    '-Tutf8',
    '-ww',
    '-P-cbou',
    '-rLL=1000n',
    '-rHY=0',
    path,
  ]);
  assert.deepEqual([code, stderr], [0, ''], path);
  return stdout.replace(/ +/g, ' ');
}

test('the package gets a page for every command, and each is formatted without a warning', async (t) => {
  const directory = tmpDir(t);
  const { code, stderr } = await run(process.execPath, [join(root, 'scripts/man.mjs'), directory]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(
    readdirSync(directory).sort(),
    names.map((name) => `${name}.1`),
  );
  if (which('groff') === undefined) return;
  for (const name of names) {
    const text = await formatted(join(directory, `${name}.1`));
    assert.match(text, new RegExp(`^NAME\\n ${name} - \\S`, 'm'));
    assert.match(text, new RegExp(`^SYNOPSIS\\n ${name} `, 'm'));
  }
});

test('a page has every option with its value and help, and locators where they are taken', async (t) => {
  if (which('groff') === undefined) return;
  const directory = tmpDir(t);
  const pageOf = async (name: string) => {
    const path = join(directory, name);
    writeFileSync(path, (await run(bin('vde'), ['man', name])).stdout);
    return formatted(path);
  };
  const vdens = await pageOf('vdens');
  for (const { short, long = [], metavar = '', help } of vdensOptions) {
    assert.ok(vdens.includes(help), help);
    assert.match(vdens, new RegExp(`^ ${short ? `-${short}, ` : ''}--${long[0]}\\b`, 'm'));
    assert.ok(vdens.includes(metavar));
  }
  assert.match(vdens, /^ --dhcp\[=IFACE\]/m);
  assert.match(
    vdens,
    /^LOCATORS\n[\s\S]*^ tap:\/\/INTERFACE\[PARAMETERS\]\n[\s\S]*^ longest frame: the interface's MTU/m,
  );
  assert.match(vdens, /^SEE ALSO\n[\s\S]*vde_switch\(1\)/m);
  const vde = await pageOf('vde');
  assert.match(vde, /^ vde top [^\n]*\n[\s\S]*^ -n, --interval SECONDS$/m);
  const dpipe = await pageOf('dpipe');
  assert.match(dpipe, /write \\= for one that is not/, 'a backslash is a backslash');
});

test('without a name the commands are listed; on a terminal man(1) shows the page', async (t) => {
  const { code, stdout } = await run(bin('vde'), ['man']);
  assert.equal(code, 0);
  assert.deepEqual(stdout.match(/^\S+/gm)?.sort(), names);
  if (which('man') === undefined || !requirePeer(t, 'socat')) return;
  const env = { MANPAGER: 'cat', PAGER: 'cat', TERM: 'dumb' };
  const { screen } = await pty(t, bin('vde'), ['man', 'dpipe'], { on: ['stdin', 'stdout'], env });
  await screen.waitFor(/DPIPE\(1\)/);
});
