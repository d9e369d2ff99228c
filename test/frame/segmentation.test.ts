import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Burst, FRAME_MAX } from '../../src/frame/burst.js';
import { GsoType } from '../../src/frame/offload.js';
import { HEADERS_MAX, SEGMENTS_MAX, Segmenter } from '../../src/frame/segmentation.js';
import { damaged, hex, octets, patched, u16 } from './arbitraries.js';
import {
  ACK,
  CWR,
  cutPacket,
  ECE,
  FIN,
  noise,
  PSH,
  packet,
  segments,
  tcpPacket,
  URG,
  writePacket,
  writeSuperFrame,
} from './super-frames.js';

const NETWORK = 10 + 14;
const TCP4 = NETWORK + 20;

const value: typeof tcpPacket = (change, tcp) => tcpPacket({ payload: noise(5000, 1), ...change }, tcp);

const notFull = (): void => assert.fail('a burst that is not full was flushed');

const IPV6 = { src: hex('fd000000000000000000000000000001'), dst: hex('fd000000000000000000000000000002') };

/** What is refused: no frame, and counted. */
function refused(bytes: Uint8Array, why: string): void {
  const cutter = new Segmenter();
  assert.equal(segments(bytes, cutter).length, 0, why);
  assert.equal(cutter.malformed, 1, why);
  assert.equal(cutter.wireSize(bytes, 10, bytes.length - 10, 0), 0, why);
}

test('any TCP or UDP super-frame is cut into the packets that it stands for', () => {
  fc.assert(
    fc.property(packet(8000), fc.integer({ min: 20, max: 3000 }), (whole, gsoSize) => {
      const bytes = writeSuperFrame(whole, gsoSize);
      const expected = cutPacket(whole, gsoSize).map((one) => writePacket(one));
      const before = bytes.slice();
      assert.deepEqual(segments(bytes), expected);
      assert.deepEqual(bytes, before, 'the super-frame stays as it is');
      const cutter = new Segmenter();
      assert.equal(cutter.wireSize(bytes, 10, bytes.length - 10, 0), expected[0].length);
      assert.equal(cutter.malformed, 0);
    }),
  );
});

test('the longest super-frame, over IPv4 and over IPv6', () => {
  for (const ip of [{ src: 1, dst: 2 }, IPV6]) {
    for (const gsoSize of [1448, 1449, 9000, 65_000]) {
      const whole = value({ ip, payload: noise(65_535 - 60, 3) });
      const expected = cutPacket(whole, gsoSize).map((one) => writePacket(one));
      assert.deepEqual(segments(writeSuperFrame(whole, gsoSize)), expected);
    }
  }
});

test('the frame may lie anywhere, with its header elsewhere', () => {
  const bytes = writeSuperFrame(value(), 1000);
  const cutter = new Segmenter();
  for (const at of [21, 22, 23, 24]) {
    const moved = new Uint8Array(bytes.length + 50);
    moved.set(bytes.subarray(0, 10), 5);
    moved.set(bytes.subarray(10), at);
    const out = new Burst();
    assert.equal(cutter.segment(moved, at, bytes.length - 10, 5, out, notFull), 5);
    const frames = Array.from({ length: out.count }, (_, slot) => out.frame(slot).slice());
    assert.deepEqual(frames, segments(bytes), `at ${at}`);
  }
});

test('TCP segments get no longer than what goes easily, datagrams keep their length', () => {
  const cutter = new Segmenter();
  cutter.longest = 1472;
  const tcp = value({ payload: noise(20_000, 3) });
  const headers = 14 + 20 + 20 + (tcp.tcp?.options.length ?? 0);
  assert.deepEqual(
    segments(writeSuperFrame(tcp, 1448), cutter).map((frame) => Buffer.from(frame).toString('hex')),
    cutPacket(tcp, 1472 - headers).map((one) => Buffer.from(writePacket(one)).toString('hex')),
  );
  assert.equal(Math.max(...segments(writeSuperFrame(tcp, 500), cutter).map(({ length }) => length)), 500 + headers);
  const udp = value({ tcp: undefined, payload: noise(20_000, 3) });
  assert.equal(Math.max(...segments(writeSuperFrame(udp, 1472), cutter).map(({ length }) => length)), 1514);
  // Below what is sensible, or in more pieces than a super-frame may have, it stays as it was asked for.
  cutter.longest = headers + 30;
  assert.equal(segments(writeSuperFrame(tcp, 1448), cutter).length, Math.ceil(20_000 / 1448));
  assert.equal(cutter.malformed, 0);
});

