import assert from 'node:assert/strict';
import test from 'node:test';
import { IpLog, type SeenAddress, sourceAddress } from '../../src/cli/iplog.js';
import { Burst } from '../../src/frame/burst.js';

/** An Ethernet frame from hexadecimal digits; blanks are for people. */
function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

const STATIONS = '020000000002 020000000001';
/** 20 octets: version 4, 5 words, total length 20, 192.0.2.7 to 10.0.0.1. */
const IPV4 = '45000014 00000000 40110000 c0000207 0a000001';
/** Version 4, 6 words: one word of options. */
const IPV4_OPTIONS = '46000018 00000000 40110000 c0000207 0a000001 01010101';
/** Version 6, traffic class 0xb8, nothing inside, 2001:db8::1 to ::2. */
const IPV6 = '6b800000 00003b40 20010db8000000000000000000000001 00000000000000000000000000000002';
const ARP = '0001 0800 06 04 0001 020000000001 c0000207 000000000000 0a000001';

function burstOf(...frames: Uint8Array[]): Burst {
  const burst = new Burst();
  for (const one of frames) assert.ok(burst.add(one));
  return burst;
}

test('the source address is found in IPv4 with and without options, IPv6 of any class, and ARP', () => {
  const four = { version: 4, address: '192.0.2.7', vlan: 0 };
  assert.deepEqual(sourceAddress(bytes(`${STATIONS} 0800 ${IPV4}`)), four);
  assert.deepEqual(sourceAddress(bytes(`${STATIONS} 0800 ${IPV4_OPTIONS}`)), four);
  assert.deepEqual(sourceAddress(bytes(`${STATIONS} 0806 ${ARP}`)), four);
  assert.deepEqual(sourceAddress(bytes(`${STATIONS} 86dd ${IPV6}`)), { version: 6, address: '2001:db8::1', vlan: 0 });
});

test('the VLAN is that of the outer tag', () => {
  assert.equal(sourceAddress(bytes(`${STATIONS} 8100 e02a 0800 ${IPV4}`))?.vlan, 42);
  assert.equal(sourceAddress(bytes(`${STATIONS} 88a8 0007 8100 0008 86dd ${IPV6}`))?.vlan, 7);
});

test('what has no source address is passed over: other types, zero addresses, frames cut short anywhere', () => {
  assert.equal(sourceAddress(bytes(`${STATIONS} 88b5 ${IPV4}`)), undefined);
  assert.equal(sourceAddress(bytes(`${STATIONS} 0800 ${IPV4.replace('c0000207', '00000000')}`)), undefined);
  assert.equal(sourceAddress(bytes(`${STATIONS} 0806 ${ARP.replace('c0000207', '00000000')}`)), undefined);
  assert.equal(
    sourceAddress(bytes(`${STATIONS} 86dd ${IPV6.replace('20010db8000000000000000000000001', '0'.repeat(32))}`)),
    undefined,
  );
  for (const whole of [
    `0800 ${IPV4}`,
    `0800 ${IPV4_OPTIONS}`,
    `0806 ${ARP}`,
    `86dd ${IPV6}`,
    `8100 e02a 0800 ${IPV4}`,
  ]) {
    const frame = bytes(`${STATIONS} ${whole}`);
    for (let length = 0; length < frame.length; length++) {
      assert.equal(sourceAddress(frame.subarray(0, length)), undefined, `${whole} cut to ${length}`);
    }
    assert.ok(sourceAddress(frame));
  }
});

test('each address is reported once per VLAN, and again after an hour of silence', () => {
  let now = 1000;
  const seen: SeenAddress[] = [];
  const log = new IpLog(
    (one) => seen.push(one),
    () => now,
  );
  const plain = bytes(`${STATIONS} 0800 ${IPV4}`);
  const tagged = bytes(`${STATIONS} 8100 0005 0800 ${IPV4}`);
  log.look(burstOf(plain, plain, tagged));
  log.look(burstOf(plain));
  assert.deepEqual(
    seen.map(({ vlan }) => vlan),
    [0, 5],
  );
  // Half an hour twice with a sign of life in between is no silence.
  for (let i = 0; i < 2; i++) {
    now += 1_800_000;
    log.look(burstOf(plain));
  }
  assert.equal(seen.length, 2);
  now += 3_600_001;
  log.look(burstOf(plain));
  assert.equal(seen.length, 3);
});

test('an address space of lies fills no memory: the oldest of 4096 is forgotten', () => {
  const seen: string[] = [];
  const log = new IpLog(
    ({ address }) => seen.push(address),
    () => 0,
  );
  const from = (n: number) => {
    const frame = bytes(`${STATIONS} 0800 ${IPV4}`);
    new DataView(frame.buffer).setUint32(26, 0x0a00_0000 + n);
    return frame;
  };
  for (let n = 1; n <= 4097; n++) log.look(burstOf(from(n)));
  assert.equal(seen.length, 4097);
  log.look(burstOf(from(4097), from(4000)));
  assert.equal(seen.length, 4097, 'those of late are still known');
  log.look(burstOf(from(1)));
  assert.equal(seen.at(-1), '10.0.0.1');
});
