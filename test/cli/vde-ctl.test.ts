/** `vde ctl` and `vde top` as a user meets them. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { bin } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { frame, greet, plugStream, startSwitch } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { pty } from '../support/pty.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const VDE = bin('vde');

/** A switch whose management socket is beside its directory. */
async function managed(t: Owner) {
  const dir = join(tmpDir(t), 'sw');
  const { process } = await startSwitch(t, 'ours', ['-s', dir, '-M', `${dir}.mgmt`]);
  await waitForSocket(`${dir}.mgmt`);
  return { dir, process };
}

test('a command by the directory or by the socket: data on standard output, status by the result', async (t) => {
  leakCheck(t);
  const { dir } = await managed(t);
  for (const name of [dir, `${dir}.mgmt`]) {
    const { code, stdout } = await run(VDE, ['ctl', name, 'port/showinfo']);
    assert.equal(code, 0);
    assert.match(stdout, /^Numports=32\nHUB=false\n/);
  }
  assert.deepEqual(await run(VDE, ['ctl', dir, 'vlan/create', '5']), { code: 0, signal: null, stdout: '', stderr: '' });
  const again = await run(VDE, ['ctl', dir, 'vlan/create 5']);
  assert.deepEqual([again.code, again.stdout, again.stderr], [1, '', 'vde: vlan/create 5: File exists\n']);
  assert.equal((await run(VDE, ['ctl', dir, 'vlan/create', '-1'])).stderr, 'vde: vlan/create -1: Invalid argument\n');
});

test('--json has rows for what lists things, and the result of what fails', async (t) => {
  leakCheck(t);
  const { dir } = await managed(t);
  await plugStream(t, 'ours', dir, { args: ['-D', 'station'] });
  const { stdout } = await run(VDE, ['ctl', dir, 'port/print', '--json']);
  const { code, message, data } = JSON.parse(stdout);
  assert.deepEqual([code, message, data.length], [1000, 'Success', 1]);
  assert.deepEqual([data[0].port, data[0].active, data[0].endpoints.length], [1, true, 1]);
  assert.match(data[0].endpoints[0].description, /^station user=/);
  const failed = await run(VDE, ['ctl', '--json', dir, 'nosuch']);
  assert.deepEqual(
    [failed.code, JSON.parse(failed.stdout)],
    [1, { code: 1038, message: 'Function not implemented', data: [] }],
  );
});

test('without a command, lines of standard input are carried out', async (t) => {
  leakCheck(t);
  const { dir } = await managed(t);
  const { code, stdout } = await run(VDE, ['ctl', dir], { input: 'port/create 9\nport/create 9\n' });
  assert.equal(code, 0);
  assert.match(stdout, /\]: Success\nvde\[[^\n]*\]: File exists\n/);
  for (const [input, status] of [
    ['# a comment\n\nport/create 10\nport/allprint\n', 0],
    ['port/create 10\nport/create 11\n', 1],
    ['port/create 11\nlogout\n', 1],
    ['port/create 12\nlogout\n', 0],
  ] as const) {
    assert.equal((await run(VDE, ['ctl', dir, '--strict'], { input })).code, status, input);
  }
  assert.match(
    (await run(VDE, ['ctl', '--help'])).stdout,
    /--strict +status 1 if a command on standard input has failed/,
  );
});

test('a switch without a console, or none at all, is said in one line', async (t) => {
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  for (const [name, pattern] of [
    [dir, /no management socket in this directory.*start the switch with -M/],
    [join(dir, 'nosuch'), /No such file or directory/],
  ] as const) {
    for (const command of ['ctl', 'top']) {
      const { code, stdout, stderr } = await run(VDE, [command, name, ...(command === 'ctl' ? ['showinfo'] : [])]);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, pattern);
      assert.match(stderr, /^vde: [^\n]+\n$/);
    }
  }
  assert.match((await run(VDE, ['top', dir, '-n', 'x'])).stderr, /--interval: must be from 0.1/);
});

test('top for programs: one table, or a JSON line per look, with rates and drops', async (t) => {
  leakCheck(t);
  const { dir } = await managed(t);
  const [a, b] = [await plugStream(t, 'ours', dir), await plugStream(t, 'ours', dir)];
  await greet(a, b);
  const once = await run(VDE, ['top', dir, '--once', '-n', '0.1']);
  assert.equal(once.code, 0);
  assert.match(once.stdout, /^vde_switch .* 2 of 2 ports active\nPORT .*\n +1 +0 .*vdeplug.*\n +2 +0 .*\n$/);
  const watch = start(t, VDE, ['top', dir, '--json', '-n', '0.2']);
  const seen = watch.waitFor((text) => {
    a.send(frame({ tag: 'more', size: 1000 }));
    const lines = text.split('\n').slice(0, -1);
    return lines.some((line) => JSON.parse(line).ports[0].inBits > 0);
  });
  await seen;
  const [first] = watch.stdout.split('\n');
  const { pid, ports } = JSON.parse(first);
  assert.equal(typeof pid, 'number');
  assert.deepEqual([ports[0].port, ports[0].drops], [1, 0]);
  watch.kill();
  assert.deepEqual(await watch.exited, { code: 0, signal: null });
});

test('top on a terminal: a table that is redrawn in place; q and signals give the terminal back', async (t) => {
  if (!requirePeer(t, 'socat', 'stty')) return;
  leakCheck(t);
  const { dir } = await managed(t);
  await plugStream(t, 'ours', dir, { args: ['-D', 'station'] });
  const script = '(sh -c \'echo PID=$$=; exec "$0" "$@"\' "$0" "$@"); echo STATUS=$?=; stty -a; echo END';
  for (const end of ['q', '\x03', 'SIGTERM', 'SIGHUP'] as const) {
    const { screen, type } = await pty(t, 'sh', ['-c', script, VDE, 'top', dir, '-n', '0.1'], {
      on: ['stdin', 'stdout', 'stderr'],
    });
    const pid = Number((await screen.expect(/PID=(\d+)=/))[1]);
    await screen.expect('\x1b[?1049h\x1b[?25l');
    await screen.expect('station');
    const [redrawn] = await screen.expect(/\x1b\[\?2026h[\s\S]*?\x1b\[\?2026l/);
    // In place: nothing is cleared before it is drawn again.
    assert.doesNotMatch(redrawn, /\x1b\[2J/);
    if (end === 'SIGTERM' || end === 'SIGHUP') process.kill(pid, end);
    else type(end);
    const [rest] = await screen.expect(/\x1b\[\?25h\x1b\[\?1049l[\s\S]*END/);
    if (end !== 'SIGHUP') assert.match(rest, /STATUS=0=/);
    for (const flag of ['icanon', 'echo', 'isig']) assert.match(rest, new RegExp(`[ \\n]${flag}[ ;\\r]`), end);
  }
});

test('top ends with a message when its switch goes', async (t) => {
  leakCheck(t);
  const { dir, process: sw } = await managed(t);
  const watch = start(t, VDE, ['top', dir, '--json', '-n', '0.1']);
  await watch.waitFor('"ports"');
  sw.kill('SIGKILL');
  assert.deepEqual(await watch.exited, { code: 1, signal: null });
  assert.match(watch.stderr, /^vde: .*\n$/);
});
