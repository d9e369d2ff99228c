/** Taps of the kernel on cables and switches of either make. */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { type Namespace, namespace } from '../support/namespace.js';
import {
  command,
  eventually,
  frame,
  MAKES,
  type Make,
  openEnd,
  type SwitchProcess,
  startSwitch,
  waitForEndpoints,
} from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces, type Skippable } from '../support/peers.js';
import { type Running, waitForSleep } from '../support/proc.js';

function ready(t: Skippable): boolean {
  const peers = ['/usr/bin/vde_switch', '/usr/bin/vde_plug', 'ip', 'ping', 'unshare', 'nsenter'];
  return requirePeer(t, ...peers) && requireTun(t) && requireUserNamespaces(t);
}

/** A namespace with tap t0 at 10.0.0.N, and a `vde_plug` of that make inside it between the tap and the switch. */
async function station(
  t: Owner,
  make: Make,
  sw: SwitchProcess,
  number: number,
): Promise<{ ns: Namespace; plug: Running }> {
  const ns = await namespace(t);
  await ns.addTap('t0', { address: [`10.0.0.${number}/24`, `fd00::${number}/64`], ipv6: true });
  const plug = ns.start(t, command(make, 'vde_plug'), [`vde://${sw.dir}`, 'tap://t0']);
  await waitForEndpoints(sw, number);
  await ns.running('t0');
  return { ns, plug };
}

async function ping(ns: Namespace, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await ns.exec('ping', ['-q', '-c', '3', '-i', '0.05', '-W', '20', ...args]);
  assert.equal(code, 0, stdout + stderr);
}

for (const [switchMake, near, far] of [
  ['debian', 'ours', 'ours'],
  ['debian', 'ours', 'debian'],
  ['ours', 'debian', 'debian'],
  ['ours', 'ours', 'debian'],
  ['ours', 'ours', 'ours'],
] as const) {
  test(`two taps by vde_plug (${near} and ${far}) through vde_switch (${switchMake}) ping each other`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const sw = await startSwitch(t, switchMake);
    const { ns: a } = await station(t, near, sw, 1);
    const { ns: b } = await station(t, far, sw, 2);
    await ping(a, '10.0.0.2');
    await ping(b, '10.0.0.1');
    await ping(b, '-6', 'fd00::1');
    await ping(a, '-s', '1472', '-M', 'do', '10.0.0.2');
  });
}

for (const make of ['ours', 'debian'] as const) {
  test(`a tap that is a port of vde_switch (${make}) itself pings one on our cable`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const inside = await namespace(t);
    await inside.addTap('sw0', { address: '10.0.0.9/24' });
    const sw = await startSwitch(t, make, ['-t', 'sw0'], { within: inside });
    const { ns } = await station(t, 'ours', sw, 2);
    await ping(ns, '10.0.0.9');
    await ping(inside, '10.0.0.2');
  });
}

for (const make of MAKES) {
  test(`a cable to vde_switch (${make}) ends when its interface is deleted, and says so`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const sw = await startSwitch(t, make);
    const { ns, plug } = await station(t, 'ours', sw, 1);
    await ns.ip('link', 'delete', 't0');
    assert.deepEqual(await plug.exited, { code: 0, signal: null });
    assert.match(plug.stderr + sw.process.stderr, /interface t0 has been deleted/);
    await waitForEndpoints(sw, 0);
  });

  test(`frames from vde_switch (${make}) to an interface that is DOWN: one message; UP, they pass`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const sw = await startSwitch(t, make);
    const end = await openEnd(t, sw.dir);
    const ns = await namespace(t);
    const plug = ns.start(t, command('ours', 'vde_plug'), [`vde://${sw.dir}`, 'tap://t0']);
    await waitForEndpoints(sw, 2);
    const said = () => `${plug.stderr}${sw.process.stderr}`.match(/interface is DOWN/g)?.length ?? 0;
    end.send(frame({ tag: 'lost' }));
    await eventually('a message', async () => said() > 0);
    end.send(frame({ tag: 'lost, too' }));
    for (const one of [sw.process, plug]) await waitForSleep(one.pid);
    await ns.configure('t0', { address: '10.0.0.1/24' });
    const arrived = async () => {
      const { stdout } = await ns.exec('cat', ['/proc/net/dev']);
      return Number(stdout.match(/t0:\s*\d+\s+(\d+)/)?.[1]);
    };
    assert.equal(await arrived(), 0);
    end.send(frame({ tag: 'passes' }));
    await eventually('the frame arrives at the interface', async () => (await arrived()) === 1);
    assert.equal(said(), 1);
  });
}

test('a new tap goes with its cable; a busy one, a missing permission and a bad name are said', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const sw = await startSwitch(t, 'ours');
  const { dir } = sw;
  const ns = await namespace(t);
  const first = ns.start(t, command('ours', 'vde_plug'), [dir, 'tap://new0']);
  await waitForEndpoints(sw, 1);
  await eventually('the interface is there', async () => (await ns.ip('-brief', 'link')).includes('new0'));
  const busy = await ns.exec(command('ours', 'vde_plug'), [dir, 'tap://new0']);
  assert.equal(busy.code, 1);
  assert.match(busy.stderr, /^vde_plug: tap:\/\/new0: .*Device or resource busy.*another program has it open/);
  assert.doesNotMatch(busy.stderr, /\n./);
  first.kill('SIGTERM');
  await first.exited;
  await eventually('the interface is gone', async () => !(await ns.ip('-brief', 'link')).includes('new0'));
  const long = await ns.exec(command('ours', 'vde_plug'), [dir, 'tap://sixteen-letters-']);
  assert.equal(long.code, 1);
  assert.match(long.stderr, /cannot be the name of an interface/);
});
