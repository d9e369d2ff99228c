import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { FRAME_MAX } from '../../src/frame/burst.js';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import type { OpenOptions } from '../../src/plug/scheme.js';
import { StreamPlug } from '../../src/plug/stream.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { VdeError } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { Memory } from '../../src/sys/memory.js';
import { close, pipe } from '../../src/sys/process.js';
import {
  AF_UNIX,
  bindUnix,
  connectUnix,
  listen,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  socket,
  tryAccept,
  tryReceive,
  trySend,
} from '../../src/sys/socket.js';
import { debian } from '../support/bin.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { requirePeer } from '../support/peers.js';
import { start } from '../support/proc.js';
import { waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { complianceSuite } from './compliance.js';
import { Collector, frame, sendAll } from './frames.js';

loop();

complianceSuite({
  name: 'ptp, two ends of ours',
  openPair: async (t) => {
    const locator = `ptp://${join(tmpDir(t), 'link')}`;
    return { a: await openPlug(locator), b: await openPlug(locator) };
  },
  supports: { loss: 'never' },
});

/** Debian's end of a link, its standard streams being a plug, once it has bound `file`. */
async function debianEnd(t: TestContext, path: string, file: string): Promise<Plug> {
  const [toIt, fromIt] = [pipe(), pipe()];
  const running = start(t, debian('vde_plug'), [`ptp://${path}`], { stdio: [toIt.read, fromIt.write, 'pipe'] });
  const plug = new StreamPlug('vde_plug', fromIt.read, toIt.write, 9236);
  for (const fd of [toIt.read, toIt.write, fromIt.read, fromIt.write]) close(fd);
  while (!existsSync(file)) {
    assert.ok(running.running, running.output);
    await immediate();
  }
  return plug;
}

for (const first of ['ours', 'debian']) {
  complianceSuite({
    name: `ptp, ours and Debian's, ${first} first`,
    skip: (t) => !requirePeer(t, debian('vde_plug')),
    openPair: async (t) => {
      const path = join(tmpDir(t), 'link');
      const early = first === 'ours' ? undefined : await debianEnd(t, path, path);
      const a = await openPlug(`ptp://${path}`);
      return { a, b: early ?? (await debianEnd(t, path, `${path}+`)) };
    },
    // libvdeplug's buffer.
    maxFrame: 9234,
    oneByOne: true,
    supports: { loss: 'never', backlog: false, counted: false, runtsCounted: false },
  });
}

async function open(t: TestContext, path: string, options: OpenOptions = {}): Promise<Plug> {
  const plug = await openPlug(`ptp://${path}`, options);
  cleanup(t, () => plug.close());
  return plug;
}

/** A raw socket that plays a C end. */
class Peer {
  readonly #memory = new Memory(70_000);

  constructor(readonly socket: Descriptor) {}

  send(bytes: Uint8Array): number {
    this.#memory.bytes.set(bytes);
    return trySend(this.socket, this.#memory, bytes.length);
  }

  /** The next message; undefined if none is there. */
  receive(): Buffer | undefined {
    const n = tryReceive(this.socket, this.#memory);
    return n < 0 ? undefined : Buffer.from(this.#memory.bytes.subarray(0, n));
  }

  async next(): Promise<Buffer> {
    for (;;) {
      const message = this.receive();
      if (message !== undefined) return message;
      await immediate();
    }
  }
}

/** A C end of the packaged protocol, as the second of a link. */
function datagramPeer(t: TestContext, path: string): Peer {
  const own = socket(AF_UNIX, SOCK_DGRAM, 'peer');
  cleanup(t, () => own.close());
  connectUnix(own, path);
  bindUnix(own, `${path}+`);
  return new Peer(own);
}

/** A C end of the newer protocol that listens. */
function sequencedListener(
  t: TestContext,
  path: string,
): { accept(answer: number | undefined): Promise<Peer> } & { close(): void } {
  const own = socket(AF_UNIX, SOCK_SEQPACKET, 'listener');
  cleanup(t, () => own.close());
  bindUnix(own, path);
  listen(own, 1);
  return {
    close: () => own.close(),
    async accept(answer) {
      for (;;) {
        const stream = tryAccept(own);
        if (typeof stream !== 'number') {
          cleanup(t, () => stream.close());
          const peer = new Peer(stream);
          if (answer !== undefined) peer.send(Uint8Array.of(answer));
          return peer;
        }
        await immediate();
      }
    },
  };
}

const refused = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof VdeError && error.code === code && pattern.test(error.message);

test('frames of 64 kB pass between two ends of ours, and either may leave and come back', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'link');
  let [first, second] = [await open(t, path), await open(t, path)];
  for (let round = 0; round < 3; round++) {
    const [atFirst, atSecond] = [new Collector(first), new Collector(second)];
    sendAll(first, [frame(FRAME_MAX, round)]);
    sendAll(second, [frame(FRAME_MAX, round, false)]);
    await Promise.all([atFirst.count(1), atSecond.count(1)]);
    atSecond.assertFrames([frame(FRAME_MAX, round)]);
    // One leaves, the other stays; in the next round it is the one that stayed.
    first.close();
    assert.deepEqual(readdirSync(join(path, '..')).length, 1);
    [first, second] = [second, await open(t, path)];
  }
  first.close();
  second.close();
  assert.deepEqual(readdirSync(join(path, '..')), []);
});

test('a third end is refused and harms nobody', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'link');
  const [a, b] = [await open(t, path), await open(t, path)];
  await assert.rejects(openPlug(`ptp://${path}`), refused('EBUSY', /it has a peer already/));
  const arrived = new Collector(b);
  sendAll(a, [frame(60, 1)]);
  await arrived.count(1);
  assert.deepEqual(readdirSync(join(path, '..')).sort(), ['link', 'link+']);
});

