/**
 * What a cloud protects its members from: the table of docs/vxvdex.md, a test file for each row, each cell shown with real
 * processes. In every cell two members, one on each of two hosts, talk in network 3001, and an attacker tries to hear them
 * and to be heard.
 */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { EtherType, writeEthernet } from '../../src/frame/ethernet.js';
import { IpProtocol, parseIpv4Address, writeIpv4 } from '../../src/frame/ipv4.js';
import { parseMac } from '../../src/frame/mac.js';
import { writeUdp } from '../../src/frame/udp.js';
import { bin, root } from '../support/bin.js';
import { type Host, twoHosts } from '../support/hosts.js';
import { leakCheck } from '../support/leaks.js';
import { eventually, FrameStream, frame } from '../support/network.js';
import { requirePeer, requireUserNamespaces } from '../support/peers.js';
import { tmpDir } from '../support/tmp.js';
import {
  type BrokerProcess,
  introduce,
  privateStream,
  startPrivate,
  startVxvdexd,
  type User,
} from '../support/vxvdexd.js';

const isRoot = process.geteuid?.() === 0;
const VICTIMS = 3001;
const ATTACKERS = 3002;
/** Rounds of talk in which nothing may come through. */
const ROUNDS = 5;
const timeout = 120_000;

const ROWS = ['vxvde', 'vxvdex', 'encrypted'] as const;
type Row = (typeof ROWS)[number];

/** By whom: the user of a virtual machine, one with a shell on a host, one with access to the cable between the hosts. */
const PROTECTED: Record<Row, [guest: boolean, shell: boolean, cable: boolean]> = {
  vxvde: [true, false, false],
  vxvdex: [true, true, false],
  encrypted: [true, true, true],
};

/** The hosts, and how members of a network join on them in a row of the table. */
interface Cloud {
  hosts: [Host, Host];
  join(host: 0 | 1, network: number): FrameStream;
  /** A broker's, if the row has one. */
  brokers: BrokerProcess[];
  members: [FrameStream, FrameStream];
}

async function cloud(t: TestContext, row: Row): Promise<Cloud> {
  const hosts = await twoHosts(t);
  const keys = new Map([VICTIMS, ATTACKERS].map((network) => [network, keyFile(t, network)]));
  // One user cannot be of two groups: then a line for each network makes up for it. Without, only root's own is hers.
  const networks = isRoot ? '' : `network attackers ${ATTACKERS} users=0\nnetwork victims ${VICTIMS} users=77\n`;
  const brokers =
    row === 'vxvdex'
      ? [await startVxvdexd(t, hosts[0], { networks }), await startVxvdexd(t, hosts[1], { networks })]
      : [];
  const join = (host: 0 | 1, network: number): FrameStream => {
    const outside = `vxvde:///grp=${network}`;
    if (row === 'vxvdex' && (isRoot || network === ATTACKERS)) {
      const user: User | undefined = isRoot ? { uid: network - 1000, gid: network } : undefined;
      return privateStream(t, hosts[host], user, brokers[host].locator(`/grp=${network}`));
    }
    const locator = row === 'encrypted' ? `agno://${keys.get(network)}[auth=gcm]{${outside}}` : outside;
    return new FrameStream(hosts[host].net.start(t, bin('vde_plug'), [locator]));
  };
  const members: [FrameStream, FrameStream] = [join(0, VICTIMS), join(1, VICTIMS)];
  await introduce(members[0], 1, members[1]);
  await introduce(members[1], 2, members[0]);
  return { hosts, join, brokers, members };
}

function keyFile(t: TestContext, network: number): string {
  const path = join(tmpDir(t), 'key');
  writeFileSync(path, `${network}`.padEnd(32, '7'), { mode: 0o600 });
  return path;
}

/** A frame that none of the members has sent. */
const FORGED = frame({ tag: 'forged', source: 9 });

/** A datagram of the members' network as a whole frame: what somebody on the cable can send. */
function forgedDatagram(payload: Uint8Array): Buffer {
  const header = Buffer.from('0800000000000000', 'hex');
  header.writeUIntBE(VICTIMS, 4, 3);
  const ip = { src: parseIpv4Address('10.77.0.2') as number, dst: parseIpv4Address('239.0.11.185') as number };
  const udp = { srcPort: 40_000, dstPort: 14_789, payload: Buffer.concat([header, payload]) };
  const packet = writeIpv4({
    ...ip,
    ...{ dscp: 0, ecn: 0, identification: 1, dontFragment: false, moreFragments: false, fragmentOffset: 0 },
    ...{ ttl: 1, protocol: IpProtocol.udp, options: new Uint8Array(0), payload: writeUdp(udp, ip) },
  });
  const [dst, src] = [parseMac('01:00:5e:00:0b:b9'), parseMac('02:00:00:00:00:09')] as Uint8Array[];
  return Buffer.from(writeEthernet({ dst, src, type: EtherType.ipv4, payload: packet }));
}

interface Attack {
  send(): void;
  /** What the attacker has heard. */
  hears(): readonly Buffer[];
  /** Whether the attack is under way: the attacker listens, and what she sends arrives somewhere. */
  live(): boolean;
}

