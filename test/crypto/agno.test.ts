import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AgnoPlug, parseOuterType } from '../../src/crypto/agno.js';
import { AeadCipher } from '../../src/crypto/agno-aead.js';
import { CbcCipher } from '../../src/crypto/agno-cbc.js';
import type { FrameCipher } from '../../src/crypto/frame-cipher.js';
import { registerCryptoSchemes } from '../../src/crypto/schemes.js';
import { ALL_VIEWS, Burst, FRAME_MAX } from '../../src/frame/burst.js';
import { GsoType } from '../../src/frame/offload.js';
import { DatagramPlug } from '../../src/plug/datagram.js';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { SOCK_DGRAM, socketPair } from '../../src/sys/socket.js';
import { noise, tcpPacket, writePacket, writeSuperFrame } from '../frame/super-frames.js';
import { complianceSuite } from '../plug/compliance.js';
import { DirectPlug } from '../plug/direct-plug.js';
import { Collector, frame, sendAll } from '../plug/frames.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';
import { VirtualSources } from './cipher.js';

registerCryptoSchemes();
const KEY = Buffer.alloc(16, 0x5a);
const silent = (): void => {};

/** Seconds that a frame may be under way: on a busy machine it may wait longer for its reader than C allows. */
const PATIENCE = 60;

const CIPHERS: Record<string, () => FrameCipher> = {
  'C’s format': () => new CbcCipher({ key: KEY, outer: 'copy', behind: PATIENCE }),
  gcm: () => new AeadCipher({ suite: 'gcm', key: KEY, outer: 0xa6de, skew: PATIENCE }),
  chacha: () => new AeadCipher({ suite: 'chacha', key: KEY, outer: 'rand', skew: PATIENCE }),
};

for (const [name, cipher] of Object.entries(CIPHERS)) {
  complianceSuite({
    name: `agno over datagram sockets, ${name}`,
    openPair: async () => {
      const [a, b] = socketPair(SOCK_DGRAM, 'pair').map(
        (end, i) =>
          new AgnoPlug(`end ${i}`, new DatagramPlug(end, { name: 'in', maxFrame: FRAME_MAX }), cipher(), silent),
      );
      return { a, b };
    },
    supports: { loss: 'on send' },
  });
}

/** Two ends, one of each key and clock, in memory. */
function pair(
  first: FrameCipher,
  second: FrameCipher,
): { a: AgnoPlug; b: AgnoPlug; wire: DirectPlug; told: string[]; arrived: Collector } {
  const told: string[] = [];
  const [x, wire] = DirectPlug.pair(true);
  const a = new AgnoPlug('a', x, first, silent);
  const b = new AgnoPlug('b', wire, second, (line) => told.push(line));
  return { a, b, wire, told, arrived: new Collector(b) };
}

test('another key: traffic stays shut, every frame is counted, one line is said once', () => {
  for (const make of [
    (key: Buffer) => new CbcCipher({ key, outer: 0xa6de }),
    (key: Buffer) => new AeadCipher({ suite: 'gcm', key, outer: 0xa6de }),
  ]) {
    const { a, b, told, arrived } = pair(make(KEY), make(Buffer.alloc(16, 1)));
    for (let i = 0; i < 3; i++) sendAll(a, [frame(60, i), frame(1514, i)]);
    assert.equal(arrived.frames.length, 0);
    assert.equal(b.drops.error, 6);
    assert.deepEqual(b.refused, { malformed: 0, key: 6, time: 0, replayed: 0 });
    assert.deepEqual(told, [
      'frames arrive that the key does not open; both ends need the same key file and parameters',
    ]);
  }
});

test('clocks that differ are told with how much, and counted apart', () => {
  const at = (seconds: number) => new CbcCipher({ key: KEY, outer: 0xa6de, sources: new VirtualSources(seconds) });
  const { a, b, told } = pair(at(1000), at(1060));
  sendAll(a, [frame(60, 1), frame(60, 2)]);
  assert.equal(b.refused.time, 2);
  assert.deepEqual(told, [
    'frames arrive that were sent 60 s behind our clock; set the clocks, or allow for more with skew=SECONDS',
  ]);
});

test('plain frames, and super-frames, from who does not encrypt are shut out', () => {
  const cipher = () => new AeadCipher({ suite: 'gcm', key: KEY, outer: 0xa6de });
  const { b, wire, arrived } = pair(cipher(), cipher());
  const burst = new Burst();
  for (let i = 0; i < 64; i++) burst.add(frame(14 + i * 20, i));
  wire.arrive(burst);
  assert.equal(arrived.frames.length, 0);
  assert.equal(b.drops.error, 64);
});