test('FIN and PSH go on the last segment alone, CWR on the first, other flags on all', () => {
  const flags = FIN | PSH | ACK | URG | ECE | CWR;
  const type = GsoType.tcpv4 | GsoType.ecn;
  const seen = segments(writeSuperFrame(value({}, { flags, urgent: 9 }), 2000, type)).map((one) => one[14 + 20 + 13]);
  assert.deepEqual(seen, [ACK | URG | ECE | CWR, ACK | URG | ECE, FIN | PSH | ACK | URG | ECE]);
  const single = segments(writeSuperFrame(value({}, { flags }), 5000))[0];
  assert.equal(single[14 + 20 + 13], flags, 'one segment is first and last');
});

test('a payload that fits one segment, or none at all, makes one frame', () => {
  for (const payload of [noise(100, 1), new Uint8Array(0)]) {
    for (const gsoSize of [100, 101, 0xffff]) {
      const whole = value({ payload });
      assert.deepEqual(segments(writeSuperFrame(whole, gsoSize)), [writePacket(whole)]);
    }
  }
});

test('a UDP checksum of 0 goes as all ones', () => {
  // Of all two-octet payloads one has this sum.
  const whole = value({ tcp: undefined, payload: new Uint8Array(4) });
  const plain = writePacket(whole);
  const at = 14 + 20 + 6;
  whole.payload.set([plain[at], plain[at + 1]]);
  const twice = { ...whole, payload: Uint8Array.of(...whole.payload, ...whole.payload) };
  for (const frame of segments(writeSuperFrame(twice, 4))) {
    assert.deepEqual(frame.slice(at, at + 2), hex('ffff'));
  }
});

test('what follows the IP packet is not cut along', () => {
  const bytes = writeSuperFrame(value(), 1000);
  assert.deepEqual(segments(Uint8Array.of(...bytes, 1, 2, 3, 4)), segments(bytes));
});

test('a frame that is no super-frame is copied, its checksum completed', () => {
  const whole = value();
  assert.deepEqual(segments(writeSuperFrame(whole, 0, GsoType.none)), [writePacket(whole)]);
  const complete = Uint8Array.of(...new Uint8Array(10), ...writePacket(whole));
  assert.deepEqual(segments(complete), [complete.slice(10)]);
  const cutter = new Segmenter();
  assert.equal(cutter.wireSize(complete, 10, complete.length - 10, 0), complete.length - 10);
});

test('behind a routing header under way the sum is that of the final destination', () => {
  // The sender's pseudo header has 0x0a000002 replaced by an address that the frame does not start with.
  const whole = value({ ip: IPV6, extensions: 1, payload: noise(3000, 5) });
  const change = (frame: Uint8Array, at: number): Uint8Array => {
    frame.set(hex('fd000000000000000000000000000099'), at + 24);
    frame[at + 6] = 43;
    frame.set([0, 0, 1], at + 41);
    return frame;
  };
  const expected = cutPacket(whole, 1000).map((one) => change(writePacket(one), 14));
  const seen = segments(change(writeSuperFrame(whole, 1000), NETWORK));
  assert.deepEqual(seen, expected);
});

test('a burst that is full is flushed, and what was in it stays in front', () => {
  const out = new Burst();
  for (let i = 0; i < 60; i++) out.add(new Uint8Array(14).fill(i));
  const flushed: number[] = [];
  const bytes = writeSuperFrame(value({ payload: noise(7000, 1) }), 100);
  const count = new Segmenter().segment(bytes, 10, bytes.length - 10, 0, out, (full) => {
    flushed.push(full.count);
    if (flushed.length === 1) assert.deepEqual(full.frame(59), new Uint8Array(14).fill(59));
  });
  assert.equal(count, 70);
  assert.deepEqual(flushed, [64, 64]);
  assert.equal(out.count, 2);
});