test('frames with no peer are dropped and counted, also after a peer has left', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'link');
  const a = await open(t, path);
  sendAll(a, [frame(60, 1), frame(60, 2)]);
  assert.equal(a.drops.error, 2);
  const b = await open(t, path);
  const back = new Collector(a);
  sendAll(b, [frame(60, 3)]);
  await back.count(1);
  b.close();
  while (a.drops.error === 2) {
    sendAll(a, [frame(60, 4)]);
    await immediate();
  }
});

test('files that a killed end of either kind has left are taken over', async (t) => {
  leakCheck(t);
  for (const type of [SOCK_DGRAM, SOCK_SEQPACKET]) {
    const path = join(tmpDir(t), 'link');
    for (const name of [path, `${path}+`]) {
      const dead = socket(AF_UNIX, type, 'dead');
      bindUnix(dead, name);
      dead.close();
    }
    const [a, b] = [await open(t, path), await open(t, path)];
    const arrived = new Collector(b);
    sendAll(a, [frame(60, 1)]);
    await arrived.count(1);
  }
});

test('a file that is no socket is left alone', async (t) => {
  const path = join(tmpDir(t), 'link');
  writeFileSync(path, 'precious');
  await assert.rejects(openPlug(`ptp://${path}`), refused('EEXIST', /no socket/));
  assert.ok(existsSync(path));
  await assert.rejects(openPlug('ptp://'), refused('EINVAL', /names no path/));
  await assert.rejects(openPlug(`ptp://${path}/x/y`), VdeError);
});

test('the file has the mode asked for, 0700 by default; what has taken its name is not removed', async (t) => {
  const dir = tmpDir(t);
  const mode = (name: string) => statSync(join(dir, name)).mode & 0o777;
  const a = await open(t, join(dir, 'a'));
  await open(t, join(dir, 'b'), { mode: 0o660, group: process.getegid?.() });
  assert.deepEqual([mode('a'), mode('b')], [0o700, 0o660]);
  unlinkSync(join(dir, 'a'));
  writeFileSync(join(dir, 'a'), '');
  a.close();
  assert.ok(existsSync(join(dir, 'a')));
});

