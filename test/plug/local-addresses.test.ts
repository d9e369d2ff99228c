import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LocalAddresses } from '../../src/plug/local-addresses.js';
import { VdeError } from '../../src/sys/errors.js';
import { writeInetAddress } from '../../src/sys/inet.js';
import { Memory } from '../../src/sys/memory.js';
import { AF_INET, AF_INET6 } from '../../src/sys/socket.js';

const raw = new Memory(64);
/** Where the addresses lie, as in a vector of sources: not at the beginning. */
const AT = 8;

for (const [family, own, other] of [
  [AF_INET, '10.0.0.1', '10.0.0.2'],
  [AF_INET6, 'fd00::1', 'fd00::2'],
] as const) {
  describe(`local addresses: ${own}`, () => {
    const mine = new Memory(32);
    writeInetAddress(mine, 0, { address: own, port: 7 });
    let now = 0;
    let asked = 0;
    const fixture = (): ((address: string) => boolean) => {
      now = asked = 0;
      const addresses = new LocalAddresses(
        family,
        () => now,
        (bytes) => {
          asked++;
          return Buffer.from(bytes).equals(mine.bytes.subarray(0, bytes.length));
        },
      );
      return (address) => {
        writeInetAddress(raw, AT * 4, { address, port: 7 });
        return addresses.has(raw.words, AT);
      };
    };

    it('the kernel is asked once for each, and again after a while', () => {
      const has = fixture();
      for (let i = 0; i < 10; i++) assert.deepEqual([has(own), has(other)], [true, false]);
      assert.equal(asked, 2);
      now = 60_000;
      assert.deepEqual([has(own), has(other)], [true, false]);
      assert.equal(asked, 4);
    });

    it('who makes up addresses does not have it asked for ever', () => {
      const has = fixture();
      const made = (i: number): string => (family === AF_INET ? `10.9.0.${i}` : `fd09::${i}`);
      assert.equal(has(own), true);
      for (let i = 1; i < 250; i++) has(made(i));
      assert.ok(asked < 20, String(asked));
      assert.equal(has(own), true);
      now = 60_000;
      assert.equal(has(made(200)), false);
    });
  });
}

it('what cannot be found out counts as local', () => {
  const addresses = new LocalAddresses(
    AF_INET,
    () => 0,
    () => {
      throw new VdeError({ code: 'EMFILE', subject: 'local address', cause: 'Too many open files' });
    },
  );
  writeInetAddress(raw, AT * 4, { address: '10.0.0.2', port: 7 });
  assert.equal(addresses.has(raw.words, AT), true);
});
