/**
 * vxvdex on two simulated hosts with users of several groups, each in a network namespace of her own: who may join whose
 * network, and what is heard in it.
 */

import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { bin } from '../support/bin.js';
import { twoHosts } from '../support/hosts.js';
import { leakCheck } from '../support/leaks.js';
import { eventually, FrameStream, frame } from '../support/network.js';
import { requirePeer, requireRoot, requireTun, requireUserNamespaces } from '../support/peers.js';
import { introduce, privateStream, Station, startPrivate, startVxvdexd, type User } from '../support/vxvdexd.js';

const alice: User = { uid: 2001, gid: 3001 };
const bob: User = { uid: 2002, gid: 3001 };
const carol: User = { uid: 2003, gid: 3002 };
const dave: User = { uid: 2004, gid: 3009, groups: [3002, 3010] };
const LAB = 'network lab 5000 groups=3002 users=2001\n';

function ready(t: TestContext, ...peers: string[]): boolean {
  return requirePeer(t, 'ip', 'nsenter', 'unshare', ...peers) && requireUserNamespaces(t);
}

function readyForUsers(t: TestContext, ...peers: string[]): boolean {
  return requireRoot(t) && ready(t, 'setpriv', ...peers);
}

const timeout = 120_000;

test('two groups on two hosts: vdens of allowed users ping each other, others get one line', { timeout }, async (t) => {
  if (!readyForUsers(t, 'ping') || !requireTun(t)) return;
  leakCheck(t);
  const [near, far] = await twoHosts(t);
  const brokers = [await startVxvdexd(t, near, { networks: LAB }), await startVxvdexd(t, far, { networks: LAB })];
  const hosts = [near, far];
  const station = async (host: 0 | 1, user: User, number: number, parameters = ''): Promise<Station> => {
    const args = [brokers[host].locator(parameters), ...Station.command(number)];
    return Station.in(startPrivate(t, hosts[host], user, bin('vdens'), args));
  };
  const alices = await station(0, alice, 1);
  const bobs = await station(1, bob, 2);
  const carols = await station(0, carol, 3);
  assert.equal(await bobs.reaches(1), true, bobs.process.output);
  assert.equal(await alices.reaches(2), true, alices.process.output);
  // The same addresses in another network: nobody is there.
  assert.equal(await carols.run('ping -q -c 1 -W 1 10.0.0.1 >/dev/null'), 1);
  const lab = [
    await station(0, alice, 1, '/net=lab'),
    await station(1, carol, 2, '/net=lab'),
    await station(1, dave, 3, '/grp=5000'),
  ];
  assert.equal(await lab[0].reaches(2), true, lab[0].process.output);
  assert.equal(await lab[1].reaches(3), true, lab[1].process.output);
  assert.equal(await lab[2].reaches(1), true, lab[2].process.output);

  for (const [user, parameters, what] of [
    [carol, '/grp=3001', 'uid 2003, gid 3002 may not join network 3001'],
    [bob, '/net=lab', 'uid 2002, gid 3001 may not join network lab \\(5000\\)'],
    [dave, '/grp=3002', 'uid 2004, gid 3009 may not join network 3002'],
  ] as const) {
    const refused = startPrivate(t, near, user, bin('vdens'), [brokers[0].locator(parameters), 'true']);
    const { code } = await refused.exited;
    assert.equal(code, 1);
    assert.match(refused.stderr, new RegExp(`^vdens: [^\\n]*: ${what} \\(ask the administrator for [^\\n]*\\)\\n$`));
  }
  for (const one of [alices, bobs, carols, ...lab]) await one.end();
});

test('what a member sends is in her network only, whatever it looks like; she hears no other', {
  timeout,
}, async (t) => {
  if (!readyForUsers(t)) return;
  leakCheck(t);
  const [near, far] = await twoHosts(t);
  const brokers = [await startVxvdexd(t, near), await startVxvdexd(t, far)];
  const victims = [
    privateStream(t, near, alice, brokers[0].locator()),
    privateStream(t, far, bob, brokers[1].locator()),
  ];
  const friend = privateStream(t, far, carol, brokers[1].locator());
  // She is there twice, and once more on the other host.
  const attackers = [carol, carol].map((user) => privateStream(t, near, user, brokers[0].locator()));
  const cable = new FrameStream(far.net.start(t, bin('vde_plug'), ['packet://eth']));
  for (const attacker of attackers) await introduce(attacker, 7, friend);
  await introduce(victims[0], 1, victims[1]);
  await introduce(victims[1], 2, victims[0]);
  await eventually('the cable is watched', async () => {
    await introduce(victims[0], 1, victims[1]);
    return cable.received.length > 0;
  });

  // Bytes of a datagram of the victims' network; frames of every EtherType round it; a tag of every number.
  const inner = frame({ tag: 'forged', source: 9 });
  const datagram = Buffer.concat([Buffer.from('08000000000bb900', 'hex'), inner]);
  for (const attacker of attackers) {
    attacker.send(datagram, inner);
    for (const type of [0x0800, 0x86dd, 0x8100, 0x88a8, 0x0bb9]) {
      const one = Buffer.concat([inner, datagram]);
      one.writeUInt16BE(type, 12);
      if (type === 0x8100) one.writeUInt16BE(3001, 14);
      attacker.send(one);
    }
    attacker.send(frame({ tag: 'forged for 1', source: 9, destination: 1 }), frame({ tag: 'the last', source: 7 }));
  }
  await friend.receive('forged');
  await friend.count(2, 'the last');
  for (const [i, victim] of victims.entries()) {
    victim.send(
      frame({ tag: `secret ${i}`, source: i + 1 }),
      frame({ tag: 'secret', source: i + 1, destination: 2 - i }),
    );
    await victims[1 - i].receive(`secret ${i}`);
  }
  await introduce(victims[0], 1, victims[1]);
  await introduce(attackers[0], 7, friend);
  for (const one of victims)
    assert.ok(!one.received.some((bytes) => bytes.includes('forged')), 'forged frames arrived');
  for (const one of [...attackers, friend]) {
    assert.ok(!one.received.some((bytes) => bytes.includes('secret')), 'secrets were heard');
  }
  // On the cable, each network's frames are under its own number.
  const vnis = (text: string) => [
    ...new Set(cable.received.flatMap((bytes) => (bytes.includes(text) ? [outerNetwork(bytes)] : []))),
  ];
  await eventually('both were seen', async () => vnis('secret').length > 0 && vnis('the last').length > 0);
  assert.deepEqual([vnis('forged'), vnis('secret')], [[3002], [3001]]);
});

/** The VNI of a datagram to port 14789 or from a member, as it is on the cable. */
function outerNetwork(bytes: Buffer): number {
  assert.equal(bytes.readUInt16BE(12), 0x0800);
  return bytes.readUIntBE(14 + 20 + 8 + 4, 3);
}
