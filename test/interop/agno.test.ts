/** Encrypted ends of either make: `agno://` through switches of either make. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import {
  command,
  eventually,
  FrameStream,
  frame,
  greet,
  type Make,
  openEnd,
  startSwitch,
  waitForClients,
} from '../support/network.js';
import { requirePeer, requireVdeplug, type Skippable } from '../support/peers.js';
import { start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

const ready = (t: Skippable): boolean =>
  requirePeer(t, '/usr/bin/vde_switch', '/usr/bin/vde_plug') && requireVdeplug(t, 'agno');

/** What every type of the C plugin puts into the outer header of a frame of type 0x88b5. */
const OUTER: Record<string, (type: number) => boolean> = {
  '': (type) => type === 0xa6de,
  '[ethtype=0]': (type) => type === 0xa6de,
  '[ethtype=copy]': (type) => type === 0x88b5,
  '[ethtype=ipv4]': (type) => type === 0x0800,
  '[ethtype=ipv6]': (type) => type === 0x86dd,
  '[e=0x88b6]': (type) => type === 0x88b6,
  '[ethtype=2054]': (type) => type === 0x0806,
  '[ethtype=rand]': (type) => type >= 0x600 && type <= 0xfffe,
};

function keyFile(t: Owner, text: string): string {
  const path = join(tmpDir(t), 'key');
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

/** `vde_plug agno://...` between a switch and its standard streams. */
function agnoStream(t: Owner, make: Make, key: string, parameters: string, dir: string): FrameStream {
  return new FrameStream(start(t, command(make, 'vde_plug'), [`agno://${key}${parameters}{vde://${dir}}`]));
}

const hex = (frames: readonly Buffer[]): string[] => frames.map((one) => one.toString('hex'));

for (const [parameters, isOuter] of Object.entries(OUTER)) {
  test(`agno://KEY${parameters}: each make reads what the other sends`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    // Somebody's own spelling, with a capital A, which C reads as 1.
    const key = keyFile(t, 'AA:0b:Cd 1e-2f 30 41 52 63 74 85 96 a7 b8 c9 da\n');
    const { dir } = await startSwitch(t, 'ours');
    const ours = agnoStream(t, 'ours', key, parameters, dir);
    const theirs = agnoStream(t, 'debian', key, parameters, dir);
    const sniffer = await openEnd(t, dir);
    await waitForClients(dir, 3);
    await greet(ours, theirs);
    const sizes = [14, 15, 29, 30, 31, 60, 1000, 1500, 1514, 9000];
    const from = (who: string) => sizes.map((size, i) => frame({ tag: `${who}${i}`, size }));
    for (const one of from('o')) ours.send(one);
    for (const one of from('t')) theirs.send(one);
    await Promise.all([theirs.receive(`o${sizes.length - 1}`), ours.receive(`t${sizes.length - 1}`)]);
    assert.deepEqual(hex(theirs.received.slice(1)), hex(from('o')));
    assert.deepEqual(hex(ours.received.slice(1)), hex(from('t')));
    const { received } = sniffer;
    await eventually('everything on the switch', async () => received.length === 2 + 2 * sizes.length);
    for (const one of received) assert.ok(isOuter(one.readUInt16BE(12)), one.toString('hex', 12, 14));
    assert.ok(received.every((one) => !one.includes('hello')));
  });
}

test('full frames pass a C switch with an MTU of 1488, longer ones are cut there and arrive cut, as with C', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const key = keyFile(t, 'dd02c7c2232759874e1c205587017bed  -\n');
  const { dir } = await startSwitch(t, 'debian');
  const [a, b] = [agnoStream(t, 'ours', key, '', dir), agnoStream(t, 'ours', key, '', dir)];
  await waitForClients(dir, 2);
  await greet(a, b);
  a.send(frame({ tag: 'fits', size: 1502 }), frame({ tag: 'long', size: 1514 }));
  assert.equal((await b.receive('fits')).length, 1502);
  assert.equal((await b.receive('long')).length, 1498);
});

test('keys that differ: nothing passes, either way, and our end says so once', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const [one, other] = [keyFile(t, '1'.repeat(32)), keyFile(t, '2'.repeat(32))];
  const { dir } = await startSwitch(t, 'ours');
  const ours = agnoStream(t, 'ours', one, '', dir);
  const theirs = agnoStream(t, 'debian', other, '', dir);
  await waitForClients(dir, 2);
  for (let i = 0; i < 10; i++) theirs.send(frame({ tag: `no ${i}` }));
  await ours.process.waitFor(/frames arrive that the key does not open/, { stream: 'stderr' });
  // One with the right key, through the same switch, shows that all before has been seen.
  const friend = agnoStream(t, 'debian', one, '', dir);
  await waitForClients(dir, 3);
  await greet(ours, friend);
  assert.ok(ours.received.every((got) => !got.includes('no ')));
  assert.equal(ours.process.stderr.split('does not open').length, 2);
  assert.equal(theirs.received.length, 0);
});

for (const auth of ['gcm', 'chacha']) {
  test(`auth=${auth} passes frames between ours through a C switch; replays and strangers stay out`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const key = keyFile(t, 'dd02c7c2232759874e1c205587017bed  -\n');
    const { dir } = await startSwitch(t, 'debian');
    const [a, b] = [0, 1].map(() => agnoStream(t, 'ours', key, `[auth=${auth}]`, dir));
    const stranger = agnoStream(t, 'debian', key, '', dir);
    const sniffer = await openEnd(t, dir);
    await waitForClients(dir, 4);
    await greet(a, b);
    const sizes = [14, 60, 1000, 1472];
    for (const [i, size] of sizes.entries()) a.send(frame({ tag: `f${i}`, size }));
    await b.receive(`f${sizes.length - 1}`);
    // C clients have a short memory for who sends faster than they read.
    for (const captured of [...sniffer.received]) sniffer.send(captured);
    stranger.send(frame({ tag: 'stranger' }));
    a.send(frame({ tag: 'last' }));
    await b.receive('last');
    assert.deepEqual(hex(b.received.slice(1)), [
      ...hex(sizes.map((size, i) => frame({ tag: `f${i}`, size }))),
      frame({ tag: 'last' }).toString('hex'),
    ]);
    assert.equal(a.received.length, 1);
    assert.equal(stranger.received.length, 0);
  });
}
