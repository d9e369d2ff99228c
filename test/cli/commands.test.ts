/** What all commands have in common: they say what they are, and what was wrong with their options in one line. */

import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin, root } from '../support/bin.js';
import { run } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

const { bin: bins, man, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const names = Object.keys(bins).sort();
/** What follows the name is QEMU's, or goes to it. */
const QEMU = ['vdekvm', 'vdeqemu'];
/** Statuses of an unknown option, other than 1, and of `--help`, other than 0: those of C's programs. */
const UNKNOWN: Record<string, number> = {
  ...{ unixcmd: 255, unixterm: 255, vde_autolink: 255, vde_pcapplug: 255, vde_plug: 255, vde_plug2tap: 255 },
  ...{ vdecmd: 255, vdeq: 255, vdeterm: 255 },
};
const HELP: Record<string, number> = {
  ...{ unixcmd: 255, vdecmd: 255, vde_autolink: 255, vde_pcapplug: 255, vde_plug: 255, vde_plug2tap: 255 },
  ...{ vde_switch: 1, vde_tunctl: 1, vdens: 1 },
};

test('the package names every launcher, and a manual page for each', () => {
  const launchers = readdirSync(join(root, 'bin')).filter((name) => name !== 'package.json');
  assert.deepEqual(names, launchers.sort());
  assert.deepEqual(
    man,
    names.map((name) => `man/${name}.1`),
  );
});

test('in a checkout that is not built each says so in one line', async (t) => {
  const checkout = tmpDir(t);
  for (const place of ['bin', 'scripts']) cpSync(join(root, place), join(checkout, place), { recursive: true });
  for (const name of names) {
    const { code, stdout, stderr } = await run(join(checkout, 'bin', name), []);
    const line = `${name}: not built yet (run: node ${join(checkout, 'scripts/setup.mjs')})\n`;
    assert.deepEqual([code, stdout, stderr], [1, '', line]);
  }
});

for (const name of names) {
  if (!QEMU.includes(name)) {
    test(`${name} says in one line that it does not know an option`, async () => {
      const { code, stdout, stderr } = await run(bin(name), ['--no-such-thing']);
      assert.deepEqual([code, stdout], [UNKNOWN[name] ?? 1, '']);
      assert.match(stderr, new RegExp(`^${name}: [^\\n]*--no-such-thing[^\\n]*\\n$`));
      assert.match(stderr, /unknown option/);
    });

    test(`${name} --version says which one it is`, async () => {
      const { code, stdout, stderr } = await run(bin(name), ['--version']);
      assert.deepEqual([code, stderr], [0, '']);
      assert.ok(stdout.split('\n')[0].endsWith(version), stdout);
    });
  }

  test(`${name} --help begins with how it is used`, async () => {
    const { code, stdout, stderr } = await run(bin(name), ['--help']);
    assert.equal(code, HELP[name] ?? 0);
    const text = stderr === '' ? stdout : stderr;
    assert.ok(text.startsWith(`Usage: ${name} `), text);
    assert.doesNotMatch(text, /\n {4}at /);
  });
}

test('vde tells a wrong subcommand or argument in one line too', async () => {
  for (const [args, told] of [
    [['nothing'], /unknown command 'nothing'/],
    [['stat'], /unknown command 'stat' \(Did you mean start\?\)/],
    [['top'], /missing required argument 'switch'/],
    [['top', '--onc', 'x'], /unknown option '--onc' \(Did you mean --once\?\)/],
    [['completion', 'tcsh'], /'tcsh' is invalid[^\n]* bash, zsh, fish/],
    [['man', 'dpip'], /no such command \(did you mean dpipe\?\)/],
  ] as const) {
    const { code, stdout, stderr } = await run(bin('vde'), args);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, told);
    assert.match(stderr, /^vde: [^\n]*\n$/);
  }
});
