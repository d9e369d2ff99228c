import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { FRAME_MAX } from '../../src/frame/burst.js';
import { openPlug } from '../../src/plug/registry.js';
import { loop } from '../../src/sys/loop.js';
import { root } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { run } from '../support/proc.js';
import { frame, sendAll } from './frames.js';

test('null:// swallows frames of every size, without counting them as drops, and delivers none', async (t) => {
  loop();
  leakCheck(t);
  for (const locator of ['null://', 'null://whatever[port=3]']) {
    const plug = await openPlug(locator);
    plug.sink = () => assert.fail('a frame out of nowhere');
    plug.onLost = () => assert.fail('lost');
    plug.onDrained = () => assert.fail('drained');
    for (let i = 0; i < 100; i++) {
      sendAll(
        plug,
        [14, 60, 1514, FRAME_MAX].map((size) => frame(size, i)),
      );
    }
    for (let i = 0; i < 5; i++) await immediate();
    assert.equal(plug.backlogged, false);
    assert.deepEqual(plug.drops, { full: 0, oversize: 0, runt: 0, error: 0 });
    plug.close();
    plug.close();
    sendAll(plug, [frame(60, 1)]);
  }
});

test('an open null:// keeps its process alive, a closed one does not', async () => {
  const program = `
    import { openPlug } from './src/plug/registry.ts';
    const plug = await openPlug('null://');
    setTimeout(() => { console.log('still here'); plug.close(); }, 30).unref();`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', program];
  const { code, stdout, stderr } = await run(process.execPath, args, { cwd: root, timeout: 60_000 });
  assert.deepEqual([code, stdout], [0, 'still here\n'], stderr);
});
