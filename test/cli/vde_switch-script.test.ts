/** Start scripts of `vde_switch`: which file is run, when, and what is said of its mistakes. */

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { managedSwitch, type openRawConsole } from '../console/raw-console.js';
import { debian } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { MAKES } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { run } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

async function portNumbers(session: Awaited<ReturnType<typeof openRawConsole>>): Promise<string[]> {
  return (await session.data('port/allprint'))
    .filter((line) => line.startsWith('Port'))
    .map((line) => line.slice(5, 9));
}

test('a script is run at the start: what can be done is, as with C', async (t) => {
  if (!requirePeer(t, debian('vde_switch'))) return;
  leakCheck(t);
  const script = join(tmpDir(t), 'rc');
  const lines = [
    '# a comment',
    '',
    'port/create 3',
    'port/create 3',
    '  vlan/create 5',
    'port/setvlan 3 5',
    'debug/add port',
  ];
  writeFileSync(script, [...lines, `load ${script}`, 'logout', 'shutdown', 'nosuch', 'port/create 4'].join('\n'));
  const shown = [];
  for (const make of MAKES) {
    const { console: session, process } = await managedSwitch(t, make, ['-f', script]);
    shown.push([
      await session.ask('port/allprint'),
      await session.ask('vlan/allprint'),
      await session.ask('debug/list port'),
    ]);
    if (make === 'debian') continue;
    const said = process.stderr.split('\n').slice(0, -1);
    assert.deepEqual(said, [
      `vde_switch: ${script}:4: port/create 3: 1017 File exists`,
      `vde_switch: ${script}:7: debug/add port: 1009 Bad file descriptor`,
      `vde_switch: ${script}:8: load ${script}: 1009 Bad file descriptor`,
      `vde_switch: ${script}:11: nosuch: 1038 Function not implemented`,
    ]);
  }
  const [ours, theirs] = shown;
  assert.deepEqual(ours, theirs);
});

test("without -f the user's own script is run, with -f only that one", async (t) => {
  if (!requirePeer(t, debian('vde_switch'))) return;
  leakCheck(t);
  const home = tmpDir(t);
  mkdirSync(join(home, '.vde2'));
  writeFileSync(join(home, '.vde2/vde_switch.rc'), 'port/create 17\n');
  const other = join(home, 'other');
  writeFileSync(other, 'port/create 18\n');
  for (const make of MAKES) {
    const env = { HOME: home };
    assert.deepEqual(await portNumbers((await managedSwitch(t, make, [], { env })).console), ['0017'], make);
    assert.deepEqual(await portNumbers((await managedSwitch(t, make, ['-f', other], { env })).console), ['0018'], make);
  }
});

test('a script that is not there or no script is said, and the switch runs, as with C', async (t) => {
  leakCheck(t);
  const dir = tmpDir(t);
  for (const [path, reason] of [
    [join(dir, 'nosuch'), /nosuch: No such file or directory/],
    [dir, /Is a directory/],
    ['/dev/zero', /Invalid argument/],
  ] as const) {
    const { console: session, process } = await managedSwitch(t, 'ours', ['-f', path]);
    assert.deepEqual(await portNumbers(session), []);
    assert.match(process.stderr, reason);
    assert.match(process.stderr, /^vde_switch: start script: [^\n]+\n$/);
  }
});

test('a script that cannot be read with the rights of who asks is not shown to them', async (t) => {
  if (process.geteuid?.() !== 0) return t.skip('needs root');
  if (!requirePeer(t, 'setpriv', 'socat')) return;
  const dir = tmpDir(t);
  const [secret, open] = [join(dir, 'secret'), join(dir, 'open')];
  writeFileSync(secret, 'my-password', { mode: 0o600 });
  writeFileSync(open, '# to be read by all', { mode: 0o644 });
  const { path, console: session } = await managedSwitch(t, 'ours', ['--mgmtmode', '666']);
  await run('chmod', ['755', dir, join(path, '..')]);
  const input = `load ${secret}\nload ${open}\nlogout\n`;
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups', 'socat', '-t', '30', '-', `UNIX-CONNECT:${path}`];
  const { stdout } = await run('setpriv', user, { input });
  assert.match(stdout, /1013 Permission denied\n\nvde\$ vde\[.*open\]: # to be read by all\n1000 Success/);
  assert.equal(stdout.includes('my-password'), false);
  assert.match(await session.ask(`load ${secret}`), /my-password/);
});

test('a script that loads itself ends, and one too large is refused', async (t) => {
  const dir = tmpDir(t);
  const [loop, large] = [join(dir, 'loop'), join(dir, 'large')];
  writeFileSync(loop, `load ${loop}\n`);
  writeFileSync(large, '#'.repeat((1 << 20) + 1));
  const { console: session } = await managedSwitch(t);
  const text = await session.ask(`load ${loop}`);
  assert.equal(text.match(/^vde\[/gm)?.length, 8);
  assert.match(text, /1040 Too many levels of symbolic links\n(1000 Success\n){8}$/);
  assert.equal(await session.ask(`load ${large}`), '1027 File too large\n');
  assert.equal(await session.ask(`load ${dir}`), '1021 Is a directory\n');
});
