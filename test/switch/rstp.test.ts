/** The rapid spanning tree (IEEE 802.1D-2004): one bridge's behaviour, and rings in virtual time. */

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type Bpdu, BpduFlag, BpduType, bridgeIdentifier, parseBpdu, writeBpdu } from '../../src/frame/bpdu.js';
import { defaultPortConfig } from '../../src/switch/rstp-port.js';
import { DISCARDING, FORWARDING, LEARNING } from '../../src/switch/vlan.js';
import { addVlan, setUntagged } from '../../src/switch/vlan-management.js';
import {
  BROADCAST,
  frame,
  type MemoryPlug,
  portOf,
  station,
  type VirtualSwitch,
  virtualSwitch,
} from './memory-plug.js';
import { ring, TreeNetwork } from './tree-network.js';

const OWN = bridgeIdentifier(0x8000, station(50));
const ROOT = bridgeIdentifier(0x1000, station(1));
const WORSE = bridgeIdentifier(0xf000, station(2));
const SECOND = 256;
const DESIGNATED = 0x0c;
const ROOT_ROLE = 0x08;

interface Fixture extends VirtualSwitch {
  plugs: MemoryPlug[];
  pass(seconds: number): void;
  state(port: number): number | undefined;
}

function fixture(ports = 2): Fixture {
  const virtual = virtualSwitch({ mac: station(50) });
  virtual.sw.tree.setMode('rstp');
  const plugs = Array.from({ length: ports }, (_, i) => virtual.seat(i + 1));
  const pass = (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      virtual.clock.now++;
      virtual.sw.tree.tick();
    }
  };
  return { ...virtual, plugs, pass, state: (port) => virtual.sw.vlans.get(0)?.discarding[port] };
}

function bpdu(message: Partial<Bpdu> = {}): Uint8Array {
  return writeBpdu(
    {
      type: BpduType.rapid,
      flags: DESIGNATED,
      root: ROOT,
      cost: 0,
      bridge: ROOT,
      port: 0x8001,
      messageAge: 0,
      maxAge: 20 * SECOND,
      helloTime: 2 * SECOND,
      forwardDelay: 15 * SECOND,
      ...message,
    },
    station(1),
  );
}

const sent = (plug: MemoryPlug) => plug.take().map((bytes) => parseBpdu(bytes) as Bpdu);

test('a port proposes before it forwards, and forwards as soon as its neighbour agrees', () => {
  const { plugs, state } = fixture(1);
  const [first] = sent(plugs[0]);
  assert.equal(first.flags, DESIGNATED | BpduFlag.proposal);
  assert.equal(first.root, OWN);
  assert.equal(state(1), DISCARDING);
  plugs[0].receive(bpdu({ root: OWN, bridge: WORSE, cost: 20_000, flags: ROOT_ROLE | BpduFlag.agreement }));
  assert.equal(state(1), FORWARDING);
});

test('a port at which no bridge is heard is an edge after three seconds; one that is told so, at once', () => {
  const { sw, plugs, pass, state, seat } = fixture(1);
  pass(2);
  assert.equal(state(1), DISCARDING);
  pass(1);
  assert.equal(state(1), FORWARDING);
  // A bridge that shows itself ends that.
  plugs[0].receive(bpdu({ flags: DESIGNATED | BpduFlag.proposal }));
  assert.equal([...sw.tree.rstp.ports][0].operEdge, false);
  sw.createPort(2);
  sw.tree.change(() => sw.tree.rstp.configure(portOf(sw, 2), { edge: true }));
  const plug = seat(2);
  assert.equal(state(2), FORWARDING);
  plug.take();
  plug.receive(frame(BROADCAST, station(9)));
  assert.equal(
    plugs[0].take().some((bytes) => bytes.includes('payload')),
    true,
  );
});

test('a proposal of the root is agreed to when the other ports have stopped, edges excepted', () => {
  const { plugs, pass, state } = fixture(3);
  plugs[1].receive(bpdu({ root: OWN, bridge: WORSE, cost: 20_000, flags: ROOT_ROLE | BpduFlag.agreement }));
  pass(3);
  assert.deepEqual([state(1), state(2), state(3)], [FORWARDING, FORWARDING, FORWARDING]);
  for (const plug of plugs) plug.take();
  plugs[0].receive(bpdu({ flags: DESIGNATED | BpduFlag.proposal }));
  assert.deepEqual([state(1), state(2), state(3)], [FORWARDING, DISCARDING, FORWARDING]);
  const answer = sent(plugs[0]).at(-1) as Bpdu;
  assert.equal(answer.flags & (BpduFlag.agreement | 0x0c), BpduFlag.agreement | ROOT_ROLE);
  const question = sent(plugs[1]).at(-1) as Bpdu;
  assert.equal(question.flags & BpduFlag.proposal, BpduFlag.proposal);
  assert.deepEqual([question.root, question.cost], [ROOT, 20_000]);
});

