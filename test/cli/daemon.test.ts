import assert from 'node:assert/strict';
import { readFileSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { root } from '../support/bin.js';
import { adopt, run, start, waitForExit } from '../support/proc.js';

const fixture = ['--import', 'tsx', fileURLToPath(new URL('fixtures/command.ts', import.meta.url))];
const command = (...args: string[]) => run(process.execPath, [...fixture, ...args], { cwd: root });
const line = 'fixture: /tmp/sw: no such switch (start one)\n';
const link = (pid: number, what: string) => readlinkSync(`/proc/${pid}/${what}`);

test('returns to the caller when the background process is ready and has let go of everything', async (t) => {
  const { code, stdout, stderr } = await command('daemon');
  const pid = Number(/^pid=(\d+)$/m.exec(stdout)?.[1]);
  adopt(t, pid);
  assert.equal(code, 0);
  assert.equal(stderr, '');
  assert.equal(link(pid, 'cwd'), '/');
  assert.deepEqual(
    [0, 1, 2].map((fd) => link(pid, `fd/${fd}`)),
    ['/dev/null', '/dev/null', '/dev/null'],
  );
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ');
  const [pgrp, session, tty] = stat.slice(2, 5).map(Number);
  assert.deepEqual([pgrp, session, tty], [pid, pid, 0]);
  // Standard descriptors and the directory that ls reads: the reporting socket has not been inherited.
  assert.deepEqual(
    [...stdout.matchAll(/ (\d+) -> /g)].map(([, fd]) => fd).filter((fd) => Number(fd) < 10),
    ['0', '1', '2', '3'],
  );
  assert.match(stdout, /^marker=\[\]$/m);
  process.kill(pid, 'SIGTERM');
  await waitForExit(pid);
});

test('stays in the foreground if it is not wanted', async (t) => {
  const child = start(t, process.execPath, [...fixture, 'daemon', 'no'], { cwd: root });
  await child.waitFor(`pid=${child.pid}\n`);
  assert.equal(link(child.pid, 'cwd'), root);
  child.kill('SIGTERM');
  assert.equal((await child.exited).code, 0);
});

test('the caller sees why the start failed, and the status', async () => {
  assert.deepEqual(await command('daemonFail'), { code: 42, signal: null, stdout: '', stderr: line });
  assert.deepEqual(await command('daemonThrow'), { code: 1, signal: null, stdout: '', stderr: line });
  assert.deepEqual(await command('daemonReturn'), { code: 3, signal: null, stdout: '', stderr: '' });
});

test('the caller is told if the background process dies without a word', async () => {
  const { code, stderr } = await command('daemonDie');
  assert.equal(code, 1);
  assert.equal(stderr, 'fixture: the background process ended before it was ready (SIGKILL)\n');
});

test('a signal to the waiting process ends both', async (t) => {
  const child = start(t, process.execPath, [...fixture, 'daemonHang'], { cwd: root });
  const pid = Number((await child.waitFor(/pid=(\d+)\n/))[1]);
  adopt(t, pid);
  child.kill('SIGINT');
  await waitForExit(pid);
  assert.equal((await child.exited).code, 1);
  assert.match(child.stderr, /ended before it was ready \(SIGINT\)/);
});
