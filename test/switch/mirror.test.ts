/** Mirrors: who gets copies of what, that no copy is copied, and that a switch without any is as it was. */

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Mirrors } from '../../src/switch/mirror.js';
import { addPort, removePort } from '../../src/switch/port-management.js';
import { addTagged, addVlan, removeVlan, setRemoteSpan, setUntagged } from '../../src/switch/vlan-management.js';
import { BROADCAST, frame, portOf, station, virtualSwitch } from './memory-plug.js';

function mirrored(ports = 16) {
  const { sw, seat, clock } = virtualSwitch({ ports });
  const lines: string[] = [];
  return { sw, seat, clock, lines, mirrors: new Mirrors(sw, (line) => lines.push(line)) };
}

const list = (...numbers: number[]) => new Set(numbers);

test('a port gets copies of what arrives at others, of what leaves them, or of both', () => {
  const { sw, seat, mirrors } = mirrored();
  const [one, two, probe] = [seat(1), seat(2), seat(9)];
  const [there, back] = [frame(station(2), station(1)), frame(station(1), station(2))];
  const talk = () => {
    one.receive(there);
    two.receive(back);
    return probe.take();
  };
  one.receive(frame(BROADCAST, station(1)));
  two.receive(back);
  probe.take();
  const { id } = mirrors.add({ ports: list(1), direction: 'in', to: { port: 9 } });
  assert.deepEqual(talk(), [there]);
  mirrors.remove(id);
  mirrors.add({ ports: list(1), direction: 'out', to: { port: 9 } });
  assert.deepEqual(talk(), [back]);
  const [{ id: out }] = mirrors.list;
  mirrors.remove(out);
  mirrors.add({ ports: list(1), direction: 'both', to: { port: 9 } });
  assert.deepEqual(talk(), [there, back]);
  assert.equal(mirrors.list[0].frames, 2);
  assert.equal(mirrors.list[0].bytes, there.length + back.length);
  mirrors.close();
  assert.deepEqual(talk(), []);
  assert.equal(sw.observers.watching, false);
});

test('what a mirrored port is sent is not changed by the mirror', () => {
  const { seat, mirrors } = mirrored();
  const [one, two] = [seat(1), seat(2)];
  seat(9);
  mirrors.add({ ports: undefined, direction: 'both', to: { port: 9 } });
  const hello = frame(BROADCAST, station(1));
  one.receive(hello, hello);
  assert.deepEqual([one.take(), two.take()], [[], [hello, hello]]);
});

test('a port that copies go to is nobody else’s: it gets no other frame, and what arrives there is dropped', () => {
  const { sw, seat, mirrors } = mirrored();
  const [one, two, probe] = [seat(1), seat(2), seat(3)];
  probe.receive(frame(BROADCAST, station(3)));
  one.take();
  two.take();
  const { id } = mirrors.add({ ports: list(2), direction: 'in', to: { port: 3 } });
  one.receive(frame(BROADCAST, station(1)), frame(station(3), station(1)));
  assert.deepEqual(probe.take(), []);
  probe.receive(frame(BROADCAST, station(3)), frame(station(1), station(3)));
  assert.deepEqual(one.take(), []);
  assert.equal(portOf(sw, 3).inputDrops.blocked, 2);
  sw.hub = true;
  one.receive(frame(BROADCAST, station(1)));
  assert.deepEqual(probe.take(), []);
  sw.hub = false;
  probe.lose();
  assert.throws(() => removePort(sw, 3), { code: 'EADDRINUSE' });
  // Copies are not for whoever comes next.
  const others = Array.from({ length: 8 }, () => seat());
  assert.equal(portOf(sw, 3).active, false);
  const again = seat(3);
  two.receive(frame(BROADCAST, station(2)));
  assert.equal(again.take().length, 1);
  mirrors.remove(id);
  one.receive(frame(BROADCAST, station(1)));
  assert.equal(again.take().length, 1);
  for (const other of others) other.lose();
});

