import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseEthernet, writeEthernet } from '../../src/frame/ethernet.js';
import { content, hex, mac, octets } from './arbitraries.js';

const ADDRESSES = 'ffffffffffff 020000000001';

test('a type frame keeps all that follows its header', () => {
  const bytes = hex(`${ADDRESSES} 0806 01020304`);
  assert.deepEqual(parseEthernet(bytes), {
    dst: hex('ffffffffffff'),
    src: hex('020000000001'),
    type: 0x0806,
    payload: hex('01020304'),
  });
});

test('a length frame has no type and loses its padding', () => {
  const frame = parseEthernet(hex(`${ADDRESSES} 0003 424203 0000000000`));
  assert.equal(frame?.type, undefined);
  assert.deepEqual(frame?.payload, hex('424203'));
});

test('a length beyond the frame, an undefined type field and a short header are malformed', () => {
  assert.equal(parseEthernet(hex(`${ADDRESSES} 0004 424203`)), undefined);
  assert.equal(parseEthernet(hex(`${ADDRESSES} 05dd${'00'.repeat(1600)}`)), undefined);
  assert.equal(parseEthernet(hex(`${ADDRESSES} 05ff${'00'.repeat(1600)}`)), undefined);
  assert.equal(parseEthernet(hex(`${ADDRESSES} 08`)), undefined);
  assert.equal(parseEthernet(new Uint8Array()), undefined);
});

test('the greatest length and the smallest type are told apart', () => {
  assert.equal(parseEthernet(hex(`${ADDRESSES} 05dc${'00'.repeat(1500)}`))?.payload.length, 1500);
  assert.equal(parseEthernet(hex(`${ADDRESSES} 0600`))?.type, 0x600);
});

test('every valid frame survives being written and read', () => {
  fc.assert(
    fc.property(mac, mac, content, (dst, src, rest) => {
      const frame = { dst, src, ...rest };
      assert.deepEqual(parseEthernet(writeEthernet(frame)), frame);
    }),
  );
});

test('what is read from random bytes is written as the same bytes, but for padding', () => {
  fc.assert(
    fc.property(octets(80), (bytes) => {
      const frame = parseEthernet(bytes);
      if (!frame) return;
      const written = writeEthernet(frame);
      assert.deepEqual(written, bytes.subarray(0, written.length));
    }),
  );
});

test('impossible frames are refused', () => {
  const frame = { dst: hex('ffffffffffff'), src: hex('020000000001'), type: 0x0800, payload: new Uint8Array(10) };
  assert.throws(() => writeEthernet({ ...frame, type: 0x05ff }), RangeError);
  assert.throws(() => writeEthernet({ ...frame, type: 0x10000 }), RangeError);
  assert.throws(() => writeEthernet({ ...frame, dst: new Uint8Array(5) }), RangeError);
  assert.throws(() => writeEthernet({ ...frame, type: undefined, payload: new Uint8Array(1501) }), RangeError);
});
