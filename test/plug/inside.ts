/** Runs files of tests in network namespaces. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { root } from '../support/bin.js';
import { type Namespace, namespace } from '../support/namespace.js';
import { requirePeer, requireUserNamespaces } from '../support/peers.js';

/** Addresses of `v0` there, by which multicast goes out. */
export const INSIDE_V4 = ['10.77.0.1', '10.77.0.2', '10.77.0.3'];
export const INSIDE_V6 = 'fd77::1';

/** As `passInside`, in a namespace where a multicast group can be joined. */
export async function runInside(t: TestContext, file: string, least: number): Promise<void> {
  if (!requirePeer(t, 'ip', 'nsenter') || !requireUserNamespaces(t)) return;
  const inside = await namespace(t);
  await inside.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
  const address = [...INSIDE_V4.map((one) => `${one}/24`), `${INSIDE_V6}/64`];
  await inside.configure('v0', { address, ipv6: true });
  await inside.configure('v1');
  await inside.running('v0', 'v1');
  await inside.ip('route', 'add', '224.0.0.0/4', 'dev', 'v0');
  await passInside(inside, file, least);
}

/** Passes if all tests of `file`, of this folder, pass inside, and there are at least `least` of them. */
export async function passInside(inside: Namespace, file: string, least: number): Promise<void> {
  const args = ['--import', 'tsx', '--test-reporter', 'tap', join(root, 'test/plug', file)];
  const { code, stdout, stderr } = await inside.exec(process.execPath, args, {
    cwd: root,
    env: { NODE_TEST_CONTEXT: undefined },
    timeout: 150_000,
  });
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  const passed = stdout.match(/^ *ok \d+(?!.*# SKIP)/gm) ?? [];
  assert.ok(passed.length >= least, stdout);
}
