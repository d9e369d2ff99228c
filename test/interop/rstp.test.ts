/**
 * The rapid spanning tree in rings with the Linux bridge, whose own protocol is that of 802.1D-1998: two switches of ours
 * joined by a cable, and each by a tap to one bridge in a namespace.
 */

import assert from 'node:assert/strict';
import { release } from 'node:os';
import { after, describe, test } from 'node:test';
import { bin } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { type Namespace, namespace } from '../support/namespace.js';
import {
  eventually,
  frame,
  openEnd,
  type ReceivingEnd,
  type SwitchProcess,
  startSwitch,
  tagOf,
} from '../support/network.js';
import { need, requireTun, requireUserNamespaces, type Skippable } from '../support/peers.js';
import { type Running, start } from '../support/proc.js';

interface Ring {
  space: Namespace;
  switches: SwitchProcess[];
  cable: Running;
  stations: ReceivingEnd[];
  taps: Running[];
}

/** Before 6.5, Linux dropped every BPDU outside the first network namespace. */
function requireBridge(t: Skippable): boolean {
  const [major, minor] = release().split('.').map(Number);
  const root = process.geteuid?.() === 0;
  return (
    requireTun(t) &&
    (root || requireUserNamespaces(t)) &&
    need(t, major > 6 || (major === 6 && minor >= 5), 'Linux 6.5 or later')
  );
}

/** @param priority of the Linux bridge, whose way to anywhere costs more than that of our switches. */
async function ring(t: Owner, priority: number): Promise<Ring> {
  const space = await namespace(t);
  await space.ip('link', 'add', 'br0', 'type', 'bridge', 'stp_state', '1', 'priority', String(priority));
  // In hundredths of a second: the least that the kernel takes.
  await space.ip('link', 'set', 'br0', 'type', 'bridge', 'forward_delay', '200', 'hello_time', '100', 'max_age', '600');
  await space.configure('br0', { mac: '02:00:00:00:ff:00' });
  const switches: SwitchProcess[] = [];
  const taps: Running[] = [];
  for (const [index, tap] of ['t0', 't1'].entries()) {
    const one = await startSwitch(t, 'ours', ['--rstp', '--macaddr', `00:ff:00:00:00:0${index + 1}`]);
    one.process.stdin.write('rstp/settimes 1 6 4\n');
    switches.push(one);
    await space.addTap(tap);
    await space.ip('link', 'set', tap, 'master', 'br0');
    await space.ip('link', 'set', tap, 'type', 'bridge_slave', 'cost', '30000');
    taps.push(space.start(t, bin('vde_plug'), [`tap://${tap}`, `vde://${one.dir}`]));
  }
  const cable = start(
    t,
    bin('vde_plug'),
    switches.map(({ dir }) => `vde://${dir}`),
  );
  const stations = [await openEnd(t, switches[0].dir), await openEnd(t, switches[1].dir)];
  return { space, switches, cable, stations, taps };
}

async function show({ process }: SwitchProcess, command: string): Promise<string> {
  process.stdin.write(`${command}\n`);
  const [, block] = await process.expect(/0000 DATA END WITH '.'\n([\s\S]*?)\n?\.\n1000 Success/, { stream: 'stdout' });
  return block;
}

/** The states that the kernel's ports are in, separated by commas. */
async function bridgeStates(space: Namespace): Promise<string> {
  const text = await space.ip('-details', '-oneline', 'link', 'show', 'master', 'br0');
  return [...text.matchAll(/bridge_slave state (\w+)/g)].map(([, state]) => state).join();
}

/** Waits until each station has heard the other, then that a frame of each arrives exactly once. */
async function assertOnce([a, b]: ReceivingEnd[], round: string): Promise<void> {
  let tries = 0;
  await eventually(
    'frames in both directions',
    async () => {
      const tag = `${round} try ${tries++} `;
      a.send(frame({ tag: `${tag}a`, source: 1 }));
      b.send(frame({ tag: `${tag}b`, source: 2 }));
      const heard = await Promise.allSettled([b.receive(`${tag}a`, 200), a.receive(`${tag}b`, 200)]);
      return heard.every(({ status }) => status === 'fulfilled');
    },
    60_000,
  );
  for (let i = 0; i < 5; i++) {
    a.send(frame({ tag: `${round} once a${i}`, source: 1 }));
    b.send(frame({ tag: `${round} once b${i}`, source: 2 }));
  }
  await Promise.all([b.receive(`${round} once a4`), a.receive(`${round} once b4`)]);
  for (const end of [a, b]) {
    const tags = end.received.map(tagOf).filter((tag) => tag.startsWith(`${round} once`));
    assert.equal(tags.length, 5, tags.join());
  }
}

describe('a ring of two switches and a Linux bridge', { concurrency: true }, () => {
  leakCheck({ after });
  test('the bridge is root: our ports toward it forward, the cable between ours does not', async (t) => {
    if (!requireBridge(t)) return;
    const { space, switches, cable, stations, taps } = await ring(t, 0x1000);
    await eventually(
      'the bridge forwards',
      async () => (await bridgeStates(space)) === 'forwarding,forwarding',
      60_000,
    );
    await eventually('both have it for the root', async () => {
      const tables = await Promise.all(switches.map((one) => show(one, 'rstp/print')));
      const roots = tables.filter((text) => /role=Root status=Forwarding .* protocol=stp designated=10:00:/.test(text));
      const blocked = tables.filter((text) => /role=Alternate status=Discarding/.test(text));
      return roots.length === 2 && blocked.length === 1;
    });
    await assertOnce(stations, 'ring');
    // The way by the bridge ends: the cable takes over.
    await taps[1].end();
    await assertOnce(stations, 'tap cut');
    await cable.end();
    await taps[0].end();
  });

  test('a switch of ours is root: the bridge discards one port, and takes it when the other way is cut', async (t) => {
    if (!requireBridge(t)) return;
    const { space, cable, stations } = await ring(t, 0xf000);
    await eventually('one port discards', async () => {
      const states = (await bridgeStates(space)).split(',');
      return states.filter((state) => state === 'blocking').length === 1 && !states.includes('disabled');
    });
    await assertOnce(stations, 'ring');
    await cable.end();
    await eventually(
      'the bridge forwards',
      async () => (await bridgeStates(space)) === 'forwarding,forwarding',
      60_000,
    );
    await assertOnce(stations, 'cable cut');
  });
});
