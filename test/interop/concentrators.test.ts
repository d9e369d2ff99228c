/** `multi://` and `bonding://` of either make, with clients of either make: the same frames in the same turns. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Owner } from '../support/cleanup.js';
import { guest, requireGuest } from '../support/guest.js';
import { leakCheck } from '../support/leaks.js';
import { namespace } from '../support/namespace.js';
import { command, FrameStream, frame, MAKES, type Make, tagOf } from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces } from '../support/peers.js';
import { start } from '../support/proc.js';
import { waitForSocket, waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

/** Data sockets that a node has for its clients: ours are called by port, C's `fdN`. */
function sockets(dir: string): string[] {
  return readdirSync(dir).filter((name) => /^(\d{3,}\.\d+|fd\d+)$/.test(name));
}

const asking = (dir: string): boolean => readdirSync(dir).some((name) => /^\.\d+-\d+$/.test(name));

/** A client that is served: a frame of its own has come to the owner. */
async function attach(t: Owner, make: Make, dir: string, owner: FrameStream, name: string): Promise<FrameStream> {
  const before = sockets(dir).length;
  const stream = new FrameStream(start(t, command(make, 'vde_plug'), [`vde://${dir}`]));
  await waitUntil(join(dir, 'ctl'), 'client', () => sockets(dir).length > before && !asking(dir));
  stream.send(frame({ tag: `I am ${name}` }));
  await owner.receive(`I am ${name}`);
  return stream;
}

/** Everybody's frames with a tag that begins so, in order. */
const got = (all: FrameStream[], tag: string): string[] =>
  all.map(({ received }) =>
    received
      .map(tagOf)
      .filter((one) => one.startsWith(tag))
      .join(' '),
  );

for (const node of MAKES) {
  for (const client of MAKES) {
    for (const scheme of ['bonding', 'multi'] as const) {
      test(`${scheme}: run by ${node}, with clients of ${client}`, async (t) => {
        if (!requirePeer(t, '/usr/bin/vde_plug')) return;
        leakCheck(t);
        const dir = join(tmpDir(t), 'n');
        const owner = new FrameStream(start(t, command(node, 'vde_plug'), [`${scheme}://${dir}[mode=0660]`]));
        await waitForSocket(join(dir, 'ctl'));
        const all: FrameStream[] = [];
        for (const name of ['a', 'b', 'c']) all.push(await attach(t, client, dir, owner, name));
        /** Sends a row of frames, each when the one before has arrived as often as it should. */
        const send = async (row: string, count: number, receivers: FrameStream[]): Promise<void> => {
          const copies = scheme === 'multi' ? receivers.length : 1;
          for (let i = 0; i < count; i++) {
            const tag = `${row}${i}`;
            owner.send(frame({ tag }));
            const arrived = (): number => got(receivers, tag).filter((one) => one !== '').length;
            await waitUntil(join(dir, 'ctl'), tag, () => arrived() === copies);
          }
        };
        await send('h', 7, all);
        const every = (row: string, count: number): string =>
          Array.from({ length: count }, (_, i) => `${row}${i}`).join(' ');
        assert.deepEqual(
          got(all, 'h'),
          scheme === 'multi' ? [every('h', 7), every('h', 7), every('h', 7)] : ['h2 h5', 'h0 h3 h6', 'h1 h4'],
        );
        // One leaves, one comes.
        all[0].process.kill();
        await all[0].process.exited;
        await waitUntil(join(dir, 'ctl'), 'leave', () => sockets(dir).length === 2);
        await send('j', 4, all.slice(1));
        all.push(await attach(t, client, dir, owner, 'd'));
        await send('k', 6, all.slice(1));
        if (scheme === 'bonding') {
          assert.deepEqual(got(all, 'j'), ['', 'j1 j3', 'j0 j2', '']);
          assert.deepEqual(got(all, 'k'), ['', 'k2 k5', 'k1 k4', 'k0 k3']);
        }
        // What clients sent went to the owner alone.
        assert.deepEqual(got(all, 'I am'), ['', '', '', '']);
        for (const size of [1514, 9234]) {
          all[1].send(frame({ tag: `size ${size}`, size }));
          assert.deepEqual(await owner.receive(`size ${size}`), frame({ tag: `size ${size}`, size }));
        }
        owner.process.kill();
        await owner.process.exited;
        for (const one of all.slice(1)) assert.deepEqual(await one.process.exited, { code: 0, signal: null });
        assert.equal(existsSync(dir), false);
      });
    }
  }
}

test('multi: a QEMU guest reaches the tap of the process that runs it, and no other guest', async (t) => {
  if (!requireGuest(t) || !requirePeer(t, 'ip', 'ping') || !requireTun(t) || !requireUserNamespaces(t)) return;
  leakCheck(t);
  const dir = join(tmpDir(t), 'n');
  const ns = await namespace(t);
  await ns.addTap('t0', { address: ['10.0.0.1/24'], mac: '02:00:00:00:00:01' });
  ns.start(t, command('ours', 'vde_plug'), [`multi://${dir}`, 'tap://t0']);
  await waitForSocket(join(dir, 'ctl'));
  const vm = await guest(t, {
    netdevs: [`vde,id=n0,sock=${dir}`, `vde,id=n1,sock=${dir}`],
    script: `echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0; ip link set eth1 up`,
  });
  assert.match(await vm.run('ping -q -c 2 -W 10 10.0.0.1'), /2 packets received/);
  const { code, stdout } = await ns.exec('ping', ['-q', '-c', '3', '-i', '0.05', '-W', '10', '10.0.0.2']);
  assert.equal(code, 0, stdout);
  // From now on neither asks whether the other is still there.
  await ns.ip('neigh', 'replace', '10.0.0.2', 'lladdr', '52:54:00:00:00:01', 'dev', 't0', 'nud', 'permanent');
  await vm.run('arp -s 10.0.0.1 02:00:00:00:00:01');
  // What eth0 sends to all, its ARP requests, is not heard at eth1; what the owner sends is.
  const heard = await vm.run('cat /sys/class/net/eth1/statistics/rx_packets');
  await vm.run('arping -c 3 -w 3 -I eth0 10.0.0.77 || true');
  assert.equal(await vm.run('cat /sys/class/net/eth1/statistics/rx_packets'), heard);
});
