import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { SenderNetworks } from '../../src/plug/sender-networks.js';
import { SOCKADDR_ROOM, writeInetAddress } from '../../src/sys/inet.js';
import { Memory } from '../../src/sys/memory.js';
import { AF_INET, AF_INET6 } from '../../src/sys/socket.js';

const memory = new Memory(2 * SOCKADDR_ROOM);

function hears(list: string, address: string): boolean {
  const family = address.includes(':') ? AF_INET6 : AF_INET;
  writeInetAddress(memory, SOCKADDR_ROOM, { address, port: 4789 });
  return new SenderNetworks(list, family, 'vxvde://').has(memory.words, SOCKADDR_ROOM >>> 2);
}

test('an address is heard if its first bits are those of a network in the list', () => {
  for (const [list, address, heard] of [
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['10.1.2.3/8', '10.9.9.9', true],
    ['192.0.2.7', '192.0.2.7', true],
    ['192.0.2.7', '192.0.2.6', false],
    ['192.0.2.6/31,10.0.0.0/8', '192.0.2.7', true],
    ['0.0.0.0/0', '203.0.113.9', true],
    ['fd00::/8', 'fdff::1', true],
    ['fd00::/8', 'fe80::1', false],
    ['2001:db8::1', '2001:db8::1', true],
    ['2001:db8::1', '2001:db8:1::1', false],
    ['2001:db8::/33', '2001:db8:7fff::1', true],
    ['2001:db8::/33', '2001:db8:8000::1', false],
    ['::/0', '::1', true],
  ] as const) {
    assert.equal(hears(list, address), heard, `${address} of ${list}`);
  }
});

test('as arithmetic has it, whatever the prefix', () => {
  const dotted = (bits: number) => [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
  const word = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(
    fc.property(word, fc.integer({ min: 0, max: 32 }), fc.integer({ min: 0, max: 31 }), (bits, prefix, flipped) => {
      const other = (bits ^ (0x8000_0000 >>> flipped)) >>> 0;
      assert.equal(hears(`${dotted(bits)}/${prefix}`, dotted(bits)), true);
      assert.equal(hears(`${dotted(bits)}/${prefix}`, dotted(other)), flipped >= prefix);
    }),
  );
});

test('what is no list of networks is refused', () => {
  const wrong = ['', '10.0.0.0/8,', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/-1', '10.0/8', '10.0.0.0/8/8', '10.0.0.0/ 8'];
  for (const list of [...wrong, 'fd00::/8', Array(65).fill('10.0.0.1').join(',')]) {
    assert.throws(
      () => new SenderNetworks(list, AF_INET, 'vxvde://'),
      /^VdeError: vxvde:\/\/: parameter "from": .*in quotes/,
      list,
    );
  }
  assert.throws(() => new SenderNetworks('fe80::%lo/10', AF_INET6, 'vxvde://'), /no network/);
});
