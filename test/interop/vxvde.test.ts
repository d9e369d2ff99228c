/** Clouds of `vxvde` members of either make, on two simulated hosts. */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Owner } from '../support/cleanup.js';
import { type Host, twoHosts } from '../support/hosts.js';
import { leakCheck } from '../support/leaks.js';
import { command, eventually, FrameStream, frame, type Make } from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces, type Skippable } from '../support/peers.js';
import type { Running } from '../support/proc.js';

/** C loses a frame that is nothing but a header; the longest is its reading buffer. */
const SIZES = [15, 60, 1514, 9000, 9234];

function ready(t: Skippable, ...peers: string[]): boolean {
  return requirePeer(t, 'ip', 'nsenter', '/usr/bin/vde_plug', ...peers) && requireUserNamespaces(t);
}

function member(t: Owner, host: Host, make: Make, locator: string): FrameStream {
  return new FrameStream(host.net.start(t, command(make, 'vde_plug'), [locator]));
}

let serial = 0;

/** Sends from a station until the others have heard it: before they have joined, frames are lost. */
async function introduce(from: FrameStream, source: number, others: readonly FrameStream[]): Promise<void> {
  const tag = `here is ${source}, ${serial++}`;
  const say = () => from.send(frame({ tag, source }));
  const timer = setInterval(say, 50);
  try {
    say();
    await Promise.all(others.map((other) => other.receive(tag)));
  } finally {
    clearInterval(timer);
  }
}

/** Frames of every size from station to station; nobody else may get them. */
async function converse(members: readonly FrameStream[]): Promise<void> {
  for (const [i, from] of members.entries()) {
    await introduce(
      from,
      i + 1,
      members.filter((one) => one !== from),
    );
  }
  for (const [i, from] of members.entries()) {
    for (const [k, to] of members.entries()) {
      if (k === i) continue;
      for (const size of SIZES) {
        const tag = size === 15 ? '' : `from ${i + 1} to ${k + 1}, ${size}`;
        const one = frame({ tag, size, source: i + 1, destination: k + 1 });
        const before = to.received.length;
        from.send(one);
        await eventually(`${size} octets from ${i + 1} to ${k + 1}`, async () =>
          // What was said before, and said again, may still be on its way.
          to.received.slice(before).some((got) => got.equals(one)),
        );
      }
    }
  }
  // A word to all comes after whatever went astray.
  await introduce(members[0], 1, members.slice(1));
  for (const [k, to] of members.entries()) {
    const strays = to.received.filter((one) => one[0] === 2 && one[5] !== k + 1);
    assert.deepEqual(strays, [], `${k + 1} got what was for others`);
  }
}

const CLOUDS: [locator: string, first: Make, neighbour: Make, far: Make][] = [
  ['vxvde://', 'ours', 'ours', 'debian'],
  ['vxvde://', 'debian', 'ours', 'ours'],
  ['vxvde:///v6/if=eth', 'ours', 'debian', 'debian'],
  ['vxvde://234.5.6.7/port=5000/vni=77/if=eth', 'debian', 'debian', 'ours'],
  ['vxvde:///v6/grp=1000', 'ours', 'ours', 'ours'],
];

for (const [locator, ...makes] of CLOUDS) {
  test(`${locator}: ${makes[0]} and ${makes[1]} on one host, ${makes[2]} on another`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const [near, far] = await twoHosts(t);
    const members = makes.map((make, i) => member(t, i < 2 ? near : far, make, locator));
    await converse(members);
    for (const { process } of members) {
      process.kill('SIGTERM');
      await process.exited;
    }
  });
}

for (const [leaver, stayer] of [
  ['ours', 'debian'],
  ['debian', 'ours'],
] as const) {
  test(`${leaver} leaves: ${stayer} forgets it, and finds it again where it comes back`, async (t) => {
    if (!ready(t)) return;
    leakCheck(t);
    const [near, far] = await twoHosts(t);
    const stays = member(t, near, stayer, 'vxvde://');
    const listens = member(t, near, 'ours', 'vxvde://');
    let leaves = member(t, far, leaver, 'vxvde://');
    await introduce(leaves, 2, [stays, listens]);
    await introduce(stays, 1, [leaves, listens]);
    stays.send(frame({ tag: 'straight', source: 1, destination: 2 }));
    await leaves.receive('straight');
    leaves.process.kill('SIGTERM');
    await leaves.process.exited;
    // As soon as it is forgotten, all hear what is said to it.
    await eventually('frames go to the group', async () => {
      stays.send(frame({ tag: 'where are you?', source: 1, destination: 2 }));
      return listens.received.some((one) => one.includes('where are you?'));
    });
    assert.ok(!listens.received.some((one) => one.includes('straight')));
    leaves = member(t, near, leaver, 'vxvde://');
    await introduce(leaves, 2, [stays, listens]);
    stays.send(frame({ tag: 'straight again', source: 1, destination: 2 }));
    await leaves.receive('straight again');
  });
}

