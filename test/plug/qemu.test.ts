import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { FRAME_MAX } from '../../src/frame/burst.js';
import { encodeRecord, QEMU_RECORDS } from '../../src/frame/stream.js';
import type { Plug } from '../../src/plug/plug.js';
import { readQemu } from '../../src/plug/qemu.js';
import { openPlug } from '../../src/plug/registry.js';
import { resolveLocator } from '../../src/plug/resolve.js';
import { VdeError } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';
import { complianceSuite } from './compliance.js';
import { Collector, frame, sendAll } from './frames.js';
import { freePorts } from './udp-pair.js';

loop();

async function pair(place: string): Promise<{ server: Plug; client: Plug }> {
  const server = await openPlug(`qemu://${place}[listen]`);
  const client = await openPlug(`qemu://${place}`);
  // What is sent before the connection is taken finds nobody there.
  const arrived = new Collector(server);
  sendAll(client, [frame(60, 1)]);
  await arrived.count(1);
  server.sink = undefined;
  return { server, client };
}

complianceSuite({
  name: 'qemu, a socket, from who connects',
  openPair: async (t) => {
    const { server, client } = await pair(join(tmpDir(t), 's'));
    return { a: client, b: server };
  },
});

complianceSuite({
  name: 'qemu, a socket, from who listens',
  openPair: async (t) => {
    const { server, client } = await pair(join(tmpDir(t), 's'));
    return { a: server, b: client };
  },
  supports: { loss: 'never' },
});

complianceSuite({
  name: 'qemu, TCP',
  openPair: async () => {
    const [port] = freePorts(1);
    const { server, client } = await pair(`127.0.0.1:${port}`);
    return { a: client, b: server };
  },
});

/** A plain program at the other end. */
async function visitor(t: Owner, path: string): Promise<Socket> {
  const socket = createConnection(path);
  cleanup(t, () => socket.destroy());
  await new Promise((done, fail) => socket.on('connect', done).on('error', fail));
  return socket;
}

function listening(t: Owner, lines: string[] = [], parameters = 'listen') {
  const path = join(tmpDir(t), 's');
  const opened = openPlug(`qemu://${path}[${parameters}]`, { onNotice: (line) => lines.push(line) });
  cleanup(t, async () => (await opened).close());
  return opened.then((plug) => ({ path, plug }));
}

test('each frame has its length before it, in four bytes', async (t) => {
  leakCheck(t);
  const { path, plug } = await listening(t);
  const socket = await visitor(t, path);
  const arrived = new Collector(plug);
  for (const byte of encodeRecord(frame(60, 3), QEMU_RECORDS)) socket.write(Uint8Array.of(byte));
  await arrived.count(1);
  assert.deepEqual(arrived.frames[0], frame(60, 3));
  const answer = new Promise<Buffer>((done) => socket.once('data', done));
  sendAll(plug, [frame(100, 4)]);
  assert.deepEqual(await answer, Buffer.from(encodeRecord(frame(100, 4), QEMU_RECORDS)));
});

test('who sends no frames is cut off with one line, and the next is welcome', async (t) => {
  leakCheck(t);
  const lines: string[] = [];
  const { path, plug } = await listening(t, lines);
  const arrived = new Collector(plug);
  const stranger = await visitor(t, path);
  const closed = new Promise((done) => stranger.on('close', done));
  stranger.resume().write('GET / HTTP/1.1\r\n\r\n');
  await closed;
  const guest = await visitor(t, path);
  guest.write(encodeRecord(frame(60, 5), QEMU_RECORDS));
  await arrived.count(1);
  assert.deepEqual(lines, [
    `qemu://${path}[listen]: the other end announces a frame of 1195725856 bytes, which is none (does it speak another protocol?)`,
  ]);
});

