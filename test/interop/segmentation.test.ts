/** Super-frames against the kernel's: what it cuts, what it sends and what it takes. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { GsoType } from '../../src/frame/offload.js';
import type { VlanTag } from '../../src/frame/vlan.js';
import { takesUdpSuperFrames } from '../../src/sys/tap.js';
import { hex } from '../frame/arbitraries.js';
import { ACK, CWR, FIN, noise, type Packet, PSH, segments, URG, writeSuperFrame } from '../frame/super-frames.js';
import { root } from '../support/bin.js';
import { type Namespace, namespace } from '../support/namespace.js';
import { requirePeer, requireTun, requireUserNamespaces } from '../support/peers.js';
import type { Running } from '../support/proc.js';

const fixture = (name: string) => ['--import', 'tsx', fileURLToPath(new URL(`./fixtures/${name}.ts`, import.meta.url))];

const PEERS = ['unshare', 'nsenter', 'ip'];
const NEAR = ['10.9.0.1', 'fd09::1'];
const FAR = ['10.9.0.2', 'fd09::2'];

const IPV4 = { src: 0x0a000001, dst: 0x0a000002 };
const IPV6 = { src: hex('fd000000000000000000000000000001'), dst: hex('fd000000000000000000000000000002') };
const TIMESTAMPS = hex('0101080a0000000100000002');

function value(change: Partial<Packet> = {}, tcp: Partial<NonNullable<Packet['tcp']>> = {}): Packet {
  return {
    dstMac: hex('020000000002'),
    srcMac: hex('020000000001'),
    tags: [],
    ip: IPV4,
    trafficClass: 0x2b,
    ttl: 17,
    identification: 0xfffd,
    dontFragment: true,
    ipOptions: new Uint8Array(0),
    extensions: 0,
    flowLabel: 0x12345,
    srcPort: 1000,
    dstPort: 2000,
    tcp: { sequence: 0xffff_ff00, ack: 7, flags: ACK, window: 500, urgent: 0, options: TIMESTAMPS, ...tcp },
    payload: noise(20_000, 1),
    ...change,
  };
}

const tagged = (...tags: [0x8100 | 0x88a8, number][]): VlanTag[] =>
  tags.map(([tpid, vid]) => ({ tpid, pcp: 5, dei: false, vid }));
const ECN = { flags: CWR | ACK | PSH | FIN };

const superFrames: Record<string, Uint8Array> = {
  'TCP over IPv4': writeSuperFrame(value(), 1448),
  'TCP over IPv6': writeSuperFrame(value({ ip: IPV6 }), 1428),
  '64 kB': writeSuperFrame(value({ payload: noise(65_535 - 52, 9) }), 1448),
  'odd sizes': writeSuperFrame(value({ payload: noise(9999, 2) }), 1001),
  'many small ones': writeSuperFrame(value({ payload: noise(9999, 2) }), 100),
  'one octet left': writeSuperFrame(value({ payload: noise(2897, 2) }), 1448),
  'a multiple': writeSuperFrame(value({ payload: noise(2896, 2) }), 1448),
  'without DF': writeSuperFrame(value({ dontFragment: false }), 1448),
  'IPv4 options': writeSuperFrame(value({ ipOptions: hex('01010101') }), 1440),
  'FIN, PSH and CWR': writeSuperFrame(value({}, ECN), 1448, GsoType.tcpv4 | GsoType.ecn),
  'FIN, PSH and CWR over IPv6': writeSuperFrame(value({ ip: IPV6 }, ECN), 1448, GsoType.tcpv6 | GsoType.ecn),
  'urgent data': writeSuperFrame(value({}, { flags: ACK | URG, urgent: 77 }), 1448),
  'a VLAN tag': writeSuperFrame(value({ tags: tagged([0x8100, 7]) }), 1448),
  'a VLAN tag over IPv6': writeSuperFrame(value({ ip: IPV6, tags: tagged([0x8100, 7]) }), 1448),
  'two VLAN tags': writeSuperFrame(value({ tags: tagged([0x88a8, 8], [0x8100, 7]) }), 1448),
  'IPv6 extension headers': writeSuperFrame(value({ ip: IPV6, extensions: 2 }), 1400),
  'UDP over IPv4': writeSuperFrame(value({ tcp: undefined }), 1472),
  'UDP over IPv6': writeSuperFrame(value({ tcp: undefined, ip: IPV6, payload: noise(7777, 4) }), 1111),
  'a TCP checksum': writeSuperFrame(value({ payload: noise(1001, 6) }), 0, GsoType.none),
  'a UDP checksum': writeSuperFrame(value({ tcp: undefined, ip: IPV6, payload: noise(999, 6) }), 0, GsoType.none),
};

test('super-frames are cut, octet by octet, as the kernel cuts them', async (t) => {
  if (!requirePeer(t, ...PEERS) || !requireTun(t) || !requireUserNamespaces(t)) return;
  const space = await namespace(t);
  const list = Object.values(superFrames).map((bytes) => Buffer.from(bytes).toString('hex'));
  const { code, stdout, stderr } = await space.exec(process.execPath, fixture('kernel-gso'), {
    cwd: root,
    input: JSON.stringify(list),
  });
  assert.equal(code, 0, stderr);
  const answers = JSON.parse(stdout) as string[][];
  Object.entries(superFrames).forEach(([name, bytes], i) => {
    const ours = segments(bytes).map((frame) => Buffer.from(frame).toString('hex'));
    assert.ok(ours.length > 0, name);
    assert.deepEqual(ours, answers[i], name);
  });
});

/** What `super-frame-relay.ts` says that it has moved. */
interface Moved {
  cutTcp4: number;
  cutTcp6: number;
  cutUdp: number;
  segments: number;
  malformed: number;
  longest: number;
  failedWrites: number;
  merged: { superFrames: number; segments: number; damaged: number };
}

