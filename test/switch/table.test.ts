import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { ForwardingTable, PORT_MAX, TABLE_MAX } from '../../src/switch/table.js';

const PORTS = 8;

interface Key {
  low: number;
  high: number;
  vlan: number;
}

/** Six bytes as the table takes them: the two words of a little-endian load, the first one signed. */
function words(address: Uint8Array): { low: number; high: number } {
  const view = new DataView(address.buffer, address.byteOffset, 6);
  return { low: view.getInt32(0, true), high: view.getUint16(4, true) };
}

function numbered(n: number): { low: number; high: number } {
  return { low: n | 0, high: (n >>> 16) & 0xffff };
}

/** What the table is to do, written down with a `Map` and no thought of speed (forwarding rules, section 4). */
class Model {
  readonly known = new Map<string, { key: Key; port: number; lastSeen: number }>();
  expire = 100;
  minPersistence = 3;
  moved = 0;

  lookup(key: Key, now: number): number {
    const entry = this.known.get(name(key));
    return entry === undefined || entry.lastSeen + this.expire < now ? -1 : entry.port;
  }

  learn(key: Key, port: number, now: number): void {
    const entry = this.known.get(name(key));
    if (entry === undefined || entry.lastSeen + this.expire < now) {
      this.known.set(name(key), { key, port, lastSeen: now });
      return;
    }
    if (entry.port !== port) {
      this.moved++;
      if (now - entry.lastSeen <= this.minPersistence) return;
      entry.port = port;
    }
    entry.lastSeen = now;
  }

  removeWhere(unwanted: (entry: { key: Key; port: number; lastSeen: number }) => boolean): void {
    for (const [key, entry] of this.known) if (unwanted(entry)) this.known.delete(key);
  }

  entries(now: number): string[] {
    return [...this.known.values()]
      .filter(({ lastSeen }) => lastSeen + this.expire >= now)
      .map(({ key, port, lastSeen }) => `${name(key)} ${port} ${lastSeen}`)
      .sort();
  }
}

function name({ low, high, vlan }: Key): string {
  return `${low} ${high} ${vlan}`;
}

function listed(table: ForwardingTable, now: number): string[] {
  return [...table.entries(now)]
    .map(({ address, vlan, port, lastSeen }) => `${name({ ...words(address), vlan })} ${port} ${lastSeen}`)
    .sort();
}

const port = fc.integer({ min: 0, max: PORTS - 1 });
const vlan = fc.constantFrom(0, 1, 2, 4094);
// Few addresses, so that the same come again, and whole blocks of neighbours, so that the table grows and shrinks.
const address = fc.oneof(
  fc.integer({ min: 0, max: 40 }).map(numbered),
  fc.uint8Array({ minLength: 6, maxLength: 6 }).map(words),
);
const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('learn' as const), address, vlan, port }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('lookup' as const), address, vlan }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(1, 2, 3, 4, 40, 101) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('block' as const),
      first: fc.nat(100_000),
      count: fc.nat(1500),
      vlan,
      port,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('sweep' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('flushPort' as const), port, vlan: fc.option(vlan) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('flushVlan' as const), vlan }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const) }) },
);

test('the table does what a plain map would, over any course of events', () => {
  const seed = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(seed, fc.array(step, { maxLength: 60 }), (random, steps) => {
      const table = new ForwardingTable(PORTS, () => random);
      const model = new Model();
      let now = 0;
      const learn = (key: Key, at: number) => {
        table.learn(key.low, key.high, key.vlan, at, now);
        model.learn(key, at, now);
      };
      for (const one of steps) {
        if (one.do === 'learn') learn({ ...one.address, vlan: one.vlan }, one.port);
        else if (one.do === 'block') {
          for (let n = one.first; n < one.first + one.count; n++) learn({ ...numbered(n), vlan: one.vlan }, one.port);
        } else if (one.do === 'wait') now += one.seconds;
        else if (one.do === 'sweep') {
          table.sweep(now);
          model.removeWhere(({ lastSeen }) => lastSeen + model.expire < now);
          assert.equal(table.size, model.known.size);
        } else if (one.do === 'flushPort') {
          table.flushPort(one.port, one.vlan ?? undefined);
          model.removeWhere((entry) => entry.port === one.port && (one.vlan === null || entry.key.vlan === one.vlan));
        } else if (one.do === 'flushVlan') {
          table.flushVlan(one.vlan);
          model.removeWhere((entry) => entry.key.vlan === one.vlan);
        } else if (one.do === 'clear') {
          table.clear();
          model.known.clear();
        } else {
          const { low, high } = one.address;
          assert.equal(table.lookup(low, high, one.vlan, now), model.lookup({ low, high, vlan: one.vlan }, now));
        }
      }
      assert.deepEqual(listed(table, now), model.entries(now));
      assert.equal(table.moved, model.moved);
      assert.equal(table.refused, 0);
      for (const { key } of model.known.values()) {
        assert.equal(table.lookup(key.low, key.high, key.vlan, now), model.lookup(key, now));
      }
    }),
    { numRuns: 300 },
  );
});

