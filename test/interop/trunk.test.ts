/**
 * Tagged traffic, end to end: the kernel's VLAN devices in a guest, a trunk of our switch, a cable that carries several
 * VLANs to a second switch of either make, and namespaces at its ports.
 *
 *     guest eth0, vlan10, vlan20 -- (1) ours (2) == cable == (1) C or ours (2, 3, 4) -- namespace
 *
 * The guest's untagged frames are in VLAN 7, its port's native one; on the cable all three VLANs are tagged.
 */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Owner } from '../support/cleanup.js';
import { guest, requireGuest } from '../support/guest.js';
import { leakCheck } from '../support/leaks.js';
import { type Namespace, namespace } from '../support/namespace.js';
import {
  command,
  frame,
  type Make,
  openEnd,
  type SwitchProcess,
  startSwitch,
  tagOf,
  waitForEndpoints,
} from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces, type Skippable } from '../support/peers.js';
import { start } from '../support/proc.js';

const PEERS = ['/usr/bin/vde_switch', '/usr/bin/vde_plug', 'ip', 'ping'];
const VLANS = [7, 10, 20];
const CREATE = VLANS.map((vlan) => `vlan/create ${vlan}`);

function ready(t: Skippable): boolean {
  return requirePeer(t, ...PEERS) && requireTun(t) && requireUserNamespaces(t);
}

/** Has a switch in the foreground carry out commands, all of which must succeed. */
async function configure({ process }: SwitchProcess, lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    process.stdin.write(`${line}\n`);
    const [result] = await process.expect(/\b1\d{3} \w.*/, { stream: 'stdout' });
    assert.match(result, /^1000/, line);
  }
}

/** Our switch: the guest at port 1 with VLAN 7 untagged, a cable to another switch at each of the ports behind it. */
async function near(t: Owner, cables: number): Promise<SwitchProcess> {
  const sw = await startSwitch(t, 'ours');
  const ports = [...Array(cables).keys()].map((i) => i + 2);
  await configure(sw, [
    ...['port/create 1', 'port/trunk 1 10,20'],
    ...ports.flatMap((port) => [`port/create ${port}`, `port/trunk ${port} 7,10,20`]),
    ...CREATE,
    'port/setvlan 1 7',
  ]);
  return sw;
}

/** The switch behind a cable to port `port` of ours: a tagged port 1, and one port for each VLAN, as C's commands have it. */
async function far(t: Owner, make: Make, sw: SwitchProcess, port: number): Promise<SwitchProcess> {
  const other = await startSwitch(t, make);
  await configure(other, [
    ...CREATE,
    'port/create 1',
    ...VLANS.map((vlan) => `vlan/addport ${vlan} 1`),
    'port/setvlan 1 4095',
    ...VLANS.flatMap((vlan, i) => [`port/create ${i + 2}`, `port/setvlan ${i + 2} ${vlan}`]),
  ]);
  start(t, command(make, 'vde_plug'), [`vde://${sw.dir}[${port}]`, `vde://${other.dir}[1]`]);
  await waitForEndpoints(other, 1);
  return other;
}

/** A host with a tap at the port of each VLAN: 10.0.VLAN.`host`. */
async function station(t: Owner, make: Make, sw: SwitchProcess, host: number, mtu?: number): Promise<Namespace> {
  const ns = await namespace(t);
  for (const [i, vlan] of VLANS.entries()) {
    await ns.addTap(`t${vlan}`, { address: `10.0.${vlan}.${host}/24`, mtu });
    ns.start(t, command(make, 'vde_plug'), [`tap://t${vlan}`, `vde://${sw.dir}[${i + 2}]`]);
  }
  await waitForEndpoints(sw, 1 + VLANS.length);
  await ns.running(...VLANS.map((vlan) => `t${vlan}`));
  return ns;
}

const GUEST = `
ip addr add 10.0.7.9/24 dev eth0; ip link set eth0 mtu MTU up
for vlan in 10 20; do
  ip link add link eth0 name vlan$vlan type vlan id $vlan
  ip addr add 10.0.$vlan.9/24 dev vlan$vlan; ip link set vlan$vlan up
done`;

async function ping(ns: Namespace, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await ns.exec('ping', ['-q', '-c', '3', '-i', '0.05', '-W', '10', ...args]);
  assert.equal(code, 0, `ping ${args.join(' ')}: ${stdout}${stderr}`);
}

