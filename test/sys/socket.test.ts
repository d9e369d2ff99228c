import assert from 'node:assert/strict';
import { chmodSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Descriptor } from '../../src/sys/descriptor.js';
import { errnoNumber } from '../../src/sys/errors.js';
import { Memory } from '../../src/sys/memory.js';
import {
  AF_INET,
  AF_UNIX,
  bindUnix,
  connectUnix,
  getOption,
  listen,
  networkCookie,
  peerCredentials,
  peerGroups,
  probeUnix,
  SO_SNDBUF,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
  setSendBuffer,
  shutdownWrite,
  socket,
  socketPair,
  tryAccept,
  tryConnectUnix,
  tryReceive,
  trySend,
  UNIX_PATH_MAX,
  unlinkQuietly,
} from '../../src/sys/socket.js';
import { requireRoot } from '../support/peers.js';
import { start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

const EAGAIN = -errnoNumber('EAGAIN');

function open(t: TestContext, type: number, path = 'test'): Descriptor {
  const own = socket(AF_UNIX, type, path);
  t.after(() => own.close());
  return own;
}

function listening(t: TestContext, type: number): { path: string; listener: Descriptor } {
  const path = join(tmpDir(t), 's');
  const listener = open(t, type, path);
  bindUnix(listener, path);
  listen(listener, 4);
  return { path, listener };
}

function accept(t: TestContext, listener: Descriptor): Descriptor {
  const stream = tryAccept(listener);
  assert.ok(typeof stream !== 'number', `accept: errno ${stream}`);
  t.after(() => stream.close());
  return stream;
}

function put(socket: Descriptor, text: string): number {
  const memory = new Memory(text.length);
  memory.bytes.set(Buffer.from(text));
  return trySend(socket, memory, text.length);
}

function get(socket: Descriptor): string | number {
  const memory = new Memory(256);
  const n = tryReceive(socket, memory);
  return n < 0 ? n : Buffer.from(memory.bytes.subarray(0, n)).toString();
}

for (const [name, type, read] of [
  ['stream', SOCK_STREAM, ['onetwo']],
  ['seqpacket', SOCK_SEQPACKET, ['one', 'two']],
] as const) {
  test(`a ${name} socket connects by path, carries bytes both ways and ends`, (t) => {
    const { path, listener } = listening(t, type);
    assert.equal(tryAccept(listener), errnoNumber('EAGAIN'));
    const client = open(t, type, path);
    connectUnix(client, path);
    const server = accept(t, listener);
    assert.equal(get(server), EAGAIN);
    assert.equal(put(client, 'one'), 3);
    assert.equal(put(client, 'two'), 3);
    for (const text of read) assert.equal(get(server), text);
    assert.equal(put(server, 'back'), 4);
    assert.equal(get(client), 'back');
    shutdownWrite(client);
    assert.equal(get(server), '');
    client.close();
    assert.equal(put(server, 'late'), -errnoNumber('EPIPE'));
  });
}

test('datagram sockets connected to each other keep the bounds of datagrams', (t) => {
  const dir = tmpDir(t);
  const [a, b] = [open(t, SOCK_DGRAM), open(t, SOCK_DGRAM)];
  bindUnix(a, join(dir, 'a'));
  bindUnix(b, join(dir, 'b'));
  connectUnix(a, join(dir, 'b'));
  connectUnix(b, join(dir, 'a'));
  assert.equal(put(a, 'one'), 3);
  assert.equal(put(a, ''), 0);
  assert.equal(put(a, 'two'), 3);
  assert.deepEqual([get(b), get(b), get(b), get(b)], ['one', '', 'two', EAGAIN]);
  b.close();
  assert.equal(put(a, 'lost'), -errnoNumber('ECONNREFUSED'));
});

test('a path of 107 bytes is bound, one of 108 is refused by name', (t) => {
  const dir = tmpDir(t);
  const longest = join(dir, 'x'.repeat(UNIX_PATH_MAX - dir.length - 1));
  bindUnix(open(t, SOCK_DGRAM), longest);
  assert.ok(statSync(longest).isSocket());
  assert.throws(() => bindUnix(open(t, SOCK_DGRAM), `${longest}x`), {
    name: 'VdeError',
    code: 'ENAMETOOLONG',
    subject: `${longest}x`,
  });
  // Bytes count, not characters.
  assert.throws(() => tryConnectUnix(open(t, SOCK_DGRAM), `/${'ä'.repeat(54)}`), { code: 'ENAMETOOLONG' });
});

test('a bound socket is its owner alone, whatever the umask, and the umask stays', (t) => {
  const path = join(tmpDir(t), 's');
  const umask = process.umask(0);
  try {
    bindUnix(open(t, SOCK_STREAM), path);
    assert.equal(process.umask(), 0);
    assert.throws(() => bindUnix(open(t, SOCK_STREAM), path), { code: 'EADDRINUSE', subject: path });
    assert.equal(process.umask(), 0);
  } finally {
    process.umask(umask);
  }
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('connecting says why it failed', (t) => {
  const dir = tmpDir(t);
  const path = join(dir, 'none');
  assert.equal(tryConnectUnix(open(t, SOCK_STREAM), path), errnoNumber('ENOENT'));
  assert.throws(() => connectUnix(open(t, SOCK_STREAM), path, 'start it'), {
    code: 'ENOENT',
    message: `${path}: No such file or directory (start it)`,
  });
});

test('whether somebody answers at a path', (t) => {
  const { path, listener } = listening(t, SOCK_STREAM);
  assert.equal(probeUnix(path, SOCK_STREAM), 'alive');
  assert.equal(probeUnix(path, SOCK_DGRAM), 'alive');
  listener.close();
  assert.equal(probeUnix(path, SOCK_STREAM), 'stale');
  unlinkQuietly(path);
  assert.equal(probeUnix(path, SOCK_STREAM), 'absent');
  writeFileSync(path, 'precious');
  assert.equal(probeUnix(path, SOCK_STREAM), 'foreign');
  unlinkQuietly(path);
  unlinkQuietly(path);
});

test('a full queue of connections is somebody alive', (t) => {
  const { path, listener } = listening(t, SOCK_STREAM);
  listen(listener, 0);
  connectUnix(open(t, SOCK_STREAM), path);
  assert.equal(tryConnectUnix(open(t, SOCK_STREAM), path), errnoNumber('EAGAIN'));
  assert.equal(probeUnix(path, SOCK_STREAM), 'alive');
});

test('the peer is who the kernel says: this process', (t) => {
  const { path, listener } = listening(t, SOCK_STREAM);
  connectUnix(open(t, SOCK_STREAM), path);
  const server = accept(t, listener);
  assert.deepEqual(peerCredentials(server), { pid: process.pid, uid: process.geteuid?.(), gid: process.getegid?.() });
  const groups = /^Groups:\s(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  assert.deepEqual(peerGroups(server), groups.split(' ').filter(Boolean).map(Number));
});

test('another user is told by the kernel, with its groups', async (t) => {
  if (!requireRoot(t)) return;
  const { path, listener } = listening(t, SOCK_STREAM);
  const program = `process.setgroups([65534, 12345]); process.setgid(65533); process.setuid(65532);
    require('net').connect(${JSON.stringify(path)}).on('connect', () => console.log('connected'));`;
  chmodSync(path, 0o777);
  chmodSync(join(path, '..'), 0o755);
  const client = start(t, process.execPath, ['-e', program]);
  await client.waitFor('connected');
  const server = accept(t, listener);
  assert.deepEqual(peerCredentials(server), { pid: client.pid, uid: 65532, gid: 65533 });
  assert.deepEqual(peerGroups(server).sort(), [12345, 65534]);
});

test('options are read and set', (t) => {
  const [a, b] = socketPair(SOCK_DGRAM, 'pair');
  t.after(() => {
    a.close();
    b.close();
  });
  assert.equal(getOption(a.fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
  setSendBuffer(a, 100_000);
  // The kernel doubles it, for its own bookkeeping (socket(7)).
  assert.equal(getOption(a.fd, SOL_SOCKET, SO_SNDBUF), 200_000);
  assert.equal(getOption(a.fd, SOL_SOCKET, 9999), -errnoNumber('ENOPROTOOPT'));
});

test('sockets of one network namespace have one cookie, whatever their family', (t) => {
  const sockets = [socket(AF_UNIX, SOCK_DGRAM, 'a'), socket(AF_INET, SOCK_DGRAM, 'b')];
  t.after(() => {
    for (const one of sockets) one.close();
  });
  const [a, b] = sockets.map(({ fd }) => networkCookie(fd));
  assert.ok(a === undefined || a > 0n);
  assert.equal(a, b);
  const file = new Descriptor(openSync('/dev/null', 'r'), 'no socket');
  t.after(() => file.close());
  assert.equal(networkCookie(file.fd), undefined);
});
