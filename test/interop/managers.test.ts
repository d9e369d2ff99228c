/** `vde_switch` as the programs start it that people run networks of virtual machines with. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { frame, MAKES, plugStream } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { adopt, run, start, waitForExit } from '../support/proc.js';
import { pty } from '../support/pty.js';
import { waitForGone, waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

test('Kathará: a hub in the background with a pid file, killed by it, leaves nothing', async (t) => {
  if (!requirePeer(t, '/usr/bin/vde_plug')) return;
  leakCheck(t);
  const dir = tmpDir(t);
  const [sw, pidfile] = [join(dir, 'sw'), join(dir, 'pid')];
  const { code, stdout, stderr } = await run(bin('vde_switch'), ['-n', '64', '-x', '-d', '-s', sw, '-p', pidfile]);
  assert.deepEqual([code, stdout, stderr], [0, '', '']);
  const pid = Number(readFileSync(pidfile, 'utf8'));
  adopt(t, pid);
  assert.equal(readFileSync(pidfile, 'utf8'), `${pid}\n`);
  assert.ok(existsSync(join(sw, 'ctl')), 'the switch is there when the command returns');
  assert.notEqual(pid, process.pid);
  // A hub: all get what is sent to a station that is known to be elsewhere.
  const ends = [];
  for (const make of [...MAKES, 'ours'] as const) ends.push(await plugStream(t, make, sw));
  ends[1].send(frame({ tag: 'I am 2', source: 2 }));
  await ends[0].receive('I am 2');
  ends[0].send(frame({ tag: 'to 2', source: 1, destination: 2 }));
  await Promise.all([ends[1].receive('to 2'), ends[2].receive('to 2')]);
  process.kill(pid, 'SIGTERM');
  await waitForExit(pid);
  assert.equal(existsSync(sw), false, 'its directory is gone');
  assert.equal(existsSync(pidfile), false, 'its pid file is gone');
  for (const { process } of ends) assert.deepEqual(await process.exited, { code: 0, signal: null });
});

test('NixOS test driver: a terminal for standard input, a pipe for both outputs, one line back', async (t) => {
  if (!requirePeer(t, 'socat')) return;
  leakCheck(t);
  const dir = join(tmpDir(t), 'vde1.ctl');
  // The driver puts both outputs on one pipe, writes a line to the terminal, and takes the first line for readiness.
  const line = '"$0" "$@" 2>&1';
  const { child, type } = await pty(t, 'sh', ['-c', line, bin('vde_switch'), '-s', dir, '--dirmode', '0700']);
  type('version\n');
  const [first] = await child.waitFor(/^.*\n/, { stream: 'stdout' });
  assert.equal(first, '1038 Function not implemented\n');
  assert.ok(existsSync(join(dir, 'ctl')));
  assert.equal(child.running, true);
});

test('NixOS test driver: the switch ends with its terminal', async (t) => {
  if (!requirePeer(t, 'socat')) return;
  const dir = join(tmpDir(t), 'vde1.ctl');
  const { child, hangUp } = await pty(t, bin('vde_switch'), ['-s', dir, '--dirmode', '0700'], { raw: true });
  await waitForSocket(join(dir, 'ctl'));
  await hangUp();
  await child.exited;
  await waitForGone(dir);
});

test('a terminal that hangs up ends what runs on it without a crash', async (t) => {
  if (!requirePeer(t, 'socat')) return;
  leakCheck(t);
  const dir = join(tmpDir(t), 'sw');
  const mgmt = `${dir}.mgmt`;
  start(t, bin('vde_switch'), ['-s', dir, '-M', mgmt]);
  await waitForSocket(mgmt);
  for (const [line, shown] of [
    [['vdeterm', mgmt], /vde\[/],
    [['unixterm', mgmt], /vde\$/],
    [['vde_switch', '-s', `${dir}2`], /vde\$/],
    [['vde_plug', 'null://', `switch://${dir}3`], undefined],
  ] as const) {
    const [name, ...args] = line;
    const { child, screen, type, hangUp } = await pty(t, bin(name), args, { on: ['stdin', 'stdout', 'stderr'] });
    if (shown === undefined) await waitForSocket(join(`${dir}3`, 'ctl'));
    else {
      type('\r');
      await screen.waitFor(shown);
    }
    await hangUp();
    const { code, signal } = await child.exited;
    assert.ok(signal === 'SIGHUP' || signal === null, `${name}: ${signal}`);
    assert.ok(code !== 70 && code !== 134, `${name}: ${code}`);
  }
});

test('VirtualBricks: the prompt comes on standard output, after each answer', async (t) => {
  leakCheck(t);
  const dir = join(tmpDir(t), 'sw');
  const shell = start(t, bin('vde_switch'), ['-s', dir]);
  await waitForSocket(join(dir, 'ctl'));
  shell.stdin.write('port/showinfo\n');
  await shell.expect(/^0000 DATA END WITH '\.'\n(?:.*\n)*?\.\n1000 Success\n\nvde\$ $/, { stream: 'stdout' });
  shell.stdin.write('\n');
  await shell.expect(/^\nvde\$ $/, { stream: 'stdout' });
});

test('a service manager: no standard input at all, with --nostdin, until SIGTERM', async (t) => {
  leakCheck(t);
  const dir = join(tmpDir(t), 'sw');
  const service = start(t, 'sh', ['-c', 'exec "$0" "$@" <&-', bin('vde_switch'), '-s', dir, '--nostdin']);
  await waitForSocket(join(dir, 'ctl'));
  await plugStream(t, 'ours', dir);
  service.kill('SIGTERM');
  assert.deepEqual(await service.exited, { code: 0, signal: null });
  assert.equal(existsSync(dir), false);
});
