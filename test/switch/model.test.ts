/** Random frames over random topologies: the switch against the rules written down plainly (forwarding rules, 1 to 5). */

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { TAGGED, UNTAGGED } from '../../src/switch/vlan.js';
import { BROADCAST, frame, join, type MemoryPlug, noUntagged, portOf, station, virtualSwitch } from './memory-plug.js';

const VIDS = [0, 1, 5, 4094];

interface ModelPort {
  ends: number[];
  /** undefined: untagged frames are refused. */
  untagged: number | undefined;
  tagged: Set<number>;
}

/** What arrives where: list of [end, frame]. */
type Deliveries = [number, Buffer][];

class Model {
  readonly table = new Map<string, { port: number; lastSeen: number }>();
  readonly ports: ModelPort[] = [];
  hub = false;

  input(from: number, bytes: Buffer, now: number): Deliveries {
    if (bytes.length < 14) return [];
    const others = this.ports.map((_, index) => index).filter((index) => index !== from);
    if (this.hub) return others.flatMap((index) => this.deliver(index, bytes));
    const port = this.ports[from];
    const tagged = bytes.readUInt16BE(12) === 0x8100;
    if (tagged && bytes.length < 18) return [];
    const vid = tagged ? bytes.readUInt16BE(14) & 0xfff : port.untagged;
    if (vid === undefined || !this.member(port, vid)) return [];
    if ((bytes[6] & 1) === 0) this.learn(`${bytes.toString('hex', 6, 12)} ${vid}`, from, now);
    const known = this.table.get(`${bytes.toString('hex', 0, 6)} ${vid}`);
    const unicast = (bytes[0] & 1) === 0 && known !== undefined && known.lastSeen + 100 >= now;
    const targets = unicast ? others.filter((index) => index === known.port) : others;
    return targets
      .filter((index) => this.member(this.ports[index], vid))
      .flatMap((index) => this.deliver(index, this.form(this.ports[index], bytes, vid, tagged)));
  }

  member(port: ModelPort, vid: number): boolean {
    return port.untagged === vid || port.tagged.has(vid);
  }

  form(port: ModelPort, bytes: Buffer, vid: number, tagged: boolean): Buffer {
    if (port.untagged === vid) return tagged ? Buffer.concat([bytes.subarray(0, 12), bytes.subarray(16)]) : bytes;
    if (tagged) return bytes;
    const tag = Buffer.from([0x81, 0, vid >> 8, vid & 0xff]);
    return Buffer.concat([bytes.subarray(0, 12), tag, bytes.subarray(12)]);
  }

  deliver(index: number, bytes: Buffer): Deliveries {
    return this.ports[index].ends.map((end) => [end, bytes]);
  }

  learn(key: string, port: number, now: number): void {
    const entry = this.table.get(key);
    if (entry !== undefined && entry.port !== port && entry.lastSeen + 100 >= now && now - entry.lastSeen <= 3) return;
    this.table.set(key, { port, lastSeen: now });
  }
}

const vid = fc.constantFrom(...VIDS);
const topology = fc.array(
  fc.record({
    ends: fc.integer({ min: 1, max: 2 }),
    untagged: fc.option(fc.constantFrom(0, 0, 0, ...VIDS), { nil: undefined }),
    tagged: fc.uniqueArray(vid, { maxLength: 3 }),
  }),
  { minLength: 2, maxLength: 5 },
);
const address = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 5 }).map(station) },
  { weight: 1, arbitrary: fc.constant(BROADCAST) },
);
// With few addresses and tags: conversations come about, and every kind of refusal.
const anyFrame = fc
  .record({
    to: address,
    from: address,
    tci: fc.option(fc.oneof(vid, fc.constantFrom(4095, 77, 0xe000, 0x3005, 0x1001)), { nil: undefined }),
    inner: fc.option(vid),
    size: fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 0, max: 40 }) },
      { weight: 1, arbitrary: fc.constant(1500) },
    ),
    cut: fc.option(fc.integer({ min: 12, max: 18 }), { freq: 12 }),
  })
  .map(({ to, from, tci, inner, size, cut }) => {
    const payload = inner === null ? Buffer.alloc(size, 0x61) : Buffer.from([0x81, 0, inner >> 8, inner & 0xff, 8, 0]);
    const whole = frame(to, from, { tci, payload, type: inner === null ? 0x88b5 : 0x8100 });
    return cut === null ? whole : whole.subarray(0, cut);
  });
const traffic = fc.array(
  fc.record({
    port: fc.nat(),
    end: fc.nat(),
    frames: fc.array(anyFrame, { minLength: 1, maxLength: 8 }),
    wait: fc.constantFrom(0, 0, 0, 1, 3, 4, 101),
  }),
  { minLength: 1, maxLength: 25 },
);

test('every frame goes where the rules say, in the form that they say', () => {
  fc.assert(
    fc.property(fc.boolean(), topology, traffic, (hub, layout, bursts) => {
      const { sw, clock, seat } = virtualSwitch({ hub });
      const model = new Model();
      model.hub = hub;
      const plugs: MemoryPlug[] = [];
      layout.forEach(({ ends, untagged, tagged }, index) => {
        const numbers = Array.from({ length: ends }, () => plugs.push(seat(index)) - 1);
        // Both ends of a port hear everything, the newest first; a port has each VLAN one way only.
        model.ports.push({ ends: numbers, untagged, tagged: new Set(tagged) });
        model.ports[index].tagged.delete(untagged as number);
      });
      model.ports.forEach(({ untagged, tagged }, index) => {
        if (untagged === undefined) noUntagged(sw, index);
        else if (untagged !== 0) join(sw, untagged, index, UNTAGGED);
        for (const one of tagged) join(sw, one, index, TAGGED);
      });
      const counted = layout.map(() => ({ in: 0, out: 0 }));
      for (const { port, end, frames, wait } of bursts) {
        clock.now += wait;
        if (wait > 0) sw.sweep();
        const from = port % layout.length;
        const sender = plugs[model.ports[from].ends[end % layout[from].ends]];
        const expected = plugs.map((): Buffer[] => []);
        for (const one of frames) {
          if (one.length >= 14) counted[from].in += one.length;
          const out = model.input(from, one, clock.now);
          for (const [to, bytes] of out) expected[to].push(bytes);
          model.ports.forEach(({ ends }, index) => {
            for (const [, bytes] of out.filter(([to]) => to === ends[0])) counted[index].out += bytes.length;
          });
        }
        sender.receive(...frames);
        assert.deepEqual(
          plugs.map((plug) => plug.take()),
          expected,
        );
      }
      layout.forEach((_, index) => {
        const { input, output } = portOf(sw, index);
        assert.deepEqual({ in: input.bytes, out: output.bytes }, counted[index]);
      });
    }),
    { numRuns: 400 },
  );
});
