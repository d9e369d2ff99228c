import assert from 'node:assert/strict';
import test from 'node:test';
import { BURST_SIZE, FRAME_MAX } from '../../src/frame/burst.js';
import { PORTS_MAX } from '../../src/switch/switch.js';
import { TAGGED, UNTAGGED, type Vlan } from '../../src/switch/vlan.js';
import { BROADCAST, frame, join, noUntagged, portOf, station, virtualSwitch } from './memory-plug.js';

const A = station(1);
const B = station(2);
const C = station(3);

function trio() {
  const { sw, clock, seat } = virtualSwitch();
  return { sw, clock, seat, p1: seat(), p2: seat(), p3: seat() };
}

test('an unknown station is looked for everywhere, a known one only where it is', () => {
  const { p1, p2, p3 } = trio();
  const hello = frame(B, A);
  p1.receive(hello);
  assert.deepEqual([p1.take(), p2.take(), p3.take()], [[], [hello], [hello]]);
  const answer = frame(A, B);
  p2.receive(answer);
  assert.deepEqual([p1.take(), p2.take(), p3.take()], [[answer], [], []]);
  p1.receive(hello);
  assert.deepEqual([p1.take(), p2.take(), p3.take()], [[], [hello], []]);
});

test('broadcast and multicast go everywhere, the spanning tree address of an idle tree too', () => {
  const { p1, p2, p3 } = trio();
  for (const to of [BROADCAST, Buffer.from('0180c2000000', 'hex'), Buffer.from('333300000001', 'hex')]) {
    const one = frame(to, A);
    p1.receive(one);
    assert.deepEqual([p1.take(), p2.take(), p3.take()], [[], [one], [one]]);
  }
});

test('a group address is never learned as a source', () => {
  const { sw, p1, p2 } = trio();
  const group = Buffer.from('010203040506', 'hex');
  p1.receive(frame(B, group));
  assert.equal(sw.table.size, 0);
  p2.receive(frame(group, B));
  assert.equal(p1.take().length, 1);
  assert.equal(sw.table.size, 1);
});

test('a frame to a station behind the port it came from goes nowhere and is counted', () => {
  const { sw, p1, p2, p3 } = trio();
  p1.receive(frame(BROADCAST, A), frame(BROADCAST, B));
  p2.take();
  p3.take();
  p1.receive(frame(B, A), frame(B, A));
  assert.deepEqual([p1.take(), p2.take(), p3.take()], [[], [], []]);
  assert.equal(portOf(sw, 1).inputDrops.hairpin, 2);
});

test('addresses age out by the clock of the switch', () => {
  const { sw, clock, p1, p2, p3 } = trio();
  p2.receive(frame(BROADCAST, B));
  clock.now = 100;
  p1.take();
  p3.take();
  p1.receive(frame(B, A));
  assert.equal(p3.take().length, 0);
  clock.now = 101;
  sw.sweep();
  p1.receive(frame(B, A));
  assert.equal(p3.take().length, 1);
  assert.equal(p2.take().length, 2);
});

test('a station that shows up elsewhere is believed after it has been silent for the minimum persistence', () => {
  const { clock, p1, p2, p3 } = trio();
  p1.receive(frame(BROADCAST, A));
  p2.receive(frame(C, A));
  assert.equal(p3.take().length, 2, 'forwarded all the same');
  p3.receive(frame(A, C));
  assert.deepEqual([p1.take().length, p2.take().length], [1 + 1, 1]);
  clock.now = 4;
  p2.receive(frame(BROADCAST, A));
  p3.receive(frame(A, C));
  assert.deepEqual([p1.take().length, p2.take().length], [1, 1]);
});

test('frames of a burst keep their order, each egress gets one call, and later frames see what earlier ones taught', () => {
  const { p1, p2, p3 } = trio();
  const frames = Array.from({ length: BURST_SIZE }, (_, i) => frame(i % 2 ? BROADCAST : B, A, { payload: `no ${i}` }));
  p1.receive(...frames);
  assert.deepEqual(p2.take(), frames);
  assert.deepEqual(p3.take(), frames);
  assert.deepEqual([p2.sends, p3.sends], [1, 1]);
  const [x, y] = [frame(BROADCAST, B), frame(B, C)];
  p2.receive(x, y);
  assert.deepEqual(p3.take(), [x], 'the second is for a station that the first showed to be where it came from');
});

