import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { errnoNumber, type VdeError } from '../../src/sys/errors.js';
import {
  bindInet,
  connectInet,
  formatInetAddress,
  type InetAddress,
  interfaceIndex,
  isLocalAddress,
  joinMulticast,
  leaveMulticast,
  localAddress,
  readInetAddress,
  SOCKADDR_ROOM,
  setMulticastInterface,
  setMulticastLoop,
  setMulticastTtl,
  type UdpOptions,
  udpSocket,
  writeInetAddress,
} from '../../src/sys/inet.js';
import { Memory } from '../../src/sys/memory.js';
import { AF_INET, AF_INET6, getOption, SOCK_DGRAM, socketPair, tryReceive, trySend } from '../../src/sys/socket.js';
import { root } from '../support/bin.js';
import { namespace } from '../support/namespace.js';
import { need, requirePeer, requireUserNamespaces } from '../support/peers.js';
import { arrival } from './ends.js';

const memory = new Memory(SOCKADDR_ROOM);
const data = new Memory(2048);

function udp(t: TestContext, family: typeof AF_INET | typeof AF_INET6, options?: UdpOptions): Descriptor {
  const own = udpSocket(family, 'test', options);
  t.after(() => own.close());
  return own;
}

function bound(t: TestContext, address: string, options?: UdpOptions): { socket: Descriptor; at: InetAddress } {
  const own = udp(t, address.includes(':') ? AF_INET6 : AF_INET, options);
  bindInet(own, { address, port: 0 });
  return { socket: own, at: localAddress(own.fd) as InetAddress };
}

function put(socket: Descriptor, text: string): number {
  data.bytes.set(Buffer.from(text));
  return trySend(socket, data, text.length);
}

/** The next datagram, once it is there. */
async function next(socket: Descriptor): Promise<string> {
  await arrival(socket);
  const n = tryReceive(socket, data);
  return n < 0 ? `errno ${-n}` : Buffer.from(data.bytes.subarray(0, n)).toString();
}

function hasV6(t: TestContext): boolean {
  return need(t, networkInterfaces().lo?.some(({ address }) => address === '::1') === true, 'IPv6 on the loopback');
}

test('a socket address is the bytes of ip(7) and ipv6(7)', () => {
  memory.bytes.fill(0xff);
  assert.equal(writeInetAddress(memory, 0, { address: '192.0.2.1', port: 0x1234 }), 16);
  assert.equal(Buffer.from(memory.bytes.subarray(0, 16)).toString('hex'), '02001234c00002010000000000000000');
  assert.equal(memory.bytes[16], 0xff);
  assert.equal(writeInetAddress(memory, 0, { address: '2001:db8::7%9', port: 53 }), 28);
  assert.equal(
    Buffer.from(memory.bytes.subarray(0, 28)).toString('hex'),
    `0a00003500000000${'20010db8000000000000000000000007'}09000000`,
  );
});

test('any address survives being written and read', () => {
  const ip = fc.oneof(fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(ip, fc.nat(65_535), (address, port) => {
      const length = writeInetAddress(memory, 0, { address, port });
      const read = readInetAddress(memory, 0, length) as InetAddress;
      assert.equal(read.port, port);
      const again = new Memory(SOCKADDR_ROOM);
      assert.equal(writeInetAddress(again, 0, read), length);
      assert.deepEqual(again.bytes.subarray(0, length), memory.bytes.subarray(0, length));
    }),
  );
});

test('a link-local address keeps its interface', () => {
  const length = writeInetAddress(memory, 0, { address: 'fe80::1%lo', port: 7 });
  assert.equal(memory.view.getUint32(24, true), interfaceIndex('lo'));
  assert.deepEqual(readInetAddress(memory, 0, length), { address: 'fe80::1%lo', port: 7 });
  memory.view.setUint32(24, 4_000_000, true);
  assert.deepEqual(readInetAddress(memory, 0, length), { address: 'fe80::1%4000000', port: 7 });
});

