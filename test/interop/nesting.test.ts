/** Locators inside locators, at both ends of one cable, as users write them; the other end of the network is of either make. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { popTag, pushTag } from '../../src/frame/vlan.js';
import { leakCheck } from '../support/leaks.js';
import { namespace } from '../support/namespace.js';
import {
  command,
  eventually,
  FrameStream,
  frame,
  MAKES,
  openEnd,
  startSwitch,
  waitForClients,
} from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces, requireVdeplug, type Skippable } from '../support/peers.js';
import { start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

function ready(t: Skippable): boolean {
  const peers = requirePeer(t, '/usr/bin/vde_plug', 'ip', 'unshare', 'nsenter') && requireVdeplug(t, 'agno');
  return peers && requireTun(t) && requireUserNamespaces(t);
}

/** Sends until it is heard: before all ends are there, frames are lost. */
async function hear(from: FrameStream, to: FrameStream, sent: Buffer, arrives: Buffer): Promise<void> {
  const timer = setInterval(() => from.send(sent), 100);
  const heard = new Promise<void>((done) => {
    const look = (): void => {
      if (to.received.some((one) => one.equals(arrives))) done();
    };
    to.process.child.stdout?.on('data', look);
    look();
  });
  from.send(sent);
  await heard.finally(() => clearInterval(timer));
}

for (const make of MAKES) {
  test(`vde_plug 'agno://KEY{vde://SW}' 'vlan://4{tap://t0}', with ${make} at the other end of the network`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const { dir } = await startSwitch(t, 'ours');
    const key = join(tmpDir(t), 'key');
    writeFileSync(key, '1'.repeat(32), { mode: 0o600 });
    const secret = `agno://${key}{vde://${dir}}`;
    const inside = await namespace(t);
    await inside.addTap('t0');
    inside.start(t, command('ours', 'vde_plug'), [secret, 'vlan://4{tap://t0}']);
    const near = new FrameStream(inside.start(t, command('ours', 'vde_plug'), ['packet://t0']));
    const far = new FrameStream(start(t, command(make, 'vde_plug'), [secret]));
    await waitForClients(dir, 2);
    // Another end of the switch, who does not have the key.
    const stranger = await openEnd(t, dir);
    const tagged = (one: Buffer): Buffer => Buffer.from(pushTag(one, { tpid: 0x8100, pcp: 0, dei: false, vid: 4 }));
    for (const size of [60, 1514]) {
      const [there, back] = [frame({ tag: `there ${size}`, size }), frame({ tag: `back ${size}`, size, source: 2 })];
      await hear(far, near, there, tagged(there));
      await hear(near, far, tagged(back), back);
    }
    const otherTag = frame({ tag: 'of another VLAN', source: 2 });
    near.send(Buffer.from(pushTag(otherTag, { tpid: 0x8100, pcp: 0, dei: false, vid: 5 })), otherTag);
    const last = frame({ tag: 'last', source: 2 });
    await hear(near, far, tagged(last), last);
    assert.deepEqual(
      far.received.filter((one) => one.includes('of another')),
      [],
    );
    await eventually('something on the switch', async () => stranger.received.length > 0);
    for (const one of stranger.received) assert.equal(one.readUInt16BE(12), 0xa6de);
  });
}

test('what is nested may be a locator file, which may nest others', async (t) => {
  if (!requirePeer(t, '/usr/bin/vde_plug') || !requireVdeplug(t, 'vlan')) return;
  leakCheck(t);
  // A hub: a switch would mind the tags.
  const { dir } = await startSwitch(t, 'ours', ['-x']);
  const home = tmpDir(t);
  writeFileSync(join(home, 'inner'), `vde://${dir}\n`);
  writeFileSync(join(home, 'outer.vnl'), `vlan://5/qinq{${home}/inner}`);
  const ours = new FrameStream(start(t, command('ours', 'vde_plug'), [`vlan://4{${home}/outer.vnl}`]));
  const theirs = new FrameStream(start(t, command('debian', 'vde_plug'), [`vlan://4{vlan://5/qinq{vde://${dir}}}`]));
  await waitForClients(dir, 2);
  const sniffer = await openEnd(t, dir);
  const [there, back] = [frame({ tag: 'there' }), frame({ tag: 'back', source: 2 })];
  await hear(ours, theirs, there, there);
  await hear(theirs, ours, back, back);
  const seen = sniffer.received.find((one) => one.includes('there'));
  assert.deepEqual([popTag(seen as Buffer)?.tag.vid, (seen as Buffer).readUInt16BE(12)], [5, 0x88a8]);
});