/** The members talk while somebody attacks: until both sides of it have come through, or for some rounds. */
async function withstand({ members }: Cloud, isProtected: boolean, { send, hears, live }: Attack): Promise<void> {
  const talk = async () => {
    for (const [i, one] of members.entries()) {
      one.send(frame({ tag: 'secret', source: i + 1 }), frame({ tag: 'secret', source: i + 1, destination: 2 - i }));
      await introduce(one, i + 1, members[1 - i]);
    }
    send();
  };
  const heard = () => hears().some((bytes) => bytes.includes('secret'));
  const forged = () => hasForged(...members);
  await eventually(
    isProtected ? 'the attack is under way' : 'the attack succeeds',
    async () => {
      await talk();
      return isProtected ? live() : heard() && forged();
    },
    90_000,
  );
  for (let round = 0; isProtected && round < ROUNDS; round++) await talk();
  assert.deepEqual([heard(), forged()], [!isProtected, !isProtected], 'heard, and was heard');
}

function hasForged(...streams: FrameStream[]): boolean {
  return streams.some(({ received }) => received.some((bytes) => bytes.includes('forged')));
}

function ready(t: TestContext): boolean {
  return requirePeer(t, 'ip', 'nsenter', 'unshare', 'setpriv') && requireUserNamespaces(t);
}

/** The tests of a row. */
export function securityRow(row: Row): void {
  const [guest, shell, cable] = PROTECTED[row];
  const outcome = (safe: boolean) => (safe ? 'protected' : 'not protected');

  test(`${row}: the user of a virtual machine in another network: ${outcome(guest)}`, { timeout }, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const one = await cloud(t, row);
    // All that a guest has is the other end of this cable.
    const nic = one.join(0, ATTACKERS);
    const friend = one.join(1, ATTACKERS);
    await introduce(nic, 7, friend);
    await withstand(one, guest, {
      send: () => nic.send(FORGED, forgedDatagram(FORGED), forgedDatagram(FORGED).subarray(42)),
      hears: () => [...nic.received, ...friend.received],
      live: () => hasForged(friend),
    });
  });

  test(`${row}: a user with a shell on a host: ${outcome(shell)}`, { timeout }, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const one = await cloud(t, row);
    if (row === 'vxvdex') await withstandPrivateShell(t, one);
    else await withstandShell(t, one, shell);
  });

  test(`${row}: somebody with access to the cable: ${outcome(cable)}`, { timeout }, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const one = await cloud(t, row);
    const tapped = new FrameStream(one.hosts[1].net.start(t, bin('vde_plug'), ['packet://eth']));
    const outside = openMember(t, one.hosts[0]);
    await withstand(one, cable, {
      send: () => tapped.send(forgedDatagram(FORGED)),
      hears: () => tapped.received,
      live: () => hasForged(outside) && tapped.received.some((bytes) => bytes[23] === IpProtocol.udp),
    });
  });
}

/** A member of the victims' network who encrypts nothing, and asks nobody. */
function openMember(t: TestContext, host: Host): FrameStream {
  return new FrameStream(host.net.start(t, bin('vde_plug'), [`vxvde:///grp=${VICTIMS}`]));
}

/** A shell in the host's own network namespace. */
async function withstandShell(t: TestContext, one: Cloud, isProtected: boolean): Promise<void> {
  const [attacker, other] = [openMember(t, one.hosts[0]), openMember(t, one.hosts[1])];
  await withstand(one, isProtected, {
    send: () => attacker.send(FORGED),
    hears: () => attacker.received,
    live: () => hasForged(other) && attacker.received.length > 0,
  });
}

/** A shell in a network namespace of its own: there is the broker, and nothing else. */
async function withstandPrivateShell(t: TestContext, one: Cloud): Promise<void> {
  const user: User | undefined = isRoot ? { uid: ATTACKERS - 1000, gid: ATTACKERS } : undefined;
  const asked = startPrivate(t, one.hosts[0], user, bin('vde_plug'), [one.brokers[0].locator(`/grp=${VICTIMS}`)]);
  const direct = startPrivate(t, one.hosts[0], user, bin('vde_plug'), [`vxvde:///grp=${VICTIMS}`]);
  for (const { exited } of [asked, direct]) assert.equal((await exited).code, 1);
  assert.match(asked.stderr, /^vde_plug: [^\n]* may not join network [^\n]*3001[^\n]*\n$/);
  assert.match(direct.stderr, /No such device/);
  const [attacker, friend] = [one.join(0, ATTACKERS), one.join(1, ATTACKERS)];
  await withstand(one, true, {
    send: () => attacker.send(FORGED, forgedDatagram(FORGED)),
    hears: () => [...attacker.received, ...friend.received],
    live: () => hasForged(friend),
  });
}

/** The manual says what these tests show. */
export function tableTest(): void {
  test('the table of the manual is this one', () => {
    const text = readFileSync(join(root, 'docs/vxvdex.md'), 'utf8');
    const names = { vxvde: '`vxvde://`', vxvdex: '`vxvdex://`', encrypted: '`agno://{vxvde://}`' };
    for (const row of ROWS) {
      const cells = PROTECTED[row].map((safe) => (safe ? 'protected' : '**not protected**'));
      const line = `| ${names[row]} | ${cells.join(' | ')} |`;
      assert.ok(text.includes(line), line);
    }
  });
}