test('a C end of the packaged protocol may come second, leave without a word, and come back', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'link');
  const a = await open(t, path);
  const arrived = new Collector(a);
  for (let round = 0; round < 2; round++) {
    const peer = datagramPeer(t, path);
    if (round === 0) peer.send(frame(60, round));
    else sendAll(a, [frame(60, 9)]);
    if (round === 0) await arrived.count(1);
    sendAll(a, [frame(100, round, false)]);
    if (round === 1) assert.deepEqual(await peer.next(), frame(60, 9));
    assert.deepEqual(await peer.next(), frame(100, round, false));
    unlinkSync(`${path}+`);
    peer.socket.close();
    // Nothing is sent meanwhile: that it has gone is noticed all the same.
    await waitUntil(path, 'disconnected end', () => canConnect(path));
  }
});

function canConnect(path: string): boolean {
  const probe = socket(AF_UNIX, SOCK_DGRAM, 'probe');
  try {
    connectUnix(probe, path);
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}

test('an empty datagram means that the peer has left, and our own leave is told by one', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'link');
  const a = await open(t, path);
  const arrived = new Collector(a);
  const peer = datagramPeer(t, path);
  peer.send(frame(60, 1));
  peer.send(frame(60, 2));
  peer.send(new Uint8Array(0));
  await arrived.count(2);
  await waitUntil(path, 'disconnected end', () => canConnect(path));
  peer.send(frame(60, 3));
  await arrived.count(3);
  a.close();
  assert.deepEqual(await peer.next(), Buffer.alloc(0));
});

test('frames shorter than a header do not reach a C end, nor do ones longer than its buffer', async (t) => {
  const path = join(tmpDir(t), 'link');
  const a = await open(t, path);
  const peer = datagramPeer(t, path);
  sendAll(a, [Buffer.alloc(0), Buffer.alloc(13), frame(9235, 1), frame(9234, 2)]);
  assert.deepEqual(await peer.next(), frame(9234, 2));
  assert.deepEqual({ ...a.drops }, { full: 0, oversize: 1, runt: 2, error: 0 });
});

test('an end of the newer protocol is connected to; its word decides', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'link');
  const listener = sequencedListener(t, path);
  const opening = open(t, path);
  const peer = await listener.accept(0);
  const a = await opening;
  const arrived = new Collector(a);
  peer.send(frame(60, 1));
  await arrived.count(1);
  sendAll(a, [frame(70, 2), Buffer.alloc(13)]);
  assert.deepEqual(await peer.next(), frame(70, 2));
  const second = openPlug(`ptp://${path}`);
  await listener.accept(106);
  await assert.rejects(second, refused('EBUSY', /it has a peer already/));
  const third = openPlug(`ptp://${path}`);
  (await listener.accept(undefined)).socket.close();
  await assert.rejects(third, refused('ECONNRESET', /closed the connection/));
});

test('a listener that says nothing is given up after two seconds', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'link');
  sequencedListener(t, path);
  await assert.rejects(openPlug(`ptp://${path}`), refused('ETIMEDOUT', /did not answer within 2 s/));
});

test('when its listening peer has gone, an end listens in its place', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'link');
  const listener = sequencedListener(t, path);
  const opening = open(t, path);
  const peer = await listener.accept(0);
  const a = await opening;
  const arrived = new Collector(a);
  let lost = false;
  a.onLost = () => {
    lost = true;
  };
  // Killed: its file stays.
  listener.close();
  peer.socket.close();
  const newcomer = socket(AF_UNIX, SOCK_SEQPACKET, 'newcomer');
  cleanup(t, () => newcomer.close());
  await waitUntil(path, 'listener', () => {
    try {
      connectUnix(newcomer, path);
      return true;
    } catch {
      return false;
    }
  });
  const back = new Peer(newcomer);
  assert.deepEqual(await back.next(), Buffer.of(0));
  back.send(frame(60, 5));
  await arrived.count(1);
  sendAll(a, [frame(80, 6)]);
  assert.deepEqual(await back.next(), frame(80, 6));
  const third = socket(AF_UNIX, SOCK_SEQPACKET, 'third');
  cleanup(t, () => third.close());
  connectUnix(third, path);
  assert.deepEqual(await new Peer(third).next(), Buffer.of(106));
  assert.equal(lost, false);
  a.close();
  assert.equal(existsSync(path), false);
});
