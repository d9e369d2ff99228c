/** Provider bridging (IEEE 802.1ad): tunnel ports, service tags, and what they are to all other ports. */

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Burst } from '../../src/frame/burst.js';
import { outerTag, popTag, pushTag, type Tpid } from '../../src/frame/vlan.js';
import type { SwitchOptions } from '../../src/switch/switch.js';
import {
  addTagged,
  addVlan,
  existingVlan,
  setTagProtocol,
  setTunnel,
  setUntagged,
} from '../../src/switch/vlan-management.js';
import { VIRTIO_NET_HDR } from '../../src/sys/layout.js';
import { packet, segments, writeSuperFrame } from '../frame/super-frames.js';
import {
  BROADCAST,
  frame,
  type MemoryPlug,
  portOf,
  station,
  type VirtualSwitch,
  virtualSwitch,
} from './memory-plug.js';

const CUSTOMER = 0x8100;
const SERVICE = 0x88a8;
const RED = 100;
const BLUE = 200;

const A = station(1);
const B = station(2);

function tagged(bytes: Uint8Array, vid: number, tpid: Tpid = SERVICE, pcp = 0, dei = false): Buffer {
  return Buffer.from(pushTag(bytes, { tpid, pcp, dei, vid }));
}

/** A provider's switch: customers at ports 1 (red) and 2 (blue), a trunk of both at port 3. */
function provider(
  options: Partial<SwitchOptions> = {},
): VirtualSwitch & { red: MemoryPlug; blue: MemoryPlug; trunk: MemoryPlug } {
  const made = virtualSwitch(options);
  const [red, blue, trunk] = [made.seat(1), made.seat(2), made.seat(3)];
  for (const [port, vid] of [
    [1, RED],
    [2, BLUE],
  ]) {
    addVlan(made.sw, vid);
    setTunnel(made.sw, port, vid);
    addTagged(made.sw, vid, 3);
  }
  setTagProtocol(made.sw, 3, SERVICE);
  return { ...made, red, blue, trunk };
}

const bytes = fc.tuple(
  fc.uint8Array({ minLength: 12, maxLength: 12 }),
  fc.constantFrom('', '8100', '88a8', '81000005', '88a80064', '8100000588a8000a', '9100', '0800', '00ff'),
  fc.uint8Array({ maxLength: 100 }),
);
const anyFrame = bytes
  .map(([addresses, type, rest]) => Buffer.concat([addresses, Buffer.from(type, 'hex'), rest]))
  .filter((one) => one.length >= 14 && !one.subarray(0, 6).equals(one.subarray(6, 12)));

test('what a customer sends arrives at the same customer alone, as it was, whatever it is', () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { minLength: 1, maxLength: 5 }), fc.boolean(), (frames, isRed) => {
      const [near, far] = [provider(), provider()];
      for (const one of frames) {
        // Addresses that are at the near side only, as nothing was ever sent from the far one.
        (isRed ? near.red : near.blue).receive(one);
        const onTrunk = near.trunk.take();
        // To an address that one of the frames before came from, it is no frame for the trunk.
        if (onTrunk.length === 0) continue;
        assert.deepEqual(onTrunk, [tagged(one, isRed ? RED : BLUE)]);
        assert.deepEqual([near.red.take(), near.blue.take()], [[], []]);
        far.trunk.receive(...onTrunk);
        const [mine, others] = isRed ? [far.red, far.blue] : [far.blue, far.red];
        assert.deepEqual([mine.take(), others.take(), far.trunk.take()], [[one], [], []]);
      }
    }),
    { numRuns: 200 },
  );
});

test('customers may use the same addresses: each service VLAN learns for itself', () => {
  const { sw, red, blue, trunk } = provider();
  red.receive(frame(BROADCAST, A));
  trunk.receive(tagged(frame(BROADCAST, A), BLUE));
  blue.take();
  trunk.take();
  trunk.receive(tagged(frame(A, B, { tci: 7 }), RED));
  assert.deepEqual([red.take(), blue.take()], [[frame(A, B, { tci: 7 })], []]);
  blue.receive(frame(A, B));
  assert.deepEqual([red.take(), trunk.take()], [[], [tagged(frame(A, B), BLUE)]]);
  // What the customers' own tags say makes no difference: A is behind port 1, and is not asked for elsewhere.
  red.receive(frame(A, station(3), { tci: 9 }));
  assert.deepEqual([trunk.take(), portOf(sw, 1).inputDrops.hairpin], [[], 1]);
});

