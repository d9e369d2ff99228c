/** vdens: signals, terminals, sudden ends, and networks that go and come back. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { bin } from '../support/bin.js';
import { children, leakCheck } from '../support/leaks.js';
import { startSwitch, waitForClients } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { adopt, waitForExit } from '../support/proc.js';
import { pty } from '../support/pty.js';
import { waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { requireVdens, startVdens } from '../support/vdens.js';

test('SIGTERM and SIGHUP reach the command; the status is what it makes of them', async (t) => {
  if (!requireVdens(t)) return;
  leakCheck(t);
  for (const [signal, script, status] of [
    ['SIGTERM', 'trap "echo got; exit 5" TERM; echo up; while :; do sleep 0.05; done', 5],
    ['SIGHUP', 'trap "echo got; exit 6" HUP; echo up; while :; do sleep 0.05; done', 6],
    ['SIGTERM', 'echo up; exec sleep 60', 143],
  ] as const) {
    const running = startVdens(t, 'ours', ['null://', 'sh', '-c', script]);
    await running.waitFor('up\n');
    running.kill(signal);
    assert.deepEqual(await running.exited, { code: status, signal: null });
  }
});

test('the command killed: the port is given back, the status tells', async (t) => {
  if (!requireVdens(t)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const running = startVdens(t, 'ours', [dir, 'sh', '-c', 'echo $$; exec sleep 60']);
  const [, pid] = await running.waitFor(/^(\d+)\n/);
  process.kill(Number(pid), 'SIGKILL');
  assert.deepEqual(await running.exited, { code: 137, signal: null });
  await waitForClients(dir, 0);
});

test('vdens killed: the command goes, and the port is given back', async (t) => {
  if (!requireVdens(t)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  for (const args of [[dir], ['-s', dir]]) {
    const running = startVdens(t, 'ours', [...args, 'sh', '-c', 'echo $$; exec sleep 60']);
    const [, pid] = await running.waitFor(/^(\d+)\n/);
    adopt(t, Number(pid));
    running.kill('SIGKILL');
    await waitForExit(Number(pid));
    await waitForClients(dir, 0);
  }
});

test('a switch that goes takes the carrier with it, and brings it back with the network', async (t) => {
  if (!requireVdens(t)) return;
  const dir = join(tmpDir(t), 'sw');
  const first = await startSwitch(t, 'ours', ['-s', dir]);
  const far = startVdens(t, 'ours', ['--ip', '10.0.0.1', dir, 'sh', '-c', 'echo up; exec sleep 60']);
  const near = startVdens(t, 'ours', ['--ip', '10.0.0.2', dir, 'sh']);
  await far.waitFor('up\n');
  near.stdin.write('cat /proc/self/net/dev | grep -c vde0; ping -c 1 -W 20 10.0.0.1 >/dev/null && echo pong1\n');
  await near.waitFor('pong1\n');
  first.process.kill('SIGKILL');
  await near.waitFor(/^vdens: vde0: .*: the switch has closed the connection; waiting for it to come back$/m);
  // The kernel tells of a carrier some time after it has been told.
  near.stdin.write('until ip -o link show vde0 | grep "<NO-CARRIER,"; do sleep 0.05; done\n');
  await near.waitFor(/vde0: <NO-CARRIER,/);
  await startSwitch(t, 'ours', ['-s', dir]);
  await near.waitFor(/^vdens: vde0: .* is back$/m);
  await far.waitFor(/ is back$/m);
  near.stdin.write(
    'until ip -o link show vde0 | grep ",UP,LOWER_UP>"; do sleep 0.05; done; ping -c 3 -i 0.2 -W 20 10.0.0.1 >/dev/null && echo pong2\n',
  );
  await near.waitFor(/vde0: <BROADCAST,MULTICAST,UP,LOWER_UP>/);
  await near.waitFor('pong2\n');
  assert.equal(near.stderr.match(/waiting/g)?.length, 1);
  near.stdin.end();
  assert.deepEqual(await near.exited, { code: 0, signal: null });
});

test('a command as network is started again when it ends', async (t) => {
  if (!requireVdens(t)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const running = startVdens(t, 'ours', [`=${bin('vde_plug')} ${dir}`, 'sh', '-c', 'echo up; exec sleep 60']);
  await running.waitFor('up\n');
  await waitForClients(dir, 1);
  const words = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  const networks = children(running.pid).filter((pid) => words(pid).includes(bin('vde_plug')));
  assert.equal(networks.length, 1);
  process.kill(networks[0], 'SIGKILL');
  await running.waitFor(/ is back$/m);
  await waitForClients(dir, 1);
  running.kill('SIGTERM');
  await running.exited;
  await waitForClients(dir, 0);
});

test('Ctrl-C while a network is still being waited for ends vdens at once, without the command', async (t) => {
  if (!requireVdens(t) || !requirePeer(t, 'socat')) return;
  const path = join(tmpDir(t), 'sw');
  mkdirSync(path);
  // It accepts, and never answers.
  const silent = createServer().listen(join(path, 'ctl'));
  const asked = once(silent, 'connection');
  t.after(() => silent.close());
  const terminal = await pty(t, bin('vdens'), [path, 'echo', 'ran']);
  const [connection] = await asked;
  connection.resume();
  const began = Date.now();
  terminal.type('\x03');
  assert.deepEqual(await terminal.child.exited, { code: 130, signal: null });
  // And not because it does not wait for ever.
  assert.ok(Date.now() - began < 4500);
  assert.equal(terminal.child.stdout, '');
});

test('Ctrl-C ends the command and with it vdens', async (t) => {
  if (!requireVdens(t) || !requirePeer(t, 'socat')) return;
  const terminal = await pty(t, bin('vdens'), [
    'null://',
    'sh',
    '-c',
    'trap "echo got; exit 9" INT; echo up; while :; do sleep 0.05; done',
  ]);
  await terminal.child.waitFor('up\n');
  terminal.type('\x03');
  assert.deepEqual(await terminal.child.exited, { code: 9, signal: null });
  assert.equal(terminal.child.stdout, 'up\ngot\n');
});

for (const entered of [false, true]) {
  test(`a shell ${entered ? 'that has entered' : 'inside'} has the terminal: jobs, Ctrl-C and Ctrl-Z are its own`, async (t) => {
    if (!requireVdens(t) || !requirePeer(t, 'socat', 'bash')) return;
    const runtime = { XDG_RUNTIME_DIR: tmpDir(t) };
    if (entered) {
      const first = startVdens(t, 'ours', ['--name', 'a', 'null://', 'sh', '-c', 'echo up; exec sleep 60'], {
        env: runtime,
      });
      await first.waitFor('up\n');
    }
    await useShell(t, entered ? ['--enter', 'a'] : ['null://'], runtime);
  });
}

/** What a user of an interactive shell does. */
async function useShell(t: test.TestContext, args: string[], runtime: Record<string, string>): Promise<void> {
  const on = ['stdin', 'stdout', 'stderr'] as ('stdin' | 'stdout' | 'stderr')[];
  const env = { PS1: 'ns# ', TERM: 'dumb', ...runtime };
  const { screen, type, child } = await pty(t, bin('vdens'), [...args, 'bash', '--norc', '--noprofile'], { on, env });
  await screen.expect('ns# ');
  type('sleep 77\r');
  await screen.expect('sleep 77');
  await waitUntil('/tmp/x', 'sleep in the foreground', () => inForeground(child.pid, 'sleep'));
  type('\x1a');
  await screen.expect(/Stopped +sleep 77/);
  type('jobs; echo "left: $?"\r');
  await screen.expect('left: 0');
  type('fg\r');
  await waitUntil('/tmp/x', 'sleep in the foreground again', () => inForeground(child.pid, 'sleep'));
  type('\x03');
  await screen.expect('ns# ');
  type('echo "st:$?"; exit 4\r');
  await screen.expect('st:130');
  assert.deepEqual(await child.exited, { code: 4, signal: null });
}