test('what is seen on the cable: addresses, hop limits, header; the word of leave', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  for (const version of [4, 6]) {
    const [near, far] = await twoHosts(t);
    const cable = new FrameStream(far.net.start(t, command('ours', 'vde_plug'), ['packet://eth']));
    const locator = version === 4 ? 'vxvde:///ttl=3' : 'vxvde:///v6/ttl=3';
    const [a, b] = [member(t, near, 'ours', locator), member(t, far, 'ours', locator)];
    await introduce(a, 1, [b]);
    await introduce(b, 2, [a]);
    await eventually('the cable is watched', async () => {
      a.send(frame({ tag: 'is anybody looking?', source: 1 }));
      return cable.received.some((one) => parseDatagram(one, version) !== undefined);
    });
    const said = frame({ tag: 'to all', source: 1 });
    const told = frame({ tag: 'to one', source: 1, destination: 2 });
    a.send(said);
    await b.receive('to all');
    a.send(told);
    await b.receive('to one');
    a.process.kill('SIGTERM');
    await a.process.exited;
    const payload = (inner: Buffer) => Buffer.concat([Buffer.from('0800000000000100', 'hex'), inner]);
    const seen = async (what: string, matching: (datagram: Datagram) => boolean): Promise<Datagram> => {
      const all = () => cable.received.flatMap((one) => parseDatagram(one, version) ?? []);
      await eventually(`${what} on the cable`, async () => all().some(matching));
      return all().find(matching) as Datagram;
    };
    const toAll = await seen('a frame to all', ({ data }) => data.equals(payload(said)));
    const group = version === 4 ? 'ef000001' : 'ff0556de000000000000000000000001';
    const macs = version === 4 ? '01005e000001' : '333300000001';
    assert.deepEqual([toAll.mac, toAll.to, toAll.port, toAll.hops], [macs, group, 14_789, 3]);
    const toOne = await seen('a frame to one', ({ data }) => data.equals(payload(told)));
    assert.equal(toOne.to, version === 4 ? '0a4d0002' : `fd77${'0'.repeat(27)}2`);
    assert.deepEqual([toOne.hops, toOne.from], [64, toAll.from]);
    assert.notEqual(toOne.port, 14_789);
    const leave = await seen('a word of leave', ({ data }) => data.length === 8);
    assert.deepEqual(leave, { ...toAll, data: payload(Buffer.alloc(0)) });
  }
});

interface Datagram {
  mac: string;
  to: string;
  /** UDP ports. */
  from: number;
  port: number;
  hops: number;
  data: Buffer;
}

/** The UDP datagram in an Ethernet frame, if there is one without IP options. */
function parseDatagram(bytes: Buffer, version: number): Datagram | undefined {
  const ip = bytes.subarray(14);
  const is = version === 4 ? ip[0] === 0x45 && ip[9] === 17 : ip[0] >>> 4 === 6 && ip[6] === 17;
  if (!is) return undefined;
  const udp = ip.subarray(version === 4 ? 20 : 40);
  return {
    mac: bytes.toString('hex', 0, 6),
    to: version === 4 ? ip.toString('hex', 16, 20) : ip.toString('hex', 24, 40),
    from: udp.readUInt16BE(0),
    port: udp.readUInt16BE(2),
    hops: version === 4 ? ip[8] : ip[7],
    data: udp.subarray(8, udp.readUInt16BE(4)),
  };
}

/** A shell in a namespace of `vdens` on a host, which runs the lines that it is given. */
async function station(t: Owner, host: Host, make: Make, number: number): Promise<Running> {
  const setUp = [
    'ip link set vde0 up',
    `ip address add 10.0.0.${number}/24 dev vde0`,
    'echo ready',
    'while read line; do eval "$line"; echo "<$?>"; done',
  ];
  const shell = host.net.start(t, command(make, 'vdens'), ['vxvde://', 'sh', '-c', setUp.join(' && ')]);
  await shell.expect('ready\n');
  return shell;
}

async function say(shell: Running, line: string): Promise<string> {
  shell.stdin.write(`${line}\n`);
  return (await shell.expect(/<(\d+)>\n/, { stream: 'stdout' }))[1];
}

for (const far of ['debian', 'ours'] as const) {
  test(`vdens vxvde:// of ours and of ${far} on two hosts: ping, and TCP both ways`, async (t) => {
    if (!ready(t, '/usr/bin/vdens', 'ping', 'iperf3') || !requireTun(t)) return;
    leakCheck(t);
    const [one, two] = await twoHosts(t);
    const [a, b] = [await station(t, one, 'ours', 1), await station(t, two, far, 2)];
    assert.equal(await say(a, 'ping -q -c 3 -i 0.05 -W 20 10.0.0.2'), '0', a.output);
    assert.equal(await say(b, 'ping -q -c 2 -i 0.05 -W 20 -s 1472 -M do 10.0.0.1'), '0', b.output);
    for (const reverse of ['', '-R']) {
      b.stdin.write('timeout 30 iperf3 -s -1 --forceflush\n');
      await b.expect('Server listening');
      assert.equal(await say(a, `timeout 25 iperf3 -c 10.0.0.2 -n 5M ${reverse}`), '0', a.output);
      const [, amount] = await a.expect(/([\d.]+ [KMG]?Bytes).*receiver/);
      assert.notEqual(Number.parseFloat(amount), 0);
      await b.expect(/<0>\n/, { stream: 'stdout' });
    }
    // Now and then Debian's vdens does not end with its command: then it is made to.
    for (const shell of [a, b]) await shell.end();
  });
}
