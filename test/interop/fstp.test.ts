/**
 * Rings of C switches and ours with VDE's fast spanning tree on, joined by cables of either make: each frame arrives
 * exactly once, also when a cable has been cut, and the switches agree about the root.
 */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import {
  command,
  eventually,
  frame,
  type Make,
  openEnd,
  type ReceivingEnd,
  type SwitchProcess,
  startSwitch,
  tagOf,
  waitForClients,
} from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { type Running, start } from '../support/proc.js';

const PEERS = ['/usr/bin/vde_switch', '/usr/bin/vde_plug'];
const ROOT = '80:00:00:ff:00:00:00:01';

interface Node extends SwitchProcess {
  station: ReceivingEnd;
}

/** The cable of a make between two switches. */
function cable(t: Owner, make: Make, a: string, b: string): Running {
  return start(t, command(make, 'vde_plug'), [`vde://${a}`, `vde://${b}`]);
}

async function show({ process }: SwitchProcess, line: string): Promise<string> {
  process.stdin.write(`${line}\n`);
  const [, block] = await process.expect(/0000 DATA END WITH '.'\n([\s\S]*?)\n?\.\n1000 Success/, { stream: 'stdout' });
  return block;
}

/**
 * Resolves when all switches take the first for the root and `blocked` ports in all discard, twice in a row: in the end those
 * at both ends of a link too many; one alone, or a third, is only on the way there.
 */
async function settled(nodes: Node[], blocked: number): Promise<void> {
  let before = false;
  await eventually(
    'a settled tree',
    async () => {
      const trees = await Promise.all(nodes.map((node) => show(node, 'fstp/print')));
      const ports = await Promise.all(nodes.map((node) => show(node, 'vlan/print')));
      const count = ports.join('').split('Discarding').length - 1;
      // A C switch's prompts go to its standard input, where nobody reads them: some 270 stop it.
      await pause(400);
      const now = trees.every((text) => text.includes(` ++ root ${ROOT}`)) && count === blocked;
      const twice = now && before;
      before = now;
      return twice;
    },
    60_000,
  );
}

/** Every station speaks to all: each other one hears it exactly once. */
async function assertOnce(nodes: Node[], round: string): Promise<void> {
  for (const [index, { station }] of nodes.entries()) {
    station.send(frame({ tag: `${round}-${index}`, source: 10 + index }));
    const others = nodes.filter((_, other) => other !== index);
    await Promise.all(others.map((other) => other.station.receive(`${round}-${index}`)));
  }
  // A copy that came by another way would be among these by now: the last speaker's frames came after it.
  for (const { station } of nodes) {
    const tags = station.received.map(tagOf).filter((tag) => tag.startsWith(`${round}-`));
    assert.deepEqual([...new Set(tags)].sort(), tags.sort(), `${round}: no frame twice`);
  }
}

async function network(t: Owner, makes: readonly Make[]): Promise<Node[]> {
  const nodes: Node[] = [];
  for (const [index, make] of makes.entries()) {
    const args = ['-F', '--macaddr', `00:ff:00:00:00:0${index + 1}`, '--priority', index === 0 ? '0x8000' : '0x9000'];
    const one = await startSwitch(t, make, args);
    nodes.push({ ...one, station: await openEnd(t, one.dir) });
  }
  return nodes;
}

describe('mixed rings', { concurrency: true }, () => {
  leakCheck({ after });
  for (const [name, makes, cables] of [
    ['three switches, a C one among ours', ['ours', 'debian', 'ours'], ['ours', 'debian', 'ours']],
    [
      'three switches, one of ours among C ones, which is the root',
      ['ours', 'debian', 'debian'],
      ['debian', 'ours', 'debian'],
    ],
    [
      'four switches in turn, the root a C one',
      ['debian', 'ours', 'debian', 'ours'],
      ['ours', 'ours', 'debian', 'debian'],
    ],
  ] as const) {
    test(`${name}: one way only, and another when that is cut`, async (t) => {
      if (!requirePeer(t, ...PEERS)) return;
      const nodes = await network(t, makes);
      const wires: Running[] = [];
      for (const [index, make] of cables.entries()) {
        wires.push(cable(t, make, nodes[index].dir, nodes[(index + 1) % nodes.length].dir));
      }
      for (const { dir } of nodes) await waitForClients(dir, 3);
      await settled(nodes, 2);
      await assertOnce(nodes, 'ring');
      // The first cable leads to the root, so it is in use.
      await wires[0].end();
      await settled(nodes, 0);
      await assertOnce(nodes, 'cut');
    });
  }
});

test('two parallel cables between ours and a C switch: a tree in every VLAN', async (t) => {
  if (!requirePeer(t, ...PEERS)) return;
  leakCheck(t);
  const nodes = await network(t, ['debian', 'ours']);
  const wires = [cable(t, 'ours', nodes[0].dir, nodes[1].dir), cable(t, 'ours', nodes[0].dir, nodes[1].dir)];
  for (const { dir } of nodes) await waitForClients(dir, 3);
  await settled(nodes, 2);
  await assertOnce(nodes, 'two');
  for (const wire of wires) await wire.end();
});