test('an address is another one in another VLAN, and each of its 48 bits counts', () => {
  const table = new ForwardingTable(PORTS, () => 0.5);
  const base = words(Uint8Array.of(2, 0, 0, 0, 0, 1));
  table.learn(base.low, base.high, 1, 3, 0);
  assert.equal(table.lookup(base.low, base.high, 1, 0), 3);
  assert.equal(table.lookup(base.low, base.high, 2, 0), -1);
  for (let bit = 0; bit < 48; bit++) {
    const other = Uint8Array.of(2, 0, 0, 0, 0, 1);
    other[bit >> 3] ^= 1 << (bit & 7);
    const { low, high } = words(other);
    assert.equal(table.lookup(low, high, 1, 0), -1, `bit ${bit}`);
  }
});

test('an address moves only after it has been silent for more than the minimum persistence', () => {
  const table = new ForwardingTable(PORTS, () => 0.5);
  table.learn(1, 2, 0, 1, 10);
  table.learn(1, 2, 0, 2, 13);
  assert.equal(table.lookup(1, 2, 0, 13), 1, 'three seconds are not more than three');
  // The refused move must not have refreshed the entry: four seconds after the first frame it may move.
  table.learn(1, 2, 0, 2, 14);
  assert.equal(table.lookup(1, 2, 0, 14), 2);
  assert.equal(table.moved, 2);
  table.minPersistence = 0;
  table.learn(1, 2, 0, 3, 15);
  assert.equal(table.lookup(1, 2, 0, 15), 3);
});

test('an address is forgotten when it was not seen for longer than the expiry, swept or not', () => {
  const table = new ForwardingTable(PORTS, () => 0.5);
  table.expire = 10;
  table.learn(1, 2, 0, 1, 5);
  assert.equal(table.lookup(1, 2, 0, 15), 1);
  assert.equal(table.lookup(1, 2, 0, 16), -1);
  assert.deepEqual([...table.entries(16)], []);
  assert.equal(table.size, 1);
  assert.equal(table.sweep(15), 0);
  assert.equal(table.sweep(16), 1);
  assert.equal(table.size, 0);
});

test('an address that comes back after its time is believed at once wherever it is', () => {
  const table = new ForwardingTable(PORTS, () => 0.5);
  table.learn(1, 2, 0, 1, 0);
  table.learn(1, 2, 0, 2, 101);
  assert.equal(table.lookup(1, 2, 0, 101), 2);
  assert.equal(table.moved, 0, 'a station that was forgotten has not moved');
  table.flushPort(1);
  assert.equal(table.size, 1, 'nothing of port 1 is left to flush');
});

test('a flooding port fills its share and no more, and gets it back when it is flushed', () => {
  const table = new ForwardingTable(PORTS, () => 0.25);
  for (let n = 0; n < PORT_MAX + 1000; n++) table.learn(n, 0, 0, 1, 0);
  assert.equal(table.size, PORT_MAX);
  assert.equal(table.refused, 1000);
  assert.equal(table.lookup(PORT_MAX - 1, 0, 0, 0), 1);
  assert.equal(table.lookup(PORT_MAX, 0, 0, 0), -1);

  // Another port still learns; nothing can be moved into the full share.
  table.learn(-1, 7, 0, 2, 0);
  assert.equal(table.lookup(-1, 7, 0, 0), 2);
  table.learn(-1, 7, 0, 1, 50);
  assert.equal(table.lookup(-1, 7, 0, 50), 2);
  assert.equal(table.refused, 1001);

  table.flushPort(1);
  assert.equal(table.size, 1);
  assert.equal(table.lookup(-1, 7, 0, 50), 2);
  table.learn(-1, 7, 0, 1, 60);
  assert.equal(table.lookup(-1, 7, 0, 60), 1);
});

test('several flooding ports fill the table and no more, and the sweep empties it again', () => {
  const table = new ForwardingTable(PORTS, () => 0.75);
  for (let n = 0; n < TABLE_MAX + 1000; n++) table.learn(n, 1, 0, n % 4, 0);
  assert.equal(table.size, TABLE_MAX);
  assert.equal(table.refused, 1000);
  // Known addresses are refreshed and moved all the same.
  table.learn(5, 1, 0, 6, 4);
  assert.equal(table.lookup(5, 1, 0, 4), 6);
  assert.equal(table.sweep(101), TABLE_MAX - 1);
  assert.deepEqual(listed(table, 101), [`${name({ low: 5, high: 1, vlan: 0 })} 6 4`]);
  for (let second = 102; second < 120; second++) table.sweep(second - 20);
  assert.equal(table.lookup(5, 1, 0, 104), 6, 'the entry outlives the shrinking');
});