test('a tag of no service VLAN, or of one that the trunk is not in, is refused', () => {
  const { sw, red, blue, trunk } = provider();
  addVlan(sw, 300);
  for (const vid of [1, 300, 4095]) trunk.receive(tagged(frame(BROADCAST, A), vid));
  assert.deepEqual([red.take(), blue.take(), portOf(sw, 3).inputDrops.vlan], [[], [], 3]);
});

test('priority and drop eligibility: a tunnel port begins with none, a trunk leaves them as they are', () => {
  const { sw, red, trunk, seat } = provider();
  const customerTrunk = seat(4);
  addTagged(sw, RED, 4);
  const inner = frame(BROADCAST, A, { tci: 0xf00a });
  red.receive(inner);
  assert.deepEqual(popTag(trunk.take()[0]), {
    tag: { tpid: SERVICE, pcp: 0, dei: false, vid: RED },
    frame: new Uint8Array(inner),
  });
  customerTrunk.take();
  for (const [pcp, dei] of [
    [7, true],
    [5, false],
  ] as const) {
    trunk.receive(tagged(inner, RED, SERVICE, pcp, dei));
    assert.deepEqual(customerTrunk.take(), [tagged(inner, RED, CUSTOMER, pcp, dei)]);
    assert.deepEqual(red.take(), [inner]);
    customerTrunk.receive(tagged(inner, RED, CUSTOMER, pcp, dei));
    assert.deepEqual(trunk.take(), [tagged(inner, RED, SERVICE, pcp, dei)]);
    red.take();
  }
});

test('in one burst, every port gets each frame with the tag that it asks for', () => {
  const { sw, seat } = virtualSwitch();
  for (const vid of [RED, BLUE]) addVlan(sw, vid);
  // Of each tag protocol, a port that is in red tagged and one that is untagged there; and a tunnel.
  const ports = [
    { tpid: CUSTOMER, tag: true },
    { tpid: CUSTOMER, tag: false },
    { tpid: SERVICE, tag: true },
    { tpid: SERVICE, tag: false },
    { tpid: undefined, tag: false },
  ] as const;
  const plugs = ports.map(({ tpid, tag }, i) => {
    const plug = seat(i + 1);
    if (tpid !== undefined) setTagProtocol(sw, i + 1, tpid);
    if (tag) {
      setUntagged(sw, i + 1, BLUE);
      addTagged(sw, RED, i + 1);
    } else if (tpid === undefined) setTunnel(sw, i + 1, RED);
    else setUntagged(sw, i + 1, RED);
    return plug;
  });
  const payloads = Array.from({ length: 20 }, (_, i) => frame(BROADCAST, A, { payload: `no ${i}` }));
  for (const [from, { tpid, tag }] of ports.entries()) {
    plugs[from].receive(...payloads.map((one) => (tag ? tagged(one, RED, tpid) : one)));
    for (const [to, egress] of ports.entries()) {
      const expected = to === from ? [] : payloads.map((one) => (egress.tag ? tagged(one, RED, egress.tpid) : one));
      assert.deepEqual(plugs[to].take(), expected, `${from} to ${to}`);
    }
  }
});

test('a port knows its own kind of tags only: others are payload of its untagged VLAN', () => {
  const { sw, red, trunk, seat } = provider();
  const ordinary = seat(4);
  setUntagged(sw, 4, RED);
  const service = tagged(frame(BROADCAST, A), BLUE, SERVICE);
  ordinary.receive(service);
  assert.deepEqual([red.take(), trunk.take()], [[service], [tagged(service, RED)]]);
  // Port 3 takes no untagged frames once it has no VLAN for them: then customer tags are refused there too.
  setUntagged(sw, 3, 4095);
  trunk.receive(tagged(frame(BROADCAST, A), RED, CUSTOMER));
  assert.deepEqual([red.take(), ordinary.take(), portOf(sw, 3).inputDrops.vlan], [[], [], 1]);
});