/** Two kernels' network stacks with the relay between them. */
class Net {
  constructor(
    private readonly t: test.TestContext,
    private readonly space: Namespace,
    private readonly relay: Running,
    /** Holds the namespace of the far end. */
    private readonly holder: Running,
  ) {}

  /** The command that runs another at an end. */
  #at(end: 'near' | 'far', command: string[]): [string, string[]] {
    const [first, ...rest] =
      end === 'near' ? command : ['nsenter', '--target', `${this.holder.pid}`, '--net', ...command];
    return [first, rest];
  }

  async run(end: 'near' | 'far', ...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.space.exec(...this.#at(end, command), { cwd: root });
    assert.equal(code, 0, `${command.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Transfers from one end to an address of the other. Returns what client and server said, the port aside. */
  async transfer(kind: 'tcp' | 'udp', from: 'near' | 'far', address: string): Promise<{ sent: string; got: string }> {
    const to = from === 'near' ? 'far' : 'near';
    const transfer = [process.execPath, ...fixture('transfer')];
    const server = this.space.start(this.t, ...this.#at(to, [...transfer, `${kind}-server`]), { cwd: root });
    const [line, port] = await server.waitFor(/port (\d+)\n/);
    const sent = await this.run(from, ...transfer, `${kind}-client`, address, port);
    await server.exited;
    return { sent, got: server.stdout.slice(line.length) };
  }

  /** Ends the relay. */
  async end(): Promise<Moved> {
    this.relay.stdin.end();
    const { code } = await this.relay.exited;
    assert.equal(code, 0, this.relay.stderr);
    return JSON.parse(this.relay.stdout.slice('ready\n'.length));
  }

  /** Neither stack may have met a damaged packet. */
  async assertUndamaged(): Promise<void> {
    for (const end of ['near', 'far'] as const) {
      const text = await this.run(end, 'cat', '/proc/net/snmp', '/proc/net/snmp6', '/proc/net/netstat');
      const wrong = [...counters(text)].filter(
        ([name, count]) => /CsumErrors|HdrErrors|TcpInErrs/.test(name) && count > 0,
      );
      assert.deepEqual(wrong, [], end);
    }
  }
}

/** The counters of /proc/net/snmp and its like: a line of names above one of numbers, or name and number. */
function counters(text: string): Map<string, number> {
  const found = new Map<string, number>();
  const lines = text.split('\n').map((line) => line.split(/\s+/));
  lines.forEach(([head, ...rest], i) => {
    if (!head.endsWith(':')) found.set(head, Number(rest[0]));
    else if (/^-?\d/.test(rest[0])) {
      rest.forEach((count, k) => {
        found.set(head.slice(0, -1) + lines[i - 1][k + 1], Number(count));
      });
    }
  });
  assert.ok(found.has('TcpInCsumErrors') && found.has('Udp6InCsumErrors') && found.has('IpExtInCsumErrors'));
  return found;
}

async function net(t: test.TestContext): Promise<Net | undefined> {
  if (!requirePeer(t, ...PEERS) || !requireTun(t) || !requireUserNamespaces(t)) return undefined;
  const space = await namespace(t);
  const holder = space.start(t, 'unshare', ['--net', 'sh', '-c', 'echo held && exec cat']);
  await holder.waitFor('held\n');
  const relay = space.start(t, process.execPath, fixture('super-frame-relay'), { cwd: root });
  await relay.waitFor('ready\n');
  const made = new Net(t, space, relay, holder);
  await space.ip('link', 'set', 'far', 'netns', `${holder.pid}`);
  for (const [end, addresses] of [
    ['near', NEAR],
    ['far', FAR],
  ] as const) {
    await made.run(end, 'ip', 'address', 'add', `${addresses[0]}/24`, 'dev', end);
    await made.run(end, 'ip', 'address', 'add', `${addresses[1]}/64`, 'dev', end, 'nodad');
    await made.run(end, 'ip', 'link', 'set', end, 'up');
  }
  return made;
}

test('what the kernel sends in super-frames arrives cut, whole and without a wrong checksum', async (t) => {
  const made = await net(t);
  if (!made) return;
  for (const address of FAR) assert.equal((await made.transfer('tcp', 'near', address)).sent, 'same\n', address);
  // Segments of an odd size.
  await made.run('far', 'ip', 'link', 'set', 'far', 'mtu', '1499');
  assert.equal((await made.transfer('tcp', 'near', FAR[0])).sent, 'same\n');
  await made.assertUndamaged();
  const moved = await made.end();
  assert.ok(moved.cutTcp4 > 100 && moved.cutTcp6 > 100, JSON.stringify(moved));
  assert.ok(moved.segments > 5 * (moved.cutTcp4 + moved.cutTcp6), 'super-frames of many segments');
  assert.equal(moved.malformed, 0);
  assert.equal(moved.failedWrites, 0);
});

test('segments that were merged are taken by the kernel, whole and without a wrong checksum', async (t) => {
  const made = await net(t);
  if (!made) return;
  for (const address of NEAR) assert.equal((await made.transfer('tcp', 'far', address)).sent, 'same\n', address);
  await made.assertUndamaged();
  const moved = await made.end();
  assert.ok(moved.merged.superFrames > 100, JSON.stringify(moved));
  assert.ok(moved.merged.segments > 3 * moved.merged.superFrames, JSON.stringify(moved));
  assert.equal(moved.merged.damaged, 0);
  assert.equal(moved.failedWrites, 0);
});

test('datagrams that were merged are taken by the kernel, one by one and without a wrong checksum', async (t) => {
  const made = await net(t);
  if (!made) return;
  for (const address of NEAR) {
    const { sent, got } = await made.transfer('udp', 'far', address);
    assert.match(sent, /^800 datagrams/);
    assert.equal(got, sent, address);
  }
  await made.assertUndamaged();
  const moved = await made.end();
  if (takesUdpSuperFrames()) assert.ok(moved.merged.segments >= 800, JSON.stringify(moved));
  assert.equal(moved.failedWrites, 0);
});

test('datagrams that a program hands over many at a time arrive one by one', async (t) => {
  const made = await net(t);
  if (!made) return;
  for (const address of FAR) {
    const { sent, got } = await made.transfer('udp', 'near', address);
    assert.match(sent, /^800 datagrams/);
    assert.equal(got, sent, address);
  }
  await made.assertUndamaged();
  const moved = await made.end();
  // Linux gives UDP super-frames to a tap since 6.2; before, it cuts them itself.
  if (takesUdpSuperFrames()) assert.equal(moved.cutUdp, 40, JSON.stringify(moved));
});
