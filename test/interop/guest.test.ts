/** QEMU guests on our switch: by `-netdev vde`, which uses the C library, and by QEMU's own streams and datagrams. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { freePorts } from '../plug/udp-pair.js';
import { guest, requireGuest } from '../support/guest.js';
import { leakCheck } from '../support/leaks.js';
import { namespace } from '../support/namespace.js';
import { command, eventually, startSwitch, waitForEndpoints } from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces } from '../support/peers.js';
import { start } from '../support/proc.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

test('a guest and a namespace reach each other through our switch; the guest leaves its port free', async (t) => {
  if (!requireGuest(t) || !requirePeer(t, 'ip', 'ping') || !requireTun(t) || !requireUserNamespaces(t)) return;
  leakCheck(t);
  const sw = await startSwitch(t, 'ours');
  const ns = await namespace(t);
  await ns.addTap('t0', { address: ['10.0.0.1/24', 'fd00::1/64'], ipv6: true });
  ns.start(t, command('ours', 'vde_plug'), [sw.dir, 'tap://t0']);
  await waitForEndpoints(sw, 1);
  const vm = await guest(t, {
    netdevs: [`vde,id=n0,sock=${sw.dir},port=7`],
    script: `echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0; ip -6 addr add fd00::2/64 dev eth0`,
  });
  sw.process.stdin.write('port/print 7\n');
  await sw.process.waitFor(/Port 0007 .* ACTIVE/);
  for (const args of [['10.0.0.2'], ['-6', 'fd00::2'], ['-s', '1472', '-M', 'do', '10.0.0.2']]) {
    const { code, stdout } = await ns.exec('ping', ['-q', '-c', '3', '-i', '0.05', '-W', '10', ...args]);
    assert.equal(code, 0, stdout);
  }
  assert.match(await vm.run('ping -q -c 2 -W 10 10.0.0.1'), /2 packets received/);
  await vm.powerOff();
  await waitForEndpoints(sw, 1);
});

test('a guest’s streams and datagrams are qemu:// and udp://, whichever side connects', async (t) => {
  if (!requireGuest(t) || !requirePeer(t, 'ip', 'ping') || !requireTun(t) || !requireUserNamespaces(t)) return;
  leakCheck(t);
  const sw = await startSwitch(t, 'ours');
  const ns = await namespace(t);
  await ns.addTap('t0', { address: [0, 1, 2, 3].map((i) => `10.0.${i}.1/24`) });
  ns.start(t, command('ours', 'vde_plug'), [sw.dir, 'tap://t0']);
  const cable = (locator: string) => start(t, command('ours', 'vde_plug'), [sw.dir, locator]);
  const [ours, theirs] = ['ours', 'theirs'].map((name) => join(tmpDir(t), name));
  const [tcp, there, here] = freePorts(3);
  const listener = cable(`qemu://${ours}[listen]`);
  cable(`qemu://127.0.0.1:${tcp}[listen]`);
  cable(`udp://127.0.0.1:${here}->127.0.0.1:${there}`);
  await waitForSocket(ours);
  await waitForEndpoints(sw, 4);
  // An end has its port of the switch before it listens, perhaps. QEMU calls once.
  const listening = new RegExp(`: 0100007F:${tcp.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A `);
  await eventually('a listener', async () => listening.test(readFileSync('/proc/net/tcp', 'latin1')));
  const inet = (side: string, port: number) => `${side}.type=inet,${side}.host=127.0.0.1,${side}.port=${port}`;
  const vm = await guest(t, {
    netdevs: [
      `stream,id=n0,server=off,addr.type=unix,addr.path=${ours}`,
      `stream,id=n1,server=on,addr.type=unix,addr.path=${theirs}`,
      `socket,id=n2,connect=127.0.0.1:${tcp}`,
      `dgram,id=n3,${inet('local', there)},${inet('remote', here)}`,
    ],
    // An address is answered for by its own interface alone.
    script: `echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
for i in 0 1 2 3; do ip link set eth$i up; ip addr add 10.0.$i.2/24 dev eth$i; done`,
  });
  const caller = cable(`qemu://${theirs}`);
  await waitForEndpoints(sw, 5);
  for (let i = 0; i < 4; i++) {
    const ping = ['-q', '-c', '3', '-i', '0.05', '-W', '10', '-s', '1472', '-M', 'do', `10.0.${i}.2`];
    const { code, stdout } = await ns.exec('ping', ping);
    assert.equal(code, 0, stdout);
    assert.match(await vm.run(`ping -q -c 2 -W 10 10.0.${i}.1`), /2 packets received/);
  }
  await vm.powerOff();
  // Who has called is left; who listens waits for the next.
  assert.deepEqual(await caller.exited, { code: 0, signal: null });
  assert.equal(listener.running, true);
});