test('the largest frame and the smallest pass unchanged, shorter ones do not', () => {
  const { sw, p1, p2 } = trio();
  const large = Buffer.alloc(FRAME_MAX, 7);
  const small = frame(B, A, { payload: '' });
  p1.receive(large, small, small.subarray(0, 13), Buffer.alloc(0));
  assert.deepEqual(p2.take(), [large, small]);
  const { input, inputDrops } = portOf(sw, 1);
  assert.deepEqual(input, { frames: 2, bytes: FRAME_MAX + 14 });
  assert.equal(inputDrops.malformed, 2);
});

test('a tag without a type behind it is malformed', () => {
  const { sw, p1, p2 } = trio();
  const tagged = frame(B, A, { tci: 0, payload: '' });
  for (let size = 14; size < 18; size++) p1.receive(tagged.subarray(0, size));
  assert.deepEqual(p2.take(), []);
  assert.equal(portOf(sw, 1).inputDrops.malformed, 4);
  assert.equal(sw.table.size, 0);
  p1.receive(tagged);
  assert.deepEqual(p2.take(), [frame(B, A, { payload: '' })]);
});

test('counters: what came in counts even if it goes nowhere; what goes out counts once per port, as it is sent', () => {
  const { sw, p1 } = trio();
  join(sw, 7, 2, TAGGED);
  join(sw, 7, 1, TAGGED);
  const lost = frame(B, A, { tci: 99 });
  const untagged = frame(B, A);
  const tagged = frame(B, A, { tci: 7 });
  p1.receive(lost, untagged, tagged);
  assert.deepEqual(portOf(sw, 1).input, { frames: 3, bytes: lost.length + untagged.length + tagged.length });
  assert.deepEqual(portOf(sw, 1).inputDrops, { malformed: 0, vlan: 1, blocked: 0, hairpin: 0 });
  assert.deepEqual(portOf(sw, 2).output, { frames: 2, bytes: untagged.length + tagged.length });
  assert.deepEqual(portOf(sw, 3).output, { frames: 1, bytes: untagged.length });
  portOf(sw, 2).resetCounters();
  assert.deepEqual(portOf(sw, 2).output, { frames: 0, bytes: 0 });
});

test('by default tagged frames are refused, except those of VLAN 0, whose tag falls off', () => {
  const { sw, p1, p2 } = trio();
  for (const vid of [1, 99, 4094, 4095]) p1.receive(frame(B, A, { tci: vid }));
  assert.deepEqual(p2.take(), []);
  assert.equal(portOf(sw, 1).inputDrops.vlan, 4);
  assert.equal(sw.table.size, 0, 'nothing is learned from a frame that is refused');
  p1.receive(frame(B, A, { tci: 0xe000 }));
  assert.deepEqual(p2.take(), [frame(B, A)]);
});

test('other tags than 802.1Q are payload', () => {
  const { p1, p2 } = trio();
  const service = frame(B, A, { type: 0x88a8, payload: Buffer.from([0, 5, 8, 0, 1, 2]) });
  p1.receive(service);
  assert.deepEqual(p2.take(), [service]);
});

test('a tag is put on and taken off to the byte, an old one is kept to the byte, an inner one is left alone', () => {
  const { sw, seat, p1, p2, p3 } = trio();
  const p4 = seat();
  join(sw, 300, 1, UNTAGGED);
  join(sw, 300, 2, TAGGED);
  join(sw, 300, 3, UNTAGGED);
  join(sw, 300, 4, TAGGED);
  const inner = frame(B, A, { tci: 0x6005 });
  const plain = frame(B, A);
  p1.receive(plain);
  assert.deepEqual(p2.take(), [frame(B, A, { tci: 300 })]);
  assert.deepEqual(p3.take(), [plain]);
  const withPriority = frame(BROADCAST, A, { tci: 0xf000 | 300 });
  p2.receive(withPriority);
  assert.deepEqual(p1.take(), [frame(BROADCAST, A)]);
  assert.deepEqual(p4.take(), [frame(B, A, { tci: 300 }), withPriority]);
  p3.take();
  // Behind the outer tag is another: it is what the frame carries.
  const double = Buffer.concat([B, C, Buffer.from([0x81, 0, 1, 44]), inner.subarray(12)]);
  p2.receive(double);
  const single = Buffer.concat([B, C, inner.subarray(12)]);
  assert.deepEqual([p1.take(), p3.take(), p4.take()], [[single], [single], [double]]);
});

test('a port takes its own untagged VLAN with a tag as well', () => {
  const { sw, p1, p2, p3 } = trio();
  join(sw, 5, 1, UNTAGGED);
  join(sw, 5, 2, UNTAGGED);
  p1.receive(frame(B, A, { tci: 5 }));
  assert.deepEqual([p2.take(), p3.take()], [[frame(B, A)], []]);
});

