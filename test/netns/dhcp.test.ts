/** The DHCP client against a small server, in virtual time. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseArp, writeArp } from '../../src/frame/arp.js';
import {
  type DhcpMessage,
  DhcpOption,
  DhcpType,
  dhcpType,
  optionU32,
  parseDhcp,
  u32Option,
  writeDhcp,
} from '../../src/frame/dhcp.js';
import { parseEthernet, writeEthernet } from '../../src/frame/ethernet.js';
import { parseIpv4, writeIpv4 } from '../../src/frame/ipv4.js';
import { formatMac } from '../../src/frame/mac.js';
import { parseUdp, writeUdp } from '../../src/frame/udp.js';
import { DhcpClient, type Hearing } from '../../src/netns/dhcp.js';
import { type Lease, leaseBatch } from '../../src/netns/dhcp-lease.js';

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const SERVER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 0xfe);
const OTHER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 0x77);
/** Three probes 150 ms apart (the middle of the range), and 200 ms for an answer to the last. */
const PROBING_MS = 500;
const SERVER = 0x0a000001;
const ADDRESS = 0x0a000032;
const EVERYBODY = Uint8Array.of(255, 255, 255, 255, 255, 255);

interface Sent {
  at: number;
  type: number | undefined;
  to: string;
  message: DhcpMessage;
}

class Bench {
  time = 0;
  hearing: Hearing = 'nothing';
  readonly sent: Sent[] = [];
  readonly bound: { lease: Lease; changed: boolean }[] = [];
  readonly expired: Lease[] = [];
  readonly declined: [number, string][] = [];
  /** Sender's and target's address of each ARP request, and when. */
  readonly asked: { at: number; sender: number; target: number }[] = [];
  /** Options that the server answers a request of that type with; undefined: silence. */
  answer: (sent: Sent) => [number, Map<number, Uint8Array>] | undefined = () => undefined;
  readonly client: DhcpClient;
  readonly #timers = new Set<{ at: number; call: () => void }>();

  constructor() {
    this.client = new DhcpClient(MAC, {
      now: () => this.time,
      after: (ms, call) => {
        const timer = { at: this.time + ms, call };
        this.#timers.add(timer);
        return () => void this.#timers.delete(timer);
      },
      random: () => 0.5,
      send: (frame) => this.#take(frame),
      listen: (to) => {
        this.hearing = to;
      },
      bound: (lease, changed) => void this.bound.push({ lease, changed }),
      expired: (lease) => void this.expired.push(lease),
      declined: ({ address }, other) => void this.declined.push([address, formatMac(other)]),
    });
  }

  #take(frame: Uint8Array): void {
    const ethernet = parseEthernet(frame);
    const arp = ethernet && parseArp(ethernet.payload);
    if (ethernet?.type === 0x0806 && arp) {
      this.asked.push({ at: this.time, sender: arp.senderIp, target: arp.targetIp });
      return;
    }
    const ip = ethernet && parseIpv4(ethernet.payload);
    const udp = ip && parseUdp(ip.payload, ip);
    const message = udp && parseDhcp(udp.payload);
    assert.ok(ethernet && message);
    const sent = { at: this.time, type: dhcpType(message), to: Buffer.from(ethernet.dst).toString('hex'), message };
    this.sent.push(sent);
    const answer = this.answer(sent);
    if (answer) this.reply(sent.message, ...answer);
  }

  /** A server's answer, as a frame. */
  reply(to: DhcpMessage, type: number, options: Map<number, Uint8Array>, yours = ADDRESS): void {
    const all = new Map([
      [DhcpOption.messageType, Uint8Array.of(type)],
      [DhcpOption.serverId, u32Option(SERVER)],
      ...options,
    ]);
    const payload = writeDhcp({ ...to, op: 2, yourAddress: yours, options: all });
    const ip = { src: SERVER, dst: 0xffffffff };
    const packet = writeIpv4({
      ...{ dscp: 0, ecn: 0, identification: 0, dontFragment: false, moreFragments: false, fragmentOffset: 0, ttl: 64 },
      ...{ protocol: 17, options: new Uint8Array(), ...ip },
      payload: writeUdp({ srcPort: 67, dstPort: 68, payload }, ip),
    });
    this.client.receive(writeEthernet({ dst: EVERYBODY, src: SERVER_MAC, type: 0x0800, payload: packet }));
  }

  /** Lets time pass. */
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.at - b.at);
      if (next === undefined || next.at > end) break;
      this.#timers.delete(next);
      this.time = next.at;
      next.call();
    }
    this.time = end;
  }

  /** Looks for a server and lets the probe of what it grants pass. */
  start(): void {
    this.client.start();
    this.pass(PROBING_MS);
  }

  /** An ARP packet of somebody else's. */
  arp(operation: 'request' | 'reply', senderIp: number, targetIp: number, mac = OTHER_MAC): void {
    const payload = writeArp({ operation, senderMac: mac, senderIp, targetMac: new Uint8Array(6), targetIp });
    this.client.receive(writeEthernet({ dst: EVERYBODY, src: mac, type: 0x0806, payload }));
  }
}

