/** Serial lines over a pair of pseudo terminals; with the C plugin in test/interop. */

import assert from 'node:assert/strict';
import { closeSync, constants, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { encodeRecord } from '../../src/frame/stream.js';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { openSerial } from '../../src/plug/vdesl.js';
import { Descriptor } from '../../src/sys/descriptor.js';
import { loop } from '../../src/sys/loop.js';
import { makeSerialLine, terminalSpeed } from '../../src/sys/tty.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { requirePeer } from '../support/peers.js';
import { run } from '../support/proc.js';
import { serialLine } from '../support/serial.js';
import { waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { complianceSuite } from './compliance.js';
import { Collector, frame, sendAll } from './frames.js';

loop();

async function open(t: Owner, locator: string): Promise<Plug> {
  const plug = await openPlug(locator);
  cleanup(t, () => plug.close());
  return plug;
}

/** The same with pauses of another length than a busy machine makes by itself. */
function openWithPause(t: Owner, path: string, pauseMs: number): Plug {
  const plug = openSerial(path, path, 38_400, pauseMs);
  cleanup(t, () => plug.close());
  return plug;
}

/** The other end of a line, for bytes as they are. */
function bare(t: Owner, path: string): number {
  const fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  cleanup(t, () => closeSync(fd));
  // Whoever made the line may not have come to that yet.
  makeSerialLine(new Descriptor(fd, path), 38_400);
  return fd;
}

complianceSuite({
  name: 'serial line',
  openPair: async (t) => {
    const line = await serialLine(t);
    const [a, b] = [openWithPause(t, line.a, 30_000), openWithPause(t, line.b, 30_000)];
    return { a, b, lose: () => line.process.end() };
  },
  // socat holds back what the other end does not read, and loses nothing.
  supports: { counted: false },
  skip: (t) => !requirePeer(t, 'socat'),
});

test('every speed of the table is set, and what the line was before is restored', async (t) => {
  if (!requirePeer(t, 'socat', 'stty')) return;
  leakCheck(t);
  const line = await serialLine(t);
  const other = bare(t, line.a);
  const tty = new Descriptor(other, line.a);
  const settings = async () => (await run('stty', ['-F', line.a, '--all'])).stdout;
  const before = await settings();
  for (const speed of [
    ...[9600, 19200, 38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000],
    ...[2000000, 2500000, 3000000, 3500000, 4000000],
  ]) {
    const plug = await open(t, `vdesl://${line.a}[speed=${speed}]`);
    assert.equal(terminalSpeed(tty), speed);
    if (speed === 115200) {
      const now = await settings();
      for (const word of ['cs8', '-parenb', '-cstopb', '-crtscts', '-ixon', '-icanon', '-echo', '-opost', 'clocal']) {
        assert.match(now, new RegExp(`(^|\\s)${word}\\b`), word);
      }
    }
    plug.close();
  }
  assert.equal(await settings(), before);
  (await open(t, `vdesl://${line.a}`)).close();
  assert.equal(await settings(), before);
});

test('the record that a pause comes in is dropped, and the next one is read', async (t) => {
  if (!requirePeer(t, 'socat')) return;
  leakCheck(t);
  const line = await serialLine(t);
  const plug = openWithPause(t, line.a, 1500);
  const other = bare(t, line.b);
  const arrived = new Collector(plug);
  writeSync(other, encodeRecord(frame(60, 1)));
  await arrived.count(1);
  // Bytes were lost: the end of one record is missing.
  writeSync(other, encodeRecord(frame(60, 2)).subarray(0, 40));
  await arrived.until(() => plug.drops.error === 1, 'the pause is seen');
  writeSync(other, encodeRecord(frame(60, 3)));
  await arrived.count(2);
  arrived.assertFrames([frame(60, 1), frame(60, 3)]);
});

test('a record that comes byte by byte is read, one that is too long or too short is passed over', async (t) => {
  if (!requirePeer(t, 'socat')) return;
  leakCheck(t);
  const line = await serialLine(t);
  const plug = openWithPause(t, line.a, 30_000);
  const other = bare(t, line.b);
  const arrived = new Collector(plug);
  for (const byte of encodeRecord(frame(30, 1))) {
    writeSync(other, Uint8Array.of(byte));
    await new Promise((done) => setImmediate(done));
  }
  await arrived.count(1);
  const long = encodeRecord(frame(9235, 2));
  for (let at = 0; at < long.length; ) {
    try {
      at += writeSync(other, long, at);
    } catch {
      await new Promise((done) => setTimeout(done, 1));
    }
  }
  writeSync(other, encodeRecord(Buffer.alloc(13)));
  writeSync(other, Uint8Array.of(0, 0));
  writeSync(other, encodeRecord(frame(50, 3)));
  await arrived.count(2);
  arrived.assertFrames([frame(30, 1), frame(50, 3)]);
  assert.deepEqual({ ...plug.drops }, { full: 0, oversize: 1, runt: 1, error: 0 });
});

test('what was sent reaches the line before the end closes', async (t) => {
  if (!requirePeer(t, 'socat')) return;
  leakCheck(t);
  const line = await serialLine(t);
  const plug = await open(t, `vdesl://${line.a}`);
  const other = bare(t, line.b);
  sendAll(plug, [frame(1000, 1), frame(1000, 2)]);
  await plug.settled?.(5000);
  plug.close();
  const expected = Buffer.concat([encodeRecord(frame(1000, 1)), encodeRecord(frame(1000, 2))]);
  const got = Buffer.alloc(expected.length);
  let length = 0;
  await waitUntil(line.b, 'all bytes', () => {
    try {
      length += readSync(other, got, length, got.length - length, null);
    } catch {
      // EAGAIN: not there yet.
    }
    return length === got.length;
  });
  assert.deepEqual(got, expected);
});

test('what is no serial line, or is in use, is refused', async (t: TestContext) => {
  if (!requirePeer(t, 'socat')) return;
  leakCheck(t);
  const line = await serialLine(t);
  const file = join(tmpDir(t), 'file');
  writeFileSync(file, '');
  await assert.rejects(openPlug(`vdesl://${file}`), { name: 'VdeError', message: /it is no serial line/ });
  await assert.rejects(openPlug('vdesl:///nonexist'), { message: 'vdesl:///nonexist: No such file or directory' });
  await assert.rejects(openPlug(`vdesl://${line.a}[speed=300]`), { message: /"300".*one of 9600, 19200/ });
  const plug = await open(t, `vdesl://${line.a}`);
  await assert.rejects(openPlug(`vdesl://${line.a}`), {
    code: 'EBUSY',
    message: /another program has the serial line/,
  });
  plug.close();
});
