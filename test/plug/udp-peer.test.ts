/** One end of `udp://` of ours and a raw socket in the place of the other: what is on the wire, and who is listened to. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import fc from 'fast-check';
import { adopt } from '../../src/plug/adoption.js';
import type { Plug } from '../../src/plug/plug.js';
import { totalDrops } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import type { VdeError } from '../../src/sys/errors.js';
import { native } from '../../src/sys/ffi.js';
import { connectInet, type InetAddress, localAddress } from '../../src/sys/inet.js';
import { loop } from '../../src/sys/loop.js';
import { segments } from '../frame/super-frames.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { Collector, frame, sendAll } from './frames.js';
import { sendSuper, superFrame } from './super.js';
import { boundSocket, freePorts, openUdpPair, RawEnd } from './udp-pair.js';

loop();

const shutdown = native<(fd: number, how: number) => number>('int shutdown(int fd, int how)');

/** Longest datagram that is no frame. */
const HELLO = 13;

/** An end of ours and a raw socket as its peer. */
async function withRaw(t: TestContext): Promise<{ plug: Plug; raw: RawEnd; port: number; peer: number }> {
  leakCheck(t);
  const [port, peer] = freePorts(2);
  const plug = await openPlug(`udp://127.0.0.1:${port}->127.0.0.1:${peer}`);
  cleanup(t, () => plug.close());
  return { plug, raw: RawEnd.connected(t, peer, port), port, peer };
}

/** The next datagram at a raw socket. */
async function next(raw: RawEnd): Promise<Buffer> {
  const end = performance.now() + 30_000;
  for (;;) {
    const one = raw.receive();
    if (one !== undefined) return one;
    assert.ok(performance.now() < end, 'nothing has arrived');
    await immediate();
  }
}

test('a frame is a datagram, and nothing else is sent', async (t) => {
  const { plug, raw } = await withRaw(t);
  const arrived = new Collector(plug);
  const frames = [14, 15, 60, 1514, 9000, 65_507].map((size, i) => frame(size, i));
  sendAll(plug, frames);
  for (const one of frames) assert.deepEqual(await next(raw), one);
  for (const one of frames) raw.send(one);
  await arrived.count(frames.length);
  arrived.assertFrames(frames);
  assert.equal(raw.receive(), undefined);
});

test('to a peer that is not ours a super-frame is cut into the frames that it stands for', async (t) => {
  const { plug, raw } = await withRaw(t);
  const bytes = superFrame();
  const datagrams: Buffer[] = [];
  for (let round = 0; round < 20; round++) {
    sendSuper(plug, bytes);
    datagrams.push(...raw.drain());
  }
  const expected = Array(20).fill(segments(bytes)).flat();
  while (datagrams.filter(({ length }) => length > HELLO).length < expected.length) datagrams.push(await next(raw));
  datagrams.push(...raw.drain());
  const frames = datagrams.filter(({ length }) => length > HELLO);
  assert.equal(frames.length, expected.length);
  // Not compared as a list: what differs would fill the screen.
  assert.ok(Buffer.concat(frames).equals(Buffer.concat(expected)));
  // What it makes nothing of is shorter than an Ethernet header, and rare.
  assert.ok(datagrams.length - frames.length <= 2);
  assert.equal(totalDrops(plug.drops), 0);
});

test('between two ends of ours super-frames pass whole after the first, both ways', async (t) => {
  leakCheck(t);
  const { a, b } = await openUdpPair();
  cleanup(t, () => {
    a.close();
    b.close();
  });
  for (const [from, to] of [
    [a, b],
    [b, a],
  ]) {
    const bytes = superFrame();
    let wholes = 0;
    to.sink = (burst) => {
      for (let slot = 0; slot < burst.count; slot++) {
        if (burst.offload[slot] === 0) continue;
        assert.deepEqual(Buffer.from(burst.frame(slot)), Buffer.from(bytes.subarray(10)));
        assert.deepEqual(Buffer.from(burst.offloadHeader(slot)), Buffer.from(bytes.subarray(0, 10)));
        wholes++;
      }
    };
    // Who gives no sink does not read, and hears no answer.
    from.sink ??= () => {};
    while (wholes === 0) {
      sendSuper(from, bytes);
      await immediate();
    }
  }
});

