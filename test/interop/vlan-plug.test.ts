/** `vlan://` of either make: what each puts on the network, the other understands. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { popTag, pushTag } from '../../src/frame/vlan.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import {
  command,
  eventually,
  FrameStream,
  frame,
  greet,
  MAKES,
  type Make,
  openEnd,
  startSwitch,
  waitForClients,
} from '../support/network.js';
import { requirePeer, requireVdeplug, type Skippable } from '../support/peers.js';
import { start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

const ready = (t: Skippable): boolean =>
  requirePeer(t, '/usr/bin/vde_switch', '/usr/bin/vde_plug') && requireVdeplug(t, 'vlan');

const stream = (t: Owner, make: Make, locator: string): FrameStream =>
  new FrameStream(start(t, command(make, 'vde_plug'), [locator]));

const tag = (one: Buffer, vid: number, tpid: 0x8100 | 0x88a8 = 0x8100): Buffer =>
  Buffer.from(pushTag(one, { tpid, pcp: 0, dei: false, vid }));

test('frames pass between the two makes, untagged at both ends, tagged on the network', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  for (const form of ['vlan://4', 'vlan://0x4', 'vlan://5/qinq']) {
    // A hub: a switch would mind the tags.
    const { dir } = await startSwitch(t, 'ours', ['-x']);
    const ours = stream(t, 'ours', `${form}{vde://${dir}}`);
    const theirs = stream(t, 'debian', `${form}{vde://${dir}}`);
    const sniffer = await openEnd(t, dir);
    await waitForClients(dir, 3);
    await greet(ours, theirs);
    const sizes = [60, 1000, 1514];
    for (const [i, size] of sizes.entries()) {
      ours.send(frame({ tag: `o${i}`, size }));
      theirs.send(frame({ tag: `t${i}`, size }));
      assert.deepEqual(await theirs.receive(`o${i}`), frame({ tag: `o${i}`, size }));
      assert.deepEqual(await ours.receive(`t${i}`), frame({ tag: `t${i}`, size }));
    }
    await eventually('everything on the switch', async () => sniffer.received.length === 8);
    for (const one of sniffer.received) assert.equal(popTag(one)?.tag.vid, form.endsWith('q') ? 5 : 4);
  }
});

test('what is sent is the same on the network, whoever sends it, for every row of the table', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const plain = (i: number) => frame({ tag: `p${i}`, size: 100 });
  const client = [0, 4, 7, 10, 11, 12, 99].map((id, i) => (id === 0 ? plain(i) : tag(plain(i), id)));
  const last = plain(99);
  for (const locator of [
    'vlan://',
    'vlan://4',
    'vlan://4/untag=7',
    'vlan:///t=10:11-12:12-11',
    'vlan:///x',
    'vlan://5/qinq',
  ]) {
    const seen: string[][] = [];
    for (const make of MAKES) {
      const { dir } = await startSwitch(t, 'ours', ['-x']);
      const plug = stream(t, make, `${locator}{vde://${dir}}`);
      const sniffer = await openEnd(t, dir);
      await waitForClients(dir, 2);
      // What is awaited is whatever the last untagged frame becomes.
      plug.send(...client, last);
      const marker = Buffer.from('p99\0');
      await new Promise<void>((done) => {
        const look = (): void => {
          if (sniffer.received.at(-1)?.includes(marker)) done();
        };
        sniffer.end.on('frame', look);
        look();
      });
      seen.push(sniffer.received.map((one) => one.toString('hex')));
    }
    assert.ok(seen[0].length > 1);
    assert.deepEqual(seen[0], seen[1], locator);
  }
});

test('wrappers nest as in C: tags inside encryption, encryption inside tags', async (t) => {
  if (!ready(t) || !requireVdeplug(t, 'agno')) return;
  leakCheck(t);
  const key = join(tmpDir(t), 'key');
  writeFileSync(key, '1'.repeat(32), { mode: 0o600 });
  for (const [locator, type] of [
    ['vlan://4{agno://KEY{vde://DIR}}', 0xa6de],
    ['agno://KEY{vlan://4{vde://DIR}}', 0x8100],
    ['vlan://4{vlan://5/qinq{vde://DIR}}', 0x88a8],
  ] as const) {
    const { dir } = await startSwitch(t, 'ours', ['-x']);
    const text = locator.replace('KEY', key).replace('DIR', dir);
    const [ours, theirs] = [stream(t, 'ours', text), stream(t, 'debian', text)];
    const sniffer = await openEnd(t, dir);
    await waitForClients(dir, 3);
    await greet(ours, theirs);
    for (const one of sniffer.received) assert.equal(one.readUInt16BE(12), type, text);
  }
});