test('what is no address is refused by name', () => {
  for (const address of ['', 'localhost', '1.2.3', '1.2.3.4.5', '::g', '1.2.3.4%lo', ' 1.2.3.4']) {
    assert.throws(() => writeInetAddress(memory, 0, { address, port: 1 }), { code: 'EINVAL', subject: address });
  }
  for (const port of [-1, 65_536, 1.5, Number.NaN]) {
    assert.throws(() => writeInetAddress(memory, 0, { address: '::1', port }), { code: 'EINVAL' });
  }
  assert.throws(() => writeInetAddress(memory, 0, { address: 'fe80::1%nosuch0', port: 1 }), {
    code: 'ENODEV',
    subject: 'nosuch0',
  });
});

test('what is no whole Internet address reads as none', () => {
  const length = writeInetAddress(memory, 0, { address: '::1', port: 1 });
  for (let short = 0; short < length; short++) assert.equal(readInetAddress(memory, 0, short), undefined);
  assert.equal(readInetAddress(memory, 8, length), undefined);
  memory.view.setUint16(0, 1, true);
  assert.equal(readInetAddress(memory, 0, length), undefined);
  const [a, b] = socketPair(SOCK_DGRAM, 'pair');
  assert.equal(localAddress(a.fd), undefined);
  a.close();
  b.close();
});

test('addresses are shown as people write them', () => {
  assert.equal(formatInetAddress({ address: '10.0.0.1', port: 53 }), '10.0.0.1:53');
  assert.equal(formatInetAddress({ address: 'fe80::1%lo', port: 53 }), '[fe80::1%lo]:53');
});

for (const address of ['127.0.0.1', '::1']) {
  test(`UDP goes both ways over ${address}`, async (t) => {
    if (address === '::1' && !hasV6(t)) return;
    const [a, b] = [bound(t, address), bound(t, address)];
    assert.equal(a.at.address, address);
    assert.ok(a.at.port > 0);
    connectInet(a.socket, b.at);
    connectInet(b.socket, a.at);
    assert.equal(put(a.socket, 'there'), 5);
    assert.equal(await next(b.socket), 'there');
    assert.equal(put(b.socket, 'and back'), 8);
    assert.equal(await next(a.socket), 'and back');
    b.socket.close();
    put(a.socket, 'gone');
    assert.equal(await next(a.socket), `errno ${errnoNumber('ECONNREFUSED')}`);
  });
}

test('an address in use, and one of another machine, are refused by name', (t) => {
  const { at } = bound(t, '127.0.0.1');
  assert.throws(() => bindInet(udp(t, AF_INET), at, 'choose another port'), {
    code: 'EADDRINUSE',
    message: `127.0.0.1:${at.port}: Address already in use (choose another port)`,
  });
  assert.throws(() => bindInet(udp(t, AF_INET), { address: '192.0.2.1', port: 0 }), {
    code: 'EADDRNOTAVAIL',
    subject: '192.0.2.1:0',
  });
});

test('the addresses of this machine are told from others, whatever the port', () => {
  const isLocal = (address: string): boolean => {
    const length = writeInetAddress(memory, 0, { address, port: 1 });
    return isLocalAddress(memory.bytes.subarray(0, length));
  };
  assert.deepEqual(['127.0.0.1', '127.9.9.9', '192.0.2.1'].map(isLocal), [true, true, false]);
  assert.equal(isLocal('2001:db8::1'), false);
  assert.equal(isLocalAddress(new Uint8Array(16)), false);
});

test('a port is shared by those who ask for it', (t) => {
  const { at } = bound(t, '127.0.0.1', { reuseAddress: true });
  bindInet(udp(t, AF_INET, { reuseAddress: true }), at);
  assert.throws(() => bindInet(udp(t, AF_INET), at), { code: 'EADDRINUSE' });
});

test('an IPv6 socket takes IPv4 too, unless it is IPv6 only', async (t) => {
  if (!hasV6(t)) return;
  const both = bound(t, '::');
  const client = udp(t, AF_INET);
  connectInet(client, { address: '127.0.0.1', port: both.at.port });
  put(client, 'over IPv4');
  assert.equal(await next(both.socket), 'over IPv4');
  // The port of one that is IPv6 only is free for IPv4, unless somebody else happens to have it there.
  for (let tries = 1; ; tries++) {
    const only = bound(t, '::', { v6Only: true });
    try {
      bindInet(udp(t, AF_INET), { address: '0.0.0.0', port: only.at.port });
      break;
    } catch (error) {
      if ((error as VdeError).code !== 'EADDRINUSE' || tries === 10) throw error;
    }
  }
  assert.throws(() => bindInet(udp(t, AF_INET), { address: '0.0.0.0', port: both.at.port }), { code: 'EADDRINUSE' });
});

