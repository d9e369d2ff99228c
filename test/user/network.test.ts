/**
 * What an ordinary user can do without root: a switch, cables, namespaces with taps. Continuous integration runs all
 * tests as such a user, too; these are those that nobody may lose.
 */

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin, debian } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { namespace } from '../support/namespace.js';
import {
  frame,
  greet,
  MAKES,
  openEnd,
  plugStream,
  startSwitch,
  waitForClients,
  waitForEndpoints,
} from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces } from '../support/peers.js';
import { adopt, run, start, waitForExit } from '../support/proc.js';
import { waitForGone } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const uid = process.geteuid?.() ?? 0;

test("a switch in the background that is the user's own: plugs of both makes, ended by its pid file", async (t) => {
  if (!requirePeer(t, '/usr/bin/vde_plug')) return;
  leakCheck(t);
  const parent = tmpDir(t);
  const [dir, pidfile] = [join(parent, 'sw'), join(parent, 'pid')];
  assert.equal((await run(bin('vde_switch'), ['-d', '-s', dir, '-p', pidfile])).code, 0);
  const pid = Number(readFileSync(pidfile, 'utf8'));
  adopt(t, pid);
  assert.equal(statSync(dir).uid, uid);
  const plugs = [];
  for (const make of [...MAKES, ...MAKES]) plugs.push(await plugStream(t, make, dir));
  plugs[0].send(frame({ tag: 'to all' }));
  for (const plug of plugs.slice(1)) await plug.receive('to all');
  process.kill(pid, 'SIGTERM');
  await waitForExit(pid);
  await waitForGone(dir);
});

test('two switches joined by our dpipe and two vde_plug', async (t) => {
  leakCheck(t);
  const [first, second] = [await startSwitch(t, 'ours'), await startSwitch(t, 'ours')];
  start(t, bin('dpipe'), [bin('vde_plug'), first.dir, '=', bin('vde_plug'), second.dir]);
  const [a, b] = [await openEnd(t, first.dir), await openEnd(t, second.dir)];
  await Promise.all([waitForClients(first.dir, 2), waitForClients(second.dir, 2)]);
  await greet(a, b);
});

/** A `vdens` whose vde0 has an address; it says ready. */
async function vdens(t: Owner, dir: string, address: string, then: string) {
  const script = `ip address add ${address}/24 dev vde0 && ip link set vde0 up && echo ready && ${then}`;
  const shell = start(t, debian('vdens'), [`vde://${dir}`, 'sh', '-c', script]);
  await shell.waitFor('ready\n');
  return shell;
}

test('two vdens through our switch', async (t) => {
  if (!requirePeer(t, '/usr/bin/vdens', 'ip', 'ping') || !requireTun(t) || !requireUserNamespaces(t)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const other = await vdens(t, dir, '10.0.0.2', 'exec cat');
  const pinging = await vdens(t, dir, '10.0.0.1', `id -u && ping -q -c 3 -i 0.05 -w 20 10.0.0.2`);
  await pinging.waitFor(new RegExp(`\\n${uid}\\n[\\s\\S]*3 received`), { stream: 'stdout' });
  // Now and then Debian's vdens does not end with its command: then it is made to.
  for (const one of [pinging, other]) await one.end();
  await waitForClients(dir, 0);
});

test("taps in namespaces of the user's own, with our vde_plug and our vde_switch inside them", async (t) => {
  if (!requirePeer(t, 'ip', 'ping', 'unshare', 'nsenter') || !requireTun(t) || !requireUserNamespaces(t)) return;
  leakCheck(t);
  const near = await namespace(t, { user: true });
  const far = await namespace(t, { user: true });
  await far.addTap('sw0', { address: '10.0.0.2/24' });
  const sw = await startSwitch(t, 'ours', ['-t', 'sw0'], { within: far });
  await near.addTap('t0', { address: '10.0.0.1/24' });
  near.start(t, bin('vde_plug'), [sw.dir, 'tap://t0']);
  await waitForEndpoints(sw, 2);
  await near.running('t0');
  await far.running('sw0');
  for (const [ns, to] of [
    [near, '10.0.0.2'],
    [far, '10.0.0.1'],
  ] as const) {
    const { code, stdout } = await ns.exec('ping', ['-q', '-c', '3', '-i', '0.05', '-W', '20', to]);
    assert.equal(code, 0, stdout);
  }
});

test("a tap outside of one's own namespaces is refused with what to ask the administrator for", async (t) => {
  if (uid === 0) {
    t.skip('for an ordinary user');
    return;
  }
  if (!requireTun(t)) return;
  const { code, stderr } = await run(bin('vde_plug'), ['null://', 'tap://vdetest0']);
  assert.equal(code, 1);
  assert.match(stderr, /^vde_plug: tap:\/\/vdetest0: Operation not permitted .*ip tuntap add mode tap name vdetest0/);
});