test('VLANs are apart: the same address may be in both, each behind its own port', () => {
  const { sw, p1, p2, p3 } = trio();
  for (const number of [1, 2, 3]) for (const vid of [10, 20]) join(sw, vid, number, TAGGED);
  p1.receive(frame(BROADCAST, A, { tci: 10 }));
  p2.receive(frame(BROADCAST, A, { tci: 20 }));
  for (const plug of [p1, p2, p3]) plug.take();
  const [to10, to20] = [10, 20].map((tci) => frame(A, C, { tci }));
  p3.receive(to10, to20);
  assert.deepEqual([p1.take(), p2.take()], [[to10], [to20]]);
});

test('without an untagged VLAN a port takes tagged frames only', () => {
  const { sw, p1, p2 } = trio();
  noUntagged(sw, 1);
  join(sw, 9, 1, TAGGED);
  join(sw, 9, 2, TAGGED);
  p1.receive(frame(B, A), frame(B, A, { tci: 9 }));
  assert.deepEqual(p2.take(), [frame(B, A, { tci: 9 })]);
  assert.equal(portOf(sw, 1).inputDrops.vlan, 1);
});

test('a discarding port neither takes, teaches nor gives, and says so', () => {
  const { sw, p1, p2, p3 } = trio();
  const vlan = sw.vlans.get(0) as Vlan;
  vlan.discarding[2] = 1;
  vlan.refresh(sw.ports);
  p1.receive(frame(BROADCAST, A));
  assert.deepEqual([p2.take().length, p3.take().length], [0, 1]);
  p2.receive(frame(BROADCAST, B));
  assert.deepEqual([p1.take().length, p3.take().length], [0, 0]);
  assert.equal(portOf(sw, 2).inputDrops.blocked, 1);
  assert.equal(sw.table.size, 1);
});

test('several plugs at one port: each gets what goes to the port, none what another of them sends', () => {
  const { sw, seat } = virtualSwitch();
  const [a, b] = [seat(5), seat(5)];
  const other = seat();
  const up = frame(BROADCAST, A);
  a.receive(up);
  assert.deepEqual([a.take(), b.take(), other.take()], [[], [], [up]]);
  const down = frame(A, B);
  other.receive(down);
  assert.deepEqual([a.take(), b.take()], [[down], [down]]);
  assert.deepEqual(portOf(sw, 5).output, { frames: 1, bytes: down.length });
});

test('hub mode: every frame goes everywhere as it is, port 0 included, and nothing is learned', () => {
  const { sw, seat } = virtualSwitch({ hub: true });
  const [zero, one, two] = [seat(0), seat(), seat()];
  const frames = [frame(B, A), frame(B, A, { tci: 4095 }), frame(A, A).subarray(0, 14)];
  one.receive(...frames, frame(B, A).subarray(0, 13));
  assert.deepEqual([zero.take(), one.take(), two.take()], [frames, [], frames]);
  zero.receive(frames[0]);
  assert.deepEqual([zero.take(), one.take(), two.take()], [[], [frames[0]], [frames[0]]]);
  assert.equal(sw.table.size, 0);
  assert.equal(portOf(sw, 1).inputDrops.malformed, 1);
  assert.equal(portOf(sw, 1).input.frames, 3);
});

test('port 0 is a port like any other, but nobody gets it unasked', () => {
  const { sw, seat } = virtualSwitch();
  const p1 = seat();
  const zero = seat(0);
  assert.equal(sw.ports[1]?.active, true);
  p1.receive(frame(BROADCAST, A));
  assert.equal(zero.take().length, 1);
  zero.receive(frame(A, B));
  assert.equal(p1.take().length, 1);
});

