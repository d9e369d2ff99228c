/**
 * The rapid spanning tree in rings with the Linux bridge, whose own protocol is that of 802.1D-1998: two switches of ours
 * joined by a cable, and each by a tap to one bridge in a namespace.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { describe, test } from 'node:test';
import { leakCheck } from '../support/leaks.js';
import { type Namespace, namespace } from '../support/namespace.js';
import { bin } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import {
  eventually,
  frame,
  openEnd,
  type ReceivingEnd,
  startSwitch,
  type SwitchProcess,
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

/** @param priority of the Linux bridge, whose address is above those of the switches. */
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
    taps.push(space.start(t, bin('vde_plug'), [`tap://${tap}`, `vde://${one.dir}`]));
  }
  const cable = start(t, bin('vde_plug'), switches.map(({ dir }) => `vde://${dir}`));
  const stations = [await openEnd(t, switches[0].dir), await openEnd(t, switches[1].dir)];
  return { space, switches, cable, stations, taps };
}

async function show({ process }: SwitchProcess, command: string): Promise<string> {
  process.stdin.write(`${command}\n`);
  const [, block] = await process.expect(/0000 DATA END WITH '.'\n([\s\S]*?)\n?\.\n1000 Success/, { stream: 'stdout' });
  return block;
}

/** The states that the kernel's ports are in: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking. */
async function bridgeStates(space: Namespace): Promise<string> {
  const { stdout } = await space.exec('cat', ['/sys/class/net/t0/brport/state', '/sys/class/net/t1/brport/state']);
  return stdout.replaceAll('\n', '');
}