test('frames that nobody could take count as dropped on arrival, and the stream goes on', async (t) => {
  leakCheck(t);
  const { path, plug } = await listening(t);
  const arrived = new Collector(plug);
  const socket = await visitor(t, path);
  for (const length of [13, FRAME_MAX + 1, 60]) socket.write(encodeRecord(new Uint8Array(length), QEMU_RECORDS));
  await arrived.count(1);
  assert.deepEqual(plug.drops, { ...plug.drops, runt: 1, oversize: 1 });
});

test('there is one peer at a time; a second is turned away, and said once', async (t) => {
  leakCheck(t);
  const lines: string[] = [];
  const { path, plug } = await listening(t, lines);
  const arrived = new Collector(plug);
  const first = await visitor(t, path);
  first.write(encodeRecord(frame(60, 1), QEMU_RECORDS));
  await arrived.count(1);
  for (let i = 0; i < 2; i++) {
    const second = await visitor(t, path);
    await new Promise((done) => second.resume().on('close', done));
  }
  assert.deepEqual(lines, [`qemu://${path}[listen]: a second peer is turned away while the first is there`]);
  first.write(encodeRecord(frame(60, 2), QEMU_RECORDS));
  await arrived.count(2);
  first.destroy();
  for (let third: Socket | undefined; arrived.frames.length < 3; ) {
    if (third === undefined || third.destroyed) third = await visitor(t, path);
    third.write(encodeRecord(frame(60, 3), QEMU_RECORDS));
    await new Promise((done) => setTimeout(done, 5));
  }
});

test('the socket has the mode that is asked for, a dead one is taken over, a live one or a file is not', async (t) => {
  leakCheck(t);
  const { path, plug } = await listening(t, [], 'listen/mode=770');
  assert.equal(statSync(path).mode & 0o777, 0o770);
  await assert.rejects(openPlug(`qemu://${path}[listen]`), { code: 'EADDRINUSE' });
  plug.close();
  assert.equal(existsSync(path), false);
  writeFileSync(path, '');
  await assert.rejects(openPlug(`qemu://${path}[listen]`), { code: 'EEXIST' });
  await assert.rejects(openPlug(`qemu://${path}`), { code: 'ECONNREFUSED' });
});

test('a connection that is refused says what to do', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'none');
  await assert.rejects(openPlug(`qemu://${path}`), { code: 'ENOENT', message: /does the other end listen at/ });
  const [port] = freePorts(1);
  await assert.rejects(openPlug(`qemu://localhost:${port}`), { code: 'ECONNREFUSED', message: /server=on/ });
  const server = createServer().listen(port, '127.0.0.1');
  cleanup(t, () => server.close());
  await new Promise((done) => server.once('listening', done));
  await assert.rejects(openPlug(`qemu://127.0.0.1:${port}[listen]`), { code: 'EADDRINUSE' });
});

test('a path, an address and its parameters are told apart', () => {
  const read = (body: string) => readQemu(resolveLocator(`qemu://${body}`));
  const place = (body: string) => read(body).place;
  assert.deepEqual(place('/tmp/a:1[listen]'), { path: '/tmp/a:1' });
  assert.deepEqual(place('name'), { path: join(process.cwd(), 'name') });
  assert.deepEqual(place('./host:1'), { path: join(process.cwd(), 'host:1') });
  assert.deepEqual(place('localhost:5000'), { host: 'localhost', port: 5000 });
  assert.deepEqual(place('[::1]:5000[listen]'), { host: '::1', port: 5000 });
  assert.deepEqual(place('::1:5000'), { host: '::1', port: 5000 });
  assert.equal(read('[fe80::1%eth0]:5000[listen]').listen, true);
  for (const body of [
    '',
    ':5000',
    ':5000[listen]',
    'host:0',
    'host:65536',
    'host:x',
    '/tmp/s[speed=1]',
    '/tmp/s[mode=700]',
    '127.0.0.1:1[listen/mode=700]',
  ]) {
    assert.throws(
      () => read(body),
      (error) => error instanceof VdeError && error.code === 'EINVAL',
      body,
    );
  }
});