test('Ctrl-Z stops vdens with the command for the shell above, which continues both', async (t) => {
  if (!requireVdens(t) || !requirePeer(t, 'socat', 'bash')) return;
  const on = ['stdin', 'stdout', 'stderr'] as ('stdin' | 'stdout' | 'stderr')[];
  const env = { PS1: 'out# ', TERM: 'dumb' };
  const { screen, type, child } = await pty(t, 'bash', ['--norc', '--noprofile'], { on, env });
  await screen.expect('out# ');
  type(`${bin('vdens')} null:// cat\r`);
  await waitUntil('/tmp/x', 'cat', () => inForeground(child.pid, 'cat'));
  type('one\r');
  await screen.expect('one\r\none\r\n');
  type('\x1a');
  await screen.expect('Stopped');
  type('echo back\r');
  await screen.expect('back\r\n');
  await screen.expect('out# ');
  type('fg\r');
  await screen.expect('cat\r\n');
  type('two\r');
  await screen.expect('two\r\ntwo\r\n');
  type('\x04');
  await screen.expect('out# ');
  type('exit\r');
  await child.exited;
});

/** Whether a program of that name is below `pid` in the foreground group of its terminal. */
function inForeground(pid: number, name: string): boolean {
  return children(pid).some((one) => {
    if (inForeground(one, name)) return true;
    const stat = statOf(one);
    if (stat === undefined) return false;
    const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return stat.includes(`(${name})`) && group === foreground;
  });
}

/** What the kernel says of a process; undefined if it has ended. */
function statOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
}
