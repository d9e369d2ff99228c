/** Addresses that iplog knows: ranges, and frames of any content. */

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { AddressTable, formatAddress, parseAddress, parseRange } from '../../src/console/address-table.js';
import { leadingInteger } from '../../src/console/arguments.js';
import { BROADCAST, frame, station } from '../switch/memory-plug.js';

const place = { port: 1, user: 0 };
const range = (text: string) => parseRange(text, leadingInteger) ?? assert.fail(text);

function packet(source: Uint8Array, tci?: number): Buffer {
  const v4 = source.length === 4;
  const header = v4
    ? Buffer.concat([Buffer.from('450000140000000040110000', 'hex'), source, Buffer.alloc(4)])
    : Buffer.concat([Buffer.from('6000000000003b40', 'hex'), source, Buffer.alloc(16)]);
  return frame(BROADCAST, station(1), { type: v4 ? 0x800 : 0x86dd, payload: header, tci });
}

const address = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
);

test('an address is written as it is read', () => {
  fc.assert(
    fc.property(address, (bytes) => {
      assert.deepEqual([...(parseAddress(formatAddress(bytes)) ?? [])], [...bytes]);
    }),
  );
});

test('an address is noted if and only if its first bits are those of a range', () => {
  const bits = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  fc.assert(
    fc.property(address, address, fc.integer({ min: 0, max: 128 }), fc.boolean(), (base, other, prefix, tagged) => {
      const table = new AddressTable();
      const one = range(`${formatAddress(base)}/${prefix}`);
      table.ranges.push(one);
      // Some share the beginning.
      const source =
        base.length === other.length ? Uint8Array.from(other, (byte, i) => (i < prefix / 8 ? base[i] : byte)) : other;
      const expected = source.length === base.length && bits(source).startsWith(bits(base).slice(0, one.prefix));
      const used = table.note(packet(source, tagged ? 0x2005 : undefined), place, 0);
      assert.equal(used !== undefined, expected);
      if (used)
        assert.deepEqual([used.vlan, used.mac, [...used.bytes]], [tagged ? 5 : 0, '02:00:00:00:00:01', [...source]]);
    }),
  );
});

test('frames of any content are looked at within their bounds', () => {
  const table = new AddressTable();
  table.ranges.push(range('0.0.0.0/0'), range('::/0'));
  const type = fc.constantFrom(
    [0x08, 0x00],
    [0x86, 0xdd],
    [0x81, 0, 0, 5, 0x08, 0],
    [0x81, 0, 0, 5, 0x86, 0xdd],
    [0x81, 0],
    [],
  );
  fc.assert(
    fc.property(type, fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 0, max: 80 }), (head, rest, cut) => {
      const bytes = Uint8Array.from([...BROADCAST, ...station(1), ...head, ...rest]).subarray(0, 14 + cut);
      const used = table.note(bytes, place, 0);
      if (used) assert.ok(used.bytes.length === 4 || used.bytes.length === 16);
    }),
  );
});

test('a flood of addresses is remembered up to a bound, the oldest is forgotten first', () => {
  const table = new AddressTable();
  table.ranges.push(range('0.0.0.0/0'));
  const bytes = packet(Buffer.from([10, 0, 0, 0]));
  for (let i = 0; i < 70_000; i++) {
    bytes.writeUInt32BE(0x0a00_0000 + i, 26);
    table.note(bytes, place, i);
  }
  assert.equal(table.list.length, 65_536);
  assert.equal(formatAddress(table.list[0].bytes), '10.0.17.112');
  table.forget(({ seen }) => seen < 69_999);
  assert.equal(table.list.length, 1);
});