const HOUR = 3600;
const granted = (extra: [number, Uint8Array][] = []) =>
  new Map([
    [DhcpOption.subnetMask, u32Option(0xffffff00)],
    [DhcpOption.leaseTime, u32Option(HOUR)],
    [DhcpOption.routers, u32Option(SERVER)],
    ...extra,
  ]);

/** A server that grants everything. */
function generous({ type }: Sent): [number, Map<number, Uint8Array>] {
  return [type === DhcpType.discover ? DhcpType.offer : DhcpType.ack, granted()];
}

test('a lease is discovered, requested by name and put to use; then nothing is listened to', () => {
  const bench = new Bench();
  bench.answer = generous;
  bench.start();
  assert.deepEqual(
    bench.sent.map(({ type, to }) => [type, to]),
    [
      [DhcpType.discover, 'ffffffffffff'],
      [DhcpType.request, 'ffffffffffff'],
    ],
  );
  const [discover, request] = bench.sent.map(({ message }) => message);
  assert.equal(discover.broadcast, true);
  assert.equal(optionU32(request, DhcpOption.requestedAddress), ADDRESS);
  assert.equal(optionU32(request, DhcpOption.serverId), SERVER);
  const [{ lease, changed }] = bench.bound;
  assert.equal(changed, true);
  assert.deepEqual([lease.address, lease.prefix, lease.duration], [ADDRESS, 24, HOUR]);
  assert.deepEqual(lease.routes, [{ destination: 0, prefix: 0, router: SERVER }]);
  assert.equal(bench.hearing, 'nothing');
});

test('a silent network is asked ever more slowly, for ever', () => {
  const bench = new Bench();
  bench.client.start();
  bench.pass(300_000);
  const gaps = bench.sent.slice(1).map(({ at }, i) => Math.round(at - bench.sent[i].at));
  assert.deepEqual(gaps, [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 64_000, 64_000]);
});

test('at half of its time the lease is renewed with the server alone, which changes nothing', () => {
  const bench = new Bench();
  bench.answer = generous;
  bench.start();
  bench.pass((HOUR / 2) * 1000);
  const renewal = bench.sent[2];
  assert.equal(renewal.type, DhcpType.request);
  assert.equal(renewal.to, Buffer.from(SERVER_MAC).toString('hex'));
  assert.equal(renewal.message.clientAddress, ADDRESS);
  assert.equal(renewal.message.options.has(DhcpOption.serverId), false);
  assert.equal(bench.bound[1].changed, false);
  assert.deepEqual(bench.expired, []);
});

test('a server that has gone is asked until 7/8 of the time, then everybody, then the address is given up', () => {
  const bench = new Bench();
  bench.answer = generous;
  bench.start();
  bench.answer = () => undefined;
  bench.pass(HOUR * 0.875 * 1000 - 1 - PROBING_MS);
  assert.equal(bench.client.state, 'renewing');
  bench.pass(2);
  assert.equal(bench.client.state, 'rebinding');
  assert.equal(bench.sent.at(-1)?.to, 'ffffffffffff');
  bench.pass(HOUR * 0.125 * 1000);
  assert.deepEqual(
    bench.expired.map(({ address }) => address),
    [ADDRESS],
  );
  assert.equal(bench.sent.at(-1)?.type, DhcpType.discover);
});

test('a refusal at renewal gives the address up and starts again', () => {
  const bench = new Bench();
  bench.answer = generous;
  bench.start();
  bench.answer = ({ type }) => (type === DhcpType.request ? [DhcpType.nak, new Map()] : undefined);
  bench.pass((HOUR / 2) * 1000);
  assert.equal(bench.expired.length, 1);
  assert.equal(bench.client.state, 'selecting');
});