test('tags are copied as they are at the port', () => {
  const { sw, seat, mirrors } = mirrored();
  const [access, trunk] = [seat(1), seat(2)];
  const [inProbe, outProbe] = [seat(8), seat(9)];
  addVlan(sw, 5);
  setUntagged(sw, 1, 5);
  addTagged(sw, 5, 2);
  mirrors.add({ ports: list(1), direction: 'in', to: { port: 8 } });
  mirrors.add({ ports: list(2), direction: 'out', to: { port: 9 } });
  access.receive(frame(BROADCAST, station(1)));
  assert.deepEqual(trunk.take(), [frame(BROADCAST, station(1), { tci: 5 })]);
  assert.deepEqual(inProbe.take(), [frame(BROADCAST, station(1))]);
  assert.deepEqual(outProbe.take(), [frame(BROADCAST, station(1), { tci: 5 })]);
});

test('a VLAN carries copies: with its tag before any other on a trunk, as they are for who looks at them', () => {
  const { sw, seat, mirrors } = mirrored();
  const [one, two, trunk, probe] = [seat(1), seat(2), seat(3), seat(4)];
  addVlan(sw, 100);
  addVlan(sw, 7);
  for (const port of [1, 2]) addTagged(sw, 7, port);
  addTagged(sw, 100, 3);
  setUntagged(sw, 3, 4095);
  setUntagged(sw, 4, 100);
  mirrors.add({ ports: list(1), direction: 'in', to: { vlan: 100 } });
  const plain = frame(BROADCAST, station(1));
  const tagged = frame(BROADCAST, station(1), { tci: 7 });
  const outer = (inner: Buffer) =>
    Buffer.concat([inner.subarray(0, 12), Buffer.from([0x81, 0, 0, 100]), inner.subarray(12)]);
  one.receive(plain, tagged);
  assert.deepEqual(two.take(), [plain, tagged]);
  assert.deepEqual(trunk.take(), [outer(plain), outer(tagged)]);
  assert.deepEqual(probe.take(), [plain, tagged]);
  assert.deepEqual(one.take(), []);
  assert.throws(() => removeVlan(sw, 100), { code: 'EADDRINUSE' });
});

test('the next switch passes copies on to all of the VLAN and learns nothing from them', () => {
  const { sw, seat } = mirrored();
  const [uplink, probe] = [seat(1), seat(2)];
  addVlan(sw, 100);
  addTagged(sw, 100, 1);
  setUntagged(sw, 2, 100);
  setRemoteSpan(sw, 100, true);
  // Both sides of a conversation come from the same port.
  const conversation = [frame(station(2), station(1), { tci: 100 }), frame(station(1), station(2), { tci: 100 })];
  for (let i = 0; i < 3; i++) uplink.receive(...conversation);
  assert.equal(probe.take().length, 6);
  assert.equal(sw.table.size, 0);
});

test('a copy is not copied: a VLAN that carries copies may come back to a mirrored port', () => {
  const { sw, seat, mirrors } = mirrored();
  const [one, trunk, probe] = [seat(1), seat(2), seat(9)];
  addVlan(sw, 100);
  addTagged(sw, 100, 2);
  mirrors.add({ ports: undefined, direction: 'both', to: { vlan: 100 } });
  mirrors.add({ ports: undefined, direction: 'both', to: { port: 9 } });
  one.receive(frame(BROADCAST, station(1)));
  const sent = trunk.take();
  assert.equal(sent.length, 3);
  const before = mirrors.list.map(({ frames }) => frames);
  probe.take();
  for (const copy of sent.filter((bytes) => bytes.readUInt16BE(12) === 0x8100)) trunk.receive(copy);
  assert.deepEqual(
    mirrors.list.map(({ frames }) => frames),
    before,
  );
  assert.deepEqual([probe.take(), trunk.take()], [[], []]);
});