test('ours, then one that is not: super-frames are cut again; plain frames are never lost', async (t) => {
  leakCheck(t);
  const [port, peer] = freePorts(2);
  const a = await openPlug(`udp://127.0.0.1:${port}->127.0.0.1:${peer}`);
  cleanup(t, () => a.close());
  a.sink = () => {};
  const bytes = superFrame();
  const wire = segments(bytes);
  for (let round = 0; round < 2; round++) {
    const b = await openPlug(`udp://127.0.0.1:${peer}->127.0.0.1:${port}`);
    cleanup(t, () => b.close());
    let whole = false;
    b.sink = (burst) => {
      whole ||= burst.superFrames > 0;
    };
    while (!whole) {
      sendSuper(a, bytes);
      await immediate();
    }
    b.close();
    const raw = RawEnd.connected(t, peer, port);
    let plain = 0;
    for (let cut = 0, sent = 0; cut < wire.length; ) {
      sendSuper(a, bytes);
      sendAll(a, [frame(60, sent++)]);
      while (plain < sent) {
        const one = await next(raw);
        if (one.length === 60) plain++;
        else if (cut < wire.length && one.equals(wire[cut])) cut++;
      }
    }
    raw.socket.close();
  }
});

test('only the peer is listened to, from the first datagram on and after an empty one', async (t) => {
  const { plug, raw, port, peer } = await withRaw(t);
  const stranger = new RawEnd(boundSocket(t).socket);
  connectInet(stranger.socket, { address: '127.0.0.1', port });
  const arrived = new Collector(plug);
  stranger.send(frame(60, 666));
  raw.send(new Uint8Array(0));
  stranger.send(frame(60, 667));
  // A peer with another address is one of them; one that comes back is not.
  raw.socket.close();
  const again = RawEnd.connected(t, peer, port);
  stranger.send(frame(60, 668));
  again.send(frame(60, 1));
  await arrived.count(1);
  arrived.assertFrames([frame(60, 1)]);
  assert.equal(plug.drops.runt, 1);
});

test('a peer that is not there, leaves and comes back is no loss of the end', async (t) => {
  const { plug, raw, port, peer } = await withRaw(t);
  let lost = 0;
  plug.onLost = () => lost++;
  raw.socket.close();
  for (let round = 0; round < 3; round++) {
    // Each is answered by the network with an error, which the next one is told.
    for (let i = 0; i < 5; i++) {
      sendAll(plug, [frame(60, i)]);
      await immediate();
    }
    const back = RawEnd.connected(t, peer, port);
    sendAll(plug, [frame(60, 100)]);
    assert.deepEqual(await next(back), frame(60, 100));
    const arrived = new Collector(plug);
    back.send(frame(60, 200));
    await arrived.count(1);
    plug.sink = undefined;
    back.socket.close();
  }
  assert.equal(lost, 0);
});

for (const reading of [true, false]) {
  test(`an error that the network reports is taken at once, ${reading ? 'reading' : 'not reading'}`, async (t) => {
    const { plug, raw } = await withRaw(t);
    raw.socket.close();
    plug.sink = () => {};
    plug.receiving = reading;
    const before = loop().frameEvents;
    sendAll(plug, [frame(60, 1)]);
    // An error that stays is reported again and again: the process would do nothing else.
    await new Promise((done) => setTimeout(done, 200));
    const events = loop().frameEvents - before;
    assert.ok(events <= 2, `woken ${events} times by one error`);
  });
}

for (const [what, how] of [
  ['reading', 0],
  ['both ways', 2],
] as const) {
  test(`a socket that who gave it shuts down for ${what} is given up, and not watched for ever`, async (t) => {
    leakCheck(t);
    const { socket } = boundSocket(t);
    connectInet(socket, localAddress(socket.fd) as InetAddress);
    const plug = adopt(socket.duplicate(), 'given') as Plug;
    cleanup(t, () => plug.close());
    plug.sink = () => {};
    const lost = new Promise<VdeError | undefined>((done) => {
      plug.onLost = done;
    });
    shutdown(socket.fd, how);
    assert.match((await lost)?.message ?? '', /^given: its socket has been shut down/);
  });
}

test('any bytes from the peer: those that are frames arrive as they are, in order (fuzz)', async (t) => {
  const { plug, raw } = await withRaw(t);
  const arrived = new Collector(plug);
  const datagram = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc
      .tuple(fc.constantFrom(0xd1, 0xd2), fc.uint8Array({ minLength: 12, maxLength: 12 }))
      .map(([kind, rest]) => Uint8Array.of(kind, ...rest)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(datagram, { maxLength: 60 }), async (list) => {
      arrived.frames.length = 0;
      const expected: Buffer[] = list.filter(({ length }) => length >= 14).map((one) => Buffer.from(one));
      for (const one of list) raw.send(one);
      raw.send(frame(60, 1));
      expected.push(frame(60, 1));
      await arrived.count(expected.length);
      arrived.assertFrames(expected);
    }),
    { numRuns: 100 },
  );
});
