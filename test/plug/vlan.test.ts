import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ALL_VIEWS, Burst, FRAME_MAX } from '../../src/frame/burst.js';
import { EtherType } from '../../src/frame/ethernet.js';
import { popTag, pushTag } from '../../src/frame/vlan.js';
import { DatagramPlug } from '../../src/plug/datagram.js';
import { openPlug } from '../../src/plug/registry.js';
import { resolveLocator } from '../../src/plug/resolve.js';
import { parseVlan, VlanPlug } from '../../src/plug/vlan.js';
import { SOCK_DGRAM, socketPair } from '../../src/sys/socket.js';
import { octets } from '../frame/arbitraries.js';
import { cutPacket, noise, tcpPacket, writePacket, writeSuperFrame } from '../frame/super-frames.js';
import { cleanup } from '../support/cleanup.js';
import { complianceSuite } from './compliance.js';
import { DirectPlug } from './direct-plug.js';
import { Collector, frame, sendAll } from './frames.js';

const { customerTag, serviceTag } = EtherType;

/** A VLAN plug of that locator's rules, and the network behind it. */
function vlan(
  locator: string,
  takesOffloads = false,
): { plug: VlanPlug; network: DirectPlug; wire: Collector; client: Collector } {
  const [inner, network] = DirectPlug.pair(takesOffloads);
  const { rules, tpid } = parseVlan(resolveLocator(locator));
  const plug = new VlanPlug(locator, inner, rules, tpid);
  return { plug, network, wire: new Collector(network), client: new Collector(plug) };
}

const tag = (one: Uint8Array, vid: number, pcp = 0, dei = false, tpid: 0x8100 | 0x88a8 = customerTag): Buffer =>
  Buffer.from(pushTag(one, { tpid, pcp, dei, vid }));

for (const locator of ['vlan:///trunk', 'vlan://4/t=5', 'vlan://4/qinq/trunk']) {
  complianceSuite({
    name: `${locator} over datagram sockets`,
    openPair: async () => {
      const { rules, tpid } = parseVlan(resolveLocator(locator));
      const [a, b] = socketPair(SOCK_DGRAM, 'pair').map(
        (end, i) => new VlanPlug(`end ${i}`, new DatagramPlug(end, { name: 'in', maxFrame: 9018 }), rules, tpid),
      );
      return { a, b };
    },
    supports: { loss: 'on send', tags: locator !== 'vlan://4/t=5' },
  });
}

test('tags are put on, taken off, changed; priorities stay; the rest is filtered and counted', () => {
  const { plug, network, wire, client } = vlan('vlan://4/untag=7/tag=10:11-12');
  const one = frame(100, 1);
  sendAll(plug, [
    one,
    tag(one, 7, 5),
    tag(one, 10, 3, true),
    tag(one, 11, 6),
    tag(one, 0, 2),
    tag(one, 99),
    tag(one, 4),
  ]);
  wire.assertFrames([tag(one, 4), one, tag(one, 10, 3, true), tag(one, 12, 6), tag(one, 4, 2)]);
  assert.deepEqual(plug.filtered, { sent: 2, received: 0 });

  sendAll(network, [
    one,
    tag(one, 4, 5),
    tag(one, 10, 3, true),
    tag(one, 12, 6),
    tag(one, 0, 2),
    tag(one, 99),
    tag(one, 7),
  ]);
  client.assertFrames([tag(one, 7), one, tag(one, 10, 3, true), tag(one, 11, 6), tag(one, 7, 2)]);
  assert.deepEqual(plug.filtered, { sent: 2, received: 2 });
});

test('what passes as it is and what is changed keep their order', () => {
  const { plug, network, wire, client } = vlan('vlan://4/trunk');
  const frames = Array.from({ length: 64 }, (_, i) => (i % 3 === 0 ? frame(60 + i, i) : tag(frame(60 + i, i), 5 + i)));
  const onWire = frames.map((one, i) => (i % 3 === 0 ? tag(one, 4) : one));
  sendAll(plug, frames);
  wire.assertFrames(onWire);
  sendAll(network, onWire);
  client.assertFrames(frames);
});

test('service tags: customers’ tags are payload', () => {
  const { plug, network, wire, client } = vlan('vlan://5/qinq');
  const [one, two] = [frame(100, 1), tag(frame(100, 2), 4, 6)];
  sendAll(plug, [one, two]);
  wire.assertFrames([tag(one, 5, 0, false, serviceTag), tag(two, 5, 0, false, serviceTag)]);
  sendAll(network, [...wire.frames, one, two]);
  client.assertFrames([one, two]);
  assert.equal(plug.filtered.received, 2);
});

