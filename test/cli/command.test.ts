import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { root } from '../support/bin.js';
import { run, start } from '../support/proc.js';

const fixture = ['--import', 'tsx', fileURLToPath(new URL('fixtures/command.ts', import.meta.url))];
const command = (...args: string[]) => run(process.execPath, [...fixture, ...args], { cwd: root });
const line = 'fixture: /tmp/sw: no such switch (start one)\n';

test('exits with the status that main returns', async () => {
  assert.deepEqual(await command('status', '7'), { code: 7, signal: null, stdout: '', stderr: '' });
});

for (const way of ['mistake', 'late', 'forgotten'])
  test(`a user's mistake is one line and the failure status (${way})`, async () => {
    assert.deepEqual(await command(way), { code: 1, signal: null, stdout: '', stderr: line });
  });

test('a wrong command line has a status of its own', async () => {
  assert.deepEqual(await command('usage'), {
    code: 255,
    signal: null,
    stdout: '',
    stderr: 'fixture: -q: unknown option\n',
  });
});

test('a bug shows its stack and exits 70', async () => {
  const { code, stderr } = await command('bug');
  assert.equal(code, 70);
  assert.match(stderr, /^fixture: TypeError: .*\n {4}at /);
});

for (const way of ['flood', 'floodBare'])
  test(`ends quietly when nobody reads its output (${way})`, async (t) => {
    const child = start(t, process.execPath, [...fixture, way], { cwd: root });
    await child.waitFor('more');
    child.child.stdout!.destroy();
    assert.deepEqual(await child.exited, { code: 141, signal: null });
    assert.equal(child.stderr, '');
  });

for (const [signal, code, by] of [
  ['SIGTERM', 0, null],
  ['SIGINT', null, 'SIGINT'],
  ['SIGHUP', null, 'SIGHUP'],
] as const)
  test(`${signal}: cleans up, then ends as it should`, async (t) => {
    const child = start(t, process.execPath, [...fixture, 'signals'], { cwd: root });
    await child.waitFor('ready');
    child.kill(signal);
    assert.deepEqual(await child.exited, { code, signal: by });
    assert.equal(child.stdout, `ready\ncleaned up after ${signal}\n`);
  });

test('signals for others are ignored, and none of them opens an inspector', async (t) => {
  const child = start(t, process.execPath, [...fixture, 'signals'], { cwd: root });
  await child.waitFor('ready');
  for (const signal of [
    'SIGPIPE',
    'SIGALRM',
    'SIGUSR1',
    'SIGUSR2',
    'SIGVTALRM',
    'SIGIO',
    'SIGSTKFLT',
    'SIGPWR',
  ] as const)
    child.kill(signal);
  child.kill('SIGTERM');
  assert.deepEqual(await child.exited, { code: 0, signal: null });
  assert.equal(child.stderr, '');
});

test('the status of main does not overtake the clean-up', async (t) => {
  const child = start(t, process.execPath, [...fixture, 'signalsAndReturn'], { cwd: root });
  await child.waitFor('ready');
  child.kill('SIGTERM');
  assert.deepEqual(await child.exited, { code: 0, signal: null });
});

test('a second SIGINT cuts the clean-up short', async (t) => {
  const child = start(t, process.execPath, [...fixture, 'signalsSlow'], { cwd: root });
  await child.waitFor('ready');
  child.kill('SIGTERM');
  await child.waitFor('cleaning');
  child.kill('SIGINT');
  assert.deepEqual(await child.exited, { code: null, signal: 'SIGINT' });
});
