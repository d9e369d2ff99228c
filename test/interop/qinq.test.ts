/**
 * Provider bridging against Linux: a guest's kernel with 802.1ad devices is another provider's edge behind our trunk, and
 * one with 802.1Q devices is a customer behind a tunnel port.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { openConsole } from '../../src/console/client.js';
import { parseHash } from '../../src/console/parse-tables.js';
import { outerTag, popTag } from '../../src/frame/vlan.js';
import { cleanup } from '../support/cleanup.js';
import { guest, requireGuest } from '../support/guest.js';
import { leakCheck } from '../support/leaks.js';
import { openEnd, startSwitch } from '../support/network.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const PROVIDER = 1;
const TUNNEL = 2;
const CUSTOMER_TRUNK = 3;
const SNIFFER = 4;
const OTHER_TUNNEL = 5;

/** The customer is in a network namespace of the guest's, which lives as long as its first process. */
const SETUP = `
ip link set eth0 up
ip link add link eth0 name s100 type vlan proto 802.1ad id 100
ip link set s100 up
ip link add link s100 name c10 type vlan id 10
ip addr add 10.0.0.1/24 dev c10
ip link set c10 up
ip addr add 10.1.0.1/24 dev s100
unshare -n sleep 100000 &
customer=$!
until ! [ /proc/$customer/ns/net -ef /proc/1/ns/net ]; do usleep 10000; done
ip link set eth1 netns $customer
ip link set eth2 netns $customer
echo $customer >/customer
cat >/setup <<END
ip link set lo up
ip link set eth1 up
ip link add link eth1 name c10 type vlan id 10
ip addr add 10.0.0.2/24 dev c10
ip link set c10 up
ip addr add 10.1.0.2/24 dev eth1
ip link set eth2 up
ip link add link eth2 name c100 type vlan id 100
ip link set c100 up
ip link add link c100 name d10 type vlan id 10
ip link set d10 up
END
nsenter -t $customer -n sh /setup
`;

const MAC = ['52:54:00:00:01:00', '52:54:00:00:01:01', '52:54:00:00:01:02'];

test('Linux with 802.1ad devices, and its customers with 802.1Q, on our provider switch', async (t) => {
  if (!requireGuest(t)) return;
  leakCheck(t);
  const path = join(tmpDir(t), 'mgmt');
  const { dir } = await startSwitch(t, 'ours', ['-M', path]);
  await waitForSocket(path);
  const console = await openConsole(path);
  cleanup(t, () => console.close());
  for (const line of [
    ...['vlan/create 100', 'vlan/create 200'],
    ...[PROVIDER, TUNNEL, CUSTOMER_TRUNK, SNIFFER, OTHER_TUNNEL].map((port) => `port/create ${port}`),
    ...[PROVIDER, SNIFFER].flatMap((port) => [`port/settpid ${port} 88a8`, `port/trunk ${port} all`]),
    ...[`port/tunnel ${TUNNEL} 100`, `port/trunk ${CUSTOMER_TRUNK} 100`, `port/tunnel ${OTHER_TUNNEL} 200`],
  ]) {
    assert.equal((await console.command(line)).code, 1000, line);
  }
  const sniffer = await openEnd(t, `vde://${dir}[${SNIFFER}]`);
  const other = await openEnd(t, `vde://${dir}[${OTHER_TUNNEL}]`);
  const vm = await guest(t, {
    netdevs: [PROVIDER, TUNNEL, CUSTOMER_TRUNK].map((port) => `vde,id=n${port},sock=${dir},port=${port}`),
    macs: MAC,
    modules: ['8021q'],
    script: SETUP,
  });
  const customer = (command: string) => vm.run(`nsenter -t $(cat /customer) -n ${command}`);
  const answered = async (answer: Promise<string>) => assert.match(await answer, /3 packets received/);

  // The customer's own VLAN 10 goes through the provider's VLAN 100, both ways, in frames of any size up to the customer's
  // full ones; and so do frames without a tag.
  await answered(vm.run('ping -q -c 3 -i 0.1 -W 10 10.0.0.2'));
  await answered(customer('ping -q -c 3 -i 0.1 -W 10 -s 1400 10.0.0.1'));
  await answered(customer('ping -q -c 3 -i 0.1 -W 10 10.1.0.1'));
  await answered(vm.run('ping -q -c 3 -i 0.1 -W 10 10.1.0.2'));

  // What was flooded reached a third switch on the trunk as the kernel and we tagged it, which is alike.
  const seen = sniffer.received.map((one) => ({ source: one.toString('hex', 6, 12), outer: popTag(one) }));
  const sources = new Set(seen.map(({ source }) => source));
  for (const mac of MAC.slice(0, 2)) assert.ok(sources.has(mac.replaceAll(':', '')), mac);
  for (const { outer } of seen) {
    assert.deepEqual([outer?.tag.tpid, outer?.tag.vid], [0x88a8, 100]);
    const inner = outer && outerTag(outer.frame);
    if (inner) assert.deepEqual([inner.tpid, inner.vid], [0x8100, 10]);
  }
  assert.ok(seen.some(({ outer }) => outer && outerTag(outer.frame)));
  // Another customer saw nothing of it.
  assert.deepEqual(other.received, []);

  // A port of ordinary tags has the same VLAN with an ordinary tag outside: here the customer speaks from there.
  await customer('ip addr flush dev c10');
  await customer('ip addr add 10.0.0.3/24 dev d10');
  await answered(customer('ping -q -c 3 -i 0.1 -W 10 10.0.0.1'));
  const learned = parseHash((await console.command('hash/print')).data);
  assert.deepEqual(
    MAC.map((mac) => learned.filter((one) => one.mac === mac).map(({ vlan, port }) => [vlan, port])),
    [[[100, PROVIDER]], [[100, TUNNEL]], [[100, CUSTOMER_TRUNK]]],
  );
  await vm.powerOff();
});