test('a lease for ever is not renewed, and one of a year is', () => {
  for (const [seconds, renewals] of [
    [0xffffffff, 0],
    [365 * 24 * HOUR, 1],
  ]) {
    const bench = new Bench();
    bench.answer = ({ type }) => [
      type === DhcpType.discover ? DhcpType.offer : DhcpType.ack,
      granted([[DhcpOption.leaseTime, u32Option(seconds)]]),
    ];
    bench.client.start();
    bench.pass(200 * 24 * HOUR * 1000);
    assert.equal(bench.sent.length, 2 + renewals);
  }
});

test('answers to others, from other ports, with other numbers or impossible addresses are passed over', () => {
  const bench = new Bench();
  bench.client.start();
  const { message } = bench.sent[0];
  bench.reply({ ...message, xid: (message.xid ^ 1) >>> 0 }, DhcpType.offer, granted());
  bench.reply({ ...message, mac: SERVER_MAC }, DhcpType.offer, granted());
  bench.reply(message, DhcpType.offer, granted(), 0x7f000001);
  bench.reply(message, DhcpType.offer, granted(), 0);
  bench.reply(message, DhcpType.ack, granted());
  assert.equal(bench.client.state, 'selecting');
  bench.reply(message, DhcpType.offer, granted());
  assert.equal(bench.client.state, 'requesting');
});

test('before its first use an address is probed for three times, with no sender, and then announced twice', () => {
  const bench = new Bench();
  bench.answer = generous;
  bench.client.start();
  assert.deepEqual([bench.client.state, bench.hearing, bench.bound], ['probing', 'arp', []]);
  bench.pass(10_000);
  assert.deepEqual(bench.asked, [
    ...[0, 150, 300].map((at) => ({ at, sender: 0, target: ADDRESS })),
    ...[500, 2500].map((at) => ({ at, sender: ADDRESS, target: ADDRESS })),
  ]);
  assert.equal(bench.bound.length, 1);
  bench.pass((HOUR / 2) * 1000);
  assert.equal(bench.asked.length, 5, 'what is renewed is not probed for again');
});

const others: [string, (bench: Bench) => void][] = [
  ['answers', (bench) => bench.arp('reply', ADDRESS, 0)],
  ['asks for a third one', (bench) => bench.arp('request', ADDRESS, SERVER)],
  ['probes for it at the same time', (bench) => bench.arp('request', 0, ADDRESS)],
];
for (const [how, act] of others) {
  test(`an address whose owner ${how} is declined, and another asked for ten seconds later`, () => {
    const bench = new Bench();
    bench.answer = generous;
    bench.client.start();
    bench.pass(200);
    act(bench);
    assert.deepEqual(bench.declined, [[ADDRESS, formatMac(OTHER_MAC)]]);
    assert.deepEqual(bench.bound, []);
    const decline = bench.sent[2];
    assert.deepEqual([decline.type, decline.to], [DhcpType.decline, 'ffffffffffff']);
    const { message } = decline;
    assert.deepEqual([message.broadcast, message.clientAddress, message.secs], [false, 0, 0]);
    assert.equal(optionU32(message, DhcpOption.requestedAddress), ADDRESS);
    assert.equal(optionU32(message, DhcpOption.serverId), SERVER);
    for (const forbidden of [DhcpOption.parameterList, DhcpOption.maxSize, DhcpOption.leaseTime]) {
      assert.equal(message.options.has(forbidden), false);
    }
    bench.pass(9999);
    assert.deepEqual([bench.sent.length, bench.hearing, bench.asked.length], [3, 'nothing', 2]);
    bench.pass(1 + PROBING_MS);
    assert.equal(bench.bound.length, 1);
  });
}

test('ARP of its own, about other addresses, or that asks who has it for a third one, declines nothing', () => {
  const bench = new Bench();
  bench.answer = generous;
  bench.client.start();
  bench.arp('request', 0, ADDRESS, MAC);
  bench.arp('reply', SERVER, ADDRESS);
  bench.arp('request', SERVER, ADDRESS);
  bench.pass(PROBING_MS);
  assert.deepEqual([bench.declined, bench.bound.length], [[], 1]);
});