test('multicast options are set, and mistakes named', (t) => {
  const v4 = udp(t, AF_INET);
  setMulticastTtl(v4, 7);
  assert.equal(getOption(v4.fd, 0, 33), 7);
  setMulticastLoop(v4, false);
  assert.equal(getOption(v4.fd, 0, 34), 0);
  const v6 = udp(t, AF_INET6);
  setMulticastTtl(v6, 9);
  assert.equal(getOption(v6.fd, 41, 18), 9);
  setMulticastLoop(v6, false);
  assert.equal(getOption(v6.fd, 41, 19), 0);
  setMulticastInterface(v6, 'lo');
  assert.equal(getOption(v6.fd, 41, 17), interfaceIndex('lo'));
  assert.throws(() => setMulticastTtl(v4, 300), { code: 'EINVAL' });
  assert.throws(() => setMulticastInterface(v4, 'nosuch0'), { code: 'ENODEV', subject: 'nosuch0' });
  assert.throws(() => joinMulticast(v4, '10.0.0.1', 'lo'), { code: 'EINVAL', subject: '10.0.0.1' });
  assert.throws(() => joinMulticast(v4, '234.0.0.1', 'nosuch0'), { code: 'ENODEV', subject: 'nosuch0' });
  assert.throws(() => leaveMulticast(v4, '234.0.0.1', 'lo'), { code: 'EADDRNOTAVAIL', subject: '234.0.0.1' });
});

// The group's traffic stays in a namespace of its own. What happens there is told by the program's output.
const MULTICAST = `
  import { EPOLLIN } from './src/sys/epoll.ts';
  import * as inet from './src/sys/inet.ts';
  import { loop } from './src/sys/loop.ts';
  import { Memory } from './src/sys/memory.ts';
  import { tryReceive, trySend } from './src/sys/socket.ts';
  const data = new Memory(64);
  const say = (socket, text) => { data.bytes.set(Buffer.from(text)); return trySend(socket, data, text.length); };
  const next = (socket) => new Promise((done) => {
    const watch = loop().watch(socket.fd, EPOLLIN, () => {
      watch.close();
      done(Buffer.from(data.bytes.subarray(0, tryReceive(socket, data))).toString());
    });
  });
  for (const [group, any] of [['234.0.0.1', '0.0.0.0'], ['ff02::abcd', '::']]) {
    const family = any === '::' ? 10 : 2;
    const members = [1, 2].map(() => inet.udpSocket(family, 'member', { reuseAddress: true, v6Only: true }));
    inet.bindInet(members[0], { address: any, port: 0 });
    const { port } = inet.localAddress(members[0].fd);
    inet.bindInet(members[1], { address: any, port });
    for (const member of members) inet.joinMulticast(member, group, 'v0');
    const sender = inet.udpSocket(family, 'sender');
    inet.setMulticastInterface(sender, 'v0');
    inet.connectInet(sender, { address: group + (family === 10 ? '%v0' : ''), port });
    say(sender, 'to all');
    console.log(group, await Promise.all(members.map(next)));
    inet.leaveMulticast(members[0], group, 'v0');
    say(sender, 'to one');
    console.log(group, await next(members[1]), tryReceive(members[0], data) < 0);
    for (const socket of [...members, sender]) socket.close();
  }`;

test('members of a group get what is sent to it until they leave', async (t) => {
  if (!requirePeer(t, 'ip', 'nsenter') || !requireUserNamespaces(t)) return;
  const inside = await namespace(t);
  await inside.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
  await inside.configure('v0', { address: ['10.9.0.1/24', 'fe80::1/64'], ipv6: true });
  await inside.configure('v1');
  await inside.running('v0', 'v1');
  const args = ['--import', 'tsx', '--input-type=module', '-e', MULTICAST];
  const { stdout, stderr } = await inside.exec(process.execPath, args, { cwd: root, timeout: 60_000 });
  assert.deepEqual(
    stdout.trim().split('\n'),
    ['234.0.0.1', 'ff02::abcd'].flatMap((group) => [`${group} [ 'to all', 'to all' ]`, `${group} to one true`]),
    stderr,
  );
});
