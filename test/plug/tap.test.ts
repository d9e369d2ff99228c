import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPlug } from '../../src/plug/registry.js';
import { root } from '../support/bin.js';
import { namespace } from '../support/namespace.js';
import { requirePeer, requireTun } from '../support/peers.js';
import { passInside } from './inside.js';

test('a tap is a plug', async (t) => {
  if (!requirePeer(t, 'ip', 'nsenter') || !requireTun(t)) return;
  await passInside(await namespace(t), 'tap-compliance.ts', 10);
});

test('a name that cannot be an interface’s is refused before the kernel is asked', async () => {
  for (const name of ['sixteen-letters-', 'a b', 'a/b']) {
    await assert.rejects(openPlug(`tap://${name}`), { name: 'VdeError', code: 'EINVAL' });
  }
});

const DOWN = `
  import { execFileSync } from 'node:child_process';
  import { openPlug } from './src/plug/registry.ts';
  import { frame, sendAll } from './test/plug/frames.ts';
  const plug = await openPlug('tap://t0');
  let down = 0;
  plug.onDown = () => down++;
  plug.onLost = (error) => console.log(error.message);
  plug.sink = () => {};
  sendAll(plug, [frame(60, 1), frame(60, 2)]);
  console.log(down, plug.drops.error);
  try { await openPlug('tap://t0'); } catch (error) { console.log(error.message); }
  try { await openPlug('tap://lo'); } catch (error) { console.log(error.message); }
  execFileSync('ip', ['link', 'delete', 't0']);`;

test('an interface that is down is told once, one that is busy, foreign or deleted is named', async (t) => {
  if (!requirePeer(t, 'ip', 'nsenter') || !requireTun(t)) return;
  const inside = await namespace(t);
  const args = ['--import', 'tsx', '--input-type=module', '-e', DOWN];
  const { code, stdout, stderr } = await inside.exec(process.execPath, args, { cwd: root, timeout: 60_000 });
  assert.equal(code, 0, stderr);
  assert.deepEqual(stdout.trim().split('\n'), [
    '1 2',
    'tap://t0: Device or resource busy (another program has it open)',
    'tap://lo: Invalid argument (lo exists and is not a tap of the same kind)',
    'tap://t0: interface t0 has been deleted',
  ]);
});
