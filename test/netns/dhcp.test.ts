/** The DHCP client against a small server, in virtual time. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
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
import { parseUdp, writeUdp } from '../../src/frame/udp.js';
import { DhcpClient, type Lease } from '../../src/netns/dhcp.js';

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
const SERVER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 0xfe);
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
  listening = false;
  readonly sent: Sent[] = [];
  readonly bound: { lease: Lease; changed: boolean }[] = [];
  readonly expired: Lease[] = [];
  /** Options that the server answers a request of that type with; undefined: silence. */
  answer: (sent: Sent) => [number, Map<number, Uint8Array>] | undefined = () => undefined;
  readonly client: DhcpClient;
  #timer: { at: number; call: () => void } | undefined;

  constructor() {
    this.client = new DhcpClient(MAC, {
      now: () => this.time,
      after: (ms, call) => {
        const timer = { at: this.time + ms, call };
        this.#timer = timer;
        return () => {
          if (this.#timer === timer) this.#timer = undefined;
        };
      },
      random: () => 0.5,
      send: (frame) => this.#take(frame),
      listen: (on) => {
        this.listening = on;
      },
      bound: (lease, changed) => void this.bound.push({ lease, changed }),
      expired: (lease) => void this.expired.push(lease),
    });
  }

  #take(frame: Uint8Array): void {
    const ethernet = parseEthernet(frame);
    const ip = ethernet && parseIpv4(ethernet.payload);
    const udp = ip && parseUdp(ip.payload, ip);
    const message = udp && parseDhcp(udp.payload);
    assert.ok(ethernet && message && this.listening);
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
    while (this.#timer && this.#timer.at <= end) {
      const { at, call } = this.#timer;
      this.#timer = undefined;
      this.time = at;
      call();
    }
    this.time = end;
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
  bench.client.start();
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
  assert.deepEqual([lease.address, lease.prefix, lease.routers, lease.duration], [ADDRESS, 24, [SERVER], HOUR]);
  assert.equal(bench.listening, false);
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
  bench.client.start();
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
  bench.client.start();
  bench.answer = () => undefined;
  bench.pass(HOUR * 0.875 * 1000 - 1);
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
  bench.client.start();
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

test('no frame makes the client throw, in any state', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(3), (bytes, steps) => {
      const bench = new Bench();
      if (steps > 1) bench.answer = generous;
      bench.client.start();
      bench.pass(steps * 1_000_000);
      bench.client.receive(bytes);
    }),
  );
});