test('a lease is given back to its server alone; without one nothing is sent', () => {
  const bench = new Bench();
  bench.answer = generous;
  bench.start();
  bench.client.release();
  const release = bench.sent[2];
  assert.deepEqual([release.type, release.to], [DhcpType.release, Buffer.from(SERVER_MAC).toString('hex')]);
  assert.deepEqual([release.message.clientAddress, release.message.broadcast], [ADDRESS, false]);
  assert.equal(optionU32(release.message, DhcpOption.serverId), SERVER);
  assert.equal(release.message.options.has(DhcpOption.requestedAddress), false);
  bench.client.release();
  bench.pass(10 * HOUR * 1000);
  assert.equal(bench.sent.length, 3);
  const early = new Bench();
  early.client.start();
  early.client.release();
  assert.deepEqual([early.sent.length, early.hearing], [1, 'nothing']);
});

/** What a lease with these options makes `ip` do, without the line about the address. */
function routesBy(options: [number, Uint8Array][]): string[] {
  const bench = new Bench();
  bench.answer = ({ type }) => [type === DhcpType.discover ? DhcpType.offer : DhcpType.ack, granted(options)];
  bench.start();
  return leaseBatch('vde0', bench.bound[0].lease, true).slice(2);
}

test('classless routes take the place of the routers, whatever they say', () => {
  const wanted = new Bench();
  wanted.client.start();
  const list = [...(wanted.sent[0].message.options.get(DhcpOption.parameterList) ?? [])];
  assert.ok(list.includes(121) && list.indexOf(121) < list.indexOf(3), 'asked for, and before the routers');

  assert.deepEqual(routesBy([]), ['route replace 0.0.0.0/0 via 10.0.0.1 dev vde0 onlink proto 16']);
  const far = Uint8Array.of(17, 10, 1, 0xff, 10, 0, 0, 2, 32, 192, 0, 2, 1, 0, 0, 0, 0);
  assert.deepEqual(routesBy([[121, far]]), [
    'route replace 192.0.2.1/32 dev vde0 scope link proto 16',
    'route replace 10.1.128.0/17 via 10.0.0.2 dev vde0 onlink proto 16',
  ]);
  assert.deepEqual(routesBy([[121, Uint8Array.of(0, 10, 0, 0, 0x32)]]), [
    'route replace 0.0.0.0/0 dev vde0 scope link proto 16',
  ]);
  assert.deepEqual(routesBy([[121, Uint8Array.of(0, 127, 0, 0, 1)]]), []);
});

for (const [what, bytes] of [
  ['of more than 32 bits', [33, 10, 0, 0, 0, 0, 10, 0, 0, 2]],
  ['that is cut off', [24, 10, 1, 1, 10, 0, 0]],
  ['of no bytes', []],
] as const) {
  test(`a classless route ${what} is not believed: the routers count`, () => {
    assert.deepEqual(routesBy([[121, Uint8Array.from(bytes)]]), [
      'route replace 0.0.0.0/0 via 10.0.0.1 dev vde0 onlink proto 16',
    ]);
  });
}

test('a lease for ever has no end for the kernel either, and an MTU that no tap can have is passed over', () => {
  const batch = (mtu: number) => {
    const bench = new Bench();
    const options: [number, Uint8Array][] = [
      [DhcpOption.leaseTime, u32Option(0xffffffff)],
      [DhcpOption.interfaceMtu, Uint8Array.of(mtu >> 8, mtu & 0xff)],
    ];
    bench.answer = ({ type }) => [type === DhcpType.discover ? DhcpType.offer : DhcpType.ack, granted(options)];
    bench.start();
    return leaseBatch('vde0', bench.bound[0].lease, true);
  };
  const address = 'address replace 10.0.0.50/24 broadcast + dev vde0';
  assert.deepEqual(batch(1400).slice(0, 2), ['link set dev vde0 mtu 1400', address]);
  for (const mtu of [0, 68, 65_535]) assert.equal(batch(mtu)[0], address);
});

test('no frame makes the client throw, in any state', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(4), (bytes, steps) => {
      const bench = new Bench();
      if (steps > 1) bench.answer = generous;
      bench.client.start();
      if (steps !== 2) bench.pass(steps * 1_000_000);
      bench.client.receive(bytes);
    }),
  );
});