test('an alternate port takes over at once when the root port is cut', () => {
  const { sw, plugs, state } = fixture(2);
  plugs[0].receive(bpdu());
  plugs[1].receive(bpdu({ cost: 10_000, bridge: WORSE }));
  assert.deepEqual([state(1), state(2)], [FORWARDING, DISCARDING]);
  plugs[0].lose();
  assert.equal(state(2), FORWARDING);
  assert.equal(sw.tree.rstp.rootPort, 2);
});

test('a neighbour that falls silent is forgotten after three of its hellos', () => {
  const { sw, plugs, pass } = fixture(1);
  plugs[0].receive(bpdu());
  pass(5);
  assert.equal(sw.tree.rstp.rootPort, 1);
  pass(1);
  assert.equal(sw.tree.rstp.rootPort, undefined);
});

test('a claim that has come too far is not believed for long', () => {
  const { sw, plugs } = fixture(1);
  plugs[0].receive(bpdu({ messageAge: 20 * SECOND }));
  assert.equal(sw.tree.rstp.rootPort, undefined);
  plugs[0].receive(bpdu({ type: BpduType.configuration, messageAge: 21 * SECOND }));
  assert.equal(sw.tree.rstp.rootPort, undefined);
});

test('costs and priorities decide: path cost, port priority, the neighbour with the lower identifier', () => {
  const { sw, plugs } = fixture(2);
  plugs[0].receive(bpdu({ port: 0x8001 }));
  plugs[1].receive(bpdu({ port: 0x8002 }));
  assert.equal(sw.tree.rstp.rootPort, 1);
  sw.tree.change(() => sw.tree.rstp.configure(portOf(sw, 1), { cost: 20_001 }));
  assert.equal(sw.tree.rstp.rootPort, 2);
  sw.tree.priority = 0;
  assert.equal(sw.tree.rstp.rootPort, undefined);
  assert.equal(sent(plugs[0]).at(-1)?.root, bridgeIdentifier(0, station(50)));
  assert.deepEqual(sw.tree.rstp.config(portOf(sw, 2)), defaultPortConfig());
});

test('a neighbour of 802.1D-1998 is spoken to in its tongue, and waited for; later in ours again', () => {
  const { sw, plugs, pass, state } = fixture(1);
  pass(3);
  const old = { type: BpduType.configuration, flags: 0, root: WORSE, bridge: WORSE };
  plugs[0].receive(bpdu(old));
  pass(1);
  plugs[0].receive(bpdu(old));
  plugs[0].take();
  pass(2);
  assert.equal(sent(plugs[0]).at(-1)?.type, BpduType.configuration);
  pass(3);
  assert.notEqual(sent(plugs[0]).at(-1)?.type, BpduType.rapid);
  sw.tree.change(() => sw.tree.rstp.checkMigration(portOf(sw, 1)));
  pass(2);
  assert.equal(sent(plugs[0]).at(-1)?.type, BpduType.rapid);
  assert.ok(state(1) !== undefined);
});

test('without agreement a port listens and learns by the clock', () => {
  const { plugs, pass, state } = fixture(1);
  const states: (number | undefined)[] = [];
  for (let second = 0; second < 60; second++) {
    // A bridge that is heard, but neither agrees nor is better.
    if (second % 2 === 0)
      plugs[0].receive(bpdu({ type: BpduType.configuration, root: WORSE, bridge: WORSE, flags: 0 }));
    pass(1);
    if (states.at(-1) !== state(1)) states.push(state(1));
  }
  assert.deepEqual(states, [DISCARDING, LEARNING, FORWARDING]);
});

test('while a port learns, addresses are noted and frames dropped', () => {
  const { sw, plugs, state } = fixture(2);
  const vlan = sw.vlans.get(0)!;
  vlan.discarding[1] = LEARNING;
  vlan.refresh(sw.ports);
  plugs[0].take();
  plugs[0].receive(frame(BROADCAST, station(7)));
  assert.equal(sw.table.size, 1);
  assert.equal(state(2), DISCARDING);
  assert.equal(
    plugs[1].take().some((bytes) => bytes.includes('payload')),
    false,
  );
  // A station behind a port that does not forward is not reached either.
  vlan.discarding[2] = FORWARDING;
  plugs[1].receive(frame(station(7), station(8)));
  assert.deepEqual(plugs[0].take(), []);
});

