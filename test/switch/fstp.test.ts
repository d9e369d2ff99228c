/** VDE's fast spanning tree: what one switch sends and does (reference: forwarding rules, section 7). */

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type Bpdu, BpduType, bridgeIdentifier, parseBpdu, writeBpdu } from '../../src/frame/bpdu.js';
import { parseMac } from '../../src/frame/mac.js';
import { TAGGED } from '../../src/switch/vlan.js';
import { addTagged, addVlan, setUntagged } from '../../src/switch/vlan-management.js';
import { BROADCAST, frame, type MemoryPlug, station, type VirtualSwitch, virtualSwitch } from './memory-plug.js';
import { ring } from './tree-network.js';

const OWN = parseMac('00:ff:00:00:00:02') as Uint8Array;
const NEIGHBOUR = bridgeIdentifier(0x1000, station(1));
const OTHER = bridgeIdentifier(0x1000, station(2));
const PORT_COST = 20_000_000;

interface Fixture extends VirtualSwitch {
  plugs: MemoryPlug[];
  /** Lets seconds pass. */
  pass(seconds: number): void;
}

function fixture(ports = 3): Fixture {
  const virtual = virtualSwitch({ mac: OWN, priority: 0x9000 });
  virtual.sw.tree.setMode('fstp');
  const plugs = Array.from({ length: ports }, (_, i) => virtual.seat(i + 1));
  const pass = (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      virtual.clock.now++;
      virtual.sw.tree.tick();
    }
  };
  return { ...virtual, plugs, pass };
}

function claim(message: Partial<Bpdu> = {}, vlan?: number): Uint8Array {
  return writeBpdu(
    {
      type: BpduType.rapid,
      flags: 0x7c,
      root: NEIGHBOUR,
      cost: 0,
      bridge: NEIGHBOUR,
      port: 0x8001,
      messageAge: 0,
      maxAge: 0x2800,
      helloTime: 0x400,
      forwardDelay: 0,
      ...message,
    },
    station(1),
    vlan,
  );
}

const flags = (plug: MemoryPlug) => plug.take().map((bytes) => parseBpdu(bytes)?.flags.toString(16));
const discarding = ({ sw }: Fixture) => [1, 2, 3].filter((port) => sw.vlans.get(0)?.discarding[port] !== 0);

test('a port that joins is told at once, and every four seconds, byte for byte as by a C switch', () => {
  const { plugs, pass } = fixture(1);
  const bytes = (code: string) =>
    `0180c200000000ff00000002002742420300000202${code}900000ff0000000200000000900000ff000000028001000028000400000000`;
  const sent = () => plugs[0].take().map((one) => one.toString('hex'));
  assert.deepEqual(sent(), [bytes('3c')]);
  pass(3);
  assert.deepEqual(sent(), []);
  pass(1);
  assert.deepEqual(sent(), [bytes('7c')]);
});

test('a better claim makes a root port; its other switch ports discard until their neighbours answer', () => {
  const network = fixture();
  const [a, b, c] = network.plugs;
  b.receive(claim({ root: bridgeIdentifier(0xa000, station(3)), bridge: bridgeIdentifier(0xa000, station(3)) }));
  for (const plug of network.plugs) plug.take();
  a.receive(claim());
  // The port of a switch is asked; that of a station, where nobody was heard, is left alone.
  assert.deepEqual([flags(a), flags(b), flags(c)], [['74'], ['a'], []]);
  assert.deepEqual(discarding(network), [2]);
  b.receive(claim({ flags: 0x74, cost: 2 * PORT_COST, bridge: OTHER }));
  assert.deepEqual(discarding(network), []);
});

test('a second cable to the same neighbour discards, and takes over when the first is cut', () => {
  const network = fixture();
  const [a, b] = network.plugs;
  a.receive(claim());
  b.receive(claim({ port: 0x8002 }));
  assert.deepEqual(discarding(network), [2]);
  assert.equal(network.sw.tree.fstp.tree(network.sw.vlans.get(0)!).rootPort, 1);
  a.lose();
  assert.deepEqual(discarding(network), []);
  b.receive(claim({ port: 0x8002 }));
  assert.equal(network.sw.tree.fstp.tree(network.sw.vlans.get(0)!).rootPort, 2);
});

test('a port that discards passes nothing in either direction, and a change has addresses forgotten', () => {
  const network = fixture();
  const [a, b, c] = network.plugs;
  c.receive(frame(BROADCAST, station(7)));
  assert.equal(network.sw.table.size, 1);
  a.receive(claim());
  assert.equal(network.sw.table.size, 0);
  b.receive(claim({ port: 0x8002 }));
  for (const plug of network.plugs) plug.take();
  b.receive(frame(BROADCAST, station(8)));
  c.receive(frame(BROADCAST, station(7)), frame(station(8), station(7)));
  assert.deepEqual(
    network.plugs.map((plug) => plug.take().length),
    [2, 0, 0],
  );
  assert.equal(network.sw.ports[2]?.inputDrops.blocked, 1);
});

test('a root that falls silent is lost after twelve seconds, at the next hello', () => {
  const network = fixture();
  network.plugs[0].receive(claim());
  const { fstp } = network.sw.tree;
  const tree = fstp.tree(network.sw.vlans.get(0)!);
  network.pass(12);
  assert.equal(tree.rootPort, 1);
  network.pass(4);
  assert.equal(tree.rootPort, undefined);
});

