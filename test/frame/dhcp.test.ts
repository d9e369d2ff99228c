import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type DhcpMessage,
  DhcpOption,
  dhcpType,
  optionAddresses,
  optionRoutes,
  optionText,
  optionU32,
  parseDhcp,
  u32Option,
  writeDhcp,
} from '../../src/frame/dhcp.js';
import { damaged, octets, record } from './arbitraries.js';

const u32 = fc.nat(0xffffffff);
const options = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 1, max: 254 }), octets(600)), {
    selector: ([number]) => number,
    maxLength: 6,
  })
  // Overload has a meaning of its own.
  .map((all) => new Map(all.filter(([number]) => number !== DhcpOption.overload)));
const message = record({
  op: fc.constantFrom(1 as const, 2 as const),
  xid: u32,
  secs: fc.nat(0xffff),
  broadcast: fc.boolean(),
  clientAddress: u32,
  yourAddress: u32,
  nextServer: u32,
  relay: u32,
  mac: fc.uint8Array({ minLength: 6, maxLength: 6 }),
  options,
});

function plain(value: DhcpMessage | undefined) {
  return value && { ...value, mac: [...value.mac], options: [...value.options].map(([k, v]) => [k, [...v]]).sort() };
}

test('every message survives being written and read, long options too', () => {
  fc.assert(
    fc.property(message, (value) => {
      const bytes = writeDhcp(value);
      assert.ok(bytes.length >= 300);
      assert.deepEqual(plain(parseDhcp(bytes)), plain(value));
    }),
  );
});

const EMPTY: DhcpMessage = {
  ...{ op: 2, xid: 7, secs: 0, broadcast: false, clientAddress: 0, yourAddress: 0, nextServer: 0, relay: 0 },
  mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  options: new Map(),
};

test('options in the fields of names count if option 52 says so', () => {
  const bytes = writeDhcp({ ...EMPTY, options: new Map([[DhcpOption.overload, Uint8Array.of(3)]]) });
  bytes.set([DhcpOption.messageType, 1, 5, 255], 108);
  bytes.set([DhcpOption.domainName, 2, 0x61, 0x62, 255], 44);
  const read = parseDhcp(bytes) as DhcpMessage;
  assert.equal(dhcpType(read), 5);
  assert.equal(optionText(read, DhcpOption.domainName), 'ab');
});

test('readers of options mind their lengths', () => {
  const all = new Map([
    [DhcpOption.leaseTime, Uint8Array.of(1, 2, 3)],
    [DhcpOption.subnetMask, u32Option(0xffffff00)],
    [DhcpOption.routers, Uint8Array.of(10, 0, 0, 1, 10)],
    [DhcpOption.messageType, Uint8Array.of(1, 2)],
  ]);
  const read = parseDhcp(writeDhcp({ ...EMPTY, options: all })) as DhcpMessage;
  assert.equal(optionU32(read, DhcpOption.leaseTime), undefined);
  assert.equal(optionU32(read, DhcpOption.subnetMask), 0xffffff00);
  assert.deepEqual(optionAddresses(read, DhcpOption.routers), [0x0a000001]);
  assert.equal(dhcpType(read), undefined);
});

test('an option that goes beyond the end, another medium and a missing cookie are refused', () => {
  const bytes = writeDhcp(EMPTY);
  const patched = (at: number, value: number) => bytes.map((byte, i) => (i === at ? value : byte));
  assert.equal(parseDhcp(Uint8Array.of(...bytes.subarray(0, 240), 12, 5, 1)), undefined);
  assert.equal(parseDhcp(patched(1, 6)), undefined);
  assert.equal(parseDhcp(patched(2, 16)), undefined);
  assert.equal(parseDhcp(patched(236, 0)), undefined);
  assert.equal(parseDhcp(bytes.subarray(0, 239)), undefined);
});

test('random bytes are read or refused, never thrown at', () => {
  fc.assert(
    fc.property(fc.oneof(octets(400), damaged(message.map(writeDhcp))), (bytes) => {
      const read = parseDhcp(bytes);
      if (read) for (const value of read.options.values()) assert.ok(value.length <= bytes.length);
    }),
  );
});

test('classless routes are read as RFC 3442 writes them: as many octets as the prefix needs', () => {
  const route = fc.record({ bits: u32, prefix: fc.nat(32), router: u32 }).map(({ bits, prefix, router }) => ({
    destination: prefix === 0 ? 0 : Number((BigInt(bits) >> BigInt(32 - prefix)) << BigInt(32 - prefix)),
    prefix,
    router,
  }));
  fc.assert(
    fc.property(fc.array(route, { minLength: 1, maxLength: 40 }), (routes) => {
      const value = routes.flatMap(({ destination, prefix, router }) => [
        prefix,
        ...u32Option(destination).subarray(0, Math.ceil(prefix / 8)),
        ...u32Option(router),
      ]);
      const bytes = writeDhcp({ ...EMPTY, options: new Map([[121, Uint8Array.from(value)]]) });
      assert.deepEqual(optionRoutes(parseDhcp(bytes) as DhcpMessage), routes);
    }),
  );
  fc.assert(
    fc.property(octets(100), (value) => {
      for (const { prefix } of optionRoutes({ ...EMPTY, options: new Map([[121, value]]) }) ?? [])
        assert.ok(prefix <= 32);
    }),
  );
  assert.equal(optionRoutes(EMPTY), undefined);
});
