import assert from 'node:assert/strict';
import { fstatSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { receiveWithDescriptors, sendWithDescriptors } from '../../src/sys/ancillary.js';
import { Descriptor, isOpen } from '../../src/sys/descriptor.js';
import { SharedMemory } from '../../src/sys/memfd.js';
import { Memory } from '../../src/sys/memory.js';
import { SOCK_STREAM, socketPair } from '../../src/sys/socket.js';
import { root } from '../support/bin.js';
import { run } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

test('shared memory is zeroed, at least as large as asked for and backed by its descriptor', () => {
  using shared = SharedMemory.create('rings', 100_000);
  const { memory, descriptor } = shared;
  assert.ok(memory.size >= 100_000);
  assert.equal(fstatSync(descriptor.fd).size, memory.size);
  assert.ok(memory.bytes.every((byte) => byte === 0));
  memory.bytes.set(Buffer.from('hello'), 4096);
  const text = Buffer.alloc(5);
  readSync(descriptor.fd, text, 0, 5, 4096);
  assert.equal(text.toString(), 'hello');
  writeSync(descriptor.fd, 'other', 99_000);
  assert.equal(memory.cString(99_000, 10), 'other');
  assert.match(readFileSync('/proc/self/maps', 'utf8'), /memfd:rings/);
});

test('whoever gets the descriptor sees the same bytes, also after both have closed it', () => {
  const [a, b] = socketPair(SOCK_STREAM, 'pair');
  const mine = SharedMemory.create('rings', 1);
  sendWithDescriptors(a, Buffer.from('x'), [mine.descriptor]);
  const theirs = SharedMemory.open(receiveWithDescriptors(b, new Memory(8), 1).descriptors[0], 1 << 20);
  mine.close();
  theirs.close();
  theirs.close();
  assert.notEqual(theirs.memory.address, mine.memory.address);
  mine.memory.words[7] = 0xcafe;
  assert.equal(theirs.memory.words[7], 0xcafe);
  a.close();
  b.close();
});

test('its size is sealed: a shorter mapping would kill whoever reads it', () => {
  using shared = SharedMemory.create('rings', 1);
  assert.throws(() => ftruncateSync(shared.descriptor.fd, 0), { code: 'EPERM' });
  assert.throws(() => ftruncateSync(shared.descriptor.fd, 1 << 20), { code: 'EPERM' });
});

test('memory that could be shrunk, is too large, or is no memory is refused, and its descriptor closed', (t) => {
  const file = openSync(join(tmpDir(t), 'file'), 'w+');
  writeSync(file, 'x'.repeat(4096));
  const unsealed = new Descriptor(file, 'a file');
  assert.throws(() => SharedMemory.open(unsealed, 1 << 20), {
    name: 'VdeError',
    code: 'EINVAL',
    message: 'a file: shared memory refused: its owner could shrink it',
  });
  assert.ok(!isOpen(file));
  using shared = SharedMemory.create('rings', 1 << 20);
  const copy = shared.descriptor.duplicate();
  assert.throws(() => SharedMemory.open(copy, 4096), { code: 'EINVAL', message: /1048576 bytes, 1 to 4096 allowed/ });
  assert.ok(copy.closed);
  assert.throws(() => SharedMemory.open(new Descriptor(openSync('/dev/null', 'r'), 'null'), 4096), { code: 'EINVAL' });
});

test('memory that nobody references any more is unmapped', async () => {
  const program = `
    import { readFileSync } from 'node:fs';
    import { SharedMemory } from './src/sys/memfd.ts';
    const mapped = () => readFileSync('/proc/self/maps', 'utf8').split('memfd:rings').length - 1;
    const kept = SharedMemory.create('rings', 1);
    for (let i = 0; i < 100; i++) SharedMemory.create('rings', 1).close();
    const before = mapped();
    let rounds = 0;
    while (mapped() > 1 && rounds++ < 100) { gc(); await new Promise((done) => setTimeout(done, 1)); }
    kept.memory.bytes[0] = 1;
    console.log(before > 1, mapped());`;
  const args = ['--expose-gc', '--import', 'tsx', '--input-type=module', '-e', program];
  const { stdout, stderr } = await run(process.execPath, args, { cwd: root });
  assert.equal(stdout.trim(), 'true 1', stderr);
});
