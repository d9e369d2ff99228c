/** A running `vde_plug`: commands after `=`, signals, the background, the system log, the restricted shell. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { systemLog } from '../support/log.js';
import {
  emptyHome,
  FrameStream,
  frame,
  openEnd,
  plugStream,
  records,
  startSwitch,
  waitForClients,
} from '../support/network.js';
import { requirePeer, requireUserNamespaces, type Skippable } from '../support/peers.js';
import { adopt, run, start, waitForExit, waitForSleep } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

const PLUG = bin('vde_plug');

test('a command gets the frames on its standard streams, with options of its own', async (t) => {
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const end = await openEnd(t, dir);
  // Whatever is said to it comes back: the command is a mirror, and would not be one without its option.
  const plug = start(t, PLUG, [dir, '=', 'sh', '-c', 'exec cat']);
  await waitForClients(dir, 2);
  const said = frame({ tag: 'said', size: 1400 });
  end.send(said);
  assert.deepEqual(await end.receive('said'), said);
  plug.kill();
  assert.deepEqual(await plug.exited, { code: 0, signal: null });
});

test('the status of the command is that of vde_plug: its exit, its signal, 127 if it cannot be run', async (t) => {
  leakCheck(t);
  for (const [command, status] of [
    ['exit 0', 0],
    ['exit 3', 3],
    ['kill -9 $$', 128 + 9],
  ] as const) {
    assert.equal((await run(PLUG, ['null://', '=', 'sh', '-c', command])).code, status, command);
  }
  const dir = tmpDir(t);
  const file = join(dir, 'not-a-program');
  writeFileSync(file, 'x');
  for (const [command, cause] of [
    [join(dir, 'no-such-command'), 'No such file or directory'],
    [file, 'Permission denied'],
  ]) {
    const { code, stderr } = await run(PLUG, ['null://', '=', command]);
    assert.equal(code, 127);
    assert.equal(stderr, `vde_plug: ${command}: ${cause} (the command cannot be run)\n`);
  }
});

test('a command that does not notice the end of its network is ended', async (t) => {
  leakCheck(t);
  const { dir, process } = await startSwitch(t, 'ours');
  const plug = start(t, PLUG, [dir, '=', 'sh', '-c', 'echo "pid $$" >&2; exec sleep 60']);
  const [, pid] = await plug.waitFor(/pid (\d+)\n/);
  await waitForClients(dir, 1);
  process.kill();
  await plug.exited;
  await waitForExit(Number(pid));
});

test('a command ends with vde_plug, by the same signal', async (t) => {
  leakCheck(t);
  const trap = 'trap \'echo got TERM >&2; exit\' TERM; echo "pid $$" >&2; while :; do sleep 0.05; done';
  const plug = start(t, PLUG, ['null://', '=', 'sh', '-c', trap]);
  const [, pid] = await plug.waitFor(/pid (\d+)\n/);
  plug.kill('SIGTERM');
  await plug.waitFor('got TERM');
  assert.deepEqual(await plug.exited, { code: 0, signal: null });
  await waitForExit(Number(pid));
});

test('when its switch disappears, status 0 and not a word, whichever end it is', async (t) => {
  leakCheck(t);
  for (const place of ['only', 'first', 'second', 'daemon']) {
    const { dir, process } = await startSwitch(t, 'ours');
    const args = { only: [dir], first: [dir, 'null://'], second: ['null://', dir], daemon: [dir, 'null://'] }[place];
    const plug = start(t, PLUG, args);
    await waitForClients(dir, 1);
    process.kill(place === 'first' ? 'SIGKILL' : 'SIGTERM');
    assert.deepEqual(await plug.exited, { code: 0, signal: null }, place);
    assert.equal(plug.stderr, '', place);
  }
});

test('a switch that disappears while the other one has yet to answer is missed all the same', async (t) => {
  leakCheck(t);
  const [gone, slow] = [await startSwitch(t, 'ours'), await startSwitch(t, 'ours')];
  slow.process.kill('SIGSTOP');
  const plug = start(t, PLUG, [gone.dir, slow.dir]);
  await waitForClients(gone.dir, 1);
  gone.process.kill('SIGKILL');
  await gone.process.exited;
  await waitForSleep(plug.pid);
  slow.process.kill('SIGCONT');
  assert.deepEqual(await plug.exited, { code: 0, signal: null });
  assert.equal(plug.stderr, '');
  await waitForClients(slow.dir, 0);
});

test('in the background: the caller gets status 0 when all is open, the pid file is there, and goes', async (t) => {
  leakCheck(t);
  const cwd = tmpDir(t);
  const { dir } = await startSwitch(t, 'ours');
  const result = await run(PLUG, ['-d', '-p', 'pid', dir, 'null://'], { cwd });
  assert.deepEqual([result.code, result.stdout, result.stderr], [0, '', '']);
  const pid = Number(readFileSync(join(cwd, 'pid'), 'utf8'));
  adopt(t, pid);
  await waitForClients(dir, 1);
  process.kill(pid, 'SIGTERM');
  await waitForExit(pid);
  assert.deepEqual(readdirSync(cwd), []);
  await waitForClients(dir, 0);
});

test('in the background: what goes wrong is said to the caller, with its status', async (t) => {
  leakCheck(t);
  const dir = tmpDir(t);
  const pidfile = join(dir, 'pid');
  for (const [args, status, pattern] of [
    [['null://', join(dir, 'no')], 1, /no: No such file or directory/],
    [['null://', 'foo://'], 1, /Protocol not supported/],
    [['null://', '=', join(dir, 'no-such-command')], 127, /no-such-command: No such file or directory/],
  ] as [string[], number, RegExp][]) {
    const { code, stderr } = await run(PLUG, ['-d', '-p', pidfile, ...args]);
    assert.equal(code, status);
    assert.match(stderr, /^vde_plug: [^\n]+\n$/);
    assert.match(stderr, pattern);
  }
  assert.deepEqual(readdirSync(dir), []);
  writeFileSync(pidfile, `${process.pid}\n`);
  const { code, stderr } = await run(PLUG, ['-d', '-p', pidfile, 'null://', 'null://']);
  assert.equal(code, 1);
  assert.match(stderr, /is held by live process/);
  assert.equal(existsSync(pidfile), true);
});

for (const [signal, status] of [
  ['SIGTERM', 0],
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const) {
  test(`${signal} ends vde_plug alone, with status ${status} for its shell, and its pid file goes`, async (t) => {
    leakCheck(t);
    const { dir } = await startSwitch(t, 'ours');
    const parent = tmpDir(t);
    // A script and its other children are in the same process group.
    const script = '"$0" -p "$2/pid" "$1" null:// & wait $!; echo "status $?"; exec cat';
    const shell = start(t, 'sh', ['-c', script, PLUG, dir, parent]);
    await waitForClients(dir, 1);
    process.kill(Number(readFileSync(join(parent, 'pid'), 'utf8')), signal);
    await shell.waitFor(`status ${status}\n`);
    assert.deepEqual(readdirSync(parent), []);
    shell.stdin.write('still here\n');
    await shell.waitFor('still here');
    await waitForClients(dir, 0);
  });
}

function logging(t: Skippable): boolean {
  return requirePeer(t, 'socat', 'unshare') && requireUserNamespaces(t);
}

test('-l says START and STOP on the system log, also when the network cannot be opened or SIGTERM ends it', async (t) => {
  if (!logging(t)) return;
  leakCheck(t);
  const log = await systemLog(t);
  const failing = log.start(t, PLUG, ['-l', '/nosuch'], { env: { SSH_CLIENT: undefined } });
  assert.equal((await failing.exited).code, 1);
  const { dir } = await startSwitch(t, 'ours');
  const plug = log.start(t, PLUG, ['-l', dir], { env: { SSH_CLIENT: '192.0.2.7 1234 22' } });
  await waitForClients(dir, 1);
  plug.kill('SIGTERM');
  await plug.exited;
  await log.waitFor(/192\.0\.2\.7[\s\S]*STOP[\s\S]*192\.0\.2\.7/);
  const stamp = /^<14>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d vde_plug: /;
  for (const line of log.lines) assert.match(line, stamp);
  assert.deepEqual(
    log.lines.map((line) => line.replace(stamp, '').replace(/user \S+/, 'user U')),
    [
      'START: user U IP UNKNOWN_IP_ADDRESS',
      'STOP: user U IP UNKNOWN_IP_ADDRESS',
      'START: user U IP 192.0.2.7',
      'STOP: user U IP 192.0.2.7',
    ],
  );
});

test('-L says which addresses are used, of both sides, once each, with their VLAN', async (t) => {
  if (!logging(t)) return;
  leakCheck(t);
  const log = await systemLog(t);
  const { dir } = await startSwitch(t, 'ours', ['-x']);
  const end = await openEnd(t, dir);
  const plug = log.start(t, PLUG, ['-L', '-l', dir], { env: { SSH_CLIENT: '192.0.2.7 1 2' } });
  await waitForClients(dir, 2);
  const ipv4 = (last: number, tag = '') =>
    Buffer.from(
      `ffffffffffff020000000001${tag}08004500001400000000401100000a0000${last.toString(16).padStart(2, '0')}0a0000ff`,
      'hex',
    );
  const ipv6 = Buffer.concat([
    Buffer.from('ffffffffffff02000000000186dd6000000000003b40', 'hex'),
    Buffer.from('fe800000000000000000000000000001', 'hex'),
    Buffer.from('ff020000000000000000000000000001', 'hex'),
  ]);
  plug.stdin.write(records(ipv4(1), ipv4(1), ipv4(2, '8100002a'), ipv6));
  await log.waitFor('VDE-IP6');
  end.send(ipv4(3));
  await log.waitFor('10.0.0.3');
  plug.stdin.end();
  await plug.exited;
  await log.waitFor('STOP');
  assert.deepEqual(
    log.lines.map((line) => line.replace(/^.*?vde_plug: /, '').replace(/user \S+/, 'user U')),
    [
      'START: user U IP 192.0.2.7',
      'user U Real-IP 192.0.2.7 has got VDE-IP4 10.0.0.1 on vlan 0',
      'user U Real-IP 192.0.2.7 has got VDE-IP4 10.0.0.2 on vlan 42',
      'user U Real-IP 192.0.2.7 has got VDE-IP6 fe80::1 on vlan 0',
      'user U Real-IP 192.0.2.7 has got VDE-IP4 10.0.0.3 on vlan 0',
      'STOP: user U IP 192.0.2.7',
    ],
  );
});

test('as the shell of a tunnel user: vde_plug and nothing else, on the default network, logged', async (t) => {
  if (!logging(t)) return;
  leakCheck(t);
  const log = await systemLog(t);
  const { dir } = await startSwitch(t, 'ours');
  const home = emptyHome(t);
  writeFileSync(join(home, 'net.vnl'), dir);
  const env = { HOME: home, SSH_CLIENT: '192.0.2.7 1 2', SHELL: PLUG };
  for (const remote of ['sh', 'vde_plug /etc', 'vde_plug ', '']) {
    const plug = log.start(t, PLUG, ['-c', remote], { env });
    assert.equal((await plug.exited).code, 255, remote);
    assert.match(plug.stderr, /tunnel broker/);
    assert.equal(plug.stdout, '');
  }
  await log.waitFor(/(FAILED: user \S+ IP 192\.0\.2\.7[\s\S]*){4}/);
  assert.doesNotMatch(log.lines.join(''), /START/);
  const other = await plugStream(t, 'ours', dir);
  const plug = log.start(t, PLUG, ['-c', 'vde_plug', join(home, 'net.vnl')], { env });
  await waitForClients(dir, 2);
  new FrameStream(plug).send(frame({ tag: 'through the shell' }));
  await other.receive('through the shell');
  plug.stdin.end();
  assert.equal((await plug.exited).code, 0);
  await log.waitFor(/START[\s\S]*STOP/);
});

test('a login without a command is refused: by the name of a login shell, or by SHELL', async (t) => {
  if (!requirePeer(t, 'bash')) return;
  const byName = await run('bash', ['-c', 'exec -a -vde_plug node "$0"', PLUG], { env: { SHELL: '/bin/sh' } });
  const byShell = await run(PLUG, [], { env: { SHELL: '/usr/local/bin/vde_plug' } });
  for (const { code, stdout, stderr } of [byName, byShell]) {
    assert.deepEqual([code, stdout], [255, '']);
    assert.match(stderr, /tunnel broker of Virtual Distributed Ethernet/);
  }
});

test('files and devices that are always ready do for standard streams', async (t) => {
  const dir = tmpDir(t);
  const [file, forgotten] = [join(dir, 'in'), join(dir, 'out')];
  writeFileSync(file, records(frame({ tag: 'one' })));
  for (const input of ['/dev/null', file]) {
    for (const output of ['/dev/null', forgotten]) {
      const { code, stderr } = await run('sh', ['-c', 'exec "$0" null:// <"$1" >"$2"', PLUG, input, output]);
      assert.deepEqual([code, stderr], [0, ''], `${input} ${output}`);
    }
  }
});
