/**
 * Provider bridging against Linux and C: a guest's kernel with 802.1ad devices is another provider's edge behind our trunk,
 * and one with 802.1Q devices is a customer behind a tunnel port; so are vlan:// plugs of either make; a C switch has the
 * service VLAN as one of its own.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { type ConsoleClient, openConsole } from '../../src/console/client.js';
import { parseHash } from '../../src/console/parse-tables.js';
import { outerTag, popTag, pushTag } from '../../src/frame/vlan.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { guest, requireGuest } from '../support/guest.js';
import { leakCheck } from '../support/leaks.js';
import {
  command,
  FrameStream,
  frame,
  greet,
  type Make,
  openEnd,
  startSwitch,
  waitForClients,
} from '../support/network.js';
import { requirePeer, requireVdeplug } from '../support/peers.js';
import { start } from '../support/proc.js';
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

async function setUp(t: Owner, path: string, lines: readonly string[]): Promise<ConsoleClient> {
  await waitForSocket(path);
  const client = await openConsole(path);
  cleanup(t, () => client.close());
  for (const line of lines) assert.equal((await client.command(line)).code, 1000, line);
  return client;
}

test('Linux with 802.1ad devices, and its customers with 802.1Q, on our provider switch', async (t) => {
  if (!requireGuest(t)) return;
  leakCheck(t);
  const path = join(tmpDir(t), 'mgmt');
  const { dir } = await startSwitch(t, 'ours', ['-M', path]);
  const console = await setUp(t, path, [
    ...['vlan/create 100', 'vlan/create 200'],
    ...[PROVIDER, TUNNEL, CUSTOMER_TRUNK, SNIFFER, OTHER_TUNNEL].map((port) => `port/create ${port}`),
    ...[PROVIDER, SNIFFER].flatMap((port) => [`port/settpid ${port} 88a8`, `port/trunk ${port} all`]),
    ...[`port/tunnel ${TUNNEL} 100`, `port/trunk ${CUSTOMER_TRUNK} 100`, `port/tunnel ${OTHER_TUNNEL} 200`],
  ]);
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

test('vlan:// plugs with service tags, and a C switch that has the service VLAN as its own', async (t) => {
  if (!requirePeer(t, '/usr/bin/vde_switch', '/usr/bin/vde_plug') || !requireVdeplug(t, 'vlan')) return;
  leakCheck(t);
  const [path, theirPath] = [join(tmpDir(t), 'mgmt'), join(tmpDir(t), 'theirs')];
  const { dir } = await startSwitch(t, 'ours', ['-M', path]);
  const theirs = await startSwitch(t, 'debian', ['-M', theirPath]);
  await setUp(t, path, [
    'vlan/create 100',
    ...[1, 2, 3, 4].map((port) => `port/create ${port}`),
    ...['port/settpid 1 88a8', 'port/trunk 1 100', 'port/settpid 2 88a8', 'port/trunk 2 100'],
    ...['port/tunnel 3 100', 'port/trunk 4 100'],
  ]);
  const lines = ['vlan/create 100', 'port/create 1', 'vlan/addport 100 1', 'port/create 2', 'port/setvlan 2 100'];
  await setUp(t, theirPath, lines);
  const stream = (make: Make, locator: string) => new FrameStream(start(t, command(make, 'vde_plug'), [locator]));
  const ends = [
    stream('ours', `vlan://100/qinq{vde://${dir}[1]}`),
    stream('debian', `vlan://100/qinq{vde://${dir}[2]}`),
    await openEnd(t, `vde://${dir}[3]`),
    await openEnd(t, `vde://${theirs.dir}[2]`),
  ];
  start(t, command('ours', 'vde_plug'), [`vde://${dir}[4]`, `vde://${theirs.dir}[1]`]);
  await Promise.all([waitForClients(dir, 4), waitForClients(theirs.dir, 2)]);
  for (const end of ends.slice(1)) await greet(ends[0], end);
  for (const [i, from] of ends.entries()) {
    // Without a tag, and with one of the customer's own, which an ordinary port such as C's does not take.
    const plain = frame({ tag: `from ${i} `, source: i + 1, size: 200 });
    const inner = Buffer.from(pushTag(plain, { tpid: 0x8100, pcp: 3, dei: false, vid: 10 }));
    const isOrdinary = from === ends[3];
    from.send(inner, plain);
    for (const to of ends) {
      if (to === from) continue;
      assert.deepEqual(await to.receive(`from ${i} `), plain);
      assert.equal(
        to.received.some((one) => one.equals(inner)),
        !isOrdinary,
        `the customer's tag, from ${i} to ${ends.indexOf(to)}`,
      );
    }
  }
});
