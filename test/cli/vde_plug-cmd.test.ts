/** `vde_plug` with `cmd://`: what it says and how it ends when the command does, and the other way round. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { FrameStream, frame } from '../support/network.js';
import { run, start, waitForExit } from '../support/proc.js';
import { waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

/** The numbers that a command has written to a file so far. */
function existing(file: string): number[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number) : [];
}

/** As `existing`, once there are `count`. */
async function readPids(file: string, count: number): Promise<number[]> {
  await waitUntil(file, 'pids', () => existing(file).length === count);
  return existing(file);
}

test('the command’s end is one line, and its own end is the command’s', async (t) => {
  leakCheck(t);
  const failed = await run(bin('vde_plug'), ['null://', `cmd://sh -c 'exit 5'`]);
  assert.deepEqual([failed.code, failed.stdout], [0, '']);
  assert.equal(failed.stderr, `vde_plug: cmd://sh -c 'exit 5': the command has ended with status 5\n`);
  const missing = await run(bin('vde_plug'), ['null://', 'cmd:///none/such']);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^vde_plug: cmd:\/\/\/none\/such: No such file or directory.*\n$/);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    const pids = join(tmpDir(t), 'pids');
    const script = `trap "" INT HUP; echo $$ >${pids}; sleep 1000 & echo $! >>${pids}; wait; wait`;
    const plug = start(t, bin('vde_plug'), ['null://', `cmd://sh -c '${script}'`]);
    const all = await readPids(pids, 2);
    plug.kill(signal);
    assert.deepEqual(await plug.exited, signal === 'SIGTERM' ? { code: 0, signal: null } : { code: null, signal });
    for (const pid of all) await waitForExit(pid);
  }
});

test('when the other end cannot be opened, or goes, the command ends with it', async (t) => {
  leakCheck(t);
  const root = tmpDir(t);
  const pids = join(root, 'pids');
  const command = `cmd://sh -c 'echo $$ >${pids}; exec sleep 1000'`;
  const refused = await run(bin('vde_plug'), [command, join(root, 'none')]);
  assert.equal(refused.code, 1);
  // It may have been ended before it could say who it is.
  for (const pid of existing(pids)) await waitForExit(pid);
  rmSync(pids, { force: true });
  const stream = start(t, bin('vde_plug'), [command]);
  const [pid] = await readPids(pids, 1);
  stream.stdin.end();
  assert.deepEqual(await stream.exited, { code: 0, signal: null });
  await waitForExit(pid);
});

test('the two ends of a cable may be commands, one in the other', async (t) => {
  leakCheck(t);
  const inner = new FrameStream(start(t, bin('vde_plug'), [`cmd://${bin('vde_plug')} 'cmd://cat'`]));
  inner.send(frame({ tag: 'there and back' }));
  assert.deepEqual(await inner.receive('there and back'), frame({ tag: 'there and back' }));
});