test('VLAN devices of a guest reach their VLANs behind a C switch and behind ours, with full and with jumbo frames', async (t) => {
  if (!ready(t) || !requireGuest(t)) return;
  leakCheck(t);
  const sw = await near(t, 2);
  const behindC = await station(t, 'debian', await far(t, 'debian', sw, 2), 1);
  const behindOurs = await station(t, 'ours', await far(t, 'ours', sw, 3), 2, 9000);
  const vm = await guest(t, {
    netdevs: [`vde,id=n0,sock=${sw.dir},port=1`],
    modules: ['8021q'],
    script: GUEST.replace('MTU', '9000'),
  });
  for (const vlan of VLANS) {
    await ping(behindC, `10.0.${vlan}.9`);
    await ping(behindOurs, `10.0.${vlan}.9`);
    // As much as an untagged frame may carry: with a tag, four octets more on the cable.
    await ping(behindC, '-s', '1472', '-M', 'do', `10.0.${vlan}.9`);
    await ping(behindOurs, '-s', '8972', '-M', 'do', `10.0.${vlan}.9`);
    await ping(behindOurs, `10.0.${vlan}.1`);
    const said = await vm.run(`ping -q -c 2 -W 10 10.0.${vlan}.1; ping -q -c 2 -W 10 -s 8972 10.0.${vlan}.2`);
    assert.equal(said.split('2 packets received').length - 1, 2, said);
  }
  await vm.powerOff();
});

for (const make of ['debian', 'ours'] as const) {
  test(`frames stay in their VLAN, and have a tag on trunks only, with a second switch (${make})`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const sw = await near(t, 1);
    const other = await far(t, make, sw, 2);
    const trunk = await openEnd(t, `vde://${sw.dir}[1]`);
    const ends = await Promise.all(VLANS.map((_, i) => openEnd(t, `vde://${other.dir}[${i + 2}]`)));
    await waitForEndpoints(other, 1 + VLANS.length);
    const everybody = [trunk, ...ends];
    // What comes last shows that nothing else is on its way.
    for (const [i, end] of ends.entries()) end.send(frame({ tag: `from ${VLANS[i]}`, source: 10 + i }));
    await Promise.all([trunk.receive('from 7'), ...[10, 20].map((vlan) => tagged(trunk, vlan))]);
    trunk.send(frame({ tag: 'native', source: 1 }));
    for (const vlan of [20, 10, 30, 4094]) trunk.send(withTag(frame({ tag: `to ${vlan}`, source: 1 }), vlan));
    trunk.send(frame({ tag: 'native end', source: 1 }));
    trunk.send(withTag(frame({ tag: 'end 20', source: 1 }), 20), withTag(frame({ tag: 'end 10', source: 1 }), 10));
    await Promise.all(['native end', 'end 10', 'end 20'].map((tag, i) => ends[i].receive(tag)));
    const seen = everybody.map(({ received }) => received.map((one) => label(one)));
    assert.deepEqual(
      seen.map((list) => [...list].sort()),
      [
        ['10: from 10', '20: from 20', 'from 7'],
        ['native', 'native end'],
        ['end 10', 'to 10'],
        ['end 20', 'to 20'],
      ],
    );
  });
}

function withTag(one: Buffer, vlan: number): Buffer {
  return Buffer.concat([one.subarray(0, 12), Buffer.from([0x81, 0, vlan >> 8, vlan & 0xff]), one.subarray(12)]);
}

/** What a frame is called, with its VLAN before it if it has a tag. */
function label(one: Buffer): string {
  if (one.readUInt16BE(12) !== 0x8100) return tagOf(one);
  return `${one.readUInt16BE(14) & 0xfff}: ${tagOf(Buffer.concat([one.subarray(0, 12), one.subarray(16)]))}`;
}

/** Resolves when a frame with that tag has arrived. */
async function tagged({ end, received }: Awaited<ReturnType<typeof openEnd>>, vlan: number): Promise<void> {
  const there = () => received.some((one) => label(one).startsWith(`${vlan}: `));
  if (there()) return;
  await new Promise<void>((done) => {
    end.on('frame', function look() {
      if (!there()) return;
      end.off('frame', look);
      done();
    });
  });
}