test('a tag that the port knows, without a type behind it, is malformed; others are just a type', () => {
  const { sw, red, trunk } = provider();
  setUntagged(sw, 3, RED);
  const whole = tagged(frame(BROADCAST, A, { payload: '' }), RED);
  for (let size = 14; size < 18; size++) trunk.receive(whole.subarray(0, size));
  assert.deepEqual([red.take(), portOf(sw, 3).inputDrops.malformed], [[], 4]);
  const other = tagged(frame(BROADCAST, A, { payload: '' }), RED, CUSTOMER).subarray(0, 15);
  trunk.receive(other);
  assert.deepEqual(red.take(), [other]);
  red.receive(whole.subarray(0, 14));
  assert.deepEqual(trunk.take(), [whole.subarray(0, 14)]);
});

test('a tunnel port has no tagged VLANs; a change of tags has addresses looked for anew', () => {
  const { sw, red, trunk } = provider();
  assert.throws(() => addTagged(sw, BLUE, 1), { code: 'EINVAL' });
  assert.throws(() => setTunnel(sw, 1, 999), { code: 'ENXIO' });
  assert.throws(() => setTagProtocol(sw, 9, SERVICE), { code: 'ENXIO' });
  trunk.receive(tagged(frame(BROADCAST, B), RED));
  assert.equal(sw.table.size, 1);
  setTagProtocol(sw, 3, CUSTOMER);
  assert.equal(sw.table.size, 0);
  red.take();
  red.receive(frame(B, A));
  assert.deepEqual(trunk.take(), [tagged(frame(B, A), RED, CUSTOMER)]);
});

test('spanning tree messages of a service VLAN bear its tag, and are understood', () => {
  const [root, other] = [1, 2].map((n) => provider({ mac: station(n) }));
  for (const { sw } of [root, other]) sw.tree.setMode('fstp');
  root.trunk.take();
  for (let second = 0; second < 10; second++) root.sw.tree.tick();
  const said = root.trunk.take();
  const tags = said.map((one) => outerTag(one)).filter((tag) => tag !== undefined);
  assert.deepEqual([...new Set(tags.map(({ tpid }) => tpid))], [SERVICE]);
  assert.deepEqual(new Set(tags.map(({ vid }) => vid)), new Set([RED, BLUE]));
  const rootPorts = () => [RED, BLUE].map((vid) => other.sw.tree.fstp.tree(existingVlan(other.sw, vid)).rootPort);
  assert.deepEqual(rootPorts(), [undefined, undefined]);
  // A customer's message in a tag of their own is no word of the provider's.
  for (const one of said) if (outerTag(one)) other.red.receive(one);
  assert.deepEqual(rootPorts(), [undefined, undefined]);
  other.trunk.receive(...said);
  assert.deepEqual(rootPorts(), [3, 3]);
});

test('super-frames through a tunnel stand for the same segments, each with the service tag', () => {
  fc.assert(
    fc.property(packet(5000), fc.integer({ min: 200, max: 1400 }), (value, size) => {
      const { red, trunk } = provider();
      const sent: Buffer[] = [];
      const whole = writeSuperFrame(value, size);
      trunk.send = (frames, views, count) => {
        for (let k = 0; k < count; k++) {
          const header = Buffer.alloc(VIRTIO_NET_HDR.size);
          frames.copyOffloadHeader(views[k], header, 0);
          sent.push(Buffer.concat([header, frames.viewBytes(views[k])]));
        }
      };
      const burst = new Burst();
      burst.add(whole.subarray(VIRTIO_NET_HDR.size));
      burst.offloadHeader(0).set(whole.subarray(0, VIRTIO_NET_HDR.size));
      burst.readOffloads();
      red.sink?.(burst);
      if (sent.length === 0) return;
      assert.deepEqual(
        segments(sent[0]).map((one) => Buffer.from(one)),
        segments(whole).map((one) => tagged(one, RED)),
      );
    }),
    { numRuns: 50 },
  );
});
