import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ALL_VIEWS, BURST_SIZE, Burst } from '../../src/frame/burst.js';
import { Coalescer, MERGED } from '../../src/frame/coalescing.js';
import { GsoType, OffloadHeader } from '../../src/frame/offload.js';
import { parseTagged } from '../../src/frame/vlan.js';
import { damaged, hex, octets, patched } from './arbitraries.js';
import {
  ACK,
  CWR,
  cutPacket,
  ECE,
  FIN,
  noise,
  type Packet,
  PSH,
  packet,
  RST,
  SYN,
  segments,
  URG,
  tcpPacket as value,
  writePacket,
  writeSuperFrame,
} from './super-frames.js';

const burst = new Burst();
const coalescer = new Coalescer();
const IPV6 = { src: hex('fd000000000000000000000000000001'), dst: hex('fd000000000000000000000000000002') };

/** `count` segments that follow one another. */
function flow(
  count: number,
  change: Partial<Packet> = {},
  tcp: Partial<NonNullable<Packet['tcp']>> = {},
): Uint8Array[] {
  const whole = value({ payload: noise(count * 100, 1), ...change }, tcp);
  return cutPacket(whole, 100).map((one) => writePacket(one));
}

interface Item {
  /** Set unless merged. */
  view: number | undefined;
  /** A super-frame behind its `struct virtio_net_hdr`, else the frame. */
  bytes: Uint8Array;
}

/** What becomes of frames that arrive in one burst. */
function coalesce(frames: Uint8Array[]): Item[] {
  burst.count = 0;
  for (const frame of frames) assert.ok(burst.add(frame));
  return items(coalescer.coalesce(burst, ALL_VIEWS, burst.count));
}

function items(count: number): Item[] {
  return Array.from({ length: count }, (_, i) => {
    const view = coalescer.view[i];
    if (view !== MERGED) return { view, bytes: burst.viewBytes(view).slice() };
    const at = coalescer.headerAt[i];
    const parts = [coalescer.headers.bytes.slice(at - 10, at + coalescer.headerLength[i])];
    for (let k = 0; k < coalescer.pieces[i]; k++) {
      const piece = coalescer.firstPiece[i] + k;
      const start = coalescer.pieceAt[piece];
      parts.push(burst.bytes.slice(start, start + coalescer.pieceLength[piece]));
    }
    const bytes = Uint8Array.from(Buffer.concat(parts));
    assert.equal(bytes.length - 10, coalescer.length[i]);
    return { view: undefined, bytes };
  });
}

/** Back to what came: super-frames cut again. */
function cut(list: Item[]): Uint8Array[] {
  return list.flatMap(({ view, bytes }) => (view === undefined ? segments(bytes) : [bytes]));
}

/** How many frames became each item. */
function shape(frames: Uint8Array[]): number[] {
  return coalesce(frames).map((item) => cut([item]).length);
}

test('a flow becomes the super-frame that it might have been cut from', () => {
  for (const ip of [{ src: 1, dst: 2 }, IPV6]) {
    for (const tags of [[], [{ tpid: 0x8100, pcp: 3, dei: true, vid: 7 } as const]]) {
      const whole = value({ ip, tags, payload: noise(9500, 2) }, { flags: ACK | PSH, options: noise(12, 1) });
      const list = coalesce(cutPacket(whole, 1000).map((one) => writePacket(one)));
      assert.deepEqual(list, [{ view: undefined, bytes: writeSuperFrame(whole, 1000) }]);
    }
  }
});

test('its header says how to cut it', () => {
  coalesce(flow(3));
  const header = new OffloadHeader();
  const at = coalescer.headerAt[0];
  assert.equal(at % 4, 0);
  assert.ok(header.read(coalescer.headers.bytes, at - 10));
  assert.deepEqual(
    { ...header },
    { flags: 1, gsoType: GsoType.tcpv4, headerLength: 54, gsoSize: 100, checksumStart: 34, checksumOffset: 16 },
  );
});

const flows = fc.array(fc.tuple(packet(6000), fc.integer({ min: 100, max: 1500 }), fc.nat(0xff)), {
  minLength: 1,
  maxLength: 12,
});

