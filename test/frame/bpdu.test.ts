/** BPDUs: bytes that other bridges send, round trips, and whatever else may arrive. */

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  type Bpdu,
  BpduFlag,
  BpduType,
  bridgeIdentifier,
  formatBridgeIdentifier,
  parseBpdu,
  topologyChangeBpdu,
  writeBpdu,
} from '../../src/frame/bpdu.js';
import { parseMac } from '../../src/frame/mac.js';

const mac = (text: string) => parseMac(text) as Uint8Array;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** As C switches send it: a hello of a switch that is not the root, on a port that leads away from it. */
const FSTP =
  '0180c200000000ff000000020027424203000002027c800000ff0000000101312d00900000ff000000028009010028000400000000';
/** As the Linux bridge sends it, padded to 60 octets. */
const LINUX = `0180c200000002000000000100264242030000000000100002000000000900000000100002000000000980010000060001000200${'00'.repeat(8)}`;

test("a C switch's frame is read and written byte for byte", () => {
  const bytes = Buffer.from(FSTP, 'hex');
  const message = parseBpdu(bytes);
  assert.ok(message);
  assert.deepEqual(message, {
    type: BpduType.rapid,
    flags: 0x7c,
    root: bridgeIdentifier(0x8000, mac('00:ff:00:00:00:01')),
    cost: 20_000_000,
    bridge: bridgeIdentifier(0x9000, mac('00:ff:00:00:00:02')),
    port: 0x8009,
    messageAge: 0x0100,
    maxAge: 0x2800,
    helloTime: 0x0400,
    forwardDelay: 0,
  });
  assert.equal(hex(writeBpdu(message, mac('00:ff:00:00:00:02'))), FSTP);
  const tagged = writeBpdu(message, mac('00:ff:00:00:00:02'), 20);
  assert.equal(hex(tagged), `${FSTP.slice(0, 24)}81000014${FSTP.slice(24)}`);
  assert.deepEqual(parseBpdu(tagged), message);
});

test("the Linux bridge's configuration BPDU is read, its padding not taken for anything", () => {
  const message = parseBpdu(Buffer.from(LINUX, 'hex'));
  assert.equal(message?.type, BpduType.configuration);
  assert.equal(message?.root, bridgeIdentifier(0x1000, mac('02:00:00:00:00:09')));
  assert.equal(message?.maxAge, 6 * 256);
  assert.equal(message?.forwardDelay, 2 * 256);
});

const u16 = fc.nat(0xffff);
const identifier = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const anyBpdu: fc.Arbitrary<Bpdu> = fc.oneof(
  fc.constant(topologyChangeBpdu()),
  fc.record({
    type: fc.constantFrom(BpduType.rapid, BpduType.configuration),
    flags: fc.nat(0xff),
    root: identifier,
    cost: fc.nat(0xffff_ffff),
    bridge: identifier,
    port: u16,
    messageAge: u16,
    maxAge: u16,
    helloTime: u16,
    forwardDelay: u16,
  }),
);
const source = mac('02:00:00:00:00:01');
const vlan = fc.option(fc.nat(4095), { nil: undefined });

test('what is written is read again, with padding behind it too', () => {
  fc.assert(
    fc.property(anyBpdu, vlan, fc.nat(30), (message, tag, padding) => {
      const frame = writeBpdu(message, source, tag);
      assert.deepEqual(parseBpdu(frame), { ...message });
      assert.deepEqual(parseBpdu(Buffer.concat([frame, Buffer.alloc(padding, 0xa5)])), { ...message });
    }),
  );
});

test('a BPDU that is cut short is none', () => {
  fc.assert(
    fc.property(anyBpdu, vlan, fc.nat(70), (message, tag, length) => {
      const frame = writeBpdu(message, source, tag);
      fc.pre(length < frame.length);
      assert.equal(parseBpdu(frame.subarray(0, length)), undefined);
    }),
  );
});

test('other protocols, other service access points and unknown types are none', () => {
  const frame = Buffer.from(FSTP, 'hex');
  for (const [at, value] of [
    [12, 0x08], // an EtherType
    [13, 0x00], // a length of nothing
    [13, 0x28], // a length beyond the frame
    [14, 0x43],
    [15, 0xaa],
    [16, 0x7f],
    [18, 0x01],
    [20, 0x03],
    [19, 0x01], // rapid, of a version that has none
  ]) {
    const other = Buffer.from(frame);
    other[at] = value;
    assert.equal(parseBpdu(other), undefined, `octet ${at}`);
  }
});

test('whatever arrives is read without a throw, and only as what it says', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (noise, shaped) => {
      const frame = shaped ? Buffer.concat([Buffer.from(FSTP, 'hex').subarray(0, 20), noise]) : noise;
      const message = parseBpdu(frame);
      if (message) assert.ok(Object.values(BpduType).includes(message.type));
    }),
  );
});

test('fields that do not fit are refused', () => {
  const message = parseBpdu(Buffer.from(FSTP, 'hex')) as Bpdu;
  for (const wrong of [{ flags: 256 }, { cost: 2 ** 32 }, { port: -1 }, { root: 1n << 64n }, { maxAge: 0x1_0000 }]) {
    assert.throws(() => writeBpdu({ ...message, ...wrong }, source), RangeError);
  }
  assert.throws(() => writeBpdu(message, source, 4096), RangeError);
  assert.throws(() => writeBpdu(message, source.subarray(1)), RangeError);
});

test('identifiers compare as priority, then address', () => {
  const low = bridgeIdentifier(0x1000, mac('ff:00:00:00:00:00'));
  const high = bridgeIdentifier(0x8000, mac('00:00:00:00:00:01'));
  assert.ok(low < high);
  assert.ok(high < bridgeIdentifier(0x8000, mac('00:00:00:00:00:02')));
  assert.equal(formatBridgeIdentifier(high), '80:00:00:00:00:00:00:01');
  assert.equal(BpduFlag.agreement | BpduFlag.proposal, 0x42);
});
