/** `cmd://` of either make: the same arguments, and the same frames from the command of the other make. */

import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { command, frame, greet, MAKES, openEnd, startSwitch, waitForClients } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

const PEERS = ['/usr/bin/vde_switch', '/usr/bin/vde_plug'];

test('words become the same arguments as in C', async (t) => {
  if (!requirePeer(t, ...PEERS)) return;
  leakCheck(t);
  const root = tmpDir(t);
  const script = join(root, 'say');
  for (const words of [
    'a b  c',
    `'a b' "c d"`,
    `a'b c'd"e f"g`,
    `'' ""`,
    'a\\ b \\\\ \\\' \\"',
    `"it's" 'say "x"'`,
    '* ? ~ ~/x {a,b}',
    'a|b > c < d & `e` (f) # g',
    `'$HOME' "$HOME"`,
    `'a;b' c`,
    'a b ;',
    '%41 [x] {y}',
    'äöü  €',
  ]) {
    const said: string[] = [];
    for (const make of MAKES) {
      const file = join(root, make);
      writeFileSync(script, `#!/bin/sh\nprintf '<%s>' "$@" >${file}\n`);
      chmodSync(script, 0o700);
      const { code } = await run(command(make, 'vde_plug'), ['null://', `cmd://${script} ${words}`]);
      assert.equal(code, 0);
      said.push(readFileSync(file, 'utf8'));
    }
    assert.equal(said[0], said[1], words);
  }
});

/** An ssh that needs no other machine: it hands the words of its command to a shell, as sshd does. */
function standIn(t: Owner): Record<string, string> {
  const dir = tmpDir(t);
  writeFileSync(join(dir, 'ssh'), '#!/bin/sh\n[ "$1" = host ] || exit 255\nshift\nexec sh -c "$*"\n');
  chmodSync(join(dir, 'ssh'), 0o700);
  return { PATH: `${dir}:${process.env.PATH}` };
}

for (const [near, far] of [
  ['ours', 'ours'],
  ['ours', 'debian'],
  ['debian', 'ours'],
] as const) {
  test(`two switches joined by vde_plug (${near}) cmd://ssh host vde_plug (${far})`, async (t) => {
    if (!requirePeer(t, ...PEERS)) return;
    leakCheck(t);
    const [first, second] = [await startSwitch(t, 'ours'), await startSwitch(t, 'ours')];
    const cable = start(
      t,
      command(near, 'vde_plug'),
      [`vde://${first.dir}`, `cmd://ssh host ${command(far, 'vde_plug')} vde://${second.dir}`],
      { env: standIn(t) },
    );
    const [a, b] = [await openEnd(t, first.dir), await openEnd(t, second.dir)];
    await Promise.all([waitForClients(first.dir, 2), waitForClients(second.dir, 2)]);
    await greet(a, b);
    for (const size of [60, 1000, 1514]) {
      a.send(frame({ tag: `there ${size}`, size, source: 1 }));
      assert.deepEqual(await b.receive(`there ${size}`), frame({ tag: `there ${size}`, size, source: 1 }));
      b.send(frame({ tag: `back ${size}`, size, source: 2 }));
      assert.deepEqual(await a.receive(`back ${size}`), frame({ tag: `back ${size}`, size, source: 2 }));
    }
    // The far switch goes; so does the command, and then the cable.
    second.process.kill();
    assert.deepEqual(await cable.exited, { code: 0, signal: null });
    if (near === 'ours')
      assert.match(cable.stderr, /vde_plug: cmd:\/\/ssh host .*: the command has ended with status 0\n$/);
    await waitForClients(first.dir, 1);
  });
}