test('cutting what was merged gives the frames again, those of each flow in their order', () => {
  fc.assert(
    fc.property(flows, fc.array(fc.nat(), { minLength: BURST_SIZE, maxLength: BURST_SIZE }), (list, turns) => {
      // The port tells the flows apart.
      const queues = list.map(([whole, gsoSize, flags], i) => {
        const tcp = whole.tcp && { ...whole.tcp, flags: flags & 1 ? ACK | flags : ACK };
        return cutPacket({ ...whole, srcPort: i, tcp }, gsoSize).map((one) => writePacket(one));
      });
      const sent: Uint8Array[] = [];
      for (const turn of turns) {
        const waiting = queues.filter((queue) => queue.length > 0);
        if (waiting.length > 0) sent.push(waiting[turn % waiting.length].shift() as Uint8Array);
      }
      const got = cut(coalesce(sent));
      assert.equal(got.length, sent.length);
      const ofFlow = (frames: Uint8Array[], port: number) => frames.filter((frame) => portOf(frame) === port);
      list.forEach((_, port) => {
        assert.deepEqual(ofFlow(got, port), ofFlow(sent, port));
      });
    }),
  );
});

/** The source port of a TCP or UDP frame. */
function portOf(frame: Uint8Array): number {
  const packet = parseTagged(frame)!.payload;
  const at = packet[0] >>> 4 === 4 ? (packet[0] & 15) * 4 : 40 + extensionLength(packet);
  return packet[at] * 256 + packet[at + 1];
}

function extensionLength(packet: Uint8Array): number {
  let [next, length] = [packet[6], 0];
  for (; next === 60; length += 8) next = packet[40 + length];
  return length;
}

test('interleaved flows are merged side by side, up to eight of them; a ninth ends the oldest', () => {
  const sides = Array.from({ length: 9 }, (_, i) => flow(4, { srcPort: i }));
  const rounds = [0, 1, 2, 3].flatMap((k) => sides.slice(0, 8).map((side) => side[k]));
  assert.deepEqual(shape(rounds), Array(8).fill(4));
  const firsts = sides.map((side) => side[0]);
  assert.deepEqual(shape([...firsts, sides[8][1], sides[0][1], sides[7][1]]), [1, 1, 1, 1, 1, 1, 1, 2, 2, 1]);
});

test('a super-frame comes where its first segment was', () => {
  const [a0, a1] = flow(2, { srcPort: 1 });
  const [b0, b1] = flow(2, { srcPort: 2 });
  const udp = writePacket(value({ tcp: undefined }));
  assert.deepEqual(cut(coalesce([a0, udp, b0, a1, b1])), [a0, a1, udp, b0, b1]);
});

test('PSH and a short segment end a super-frame, a longer one begins the next', () => {
  const [a, b, c, d] = flow(4);
  const push = cutPacket(value({ payload: noise(200, 1) }, { flags: ACK | PSH }), 100).map((one) =>
    writePacket(one),
  )[1];
  assert.deepEqual(shape([a, push, c, d]), [2, 2]);
  const ragged = (sizes: number[]) => {
    let sequence = 100;
    return sizes.map((size, i) => {
      const frame = writePacket(value({ payload: noise(size, i), identification: i }, { sequence }));
      sequence += size;
      return frame;
    });
  };
  assert.deepEqual(shape(ragged([100, 100, 60, 100, 100])), [3, 2]);
  assert.deepEqual(shape(ragged([100, 101, 101])), [1, 2]);
  assert.deepEqual(shape(ragged([100, 99, 99])), [2, 1]);
  assert.deepEqual(shape([b, a, c]), [1, 1, 1], 'out of order');
  assert.deepEqual(shape([a, a, b]), [1, 2], 'sent twice');
  assert.deepEqual(shape([a, c, d]), [1, 2], 'one lost');
});

