import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  broadcastMac,
  equalMac,
  formatMac,
  isBroadcast,
  isMulticast,
  macFromWords,
  macHigh,
  macLow,
  parseMac,
  randomMac,
} from '../../src/frame/mac.js';
import { mac } from './arbitraries.js';

const parsed = (text: string, strict = false) => {
  const address = parseMac(text, { strict });
  return address && formatMac(address);
};

test('any of three separators and fields without padding are read', () => {
  assert.equal(parsed('02:00:0A:ff:00:01'), '02:00:0a:ff:00:01');
  assert.equal(parsed('2:0:a:FF:0:1'), '02:00:0a:ff:00:01');
  assert.equal(parsed('2-0-a-ff-0-1'), '02:00:0a:ff:00:01');
  assert.equal(parsed('2.0.a.ff.0.1'), '02:00:0a:ff:00:01');
});

test('strict mode wants two digits and no dots', () => {
  assert.equal(parsed('02-00-0A-FF-00-01', true), '02:00:0a:ff:00:01');
  assert.equal(parsed('02:00:0a:ff:00:01', true), '02:00:0a:ff:00:01');
  assert.equal(parsed('2:0:a:ff:0:1', true), undefined);
  assert.equal(parsed('02.00.0a.ff.00.01', true), undefined);
});

test('anything else is not an address', () => {
  for (const text of [
    '',
    '02:00:0a:ff:00',
    '02:00:0a:ff:00:01:02',
    '02:00:0a:ff:00:001',
    '02:00:0a:ff:00:0g',
    '02:00:0a:ff-00:01',
    '02:00:0a:ff:00:',
    ' 02:00:0a:ff:00:01',
    '02:00:0a:ff:00:01\n',
    '02000aff0001',
  ]) {
    assert.equal(parsed(text), undefined, JSON.stringify(text));
  }
});

test('every address survives text and words', () => {
  fc.assert(
    fc.property(mac, (address) => {
      assert.deepEqual(parseMac(formatMac(address), { strict: true }), address);
      assert.deepEqual(macFromWords(macHigh(address), macLow(address)), address);
    }),
  );
});

test('addresses are read in place, and only where there are six octets', () => {
  const frame = Uint8Array.of(1, 2, 3, 4, 5, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
  assert.equal(formatMac(frame, 6), 'ff:ff:ff:ff:ff:ff');
  assert.equal(macLow(frame, 6), 0xffffffff);
  assert.equal(isBroadcast(frame, 6), true);
  assert.throws(() => formatMac(frame, 7), RangeError);
});

test('group addresses are told from individual ones', () => {
  assert.equal(isMulticast(parseMac('01:00:5e:00:00:01')!), true);
  assert.equal(isMulticast(parseMac('02:00:5e:00:00:01')!), false);
  assert.equal(isMulticast(broadcastMac()), true);
  assert.equal(isBroadcast(broadcastMac()), true);
  assert.equal(isBroadcast(parseMac('ff:ff:ff:ff:ff:fe')!), false);
  assert.equal(equalMac(parseMac('2:0:0:0:0:1')!, parseMac('2:0:0:0:0:1')!), true);
  assert.equal(equalMac(parseMac('2:0:0:0:0:1')!, parseMac('2:0:0:0:0:2')!), false);
});

test('a random address is individual, locally administered and follows its source', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 6 }), (draws) => {
      const from = () => {
        let next = 0;
        return randomMac(() => draws[next++]);
      };
      assert.equal(from()[0] & 3, 2);
      assert.deepEqual(from(), from());
      assert.equal(from()[5], Math.floor(draws[5] * 256));
    }),
  );
});