test('any frame comes back as it was through tags of any kind, nested too', async (t) => {
  const [a, b] = DirectPlug.pair();
  const stack = (plug: DirectPlug) => {
    const outer = parseVlan(resolveLocator('vlan://5/qinq'));
    const inner = parseVlan(resolveLocator('vlan://4/t=100-200'));
    return new VlanPlug('in', new VlanPlug('out', plug, outer.rules, outer.tpid), inner.rules, inner.tpid);
  };
  const [left, right] = [stack(a), stack(b)];
  const arrived = new Collector(right);
  cleanup(t, () => left.close());
  fc.assert(
    fc.property(fc.array(octets(200, 14), { maxLength: 64 }), (frames) => {
      arrived.frames.length = 0;
      for (const one of frames) one.set([0x08, 0x00], 12);
      const all = frames.map((one, i) => (i % 2 ? Buffer.from(one) : tag(one, 100, i % 8)));
      sendAll(left, all);
      arrived.assertFrames(all);
    }),
  );
});

test('any bytes may arrive: what has no room for its tag is dropped and counted', () => {
  const { plug, network, client } = vlan('vlan://4/trunk/untag=9');
  const cut = fc.integer({ min: 14, max: 17 }).map((length) => tag(frame(60, 1), 4).subarray(0, length));
  fc.assert(
    fc.property(fc.array(fc.oneof(octets(80, 14), cut), { maxLength: 64 }), (frames) => {
      const before = client.frames.length + plug.drops.runt + plug.filtered.received;
      sendAll(network, frames);
      assert.equal(client.frames.length + plug.drops.runt + plug.filtered.received, before + frames.length);
    }),
  );
  assert.ok(plug.drops.runt > 0);
  for (const one of client.frames) assert.ok(one.length >= 14);
});

test('frames are as long as the end inside takes, a tag included', () => {
  const [inner, network] = DirectPlug.pair(false, 1518);
  const plug = new VlanPlug('vlan', inner, parseVlan(resolveLocator('vlan://4/x')).rules, customerTag);
  const wire = new Collector(network);
  assert.equal(plug.maxFrame, 1514);
  sendAll(plug, [frame(1514, 1), frame(1515, 2), tag(frame(1514, 3), 5)]);
  wire.assertFrames([tag(frame(1514, 1), 4), tag(frame(1514, 3), 5)]);
  assert.equal(plug.drops.oversize, 1);
  const { network: far, plug: near, client } = vlan('vlan:///untag=4');
  sendAll(far, [frame(FRAME_MAX - 4, 1), frame(FRAME_MAX - 3, 2)]);
  client.assertFrames([tag(frame(FRAME_MAX - 4, 1), 4)]);
  assert.equal(near.drops.oversize, 1);
});

test('views that a switch has tagged are read with their tags', () => {
  const { plug, wire } = vlan('vlan://4/tag=10');
  const burst = new Burst();
  const plain = frame(100, 1);
  for (const one of [plain, tag(plain, 99), tag(plain, 10)]) burst.add(one);
  const views = Uint8Array.of(burst.retag(0, 10, false), burst.retag(1, 0, true), burst.retag(2, 0, true), 2);
  plug.send(burst, views, 4);
  wire.assertFrames([tag(plain, 10), tag(plain, 4), tag(plain, 4), tag(plain, 10)]);
});

test('super-frames go through whole, and what they stand for is tagged rightly', () => {
  const packet = tcpPacket({ payload: noise(20_000, 3) });
  const segments = cutPacket(packet, 1448).map((one) => Buffer.from(writePacket(one)));
  const burst = new Burst();
  const superFrame = writeSuperFrame(packet, 1448);
  const load = () => {
    burst.count = 0;
    burst.add(superFrame.subarray(10));
    burst.add(segments[0]);
    burst.bytes.set(superFrame.subarray(0, 10), burst.start[0] - 10);
    burst.bytes.fill(0, burst.start[1] - 10, burst.start[1]);
    burst.readOffloads();
  };
  // Whole to one that takes them, tagged; there taken off again; cut at the last end, which does not.
  const [a, b] = DirectPlug.pair(true);
  const { rules } = parseVlan(resolveLocator('vlan://4'));
  const left = new VlanPlug('left', a, rules, customerTag);
  const right = new VlanPlug('right', b, rules, customerTag);
  const [last, end] = DirectPlug.pair(false);
  const arrived = new Collector(end);
  const whole: number[] = [];
  right.sink = (got) => {
    whole.push(got.superFrames);
    last.send(got, ALL_VIEWS, got.count);
  };
  load();
  left.send(burst, ALL_VIEWS, 2);
  assert.deepEqual(whole, [1]);
  arrived.assertFrames([...segments, segments[0]]);

  const { plug, wire } = vlan('vlan://4');
  load();
  plug.send(burst, ALL_VIEWS, 2);
  wire.assertFrames([...segments, segments[0]].map((one) => tag(one, 4)));
  for (const one of wire.frames) assert.ok(popTag(one));
});

test('the scheme opens what is nested', async (t) => {
  const plug = await openPlug('vlan://4{vlan://5/qinq{null://}}');
  cleanup(t, () => plug.close());
  assert.ok(plug instanceof VlanPlug && plug.inner instanceof VlanPlug);
  assert.equal(plug.inner.inner.name, 'null://');
  await assert.rejects(openPlug('vlan://4{vde:///no/such}'), { code: 'ENOENT', message: /\/no\/such/ });
});
