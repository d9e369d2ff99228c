/** The `hash` menu: buckets as a C switch has them, long tables, and what may be set. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import { hashBucket, hashCommands, powerOfTwo } from '../../src/console/hash-commands.js';
import { parseHash } from '../../src/console/parse-tables.js';
import { SwitchService } from '../../src/switch/service.js';
import { loop } from '../../src/sys/loop.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';
import { answer, data } from './tables.js';

function setUp(t: Owner) {
  loop();
  leakCheck(t);
  const service = new SwitchService(join(tmpDir(t), 'sw'));
  cleanup(t, () => service.close());
  const mac = new Uint8Array(6);
  const commands = hashCommands({
    version: '0',
    service,
    mac,
    hashSize: 128,
    management: undefined,
    shutdown: () => {},
  });
  const { table } = service.switch;
  /** Learns address 02:00:nn:nn:nn:nn. */
  const learn = (n: number, vlan = 0, port = 1) => table.learn(2 | ((n & 0xffff) << 16), n >>> 16, vlan, port, 0);
  return { service, commands, table, learn };
}

/** The bucket as the reference writes it down: all in 64 bits. */
function bucket(address: Uint8Array, vlan: number, size: number): number {
  const MASK = 0xffff_ffff_ffff_ffffn;
  let key = BigInt(vlan) << 48n;
  address.forEach((byte, i) => {
    key |= BigInt(byte) << BigInt(8 * i);
  });
  key ^= key >> 33n;
  key = (key * 0xff51afd7ed558ccdn) & MASK;
  key ^= key >> 33n;
  key = (key * 0xc4ceb9fe1a85ec53n) & MASK;
  return Number(key & BigInt(size - 1));
}

test('buckets are those of the reference, for every address, VLAN and size', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), fc.nat(4095), fc.nat(20), (address, vlan, bits) => {
      const view = new DataView(address.buffer, address.byteOffset);
      const high = view.getUint16(4, true) | (vlan << 16);
      assert.equal(hashBucket(view.getInt32(0, true), high, 2 ** bits), bucket(address, vlan, 2 ** bits));
    }),
    { numRuns: 2000 },
  );
  // As Debian's switch showed them.
  for (const [text, vlan, size, expected] of [
    ['02:00:00:00:00:0a', 0, 128, 9],
    ['02:00:00:00:00:0b', 0, 128, 26],
    ['02:00:00:00:00:0b', 10, 128, 32],
  ] as const) {
    assert.equal(
      bucket(
        Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16)),
        vlan,
        size,
      ),
      expected,
    );
  }
});

test('hash/print shows every address once, in the order of the buckets, and as of one moment', (t) => {
  const { commands, learn, table } = setUp(t);
  for (let n = 0; n < 3000; n++) learn(n * 77, n % 3 === 0 ? 5 : 0, 1 + (n % 4));
  const lines: string[] = [];
  const printed = commands
    .find(({ name }) => name === 'hash/print')
    ?.run?.('', [], {
      uid: undefined,
      debug: undefined,
      depth: 0,
      inBlock: false,
    });
  let breaths = 0;
  for (const line of printed ?? []) {
    if (line === undefined) breaths++;
    else lines.push(line);
    // What happens meanwhile does not show.
    if (lines.length === 100) table.clear();
  }
  const rows = parseHash(lines);
  assert.equal(rows.length, 3000);
  assert.equal(new Set(rows.map(({ mac, vlan }) => `${mac} ${vlan}`)).size, 3000);
  assert.ok(rows.every(({ bucket }, i) => i === 0 || bucket >= rows[i - 1].bucket));
  assert.ok(breaths > 10, `${breaths} turns for others`);
  for (const { bucket: shown, mac, vlan, port } of rows) {
    const bytes = Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
    assert.equal(shown, bucket(bytes, vlan, 128));
    const n = ((bytes[5] << 24) | (bytes[4] << 16) | (bytes[3] << 8) | bytes[2]) / 77;
    assert.deepEqual([vlan, port], [n % 3 === 0 ? 5 : 0, 1 + (n % 4)]);
  }
});

test('hash/find shows the port that hash/print shows, where C adds one', (t) => {
  const { commands, learn } = setUp(t);
  learn(0x0a0000, 7, 3);
  const printed = data(commands, 'hash/print');
  assert.match(printed[0], /to port: 003/);
  const [{ mac }] = parseHash(printed);
  for (const form of [mac, mac.replaceAll(':', '.'), mac.toUpperCase(), mac.replaceAll(/\b0(?=[\da-f])/g, '')]) {
    assert.deepEqual(data(commands, `hash/find ${form} 7`), printed, form);
  }
  for (const other of [`${mac} 8`, mac, `${mac} ${7 + 65536}`, `${mac} -1`, '2:0:0:0:0:1 7']) {
    assert.deepEqual(answer(commands, `hash/find ${other}`).slice(-1), ['1019 No such device'], other);
  }
});

test('what may be set is set; sizes that would end a C switch are refused', (t) => {
  const { commands, learn, service } = setUp(t);
  for (const size of ['0', '-4', 'x', '', '1048577', '2147483647', '99999999999999999999']) {
    assert.deepEqual(answer(commands, `hash/setsize ${size}`), ['1022 Invalid argument'], size);
  }
  learn(1);
  for (const line of ['hash/setsize 1000', 'hash/setgcint 0', 'hash/setexpire 30', 'hash/setminper -1'])
    data(commands, line);
  assert.deepEqual(data(commands, 'hash/showinfo'), [
    'Hash size 1024',
    'GC interval 0 secs',
    'GC expire 30 secs',
    'Min persistence -1 secs',
  ]);
  assert.equal(service.switch.table.size, 0, 'a new size forgets all addresses');
  data(commands, 'hash/setgcint 2147483647');
  assert.equal(service.sweepInterval, 2_147_483_647);
});

test('powers of two', () => {
  assert.deepEqual([1, 2, 3, 127, 128, 129].map(powerOfTwo), [1, 2, 4, 128, 128, 256]);
});
