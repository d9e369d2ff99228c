import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAME_MAX } from '../../src/frame/burst.js';
import { totalDrops } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { TapPlug } from '../../src/plug/tap.js';
import { Memory } from '../../src/sys/memory.js';
import { SOCK_DGRAM, setSendBuffer, socketPair, trySend } from '../../src/sys/socket.js';
import { root } from '../support/bin.js';
import { cleanup } from '../support/cleanup.js';
import { namespace } from '../support/namespace.js';
import { requirePeer, requireTun } from '../support/peers.js';
import { Collector } from './frames.js';
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

test('what arrives and cannot be a frame counts as dropped on arrival', async (t) => {
  const [tap, kernel] = socketPair(SOCK_DGRAM, 'test');
  cleanup(t, () => kernel.close());
  const plug = new TapPlug(tap, 'tap');
  cleanup(t, () => plug.close());
  const arrived = new Collector(plug);
  const memory = new Memory(FRAME_MAX + 1);
  setSendBuffer(kernel, 1 << 20);
  for (const length of [13, FRAME_MAX + 1, 60]) assert.equal(trySend(kernel, memory, length), length);
  await arrived.count(1);
  assert.deepEqual(plug.arrivalDrops, { oversize: 1, runt: 1 });
  assert.equal(totalDrops(plug.drops), 2);
});