test('a neighbour that falls silent at a discarding port frees it after 16 to 32 seconds', () => {
  const network = fixture();
  const [a, b] = network.plugs;
  a.receive(claim());
  b.receive(claim({ port: 0x8002 }));
  for (let second = 1; second <= 32 && discarding(network).length > 0; second++) {
    a.receive(claim());
    network.pass(1);
    if (second < 16) assert.deepEqual(discarding(network), [2], `after ${second} s`);
  }
  assert.deepEqual(discarding(network), []);
});

test('an edge port neither speaks nor listens; a change of its VLANs ends that', () => {
  const { sw, plugs, pass } = fixture(1);
  const vlan = sw.vlans.get(0)!;
  sw.tree.change(() => sw.tree.fstp.setEdge(vlan, 1, true));
  plugs[0].take();
  plugs[0].receive(claim());
  pass(4);
  assert.deepEqual(plugs[0].take(), []);
  assert.equal(sw.tree.fstp.tree(vlan).rootPort, undefined);
  addVlan(sw, 5);
  setUntagged(sw, 1, 5);
  setUntagged(sw, 1, 0);
  assert.ok(flags(plugs[0]).length > 0);
});

test('every VLAN has a tree of its own, with tags where the port has them', () => {
  const { sw, plugs } = fixture(1);
  addVlan(sw, 5);
  plugs[0].take();
  addTagged(sw, 5, 1);
  assert.equal(sw.vlans.get(5)?.member[1], TAGGED);
  const [joined] = plugs[0].take();
  assert.equal(joined.toString('hex', 12, 16), '81000005');
  plugs[0].receive(claim({}, 5));
  assert.equal(sw.tree.fstp.tree(sw.vlans.get(5)!).rootPort, 1);
  assert.equal(sw.tree.fstp.tree(sw.vlans.get(0)!).rootPort, undefined);
});

test('claims that run in circles come to an end', () => {
  const { sw, plugs } = fixture(1);
  const tree = sw.tree.fstp.tree(sw.vlans.get(0)!);
  plugs[0].receive(claim());
  // The cost of a path that is counted up without end, and our own claim come back.
  plugs[0].receive(claim({ cost: 0x7fff_ffff }));
  assert.equal(tree.rootPort, undefined);
  plugs[0].receive(claim());
  plugs[0].receive(claim({ root: bridgeIdentifier(0x9000, OWN), cost: PORT_COST }));
  assert.equal(tree.rootPort, undefined);
});

test('BPDUs are for the tree alone while there is one, and ordinary frames without; a hub has none', () => {
  const { sw, plugs } = fixture();
  plugs[1].take();
  plugs[0].receive(claim());
  assert.ok(plugs[1].take().every((bytes) => parseBpdu(bytes)?.bridge === bridgeIdentifier(0x9000, OWN)));
  sw.setHub(true);
  assert.equal(sw.tree.mode, 'off');
  assert.throws(() => sw.tree.setMode('fstp'), { code: 'EINVAL' });
  sw.setHub(false);
  plugs[0].receive(claim());
  assert.deepEqual(plugs[1].take(), [Buffer.from(claim())]);
});

test('a flood of BPDUs is heeded up to a bound, and comes to nothing worse', () => {
  const { sw, plugs, pass } = fixture();
  for (let i = 0; i < 500; i++) plugs[0].receive(claim({ cost: i % 2, flags: 0x7d }));
  assert.ok(sw.tree.ignored > 400);
  assert.ok(plugs[1].take().length < 200);
  pass(1);
  const before = sw.tree.ignored;
  plugs[0].receive(claim());
  assert.equal(sw.tree.ignored, before);
});

test('no BPDU, however wrong, throws or leaves a port in no state', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(2), fc.uint8Array({ minLength: 0, maxLength: 60 })), { maxLength: 20 }),
      (all) => {
        const network = fixture();
        for (const [port, noise] of all) {
          network.plugs[port].receive(Buffer.concat([Buffer.from(claim()).subarray(0, 21), noise]));
          network.plugs[port].receive(Buffer.concat([Buffer.from(claim()).subarray(0, 14), noise]));
        }
        network.pass(40);
        assert.ok(discarding(network).every((port) => port >= 1));
        assert.doesNotThrow(() => network.sw.tree.setMode('off'));
        assert.deepEqual(discarding(network), []);
      },
    ),
    { numRuns: 200 },
  );
});

test('a port that is lost while it is sent to leaves the tree in order', () => {
  const network = fixture();
  const [a, b] = network.plugs;
  b.receive(claim({ port: 0x8002 }));
  b.onSend = () => {
    b.onSend = undefined;
    b.lose();
  };
  a.receive(claim({ root: bridgeIdentifier(0, station(5)), bridge: OTHER }));
  assert.equal(network.sw.tree.fstp.tree(network.sw.vlans.get(0)!).rootPort, 1);
  assert.equal(network.sw.ports[2]?.active, false);
  assert.deepEqual(discarding(network), []);
});

test('in a ring of eight a cut heals within a hello', () => {
  const network = ring('fstp', 8);
  network.run(60_000);
  network.assertSpanning('ring');
  assert.equal(network.forwarding().length, 7);
  network.forwarding()[3].cut();
  const took = network.runUntil(() => network.isTree(), 60_000);
  assert.ok(took !== undefined && took <= 5000, `${took} ms`);
  network.assertSpanning('cut');
});
