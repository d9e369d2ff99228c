/** Each offset of src/sys/layout.ts against what the running kernel makes of it. */

import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { EPOLLIN, EPOLLOUT, Epoll } from '../../src/sys/epoll.js';
import { check, native } from '../../src/sys/ffi.js';
import { bindInet, localAddress, udpSocket } from '../../src/sys/inet.js';
import { CMSGHDR, IOVEC, MSGHDR, SOCKADDR_UN } from '../../src/sys/layout.js';
import { Memory } from '../../src/sys/memory.js';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  bindUnix,
  peerCredentials,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  socket,
  socketPair,
  writeUnixAddress,
} from '../../src/sys/socket.js';
import { isInterfaceUp } from '../../src/sys/tap.js';
import { root } from '../support/bin.js';
import { namespace } from '../support/namespace.js';
import { requirePeer, requireTun } from '../support/peers.js';
import { tmpDir } from '../support/tmp.js';
import { owned } from './ends.js';

const sendmsg = native<(fd: number, header: number, flags: number) => number>(
  'long sendmsg(int fd, size_t header, int flags)',
);
const recvmsg = native<(fd: number, header: number, flags: number) => number>(
  'long recvmsg(int fd, size_t header, int flags)',
);
const MSG_TRUNC = 0x20;

function bound(t: TestContext, path: string): Descriptor {
  const [own] = owned(t, socket(AF_UNIX, SOCK_DGRAM, path));
  bindUnix(own, path);
  return own;
}

test('epoll_event: tags and events of several descriptors come back as they were given', (t) => {
  const ends = owned(t, ...socketPair(SOCK_STREAM, 'a'), ...socketPair(SOCK_STREAM, 'b'));
  const [epoll] = owned(t, new Epoll());
  const tags = [0xdead_beef, 0, 0xffff_fffe, 7];
  const events = [EPOLLOUT, EPOLLOUT, EPOLLIN, EPOLLIN | EPOLLOUT];
  for (const [i, end] of ends.entries()) epoll.add(end.fd, events[i], tags[i]);
  const ready = new Map(Array.from({ length: epoll.wait(0) }, (_, i) => [epoll.tag(i), epoll.events(i)]));
  assert.deepEqual(
    ready,
    new Map([
      [0xdead_beef, EPOLLOUT],
      [0, EPOLLOUT],
      [7, EPOLLOUT],
    ]),
  );
  epoll.modify(ends[0].fd, EPOLLIN, 5);
  epoll.remove(ends[1].fd);
  assert.equal(epoll.wait(0), 1);
});

test('msghdr, iovec, cmsghdr: a message with name, pieces and a descriptor arrives as such', (t) => {
  const dir = tmpDir(t);
  const [from, to] = [bound(t, join(dir, 'from')), bound(t, join(dir, 'to'))];
  const name = new Memory(SOCKADDR_UN.size);
  writeUnixAddress(name, 0, join(dir, 'to'));
  const bytes = new Memory(16);
  bytes.bytes.set(Buffer.from('one, two and six'));
  const iov = new Memory(IOVEC.size * 2);
  iov.setPointer(IOVEC.base, bytes.address + 5);
  iov.setPointer(IOVEC.length, 3);
  iov.setPointer(IOVEC.size + IOVEC.base, bytes.address);
  iov.setPointer(IOVEC.size + IOVEC.length, 5);
  const fd = openSync('/dev/null', 'r');
  const control = new Memory(CMSGHDR.size + 8);
  control.setPointer(CMSGHDR.length, CMSGHDR.size + 4);
  control.view.setInt32(CMSGHDR.level, SOL_SOCKET, true);
  control.view.setInt32(CMSGHDR.type, 1, true);
  control.view.setInt32(CMSGHDR.size, fd, true);
  const header = new Memory(MSGHDR.size);
  const fill = (nameLength: number, pieces: number): void => {
    header.setPointer(MSGHDR.name, name.address);
    header.setPointer(MSGHDR.nameLength, nameLength);
    header.setPointer(MSGHDR.iov, iov.address);
    header.setPointer(MSGHDR.iovLength, pieces);
    header.setPointer(MSGHDR.control, control.address);
    header.setPointer(MSGHDR.controlLength, CMSGHDR.size + 4);
    header.setPointer(MSGHDR.flags, 0);
  };
  fill(SOCKADDR_UN.size, 2);
  assert.equal(check(sendmsg(from.fd, header.address, 0), 'sendmsg', 'test'), 8);
  closeSync(fd);
  for (const memory of [name, control, bytes]) memory.bytes.fill(0);
  fill(SOCKADDR_UN.size, 1);
  assert.equal(check(recvmsg(to.fd, header.address, 0), 'recvmsg', 'test'), 3);
  assert.equal(bytes.cString(5, 11), 'two');
  assert.equal(header.words[MSGHDR.flags / 4] & MSG_TRUNC, MSG_TRUNC);
  assert.equal(name.view.getUint16(0, true), AF_UNIX);
  assert.equal(name.cString(SOCKADDR_UN.path, SOCKADDR_UN.pathRoom), join(dir, 'from'));
  // Family, path and NUL.
  assert.equal(header.words[MSGHDR.nameLength / 4], SOCKADDR_UN.path + join(dir, 'from').length + 1);
  assert.equal(header.words[MSGHDR.controlLength / 4], CMSGHDR.size + 4);
  assert.equal(control.words[CMSGHDR.length / 4], CMSGHDR.size + 4);
  const received = control.view.getInt32(CMSGHDR.size, true);
  assert.equal(readlinkSync(`/proc/self/fd/${received}`), '/dev/null');
  closeSync(received);
});

