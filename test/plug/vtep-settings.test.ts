/** The settings of an end point that is handed to another process: what is read is what was written, and nothing else. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Family } from '../../src/plug/multicast-group.js';
import {
  ADOPTED_STATIONS_MAX,
  decodeVtepSettings,
  encodeVtepSettings,
  type VtepSettings,
} from '../../src/plug/vtep-settings.js';
import { VNI_MAX } from '../../src/plug/vxlan-header.js';
import { AF_INET, AF_INET6 } from '../../src/sys/socket.js';

const V4: VtepSettings = {
  vxvde: false,
  hello: true,
  vni: 0x010203,
  hashsize: 1024,
  expiretime: 128,
  family: AF_INET,
  group: { address: '239.0.0.1', port: 4789, interfaceName: undefined },
  from: '',
};
const V6: VtepSettings = {
  ...V4,
  ...{ vxvde: true, hello: false, family: AF_INET6, from: 'fd00::/8,fe80::1' },
  group: { address: 'ff02::5%1', port: 14_789, interfaceName: 'lo' },
};

const ports = fc.integer({ min: 1, max: 0xffff });
const words = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 7, maxLength: 7 });
const v4 = fc
  .tuple(fc.integer({ min: 224, max: 239 }), fc.ipV4())
  .map(([first, rest]) => rest.replace(/^\d+/, `${first}`));
const v6 = words.map((list) => `ff05:${list.map((word) => (word | 1).toString(16)).join(':')}`);
const anySettings = fc
  .tuple(
    fc.oneof(
      v4.map((address) => [AF_INET, address]),
      v6.map((address) => [AF_INET6, address]),
    ),
    ports,
    fc.constantFrom(undefined, 'lo'),
    fc.record({
      vxvde: fc.boolean(),
      hello: fc.boolean(),
      vni: fc.integer({ min: 0, max: VNI_MAX }),
      hashsize: fc.integer({ min: 0, max: ADOPTED_STATIONS_MAX }),
      expiretime: fc.integer({ min: 1, max: 0x7fff_ffff }),
      from: fc.constantFrom('', '10.0.0.0/8', 'fd00::/8,fe80::1'),
    }),
  )
  .map(
    ([[family, address], port, interfaceName, rest]): VtepSettings => ({
      ...rest,
      family: family as Family,
      group: { address: address as string, port, interfaceName },
    }),
  );

test('octet by octet', () => {
  const v4 = Buffer.from(encodeVtepSettings(V4) as Uint8Array).toString('hex');
  assert.equal(v4, '011e02000302010000040000800000000000000000000000b512ef000001');
  const v6 = Buffer.from(encodeVtepSettings(V6) as Uint8Array);
  assert.equal(v6.toString('hex', 0, 26), '013a05000302010000040000800000000100000001000000c539');
  assert.equal(v6.toString('hex', 26, 42), 'ff020000000000000000000000000005');
  assert.equal(v6.toString('latin1', 42), V6.from);
});

test('what is read is what was written', () => {
  for (const settings of [V4, V6]) {
    assert.deepEqual(decodeVtepSettings(encodeVtepSettings(settings) as Uint8Array), settings);
  }
  fc.assert(
    fc.property(anySettings, (settings) => {
      const bytes = encodeVtepSettings(settings) as Uint8Array;
      assert.ok(bytes.length < 64);
      const read = decodeVtepSettings(bytes) as VtepSettings;
      assert.deepEqual(encodeVtepSettings(read), bytes);
      const { group, ...rest } = read;
      const { group: given, ...others } = settings;
      assert.deepEqual([rest, group.port, group.interfaceName], [others, given.port, given.interfaceName]);
    }),
  );
});

test('what cannot be said is not: too many stations, too long a list', () => {
  assert.equal(encodeVtepSettings({ ...V4, hashsize: ADOPTED_STATIONS_MAX + 1 }), undefined);
  assert.equal(encodeVtepSettings({ ...V4, from: '10.0.0.0/8,'.repeat(30) }), undefined);
});

const HOSTILE: [what: string, of: VtepSettings, at: number, octets: number[]][] = [
  ['another version', V4, 0, [2]],
  ['another length', V4, 1, [29]],
  ['a flag that is not known', V4, 2, [0x0a]],
  ['an address of IPv6 that is not there', V4, 2, [0x06]],
  ['a word that has no meaning yet', V4, 3, [1]],
  ['a network identifier of 25 bits', V4, 4, [0, 0, 0, 1]],
  ['more stations than are remembered for others', V4, 8, [1, 0x40, 0, 0]],
  ['four thousand million stations', V4, 8, [0xff, 0xff, 0xff, 0xff]],
  ['stations that are forgotten at once', V4, 12, [0, 0, 0, 0]],
  ['a time of 32 bits', V4, 12, [0, 0, 0, 0x80]],
  ['an interface that is not there', V4, 16, [0xff, 0xff, 0xff, 0x7f]],
  ['a zone of an IPv4 address', V4, 20, [1, 0, 0, 0]],
  ['a zone that is not there', V6, 20, [0xff, 0xff, 0xff, 0xff]],
  ['port 0', V4, 24, [0, 0]],
  ['an address of one host', V4, 26, [10]],
  ['everybody on the network', V4, 26, [255]],
  ['an IPv6 address of one host', V6, 26, [0xfd]],
  ['a list with a NUL', V6, 43, [0]],
  ['a list that is not ASCII', V6, 43, [0xc3]],
];

for (const [what, settings, at, octets] of HOSTILE) {
  test(`not read: ${what}`, () => {
    const bytes = Uint8Array.from(encodeVtepSettings(settings) as Uint8Array);
    assert.ok(decodeVtepSettings(bytes));
    bytes.set(octets, at);
    assert.equal(decodeVtepSettings(bytes), undefined);
  });
}

test('cut short or with more behind it, it is not read', () => {
  for (const settings of [V4, V6]) {
    const bytes = encodeVtepSettings(settings) as Uint8Array;
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(decodeVtepSettings(bytes.subarray(0, length)), undefined, `${length} octets`);
    }
    assert.equal(decodeVtepSettings(Uint8Array.of(...bytes, 0x20)), undefined);
  }
});

test('any octets: not read, or just what says the same (fuzz)', () => {
  const valid = anySettings.map((settings) => Uint8Array.from(encodeVtepSettings(settings) as Uint8Array));
  const damaged = fc
    .tuple(valid, fc.array(fc.tuple(fc.nat(63), fc.nat(255)), { minLength: 1, maxLength: 3 }))
    .map(([bytes, changes]) => {
      for (const [at, octet] of changes) if (at < bytes.length) bytes[at] = octet;
      return bytes;
    });
  let read = 0;
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 300 })), (bytes) => {
      const settings = decodeVtepSettings(bytes);
      if (settings === undefined) return;
      read++;
      assert.ok(settings.hashsize <= ADOPTED_STATIONS_MAX && settings.vni <= VNI_MAX && settings.expiretime > 0);
      assert.deepEqual(Buffer.from(encodeVtepSettings(settings) as Uint8Array), Buffer.from(bytes));
    }),
    { numRuns: 3000 },
  );
  assert.ok(read > 0);
});
