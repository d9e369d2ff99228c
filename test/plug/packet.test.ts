/** Interfaces of the host by packet sockets: packet:// and the live half of pcap://, each in a namespace of the test's. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPlug } from '../../src/plug/registry.js';
import { root } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { type Namespace, namespace } from '../support/namespace.js';
import { requirePeer, requireUserNamespaces, type Skippable } from '../support/peers.js';
import { passInside } from './inside.js';

function ready(t: Skippable): boolean {
  return requirePeer(t, 'ip', 'nsenter', 'unshare') && requireUserNamespaces(t);
}

/** A namespace with the veth pair `v0` (02:...:01) and `v1` (02:...:02), both up. */
async function pair(t: Owner): Promise<Namespace> {
  const inside = await namespace(t);
  await inside.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
  await inside.configure('v0', { mac: '02:00:00:00:00:01' });
  await inside.configure('v1', { mac: '02:00:00:00:00:02' });
  await inside.running('v0', 'v1');
  return inside;
}

const HEAD = `
  import { execFileSync } from 'node:child_process';
  import { ALL_VIEWS, Burst } from './src/frame/burst.ts';
  import { openPlug } from './src/plug/registry.ts';
  import { Collector, frame, sendAll } from './test/plug/frames.ts';
  const ip = (...args) => execFileSync('ip', args);
  const say = (...words) => console.log(...words);
  /** A frame of number n from the station with that last octet. */
  const from = (source, n, size = 60) => {
    const bytes = frame(size, n);
    bytes.set([2, 0, 0, 0, 0, source], 6);
    return bytes;
  };
  const seen = (collector) => collector.frames.map((one) => one.readUInt32BE(14)).join(' ');
  const error = (locator) => openPlug(locator).then(() => say('opened'), (e) => say(e.message));`;

/** What a program prints inside. */
async function lines(inside: Namespace, script: string): Promise<string[]> {
  const args = ['--import', 'tsx', '--input-type=module', '-e', HEAD + script];
  const { code, stdout, stderr } = await inside.exec(process.execPath, args, { cwd: root });
  assert.equal(code, 0, stdout + stderr);
  assert.equal(stderr, '');
  return stdout.trim().split('\n');
}

test('a packet socket is a plug', async (t) => {
  if (!ready(t)) return;
  await passInside(await namespace(t), 'packet-compliance.ts', 10);
});

test('packet:// shows what comes in, pcap:// also what others send, and what the host sends only if asked', async (t) => {
  if (!ready(t)) return;
  const inside = await pair(t);
  const script = `
    const open = async (locator) => new Collector(await openPlug(locator));
    const all = {};
    for (const locator of ['packet://v0', 'packet://v0[host]', 'pcap://v0', 'pcap://v0[host]']) {
      all[locator] = await open(locator);
    }
    const [v0, v1] = await Promise.all([openPlug('packet://v0'), openPlug('packet://v1')]);
    sendAll(v0, [from(1, 1)]);  // as the host itself would
    sendAll(v0, [from(9, 2)]);  // as another program does
    sendAll(v1, [from(2, 3)]);  // comes in
    sendAll(v1, [from(1, 4)]);  // comes in with the interface's own address
    await Promise.all(Object.entries(all).map(([name, one]) => one.count(name.endsWith('[host]') ? 4 : 2)));
    for (const [locator, collector] of Object.entries(all)) say(locator, seen(collector));
    process.exit();`;
  assert.deepEqual(await lines(inside, script), [
    'packet://v0 3 4',
    'packet://v0[host] 1 2 3 4',
    'pcap://v0 2 3',
    'pcap://v0[host] 1 2 3 4',
  ]);
});

test('frames above the MTU are counted as oversize, a tag does not count', async (t) => {
  if (!ready(t)) return;
  const inside = await pair(t);
  const script = `
    for (const scheme of ['packet', 'pcap']) {
      const [a, b] = await Promise.all([openPlug(scheme + '://v0'), openPlug(scheme + '://v1')]);
      const arrived = new Collector(b);
      const tagged = from(9, 3, 1518);
      tagged.writeUInt16BE(0x8100, 12);
      sendAll(a, [from(9, 1, 1514), from(9, 2, 1515), tagged, from(9, 4, 9000), from(9, 5)]);
      await arrived.count(3);
      say(arrived.frames.map((one) => one.length).join(' '), JSON.stringify(a.drops));
      a.close();
      b.close();
    }`;
  const expected = '1514 1518 60 {"full":0,"oversize":2,"runt":0,"error":0}';
  assert.deepEqual(await lines(inside, script), [expected, expected]);
});