test('lies about lengths, types and sizes are refused and counted', () => {
  const tcp4 = writeSuperFrame(value(), 1000);
  const tcp6 = writeSuperFrame(value({ ip: IPV6 }), 1000);
  const udp = writeSuperFrame(value({ tcp: undefined }), 1000);
  refused(patched(tcp4, 4, 0, 0), 'segment size 0');
  refused(patched(tcp4, 0, 0), 'no checksum wanted');
  refused(patched(tcp4, 1, GsoType.tcpv6), 'IPv4 said to be IPv6');
  refused(patched(tcp6, 1, GsoType.tcpv4), 'IPv6 said to be IPv4');
  refused(patched(tcp4, 1, GsoType.udpL4), 'TCP said to be UDP');
  refused(patched(udp, 1, GsoType.tcpv4), 'UDP said to be TCP');
  refused(patched(udp, 1, GsoType.udp), 'UDP to be sent as fragments');
  refused(patched(tcp4, 1, 9), 'unknown type');
  refused(patched(tcp4, 6, 0xff, 0xff), 'checksum beyond the frame');
  refused(patched(tcp4, NETWORK + 2, 0xff, 0xff), 'IPv4 length beyond the frame');
  refused(patched(tcp4, NETWORK + 2, 0, 39), 'IPv4 length within the TCP header');
  refused(patched(tcp4, NETWORK + 2, 0, 0), 'no IPv4 length');
  refused(patched(tcp4, NETWORK, 0x44), 'IPv4 header of 16 octets');
  refused(patched(tcp4, NETWORK, 0x65), 'version 6 in an IPv4 frame');
  refused(patched(tcp4, NETWORK + 6, 0x20), 'more fragments');
  refused(patched(tcp4, NETWORK + 7, 1), 'a later fragment');
  refused(patched(tcp4, TCP4 + 12, 0x40), 'TCP header of 16 octets');
  refused(patched(tcp6, NETWORK + 4, 0xff, 0xff), 'IPv6 length beyond the frame');
  refused(patched(tcp6, NETWORK + 6, 44), 'IPv6 fragment');
  refused(patched(tcp6, NETWORK + 6, 0), 'extension header that is none');
  const extended = writeSuperFrame(value({ ip: IPV6, extensions: 2 }), 1000);
  refused(patched(extended, NETWORK + 40, 0), 'hop-by-hop options that are not first');
  refused(patched(extended, NETWORK + 4, 0, 12), 'IPv6 length within an extension header');
  refused(patched(tcp4, NETWORK, 0x4f, 0, 0, 40), 'IPv4 options beyond the length');
  refused(patched(tcp4, 10 + 12, 8, 6), 'ARP');
  refused(tcp4.slice(0, 23), 'no whole Ethernet header');
  refused(patched(tcp4, 10 + 12, 0x81, 0, 0, 0, 0x81, 0).slice(0, 10 + 18), 'nothing behind the tags');
});

test('no frame becomes more than a bounded number, or keeps more than a bounded size of headers', () => {
  const most = writeSuperFrame(value({ payload: noise(SEGMENTS_MAX * 2, 1) }), 2);
  assert.equal(segments(most).length, SEGMENTS_MAX);
  refused(patched(most, 4, 1, 0), 'segment size 1');
  const extensions = Math.floor((HEADERS_MAX - 54 - 20) / 8);
  assert.ok(extensions > 16);
  assert.equal(segments(writeSuperFrame(value({ ip: IPV6, extensions: 16 }), 1000)).length, 5);
  refused(writeSuperFrame(value({ ip: IPV6, extensions: 17 }), 1000), '17 extension headers');
  const long = writeSuperFrame(value({ ip: IPV6, extensions: 1 }), 1000);
  refused(patched(long, NETWORK + 41, 70), 'an extension header of 568 octets');
  const tags = Array.from({ length: 8 }, () => ({ tpid: 0x8100, pcp: 0, dei: false, vid: 5 }) as const);
  assert.equal(segments(writeSuperFrame(value({ tags }), 1000)).length, 5);
  const one = writeSuperFrame(value({ tags }), 1000);
  const ninth = Uint8Array.of(...one.slice(0, 22), ...hex('81000001'), ...one.slice(22));
  refused(ninth, 'nine tags');
});

test('places outside the bytes are refused', () => {
  const bytes = writeSuperFrame(value(), 1000);
  const length = bytes.length - 10;
  const out = new Burst();
  const cutter = new Segmenter();
  const places = [
    [-1, length, 0],
    [11, length, 0],
    [10, length, -1],
    [10, length, bytes.length - 9],
    [10, 13, 0],
    [10, -5, 0],
    [Number.NaN, length, 0],
    [10, FRAME_MAX + 1, 0],
  ];
  for (const [start, size, headerAt] of places) {
    assert.equal(cutter.segment(bytes, start, size, headerAt, out, notFull), 0, `${start} ${size} ${headerAt}`);
  }
  assert.equal(cutter.malformed, places.length);
  assert.equal(out.count, 0);
});

test('hostile bytes never throw, and write nothing but frames into their slots', () => {
  const out = new Burst();
  const cutter = new Segmenter();
  const valid = fc.tuple(packet(2000), u16).map(([whole, gsoSize]) => writeSuperFrame(whole, gsoSize));
  // A slot's headroom and what follows its room are its user's.
  const guards = [out.home(62) - 1, out.home(63) + FRAME_MAX];
  fc.assert(
    fc.property(fc.oneof(damaged(valid), octets(200)), (bytes) => {
      const length = Math.max(0, bytes.length - 10);
      const size = cutter.wireSize(bytes, 10, length, 0);
      for (const at of guards) out.bytes[at] = 0x77;
      out.count = 62;
      let first = 62;
      let made = 0;
      const see = (burst: Burst): void => {
        for (let slot = first; slot < burst.count; slot++, made++) assert.ok(burst.length[slot] <= size);
        first = 0;
      };
      const count = cutter.segment(bytes, 10, length, 0, out, see);
      see(out);
      assert.equal(made, count);
      assert.equal(count > 0, size > 0);
      assert.ok(count <= SEGMENTS_MAX);
      for (const at of guards) assert.equal(out.bytes[at], 0x77);
    }),
    { numRuns: 500 },
  );
});