test('any free port is the lowest without an end that clients may have', () => {
  const { sw, seat } = virtualSwitch({ ports: 4 });
  const plugs = [seat(), seat(3), seat()];
  assert.deepEqual(
    sw.ports.map((port) => port?.active),
    [undefined, true, true, true, undefined],
  );
  plugs[0].lose();
  portOf(sw, 1).allocatable = false;
  seat();
  assert.equal(portOf(sw, 4).active, true, 'port 1 is kept for those who ask for it');
  assert.throws(() => seat(), { code: 'ENOSPC', message: /no free port among its 4 \(.*-n/ });
  seat(1);
  assert.equal(portOf(sw, 1).active, true);
});

test('ports out of range and ports of others are refused', () => {
  const { sw, seat } = virtualSwitch({ ports: 4 });
  for (const number of [5, 100_000, -1]) {
    assert.throws(() => seat(number), { code: 'EADDRNOTAVAIL', message: /no such port, this switch has 0 to 4/ });
  }
  const holder = seat(4, 1000);
  assert.throws(() => seat(4, 0), { code: 'EADDRINUSE', message: /port 4: held by uid 1000/ });
  seat(4, 1000);
  assert.equal(portOf(sw, 4).endpoints.length, 2);
  holder.lose();
  assert.throws(() => seat(4, 0), { code: 'EADDRINUSE' });
  for (const endpoint of portOf(sw, 4).endpoints) sw.detach(portOf(sw, 4), endpoint);
  seat(4, 0);
  assert.equal(portOf(sw, 4).currentUser, 0);
});

test('an end that leaves takes its addresses along and leaves its counters behind', () => {
  const { sw, seat, p1, p2, p3 } = trio();
  p2.receive(frame(BROADCAST, B));
  p2.drops.full = 5;
  const left: number[] = [];
  sw.onLeft = (port) => left.push(port.number);
  p2.lose();
  assert.deepEqual(left, [2]);
  p1.take();
  p3.take();
  p1.receive(frame(B, A));
  assert.equal(p3.take().length, 1, 'where B is nobody knows any more');
  assert.equal(p2.take().length, 0);
  const again = seat();
  again.drops.full = 2;
  assert.equal(portOf(sw, 2).drops.full, 7);
  assert.equal(portOf(sw, 2).input.frames, 1);
});

test('detaching twice, or all at once, is harmless', () => {
  const { sw, p1, p2, p3 } = trio();
  const port = portOf(sw, 1);
  const [endpoint] = port.endpoints;
  let left = 0;
  sw.onLeft = () => left++;
  sw.detach(port, endpoint);
  sw.detach(port, endpoint);
  assert.equal(left, 1);
  sw.close();
  assert.deepEqual([p1.closed, p2.closed, p3.closed, left], [true, true, true, 3]);
});

test('ends that leave while a burst is on its way do not keep the others from their frames', () => {
  const { sw, seat } = virtualSwitch();
  const [p1, p2, p3, p4] = [seat(), seat(), seat(), seat()];
  const shared = seat(4);
  // The first that is served loses itself, its neighbour, the sender and one of two ends of the last port.
  p2.onSend = () => {
    p2.lose();
    p3.lose();
    p4.lose();
    p1.lose();
  };
  const one = frame(BROADCAST, A);
  p1.receive(one, one);
  assert.deepEqual(p3.take(), []);
  assert.deepEqual(shared.take(), [one, one]);
  assert.deepEqual(
    sw.ports.map((port) => port?.endpoints.length),
    [undefined, 0, 0, 0, 1, ...new Array(28).fill(undefined)],
  );
  const late = seat();
  shared.receive(frame(BROADCAST, B));
  assert.equal(late.take().length, 1, 'and the next burst goes its way');
});

test('4096 ports: each has its end, and a broadcast reaches all of them', () => {
  const { sw, seat } = virtualSwitch({ ports: PORTS_MAX });
  const plugs = Array.from({ length: PORTS_MAX }, () => seat());
  assert.throws(() => seat(), { code: 'ENOSPC' });
  plugs[0].receive(frame(BROADCAST, A));
  plugs[PORTS_MAX - 1].receive(frame(A, B));
  assert.equal(plugs[0].take().length, 1);
  assert.equal(plugs.filter((plug) => plug.got.length === 1).length, PORTS_MAX - 1);
  assert.equal(portOf(sw, PORTS_MAX).output.frames, 1);
});

test('with more stations than caches hold, tagged and not, each frame finds its own', () => {
  const { sw, p1, p2, p3 } = trio();
  const numbers = Array.from({ length: 12_000 }, (_, i) => 1000 + i);
  for (const [plug, rest] of [
    [p1, 0],
    [p2, 1],
  ] as const) {
    const own = numbers.filter((n) => n % 2 === rest).map((n) => frame(C, station(n)));
    while (own.length > 0) plug.receive(...own.splice(0, BURST_SIZE));
  }
  assert.equal(sw.table.size, numbers.length);
  for (const plug of [p1, p2, p3]) plug.take();
  p3.receive(frame(BROADCAST, C), Buffer.alloc(3));
  for (const plug of [p1, p2]) assert.equal(plug.take().length, 1);
  for (const n of [1000, 1001, 6000, 12_999]) {
    const plain = frame(station(n), C);
    const priority = Buffer.concat([plain.subarray(0, 12), Buffer.from('8100a000', 'hex'), plain.subarray(12)]);
    p3.receive(priority, plain);
    const [hit, miss] = n % 2 ? [p2, p1] : [p1, p2];
    assert.deepEqual([hit.take(), miss.take()], [[plain, plain], []]);
  }
});
