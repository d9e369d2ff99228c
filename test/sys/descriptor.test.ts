import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { receiveWithDescriptors, sendWithDescriptors } from '../../src/sys/ancillary.js';
import { Descriptor, isOpen } from '../../src/sys/descriptor.js';
import { Epoll } from '../../src/sys/epoll.js';
import { EventFd } from '../../src/sys/eventfd.js';
import { udpSocket } from '../../src/sys/inet.js';
import { SharedMemory } from '../../src/sys/memfd.js';
import { Memory } from '../../src/sys/memory.js';
import { dup2, pipe } from '../../src/sys/process.js';
import {
  AF_INET,
  AF_UNIX,
  bindUnix,
  connectUnix,
  listen,
  SOCK_STREAM,
  socket,
  socketPair,
  tryAccept,
} from '../../src/sys/socket.js';
import { openTap } from '../../src/sys/tap.js';
import { requireRoot, requireTun } from '../support/peers.js';
import { tmpDir } from '../support/tmp.js';

/** The kernel's word on a descriptor's flags: O_CLOEXEC is 02000000 in /proc/self/fdinfo. */
function closesOnExec(fd: number): boolean {
  const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  return (Number.parseInt(flags ?? '', 8) & 0o2000000) !== 0;
}

test('close is idempotent, and never hits a descriptor that has got the number since', () => {
  // A number that no other thread of this process comes by.
  const fd = 500;
  const file = openSync('/dev/null', 'r');
  dup2(file, fd);
  const own = new Descriptor(fd, 'own');
  own.close();
  assert.ok(own.closed);
  assert.ok(!isOpen(fd));
  dup2(file, fd);
  own.close();
  assert.ok(isOpen(fd));
  for (const one of [fd, file]) closeSync(one);
});

test('a closed descriptor cannot be used', () => {
  const own = new Descriptor(openSync('/dev/null', 'r'), 'my cable');
  own.close();
  assert.throws(() => own.fd, { name: 'VdeError', code: 'EBADF', subject: 'my cable' });
  assert.throws(() => own.duplicate(), { code: 'EBADF' });
  assert.throws(() => own.release(), { code: 'EBADF' });
});

test('a duplicate lives on its own', () => {
  const own = new Descriptor(openSync('/dev/null', 'r'), 'own');
  const copy = own.duplicate();
  const { fd } = copy;
  own.close();
  assert.ok(isOpen(fd));
  copy.close();
  assert.ok(!isOpen(fd));
});

test('what was released is not closed by its old owner', () => {
  const own = new Descriptor(openSync('/dev/null', 'r'), 'own');
  const fd = own.release();
  own.close();
  assert.ok(isOpen(fd));
  closeSync(fd);
});

test('every descriptor that we open closes at exec', (t) => {
  const path = join(tmpDir(t), 's');
  const listener = socket(AF_UNIX, SOCK_STREAM, path);
  bindUnix(listener, path);
  listen(listener, 1);
  const client = socket(AF_UNIX, SOCK_STREAM, path);
  connectUnix(client, path);
  const accepted = tryAccept(listener) as Descriptor;
  const [a, b] = socketPair(SOCK_STREAM, 'pair');
  sendWithDescriptors(a, Buffer.from('x'), [listener]);
  const [received] = receiveWithDescriptors(b, new Memory(8), 1).descriptors;
  const epoll = new Epoll();
  const ends = pipe();
  const event = new EventFd();
  const shared = SharedMemory.create('test', 1);
  const udp = udpSocket(AF_INET, 'udp');
  const all: Record<string, number> = {
    listener: listener.fd,
    client: client.fd,
    accepted: accepted.fd,
    pair: a.fd,
    'other of pair': b.fd,
    received: received.fd,
    duplicate: a.duplicate().fd,
    epoll: epoll.fd,
    pipe: ends.read,
    'other of pipe': ends.write,
    eventfd: event.descriptor.fd,
    memfd: shared.descriptor.fd,
    udp: udp.fd,
  };
  for (const [name, fd] of Object.entries(all)) assert.ok(closesOnExec(fd), name);
  for (const fd of Object.values(all)) closeSync(fd);
});

test('a tap closes at exec', (t) => {
  if (!requireRoot(t) || !requireTun(t)) return;
  const { descriptor } = openTap('', 'tap');
  assert.ok(closesOnExec(descriptor.fd));
  descriptor.close();
});