test('frames of a tap, whose checksums are still to be completed, are sealed and sent on together', () => {
  const { a, b, wire } = pair(CIPHERS.gcm(), CIPHERS.gcm());
  const sent: number[] = [];
  const arrive = wire.arrive.bind(wire);
  wire.arrive = (burst) => {
    sent.push(burst.count);
    arrive(burst);
  };
  const arrived = new Collector(b);
  const packets = Array.from({ length: 64 }, (_, i) => tcpPacket({ payload: noise(40 + i, i) }));
  const burst = new Burst();
  for (const [slot, value] of packets.entries()) {
    const bytes = writeSuperFrame(value, 0, GsoType.none);
    burst.add(bytes.subarray(10));
    // The last but one is complete: what is before it comes before it.
    if (slot === 62) burst.frame(slot).set(writePacket(value));
    else burst.offloadHeader(slot).set(bytes.subarray(0, 10));
  }
  burst.readOffloads();
  a.send(burst, ALL_VIEWS, 64);
  assert.deepEqual(sent, [62, 1, 1]);
  arrived.assertFrames(packets.map((value) => Buffer.from(writePacket(value))));
});

test('a closed end has closed its cipher', () => {
  const cipher = CIPHERS['C’s format']();
  const { a } = pair(cipher, CIPHERS.gcm());
  a.close();
  assert.throws(() => cipher.seal(new Burst(), ALL_VIEWS, 1, new Burst()), { code: 'EBADF' });
});

test('agno in agno: each layer has its own slab, both ways at once', () => {
  const layers = (plug: Plug): Plug =>
    new AgnoPlug('outer', new AgnoPlug('inner', plug, CIPHERS.gcm(), silent), CIPHERS['C’s format'](), silent);
  const [x, y] = DirectPlug.pair();
  const [a, b] = [layers(x), layers(y)];
  b.sink = (burst) => b.send(burst, ALL_VIEWS, burst.count);
  const back = new Collector(a);
  const frames = Array.from({ length: 64 }, (_, i) => frame(60 + i * 22, i));
  sendAll(a, frames);
  back.assertFrames(frames);
});

test('frames that would be too long for the end inside are dropped and counted, at the exact size', () => {
  const [x, y] = DirectPlug.pair(false, 1518);
  const a = new AgnoPlug('a', x, CIPHERS['C’s format'](), silent);
  const arrived = new Collector(new AgnoPlug('b', y, CIPHERS['C’s format'](), silent));
  assert.equal(a.maxFrame, 1502);
  sendAll(a, [frame(1502, 1), frame(1503, 2), frame(1514, 3)]);
  arrived.assertFrames([frame(1502, 1)]);
  assert.equal(a.drops.oversize, 2);
});

test('the values of ethtype', () => {
  const types = ['', '0', 'ipv4', 'ipv6', 'copy', 'rand', '0x88b5', '0X600', '2048', '65534'];
  const values = [0xa6de, 0xa6de, 0x800, 0x86dd, 'copy', 'rand', 0x88b5, 0x600, 2048, 0xfffe];
  assert.deepEqual(
    types.map((type) => parseOuterType(type, 'x')),
    values,
  );
  for (const bad of ['a6de', 'COPY', '0x5ff', '65535', '-1', '0x88b5junk', '1e4', ' 2048']) {
    assert.throws(() => parseOuterType(bad, 'agno://'), { code: 'EINVAL', message: /parameter "ethtype": / }, bad);
  }
  assert.throws(() => parseOuterType('a6de', 'agno://'), /did you mean 0xa6de\?/);
});

test('mistakes in a locator are one line that names them, and leave nothing behind', async (t) => {
  leakCheck(t);
  const key = join(tmpDir(t), 'key');
  writeFileSync(key, '12'.repeat(16), { mode: 0o600 });
  for (const [locator, code, message] of [
    ['agno:///no/such/key{null://}', 'ENOENT', /^\/no\/such\/key: No such file or directory \(make a key/],
    ['agno://key{null://}', 'EINVAL', /not an absolute path/],
    [`agno://${key}[ethtyp3=1]{null://}`, 'EINVAL', /unknown parameter "ethtyp3" .*did you mean "ethtype"/],
    [`agno://${key}[ethtype=five]{null://}`, 'EINVAL', /"five" is not an EtherType/],
    [`agno://${key}[auth=des]{null://}`, 'EINVAL', /"des" is not one of its words .*\(one of gcm, chacha\)/],
    [`agno://${key}[skew=-1]{null://}`, 'EINVAL', /"-1" is out of range/],
    [`agno://${key}{nosuch://}`, 'EPROTONOSUPPORT', /^nosuch:\/\/: /],
    [`agno://${key}{vde:///no/such/switch}`, 'ENOENT', /\/no\/such\/switch/],
  ] as const) {
    await assert.rejects(openPlug(locator), (error: Error & { code?: string }) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.ok(!error.message.includes('\n'));
      return true;
    });
  }
});

test('a locator opens with all its parameters, and its key file is judged', async (t) => {
  const key = join(tmpDir(t), 'key');
  writeFileSync(key, '12'.repeat(15), { mode: 0o644 });
  const told: string[] = [];
  const plug = await openPlug(`agno://${key}[e=copy/skew=5]{null://}`, { onNotice: (line) => told.push(line) });
  cleanup(t, () => plug.close());
  assert.ok(plug instanceof AgnoPlug);
  assert.equal(told.length, 2);
  assert.match(told[0], /^agno:\/\/.*: key file .* has 30 hexadecimal digits of 32: a weak key$/);
  assert.match(told[1], /^agno:\/\/.*: key file .* can be read by other users/);
});