test('a topology change reaches the neighbours, and has the addresses at other ports forgotten', () => {
  const { sw, plugs } = fixture(2);
  plugs[0].receive(bpdu({ flags: DESIGNATED | BpduFlag.proposal }));
  plugs[1].receive(bpdu({ bridge: WORSE, cost: 40_000, flags: ROOT_ROLE | BpduFlag.agreement, port: 0x8002 }));
  plugs[1].receive(frame(BROADCAST, station(7)));
  assert.equal(sw.table.size, 1);
  for (const plug of plugs) plug.take();
  const before = sw.tree.rstp.topologyChanges;
  plugs[0].receive(bpdu({ flags: DESIGNATED | BpduFlag.topologyChange }));
  assert.equal(sw.table.size, 0);
  assert.equal(sw.tree.rstp.topologyChanges, before + 1);
});

test('one tree for all VLANs: a port has its state in those that are made later too', () => {
  const { sw, plugs } = fixture(2);
  plugs[0].receive(bpdu());
  plugs[1].receive(bpdu({ cost: 10_000, bridge: WORSE }));
  addVlan(sw, 5);
  setUntagged(sw, 2, 5);
  assert.equal(sw.vlans.get(5)?.discarding[2], DISCARDING);
  plugs[1].receive(bpdu({ cost: 10_000, bridge: WORSE, flags: DESIGNATED | BpduFlag.topologyChange }));
  sw.tree.setMode('off');
  assert.equal(sw.vlans.get(5)?.discarding[2], FORWARDING);
});

test('a port that hears itself, and a flood of BPDUs, come to nothing', () => {
  const { sw, plugs, pass } = fixture(2);
  for (const echo of plugs[0].take()) plugs[0].receive(echo);
  assert.equal(sw.tree.rstp.rootPort, undefined);
  for (let i = 0; i < 1000; i++) plugs[0].receive(bpdu({ cost: i % 2 }));
  assert.ok(sw.tree.ignored > 900);
  // A port says no more than it may in a row.
  assert.ok(plugs[1].take().length <= 6);
  pass(1);
});

test('no BPDU, however wrong, throws', () => {
  const message = fc.record({
    type: fc.constantFrom(...Object.values(BpduType)),
    flags: fc.nat(255),
    root: fc.constantFrom(0n, OWN, ROOT, WORSE, (1n << 64n) - 1n),
    cost: fc.constantFrom(0, 1, 0xffff_ffff),
    bridge: fc.constantFrom(0n, OWN, ROOT, WORSE),
    port: fc.constantFrom(0, 0x8001, 0x8002, 0xffff),
    messageAge: fc.nat(0xffff),
    maxAge: fc.nat(0xffff),
    helloTime: fc.nat(0xffff),
    forwardDelay: fc.nat(0xffff),
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(2), message, fc.nat(3)), { maxLength: 40 }), (all) => {
      const { sw, plugs, pass, state } = fixture(3);
      for (const [port, one, seconds] of all) {
        plugs[port].receive(bpdu(one));
        pass(seconds);
      }
      // Left alone, it is the root of its stations and lets them speak.
      pass(200);
      assert.equal(sw.tree.rstp.rootPort, undefined);
      assert.deepEqual([state(1), state(2), state(3)], [FORWARDING, FORWARDING, FORWARDING]);
    }),
    { numRuns: 200 },
  );
});

test('a ring of eight: whichever cable is cut, all hear each other again within a second', () => {
  for (let cut = 0; cut < 8; cut++) {
    const network = ring('rstp', 8);
    network.run(20_000);
    network.assertSpanning('ring');
    assert.equal(network.forwarding().length, 7);
    network.links[cut].cut();
    const took = network.runUntil(() => network.isTree(), 60_000);
    assert.ok(took !== undefined && took < 1000, `cable ${cut}: ${took} ms`);
    network.assertSpanning(`cable ${cut}`);
  }
});

test('a root that dies is replaced: the second best is root in the end', () => {
  for (const silently of [false, true]) {
    const network = ring('rstp', 6);
    network.run(20_000);
    network.kill(network.bridges[0], silently);
    network.run(40_000);
    network.assertSpanning('root gone');
    const root = bridgeIdentifier(0x8000, network.bridges[1].sw.tree.mac);
    for (const { alive, sw } of network.bridges) if (alive) assert.equal(sw.tree.rstp.rootPriority.root, root);
  }
});

test('two cables between two switches, and a cable from a switch to itself: one of each pair is used', () => {
  const network = new TreeNetwork('rstp');
  const [a, b] = [network.addBridge(), network.addBridge({ phase: 500 })];
  network.link(a, b);
  network.link(a, b);
  const own = network.link(b, b);
  network.run(20_000);
  network.assertSpanning('parallel');
  assert.equal(network.forwarding().length, 1);
  assert.equal(network.forwarding().includes(own), false);
});
