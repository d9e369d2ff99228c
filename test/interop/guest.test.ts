/** A QEMU guest, whose `-netdev vde` uses the C library, on our switch. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { guest, requireGuest } from '../support/guest.js';
import { leakCheck } from '../support/leaks.js';
import { namespace } from '../support/namespace.js';
import { command, startSwitch, waitForEndpoints } from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces } from '../support/peers.js';

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
