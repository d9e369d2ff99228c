/** Crowds of clients that connect and never ask: bounded, and nobody else's concern. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { root } from '../support/bin.js';
import { requirePeer, requireRoot } from '../support/peers.js';
import { type Running, start } from '../support/proc.js';
import { rawClient } from './raw-client.js';
import { activePorts, serve } from './served.js';

const limit = { timeout: 60_000 };
/** Longer than the test. */
const handshakeMs = 600_000;
/** How many of one user's are let wait, and some more. */
const MOST = 512;
const CROWD = MOST + 10;
const FIXTURE = join(root, 'test/switch/fixtures/clients.ts');
const NODE = [process.execPath, '--import', import.meta.resolve('tsx'), FIXTURE];
const NOBODY = 65534;

/** Resolves when the crowd stands at the door. */
async function standing(crowd: Running): Promise<void> {
  await crowd.waitFor('attached 0 refused 0');
}

test('so many clients of one user are let wait; the others are refused, until those have gone', limit, async (t) => {
  const { dir, sw, lines, clients, said } = serve(t, { handshakeMs });
  const [node, ...args] = NODE;
  const crowd = start(t, node, [...args, JSON.stringify({ dir, silent: true, count: CROWD })]);
  await standing(crowd);
  await said(/client refused .*: 512 others of this user have connected and not asked for a port yet/);
  await clients(MOST);
  assert.equal(await rawClient(t, dir).attach(), false);
  assert.ok(lines.every((line) => /uid \d+\): 512 others of this user/.test(line)));
  assert.equal(lines.length, CROWD - MOST + 1);
  crowd.stdin.end();
  await clients(0);
  assert.ok(await rawClient(t, dir).attach());
  assert.deepEqual(activePorts(sw), [1]);
});

test('one user who connects and connects locks nobody else out', limit, async (t) => {
  if (!requireRoot(t) || !requirePeer(t, 'setpriv')) return;
  const { dir, clients, said } = serve(t, { handshakeMs, everybody: true });
  const who = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups', '--'];
  const task = { dir, silent: true, count: CROWD };
  const crowd = start(t, 'setpriv', [...who, ...NODE, JSON.stringify(task)]);
  await standing(crowd);
  await said(new RegExp(`uid ${NOBODY}\\): 512 others of this user`));
  await clients(MOST);
  assert.ok(await rawClient(t, dir).attach(), 'root is somebody else');
});
