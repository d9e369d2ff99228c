import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readTo, writeFrom } from '../../src/sys/io.js';
import { LITTLE_ENDIAN, Memory } from '../../src/sys/memory.js';
import { SOCK_STREAM, socketPair } from '../../src/sys/socket.js';

test('memory is zeroed, rounded up to whole 8-byte words and never empty', () => {
  for (const [asked, got] of [
    [0, 8],
    [1, 8],
    [8, 8],
    [9, 16],
    [65_537, 65_544],
  ]) {
    const memory = new Memory(asked);
    assert.equal(memory.size, got);
    assert.equal(memory.bytes.length, got);
    assert.equal(memory.address % 8, 0);
    assert.ok(memory.bytes.every((byte) => byte === 0));
  }
});

test('the kernel reads and writes the bytes that JavaScript sees, also after a garbage collection', (t) => {
  const [a, b] = socketPair(SOCK_STREAM, 'pair');
  t.after(() => {
    a.close();
    b.close();
  });
  const [from, to] = [new Memory(64), new Memory(64)];
  // What would move the memory, if it could move: a lot of short-lived allocation.
  for (let i = 0; i < 2000; i++) Buffer.alloc(10_000);
  from.bytes.set(Buffer.from('written by JavaScript'));
  assert.equal(writeFrom(a.fd, from.address, 21), 21);
  assert.equal(readTo(b.fd, to.address + 8, 56), 21);
  assert.equal(Buffer.from(to.bytes.subarray(8, 29)).toString(), 'written by JavaScript');
});

test('a pointer is stored as the 64-bit word that it is', () => {
  const memory = new Memory(16);
  fc.assert(
    fc.property(fc.maxSafeNat(), (address) => {
      memory.setPointer(8, address);
      assert.equal(memory.view.getBigUint64(8, LITTLE_ENDIAN), BigInt(address));
      assert.equal(memory.view.getBigUint64(0), 0n);
    }),
  );
});

test('a C string is cut to its room, without half a character, and ends with NUL', () => {
  const memory = new Memory(32);
  memory.bytes.fill(0xff);
  assert.equal(memory.setCString(4, 'tap0', 16), 4);
  assert.equal(memory.cString(4, 16), 'tap0');
  memory.bytes.fill(0xff);
  assert.equal(memory.setCString(0, 'abcdefghij', 8), 7);
  assert.equal(memory.cString(0, 8), 'abcdefg');
  assert.equal(memory.setCString(0, 'abcdefä', 8), 6);
  assert.equal(memory.cString(0, 8), 'abcdef');
  assert.equal(memory.bytes[8], 0xff);
});

test('a C string without NUL ends with its room', () => {
  const memory = new Memory(16);
  memory.bytes.fill(0x41);
  assert.equal(memory.cString(2, 5), 'AAAAA');
  assert.equal(memory.cString(8, 8), 'AAAAAAAA');
});