test('a super-frame with a tag arrives as it was sent', async (t) => {
  if (!ready(t)) return;
  const inside = await pair(t);
  const script = `
    import { cutPacket, noise, segments, writePacket, writeSuperFrame } from './test/frame/super-frames.ts';
    const value = {
      dstMac: Uint8Array.of(2, 0, 0, 0, 0, 2), srcMac: Uint8Array.of(2, 0, 0, 0, 0, 9),
      tags: [{ tpid: 0x8100, pcp: 3, dei: false, vid: 7 }],
      ip: { src: 0x0a000001, dst: 0x0a000002 }, trafficClass: 0, ttl: 64, identification: 7, dontFragment: true,
      ipOptions: new Uint8Array(0), extensions: 0, flowLabel: 0, srcPort: 1, dstPort: 2,
      tcp: { sequence: 1, ack: 2, flags: 0x10, window: 9, urgent: 0, options: new Uint8Array(0) },
      payload: noise(30000, 1),
    };
    const [a, b] = await Promise.all([openPlug('packet://v0'), openPlug('packet://v1')]);
    const got = new Promise((done) => {
      b.sink = (burst) => {
        const whole = Buffer.concat([burst.offloadHeader(0), burst.frame(0)]);
        done({ count: burst.count, superFrames: burst.superFrames, cut: segments(Buffer.from(whole)) });
      };
    });
    const bytes = writeSuperFrame(value, 1400);
    const burst = new Burst();
    burst.add(bytes.subarray(10));
    burst.bytes.set(bytes.subarray(0, 10), burst.start[0] - 10);
    burst.readOffloads();
    a.send(burst, ALL_VIEWS, 1);
    const { count, superFrames, cut } = await got;
    const expected = cutPacket(value, 1400).map((one) => writePacket(one));
    say(count, superFrames, cut.length, expected.every((one, i) => Buffer.compare(one, cut[i]) === 0));
    a.close();
    b.close();`;
  assert.deepEqual(await lines(inside, script), ['1 1 22 true']);
});

test('an interface that is down is told once and waited for; one that is deleted ends the plug', async (t) => {
  if (!ready(t)) return;
  const inside = await pair(t);
  const script = `
    ip('link', 'set', 'v0', 'down');
    const [a, b] = await Promise.all([openPlug('packet://v0'), openPlug('packet://v1')]);
    let down = 0;
    const told = new Promise((done) => { a.onDown = () => { down++; done(); }; });
    const arrived = new Collector(a);
    new Collector(b);
    await told;
    sendAll(a, [from(9, 1), from(9, 2)]);
    say(down, a.drops.error, a.interfaceName);
    ip('link', 'set', 'v0', 'up');
    const timer = setInterval(() => sendAll(b, [from(8, 3)]), 20);
    await arrived.count(1);
    clearInterval(timer);
    const lost = Promise.all([a, b].map((plug) => new Promise((done) => { plug.onLost = (e) => done(e.message); })));
    ip('link', 'delete', 'v0');
    say((await lost).join('\\n'));`;
  assert.deepEqual(await lines(inside, script), [
    '1 2 v0',
    'packet://v0: interface v0 has been deleted',
    'packet://v1: interface v1 has been deleted',
  ]);
});

test('interfaces that cannot be: missing, loopback, not Ethernet, of a strange name', async (t) => {
  if (!ready(t)) return;
  const inside = await pair(t);
  const script = `
    for (const scheme of ['packet', 'pcap', 'macvtap']) await error(scheme + '://nosuch');
    for (const scheme of ['packet', 'pcap']) await error(scheme + '://lo');
    await error('packet://v0[hots]');
    await error('packet://');
    await error('macvtap://v0');`;
  const answers = await lines(inside, script);
  for (const answer of answers.slice(0, 3)) assert.match(answer, /^(packet|pcap|macvtap):\/\/nosuch: No such device/);
  for (const answer of answers.slice(3, 5))
    assert.match(answer, /:\/\/lo: lo is the loopback interface.*comes straight/);
  assert.match(answers[5], /unknown parameter "hots".*did you mean "host"/);
  assert.match(answers[6], /^packet:\/\/: No such device/);
  assert.match(answers[7], /^macvtap:\/\/v0: there is no device \/dev\/tap\d+: interface v0 is no macvtap/);
});

test('of packet sockets that are given away, those bound to an Ethernet interface are served', async (t) => {
  if (!ready(t)) return;
  const inside = await pair(t);
  const script = `
    import { adopt } from './src/plug/adoption.ts';
    import { AF_PACKET, SOCK_DGRAM, SOCK_RAW, socket } from './src/sys/socket.ts';
    import { openPacket } from './src/sys/packet.ts';
    const ends = [
      socket(AF_PACKET, SOCK_RAW, 'unbound'),
      socket(AF_PACKET, SOCK_DGRAM, 'cooked'),
      openPacket('lo', 'loopback').descriptor,
      openPacket('v0', 'good').descriptor,
    ];
    for (const end of ends) {
      const plug = adopt(end, end.subject);
      say(end.subject, plug !== undefined && plug.takesOffloads);
      (plug ?? end).close();
    }`;
  assert.deepEqual(await lines(inside, script), ['unbound false', 'cooked false', 'loopback false', 'good true']);
});

test('without the capability it says which one is missing', async (t) => {
  if (process.geteuid?.() === 0) {
    if (!requirePeer(t, 'setpriv', 'ip')) return;
    const inside = await pair(t);
    const script = `${HEAD}\nawait error('packet://v0'); await error('pcap://v0');`;
    const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script];
    const drop = ['--bounding-set=-net_raw', '--inh-caps=-net_raw', ...node];
    const { stdout } = await inside.exec('setpriv', drop, { cwd: root });
    const [first, second] = stdout.trim().split('\n');
    assert.match(first, /^packet:\/\/v0: Operation not permitted \(it needs the capability CAP_NET_RAW/);
    assert.match(second, /^pcap:\/\/v0: Operation not permitted/);
    return;
  }
  // An ordinary user has it nowhere but in a namespace of his own.
  await assert.rejects(openPlug('packet://lo'), { name: 'VdeError' });
});
