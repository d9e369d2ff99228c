import assert from 'node:assert/strict';
import { closeSync, openSync, readlinkSync, readSync, writeSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import {
  DESCRIPTORS_MAX,
  descriptorNumbers,
  receiveWithDescriptors,
  sendWithDescriptors,
} from '../../src/sys/ancillary.js';
import { Descriptor } from '../../src/sys/descriptor.js';
import { errnoNumber } from '../../src/sys/errors.js';
import { CMSGHDR } from '../../src/sys/layout.js';
import { Memory } from '../../src/sys/memory.js';
import { closesOnExec, pipe } from '../../src/sys/process.js';
import { getOption, SOCK_STREAM, SOL_SOCKET, setOption } from '../../src/sys/socket.js';
import { root } from '../support/bin.js';
import { fdCount } from '../support/leaks.js';
import { eventually } from '../support/network.js';
import { run } from '../support/proc.js';
import { pair } from './ends.js';

const SO_PASSCRED = 16;
const memory = new Memory(64);

function nulls(t: TestContext, count: number): Descriptor[] {
  const all = Array.from({ length: count }, () => new Descriptor(openSync('/dev/null', 'r'), 'null'));
  t.after(() => {
    for (const one of all) one.close();
  });
  return all;
}

test('descriptors arrive with the bytes, open, close-on-exec and owned', (t) => {
  const [a, b] = pair(t, SOCK_STREAM);
  const ends = pipe();
  const sent = [new Descriptor(ends.read, 'read'), new Descriptor(ends.write, 'write')];
  assert.equal(sendWithDescriptors(a, Buffer.from('two ends'), sent), 8);
  for (const one of sent) one.close();
  const { length, descriptors, truncated } = receiveWithDescriptors(b, memory, 4);
  assert.equal(Buffer.from(memory.bytes.subarray(0, length)).toString(), 'two ends');
  assert.equal(truncated, false);
  assert.equal(descriptors.length, 2);
  const [read, write] = descriptors;
  assert.ok(closesOnExec(read.fd) && closesOnExec(write.fd));
  writeSync(write.fd, 'through');
  const text = Buffer.alloc(7);
  assert.equal(readSync(read.fd, text), 7);
  assert.equal(text.toString(), 'through');
  read.close();
  write.close();
});

test('bytes alone, nothing at all and the end of the stream', (t) => {
  const [a, b] = pair(t, SOCK_STREAM);
  assert.deepEqual(receiveWithDescriptors(b, memory, 1), {
    length: -errnoNumber('EAGAIN'),
    descriptors: [],
    truncated: false,
  });
  assert.equal(sendWithDescriptors(a, Buffer.from('plain')), 5);
  assert.deepEqual(receiveWithDescriptors(b, memory, 1), { length: 5, descriptors: [], truncated: false });
  a.close();
  assert.deepEqual(receiveWithDescriptors(b, memory, 1), { length: 0, descriptors: [], truncated: false });
  assert.equal(sendWithDescriptors(b, Buffer.from('x'), nulls(t, 1)), -errnoNumber('EPIPE'));
});

test('a full message carries 253 descriptors', (t) => {
  const [a, b] = pair(t, SOCK_STREAM);
  const [one] = nulls(t, 1);
  const sent = new Array(DESCRIPTORS_MAX).fill(one);
  assert.equal(sendWithDescriptors(a, Buffer.from('x'), sent), 1);
  const { descriptors, truncated } = receiveWithDescriptors(b, memory, DESCRIPTORS_MAX);
  assert.equal(descriptors.length, DESCRIPTORS_MAX);
  assert.equal(truncated, false);
  assert.ok(descriptors.every(({ fd }) => readlinkSync(`/proc/self/fd/${fd}`) === '/dev/null'));
  for (const descriptor of descriptors) descriptor.close();
  assert.throws(() => sendWithDescriptors(a, Buffer.from('x'), [...sent, one]), RangeError);
});

for (const [wanted, sent] of [
  [0, 1],
  [0, 5],
  [1, 2],
  [1, 9],
  [3, 200],
]) {
  test(`of ${sent} descriptors where ${wanted} are wanted the rest is closed, and said to be missing`, async (t) => {
    const [a, b] = pair(t, SOCK_STREAM);
    const [one] = nulls(t, 1);
    const before = fdCount(process.pid);
    assert.equal(sendWithDescriptors(a, Buffer.from('many'), new Array(sent).fill(one)), 4);
    const { length, descriptors, truncated } = receiveWithDescriptors(b, memory, wanted);
    assert.equal(length, 4);
    assert.equal(truncated, true);
    assert.equal(descriptors.length, wanted);
    for (const descriptor of descriptors) descriptor.close();
    // Closed by another thread; others, of the compiler's, may have closed theirs since.
    await eventually('all are closed', async () => fdCount(process.pid) <= before);
  });
}

test('descriptors that nobody receives are closed by the kernel', (t) => {
  const [a, b] = pair(t, SOCK_STREAM);
  const ends = pipe();
  const write = new Descriptor(ends.write, 'write');
  assert.equal(sendWithDescriptors(a, Buffer.from('x'), [write]), 1);
  write.close();
  b.close();
  a.close();
  // The pipe ends: its only writer was on its way.
  assert.equal(readSync(ends.read, Buffer.alloc(1)), 0);
  closeSync(ends.read);
});

test('credentials that come along are passed over', (t) => {
  const [a, b] = pair(t, SOCK_STREAM);
  assert.ok(setOption(b, SOL_SOCKET, SO_PASSCRED, 1));
  assert.equal(getOption(b.fd, SOL_SOCKET, SO_PASSCRED), 1);
  const [one] = nulls(t, 1);
  for (const wanted of [0, 1]) {
    assert.equal(sendWithDescriptors(a, Buffer.from('x'), new Array(wanted).fill(one)), 1);
    const { length, descriptors, truncated } = receiveWithDescriptors(b, memory, wanted);
    assert.deepEqual([length, descriptors.length, truncated], [1, wanted, false]);
    descriptors[0]?.close();
  }
});

test('a process at its limit of descriptors gets what fits, and none is lost track of', async () => {
  const program = `
    import { openSync, closeSync } from 'node:fs';
    import { socketPair } from './src/sys/socket.ts';
    import { Descriptor } from './src/sys/descriptor.ts';
    import { Memory } from './src/sys/memory.ts';
    import { sendWithDescriptors, receiveWithDescriptors } from './src/sys/ancillary.ts';
    const [a, b] = socketPair(1, 'pair');
    const one = new Descriptor(openSync('/dev/null'), 'null');
    const filling = [];
    sendWithDescriptors(a, Buffer.from('x'), new Array(8).fill(one));
    try { for (;;) filling.push(openSync('/dev/null')); } catch {}
    for (const fd of filling.splice(0, 3)) closeSync(fd);
    const { length, descriptors, truncated } = receiveWithDescriptors(b, new Memory(8), 8);
    for (const descriptor of descriptors) descriptor.close();
    let free = 0;
    try { for (;;) { openSync('/dev/null'); free++; } } catch {}
    console.log(JSON.stringify([length, descriptors.length, truncated, free]));`;
  const { stdout, stderr } = await run(
    'sh',
    ['-c', 'ulimit -n 100; exec "$@"', 'sh', process.execPath, '--import', 'tsx', '--input-type=module', '-e', program],
    { cwd: root },
  );
  assert.equal(stdout.trim(), '[1,3,true,3]', stderr);
});

test('no control messages, however wrong their lengths, lead outside of them', () => {
  const message = fc.record({
    size: fc.oneof(fc.integer({ min: 0, max: 80 }), fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 52)),
    level: fc.constantFrom(SOL_SOCKET, 41),
    type: fc.constantFrom(1, 2),
  });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), fc.nat(300), fc.nat(7), (messages, length, shift) => {
      const control = new Memory(256);
      control.bytes.fill(0x7f);
      let at = 0;
      for (const { size, level, type } of messages) {
        if (at + CMSGHDR.size > control.size) break;
        control.setPointer(at + CMSGHDR.length, size);
        control.view.setInt32(at + CMSGHDR.level, level, true);
        control.view.setInt32(at + CMSGHDR.type, type, true);
        at += size > 80 ? 16 : Math.max(8, (size + shift) & ~7);
      }
      const numbers = descriptorNumbers(control, length);
      assert.ok(numbers.length * 4 <= Math.min(length, 256));
    }),
  );
});

test('control messages are read in order, padding and other kinds left out', () => {
  const control = new Memory(96);
  const put = (at: number, size: number, type: number, ...words: number[]): void => {
    control.setPointer(at + CMSGHDR.length, size);
    control.view.setInt32(at + CMSGHDR.level, SOL_SOCKET, true);
    control.view.setInt32(at + CMSGHDR.type, type, true);
    for (const [i, word] of words.entries()) control.view.setInt32(at + CMSGHDR.size + i * 4, word, true);
  };
  put(0, 20, 1, 5, 99);
  put(24, 28, 2, 1, 2, 3);
  put(56, 24, 1, 6, 7);
  assert.deepEqual(descriptorNumbers(control, 80), [5, 6, 7]);
  assert.deepEqual(descriptorNumbers(control, 79), [5]);
  assert.deepEqual(descriptorNumbers(control, 15), []);
});