test('what differs in more than what counts up is not merged', () => {
  const first = value({ payload: noise(100, 1) });
  const next = (change: Partial<Packet>, tcp: Partial<NonNullable<Packet['tcp']>> = {}): Packet => {
    const [, second] = cutPacket({ ...first, payload: noise(200, 1) }, 100);
    return { ...second, ...change, tcp: { ...second.tcp!, ...tcp } };
  };
  const merged = (change: Partial<Packet>, tcp: Partial<NonNullable<Packet['tcp']>> = {}, base = first) =>
    shape([writePacket(base), writePacket(next(change, tcp))]).length === 1;
  assert.equal(merged({}), true);
  assert.equal(merged({ srcMac: hex('020000000009') }), false, 'source address');
  assert.equal(merged({ tags: [{ tpid: 0x8100, pcp: 0, dei: false, vid: 1 }] }), false, 'tag');
  assert.equal(merged({ ip: { src: 0x0a000001, dst: 0x0a000003 } }), false, 'IP address');
  assert.equal(merged({ srcPort: 1001 }), false, 'port');
  assert.equal(merged({ ttl: 63 }), false, 'time to live');
  assert.equal(merged({ trafficClass: 3 }), false, 'congestion experienced');
  assert.equal(merged({ dontFragment: false }), false, 'DF');
  assert.equal(merged({ identification: 5 }), true, 'identification with DF');
  assert.equal(merged({ dontFragment: false, identification: 5 }, {}, { ...first, dontFragment: false }), false);
  assert.equal(
    merged({ dontFragment: false }, {}, { ...first, dontFragment: false }),
    true,
    'identification counting up',
  );
  assert.equal(merged({ ipOptions: new Uint8Array(4) }), false, 'IP options');
  assert.equal(merged({}, { ack: 8 }), false, 'acknowledgement');
  assert.equal(merged({}, { window: 501 }), false, 'window');
  assert.equal(merged({}, { urgent: 1 }), false, 'urgent pointer');
  assert.equal(merged({}, { options: hex('01010101') }), false, 'TCP options');
  assert.equal(merged({ payload: new Uint8Array(0) }), false, 'no payload');
  for (const flag of [FIN, SYN, RST, URG, ECE, CWR])
    assert.equal(merged({}, { flags: ACK | flag }), false, `flag ${flag}`);
  assert.equal(merged({}, { flags: 0 }), false, 'no ACK');
  const first6 = { ...first, ip: IPV6 };
  assert.equal(merged({ ip: IPV6 }, {}, first6), true);
  assert.equal(merged({ ip: IPV6, flowLabel: 1 }, {}, first6), false, 'flow label');
  assert.equal(merged({ ip: IPV6, trafficClass: 1 }, {}, first6), false, 'traffic class');
  assert.equal(merged({ ip: IPV6, ttl: 1 }, {}, first6), false, 'hop limit');
  assert.equal(merged({ ip: IPV6, extensions: 1 }, {}, first6), false, 'extension header');
});

test('whatever comes between segments of a flow stays between them', () => {
  const [a, b, c, d] = flow(4);
  const mid = { sequence: 0xffff_ff00 + 200 };
  const between: [string, Uint8Array][] = [
    ['acknowledgement', writePacket(value({ payload: new Uint8Array(0) }, mid))],
    [
      'padded acknowledgement',
      Uint8Array.of(...writePacket(value({ payload: new Uint8Array(0) }, mid)), ...new Uint8Array(6)),
    ],
    ['FIN', writePacket(value({ payload: noise(3, 3) }, { flags: FIN | ACK }))],
    ['IP options', writePacket(value({ ipOptions: new Uint8Array(4) }))],
    ['fragment', patched(writePacket(value()), 20, 0x20)],
    ['IPv6 extension', writePacket(value({ ip: IPV6, extensions: 1 }))],
  ];
  for (const [what, frame] of between) {
    assert.deepEqual(cut(coalesce([a, b, frame, c, d])), [a, b, frame, c, d], what);
  }
});

test('a segment with a wrong checksum passes as it is, alone', () => {
  const frames = flow(6);
  const { counts } = new Coalescer();
  assert.deepEqual(counts, { superFrames: 0, segments: 0, damaged: 0 });
  for (const at of [0, 1, 3, 5]) {
    const damagedFrames = frames.map((frame, i) => (i === at ? patched(frame, 70, frame[70] ^ 1) : frame));
    const list = coalesce(damagedFrames);
    const before = coalescer.counts.damaged;
    coalesce(damagedFrames);
    assert.ok(coalescer.counts.damaged > before);
    assert.ok(
      list.some(({ view }) => view === at),
      `frame ${at} is not hidden`,
    );
    assert.deepEqual(cut(list), damagedFrames);
  }
  const badHeader = patched(frames[1], 24, frames[1][24] ^ 1);
  assert.deepEqual(shape([frames[0], badHeader, frames[2]]), [1, 1, 1], 'IPv4 header checksum');
});

test('padding keeps a segment out', () => {
  const [a, b] = flow(2, {}, {});
  assert.deepEqual(shape([a, Uint8Array.of(...b, 0, 0)]), [1, 1]);
});

