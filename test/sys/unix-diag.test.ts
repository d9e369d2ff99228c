import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { udpSocket } from '../../src/sys/inet.js';
import { AF_INET, AF_UNIX, bindUnix, connectUnix, SOCK_DGRAM, socket, socketPair } from '../../src/sys/socket.js';
import { isConnectedBack } from '../../src/sys/unix-diag.js';
import { tmpDir } from '../support/tmp.js';
import { owned } from './ends.js';

test('the ends of a pair are connected to each other, until one is closed', (t) => {
  const [a, b] = owned(t, ...socketPair(SOCK_DGRAM, 'pair'));
  assert.deepEqual([a, b].map(isConnectedBack), [true, true]);
  b.close();
  assert.equal(isConnectedBack(a), false);
});

test('a named socket is connected back when it has connected, and not to another', (t) => {
  const dir = tmpDir(t);
  const [a, b, c] = owned(t, ...['a', 'b', 'c'].map((name) => socket(AF_UNIX, SOCK_DGRAM, name)));
  for (const [name, one] of Object.entries({ a, b, c })) bindUnix(one, join(dir, name));
  connectUnix(a, join(dir, 'b'));
  assert.equal(isConnectedBack(a), false);
  connectUnix(b, join(dir, 'c'));
  assert.equal(isConnectedBack(a), false);
  connectUnix(b, join(dir, 'a'));
  assert.deepEqual([a, b, c].map(isConnectedBack), [true, true, false]);
});

test('sockets of other families are never', (t) => {
  const [udp] = owned(t, udpSocket(AF_INET, 'udp'));
  assert.equal(isConnectedBack(udp), false);
});
