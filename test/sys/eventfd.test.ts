import assert from 'node:assert/strict';
import { test } from 'node:test';
import { receiveWithDescriptors, sendWithDescriptors } from '../../src/sys/ancillary.js';
import { EPOLLIN } from '../../src/sys/epoll.js';
import { EventFd } from '../../src/sys/eventfd.js';
import { loop } from '../../src/sys/loop.js';
import { Memory } from '../../src/sys/memory.js';
import { SOCK_STREAM, socketPair } from '../../src/sys/socket.js';

test('signals add up until they are taken', () => {
  using event = new EventFd();
  assert.equal(event.take(), 0);
  event.signal();
  event.signal(41);
  assert.equal(event.take(), 42);
  assert.equal(event.take(), 0);
  event.signal(Number.MAX_SAFE_INTEGER);
  assert.equal(event.take(), Number.MAX_SAFE_INTEGER);
});

test('a full counter stays full and is no error', () => {
  using event = new EventFd();
  // 2^64 - 2 is the most that it holds: 2048 times 2^53 - 1 and a little.
  for (let i = 0; i < 2050; i++) event.signal(Number.MAX_SAFE_INTEGER);
  assert.ok(event.take() > 2 ** 63);
});

test('a signal wakes the loop', async () => {
  using event = new EventFd();
  const taken = await new Promise<number>((done) => {
    const watch = loop().watch(event.descriptor.fd, EPOLLIN, () => {
      watch.close();
      done(event.take());
      return undefined;
    });
    event.signal(3);
  });
  assert.equal(taken, 3);
});

test('a counter that was passed on is the same counter', () => {
  const [a, b] = socketPair(SOCK_STREAM, 'pair');
  using mine = new EventFd();
  sendWithDescriptors(a, Buffer.from('x'), [mine.descriptor]);
  using theirs = new EventFd(receiveWithDescriptors(b, new Memory(8), 1).descriptors[0]);
  theirs.signal(7);
  assert.equal(mine.take(), 7);
  a.close();
  b.close();
});

test('a closed one cannot be used', () => {
  const event = new EventFd();
  event.close();
  event.close();
  assert.throws(() => event.signal(), { code: 'EBADF' });
  assert.throws(() => event.take(), { code: 'EBADF' });
});