test('what cannot be is refused, and nothing has changed', () => {
  const { sw, seat, mirrors } = mirrored();
  seat(1);
  addPort(sw, 3);
  addVlan(sw, 5);
  const both = 'both' as const;
  const cases: [Parameters<Mirrors['add']>[0], string][] = [
    [{ ports: list(1), direction: both, to: { port: 99 } }, 'EINVAL'],
    [{ ports: list(1), direction: both, to: { port: 9 } }, 'ENXIO'],
    [{ ports: list(3), direction: both, to: { port: 3 } }, 'EINVAL'],
    [{ ports: list(99), direction: both, to: { port: 3 } }, 'EINVAL'],
    [{ ports: list(1), direction: both, to: { vlan: 6 } }, 'ENXIO'],
    [{ ports: list(1), direction: both, to: { vlan: 0 } }, 'EINVAL'],
    [{ ports: list(1), direction: both, to: { vlan: 4095 } }, 'EINVAL'],
    [{ ports: list(1), direction: both, to: { file: '/nonexistent/file' } }, 'ENOENT'],
  ];
  for (const [spec, code] of cases) assert.throws(() => mirrors.add(spec), { code }, JSON.stringify(spec.to));
  assert.throws(() => mirrors.remove(1), { code: 'ENOENT' });
  assert.equal(mirrors.list.length, 0);
  assert.equal(sw.observers.watching, false);
  assert.equal(mirrors.add({ ports: list(1), direction: both, to: { port: 3 } }).id, 1);
  assert.throws(() => mirrors.add({ ports: list(3), direction: both, to: { vlan: 5 } }), { code: 'EINVAL' });
  assert.throws(() => mirrors.add({ ports: list(2), direction: both, to: { port: 1 } }), { code: 'EINVAL' });
  for (let i = 1; i < 64; i++) mirrors.add({ ports: list(1), direction: both, to: { port: 3 } });
  assert.throws(() => mirrors.add({ ports: list(1), direction: both, to: { port: 3 } }), { code: 'ENOSPC' });
});

test('a mirror whose port is lost while it is being sent to goes on when somebody comes back', () => {
  const { seat, mirrors } = mirrored();
  const [one, probe] = [seat(1), seat(9)];
  mirrors.add({ ports: list(1), direction: 'in', to: { port: 9 } });
  probe.onSend = () => probe.lose();
  one.receive(frame(BROADCAST, station(1)));
  one.receive(frame(BROADCAST, station(1)));
  const again = seat(9);
  one.receive(frame(BROADCAST, station(1)));
  assert.equal(again.take().length, 1);
});

test('whatever is mirrored, the others get what they would have got', () => {
  const traffic = fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 5 }), fc.boolean()), {
    maxLength: 20,
  });
  const specs = fc.array(
    fc.record({
      ports: fc.option(fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { minLength: 1 }), { nil: undefined }),
      direction: fc.constantFrom('in' as const, 'out' as const, 'both' as const),
      to: fc.constantFrom({ port: 9 }, { port: 10 }, { vlan: 100 }),
    }),
    { maxLength: 4 },
  );
  const play = (
    frames: [number, number, boolean][],
    wanted: { ports?: number[]; direction: 'in' | 'out' | 'both'; to: { port: number } | { vlan: number } }[],
  ) => {
    const { sw, seat, mirrors } = mirrored();
    const plugs = [1, 2, 3, 4].map((port) => seat(port));
    for (const port of [9, 10, 11]) seat(port);
    for (const vlan of [5, 100]) addVlan(sw, vlan);
    addTagged(sw, 5, 3);
    addTagged(sw, 100, 11);
    for (const port of [9, 10]) setUntagged(sw, port, 4095);
    for (const { ports, ...spec } of wanted) mirrors.add({ ...spec, ports: ports && new Set(ports) });
    for (const [from, to, tagged] of frames) {
      plugs[from - 1].receive(
        frame(to === 0 ? BROADCAST : station(to), station(from), { tci: tagged ? 5 : undefined }),
      );
    }
    return plugs.map((plug) => plug.take());
  };
  fc.assert(
    fc.property(traffic, specs, (frames, wanted) => assert.deepEqual(play(frames, wanted as never), play(frames, []))),
    {
      numRuns: 60,
    },
  );
});
