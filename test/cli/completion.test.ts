/** Completion scripts: the shells take them, and they complete. */

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { SHELLS } from '../../src/cli/completion.js';
import { bin } from '../support/bin.js';
import { which } from '../support/peers.js';
import { run } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

for (const shell of SHELLS) {
  test(`the script for ${shell} is good ${shell}`, async (t) => {
    const { code, stdout, stderr } = await run(bin('vde'), ['completion', shell]);
    assert.deepEqual([code, stderr], [0, '']);
    for (const word of ['vde_plug2tap', 'completion', 'nowrapnoclean', 'vxvde://']) assert.ok(stdout.includes(word));
    if (which(shell) === undefined) return;
    const path = join(tmpDir(t), 'script');
    writeFileSync(path, stdout);
    const parsed = await run(shell, ['-n', path]);
    assert.deepEqual([parsed.code, parsed.stderr], [0, '']);
  });
}

const cases: [line: string, some: string[], none: string[]][] = [
  ['dpipe --no', ['--nowrapproc', '--nowrapnoclean'], ['--daemon']],
  ['dpipe --pidfile da', ['data file'], ['date']],
  ['dpipe dat', ['date'], ['data file']],
  ['vde_switch -sock da', ['data file'], []],
  ['vde_switch -m ', [], ['data file']],
  ['vde ', ['start', 'ctl', 'man', 'completion'], ['data file']],
  ['vde completion z', ['zsh'], ['bash']],
  ['vde man vde_sw', ['vde_switch'], ['vde_plug']],
  ['vde top --', ['--once', '--interval'], []],
  ['vdens ta', ['tap://'], ['vde://']],
  ['/usr/bin/vdens --m', ['--multi', '--mac', '--mtu'], []],
  ['vde_plug2tap l', ['lo'], []],
  ['vde_plug --group=roo', ['root'], []],
  ['vde_tunctl -u roo', ['root'], []],
];

test('bash completes options, values by their kind, and operands', async (t) => {
  const dir = tmpDir(t);
  mkdirSync(join(dir, 'work'));
  writeFileSync(join(dir, 'script'), (await run(bin('vde'), ['completion', 'bash'])).stdout);
  writeFileSync(join(dir, 'work', 'data file'), '');
  for (const [line, some, none] of cases) {
    // As readline has it: = is a word of its own.
    const words = line.replace('=', ' = ').split(' ');
    const call = `. ../script; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vde; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = await run('bash', ['-c', call, 'bash', ...words], { cwd: join(dir, 'work') });
    assert.equal(stderr, '', line);
    const found = stdout.split('\n');
    for (const word of some) assert.ok(found.includes(word), `${line}: ${word} in ${found}`);
    for (const word of none) assert.ok(!found.includes(word), `${line}: ${word} in ${found}`);
  }
});