test('sockaddr_un: the kernel lists the path that was bound, and an abstract name with its padding', (t) => {
  const path = join(tmpDir(t), 'socket');
  bound(t, path);
  bound(t, `\0vde-layout-${process.pid}`);
  const names = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map((line) => line.split(/ +/)[7]);
  assert.ok(names.includes(path));
  // An abstract name is all 108 bytes; the kernel shows NUL as @.
  assert.ok(names.includes(`@vde-layout-${process.pid}`.padEnd(SOCKADDR_UN.pathRoom, '@')));
});

test('sockaddr_in and sockaddr_in6: the kernel lists the address and port that were bound', (t) => {
  for (const [family, address, file, shown] of [
    [AF_INET, '127.0.0.1', 'udp', '0100007F'],
    [AF_INET6, '::', 'udp6', '0'.repeat(32)],
  ] as const) {
    const [own] = owned(t, udpSocket(family, 'udp'));
    bindInet(own, { address, port: 0 });
    const port = localAddress(own.fd)?.port.toString(16).toUpperCase().padStart(4, '0');
    assert.ok(readFileSync(`/proc/net/${file}`, 'utf8').includes(` ${shown}:${port} `), `${shown}:${port}`);
  }
});

test('ucred: the other end of our own socket pair is us', (t) => {
  const [a] = owned(t, ...socketPair(SOCK_STREAM, 'pair'));
  assert.deepEqual(peerCredentials(a), { pid: process.pid, uid: process.geteuid?.(), gid: process.getegid?.() });
});

test('ifreq: the kernel knows lo, and nothing under other names', () => {
  const state = readFileSync('/sys/class/net/lo/flags', 'utf8');
  assert.equal(isInterfaceUp('lo'), (Number(state) & 1) === 1);
  assert.equal(isInterfaceUp('nosuch0'), undefined);
});

// What the kernel asks to be done about a datagram of 450 bytes that is to become segments of 100.
const OFFLOADED = `
  import { execFileSync } from 'node:child_process';
  import { EPOLLIN } from './src/sys/epoll.ts';
  import { VIRTIO_NET_HDR as H } from './src/sys/layout.ts';
  import { loop } from './src/sys/loop.ts';
  import { Memory } from './src/sys/memory.ts';
  import { readTo, writeFrom } from './src/sys/io.ts';
  import { connectInet, udpSocket } from './src/sys/inet.ts';
  import { setOption, trySend } from './src/sys/socket.ts';
  import { openTap, setTapOffloads, TAP_OFFLOADS, tapKind } from './src/sys/tap.ts';
  const { descriptor: tap, interfaceName } = openTap('off%d', 'tap', { offloadHeader: true });
  const { name, ...kind } = tapKind(tap.fd);
  if (name !== interfaceName) throw new Error(name);
  setTapOffloads(tap, TAP_OFFLOADS);
  const ip = (...args) => execFileSync('ip', args);
  execFileSync('sh', ['-c', 'echo 1 >/proc/sys/net/ipv6/conf/' + name + '/disable_ipv6']);
  ip('address', 'add', '10.9.0.1/24', 'dev', name);
  ip('link', 'set', name, 'up');
  ip('neighbour', 'add', '10.9.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', name, 'nud', 'permanent');
  const udp = udpSocket(2, 'udp');
  connectInet(udp, { address: '10.9.0.2', port: 9 });
  const data = new Memory(450);
  const frame = new Memory(2048);
  const next = () => new Promise((done) => {
    const watch = loop().watch(tap.fd, EPOLLIN, () => { watch.close(); done(readTo(tap.fd, frame.address, 2048)); });
  });
  const report = (n) => {
    const { view, bytes } = frame;
    console.log(JSON.stringify({
      n: n - H.size, flags: bytes[H.flags], gso: bytes[H.gsoType], size: view.getUint16(H.gsoSize, true),
      start: view.getUint16(H.checksumStart, true), offset: view.getUint16(H.checksumOffset, true),
    }));
  };
  console.log(JSON.stringify(kind));
  trySend(udp, data, 100);
  report(await next());
  setOption(udp, 17, 103, 100);
  trySend(udp, data, 450);
  report(await next());
  frame.view.setUint16(H.headerLength, 42, true);
  const written = [writeFrom(tap.fd, frame.address, H.size + 492)];
  frame.view.setUint16(H.checksumStart, 600, true);
  written.push(writeFrom(tap.fd, frame.address, H.size + 492));
  console.log(JSON.stringify(written));
  udp.close();
  tap.close();`;

test('virtio_net_hdr: the kernel fills it in as the standard says, and obeys it', async (t) => {
  if (!requirePeer(t, 'ip', 'nsenter') || !requireTun(t)) return;
  const inside = await namespace(t);
  const args = ['--import', 'tsx', '--input-type=module', '-e', OFFLOADED];
  const { stdout, stderr } = await inside.exec(process.execPath, args, { cwd: root, timeout: 60_000 });
  const lines = stdout.trim().split('\n');
  assert.equal(lines.length, 4, stderr);
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      { tap: true, offloadHeader: 10 },
      // The UDP header is at 14 + 20 bytes, its checksum at byte 6 of it, and still to be computed.
      { n: 142, flags: 1, gso: 0, size: 0, start: 34, offset: 6 },
      // VIRTIO_NET_HDR_GSO_UDP_L4.
      { n: 492, flags: 1, gso: 5, size: 100, start: 34, offset: 6 },
      // A checksum outside of the frame is refused: EINVAL.
      [502, -22],
    ],
  );
});