test('a super-frame is at most 65535 octets of IP packet', () => {
  for (const ip of [{ src: 1, dst: 2 }, IPV6]) {
    const frames = cutPacket(value({ ip, payload: noise(60 * 1448, 1) }), 1448)
      .map((one) => one)
      .map((one) => writePacket(one));
    const list = coalesce(frames.slice(0, BURST_SIZE));
    assert.deepEqual(
      list.map((item) => cut([item]).length),
      [45, 15],
    );
    assert.deepEqual(cut(list), frames);
  }
});

test('datagrams of a flow are merged, whether their checksums are made or left to be made', () => {
  for (const ip of [{ src: 1, dst: 2 }, IPV6]) {
    const whole = value({ ip, tcp: undefined, payload: noise(950, 2) });
    const parts = cutPacket(whole, 100);
    const merged = [{ view: undefined, bytes: writeSuperFrame(whole, 100) }];
    assert.deepEqual(coalesce(parts.map((one) => writePacket(one))), merged, 'made');
    burst.count = 0;
    for (const one of parts) {
      const slot = burst.count;
      burst.add(writePacket(one, true));
      burst.offloadHeader(slot).set([1, 0, 0, 0, 0, 0, typeof ip.src === 'number' ? 34 : 54, 0, 6, 0]);
    }
    burst.offload.fill(1, 0, parts.length);
    assert.deepEqual(items(coalescer.coalesce(burst, ALL_VIEWS, burst.count)), merged, 'left to be made');
    // Something else is left to be done as well: not ours to judge.
    burst.offloadHeader(3)[6]++;
    assert.equal(coalescer.coalesce(burst, ALL_VIEWS, burst.count), 3);
    burst.offload.fill(0);
    assert.equal(new Coalescer(false).coalesce(burst, ALL_VIEWS, burst.count), parts.length, 'an older kernel');
  }
});

test('datagrams without a checksum, with another length or of none are not merged', () => {
  const one = value({ tcp: undefined, payload: noise(100, 1) });
  const frame = writePacket(one);
  assert.deepEqual(shape([frame, frame]), [2]);
  assert.deepEqual(shape([frame, frame, writePacket({ ...one, payload: noise(50, 1) }), frame]), [3, 1]);
  const bare = patched(patched(frame, 40, 0), 41, 0);
  assert.deepEqual(shape([bare, bare]), [1, 1]);
  const short = patched(frame, 39, frame[39] - 1);
  assert.deepEqual(shape([short, short]), [1, 1]);
  const empty = writePacket({ ...one, payload: new Uint8Array(0) });
  assert.deepEqual(shape([frame, empty, frame]), [1, 1, 1]);
  const tcp = writePacket(value({ payload: noise(100, 1) }));
  assert.deepEqual(shape([frame, tcp, frame]), [2, 1], 'the same ports in TCP');
});

test('changed views and frames with offloads pass as they are, in their place', () => {
  burst.count = 0;
  for (const frame of flow(6)) burst.add(frame);
  const changed = burst.retag(2, 5, false);
  burst.offload[4] = 1;
  const list = items(coalescer.coalesce(burst, Uint8Array.of(0, 1, changed, 3, 4, 5), 6));
  burst.offload[4] = 0;
  assert.deepEqual(
    list.map(({ view }) => view),
    [undefined, changed, 3, 4, 5],
  );
});

test('only the listed views are looked at, in the order of the list', () => {
  burst.count = 0;
  for (const frame of flow(4)) burst.add(frame);
  const list = items(coalescer.coalesce(burst, Uint8Array.of(2, 3, 1), 3));
  assert.deepEqual(
    list.map(({ view }) => view),
    [undefined, 1],
  );
  assert.equal(coalescer.coalesce(burst, ALL_VIEWS, 0), 0);
});

test('hostile frames never throw, and all of them come out', () => {
  const valid = fc.tuple(packet(600), fc.nat(2)).map(([whole, i]) => writePacket({ ...whole, srcPort: i }));
  fc.assert(
    fc.property(fc.array(fc.oneof(damaged(valid), octets(100)), { maxLength: 20 }), (frames) => {
      const before = frames.map((frame) => frame.slice());
      const got = cut(coalesce(frames)).map((frame) => Buffer.from(frame).toString('hex'));
      assert.deepEqual(got.sort(), before.map((frame) => Buffer.from(frame).toString('hex')).sort());
    }),
    { numRuns: 300 },
  );
});
