/** Captures of an end, as the library opens them; what Wireshark makes of them is in test/interop. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CapturedPacket, readCapture } from '../../src/frame/pcapng-reader.js';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { loop } from '../../src/sys/loop.js';
import { cutPacket, noise, tcpPacket, writePacket, writeSuperFrame } from '../frame/super-frames.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { requirePeer } from '../support/peers.js';
import { start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';
import { complianceSuite } from './compliance.js';
import { Collector, frame, sendAll } from './frames.js';
import { sendSuper } from './super.js';

loop();

async function open(t: Owner, locator: string, notices: string[] = []): Promise<Plug> {
  const plug = await openPlug(locator, { onNotice: (line) => notices.push(line) });
  cleanup(t, () => plug.close());
  return plug;
}

function packets(path: string): CapturedPacket[] {
  return [...readCapture(readFileSync(path))];
}

complianceSuite({
  name: 'capture round a point-to-point link',
  openPair: async (t) => {
    const dir = tmpDir(t);
    const a = await openPlug(`capture://${dir}/a.pcapng{ptp://${dir}/link}`);
    const b = await openPlug(`ptp://${dir}/link`);
    const [atA, atB] = [new Collector(a), new Collector(b)];
    const meet = setInterval(() => {
      sendAll(a, [frame(60, 0)]);
      sendAll(b, [frame(60, 0, false)]);
    }, 5);
    await Promise.all([atA.count(1), atB.count(1)]).finally(() => clearInterval(meet));
    a.sink = undefined;
    b.sink = undefined;
    return { a, b };
  },
  supports: { loss: 'never', counted: false, backlog: false },
});

test('both directions are recorded, with the time and the inner locator’s name', async (t) => {
  leakCheck(t);
  const dir = tmpDir(t);
  const [path, source] = [join(dir, 'a.pcapng'), join(dir, 'in.pcapng')];
  const made = await open(t, `pcap://${source}[out]`);
  sendAll(made, [frame(90, 1)]);
  made.close();
  const plug = await open(t, `capture://${path}{pcap://${source}}`);
  const begin = Date.now() - 50;
  const arrived = new Collector(plug);
  sendAll(plug, [frame(70, 2)]);
  await arrived.count(1);
  plug.close();
  const [sent, received] = packets(path);
  assert.deepEqual([Buffer.from(sent.data), sent.direction], [frame(70, 2), 'outbound']);
  assert.deepEqual([Buffer.from(received.data), received.direction], [frame(90, 1), 'inbound']);
  assert.equal(sent.interface.name, `pcap://${source}`);
  for (const { timestamp = 0n } of [sent, received]) {
    assert.ok(timestamp >= BigInt(begin) * 1_000_000n && timestamp < BigInt(Date.now() + 50) * 1_000_000n);
  }
  assert.equal(statSync(path).mode & 0o077, 0, 'a capture is for its owner only');
});

test('super-frames are recorded as the frames of the wire, with their checksums', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcapng');
  const plug = await open(t, `capture://${path}{null://}`);
  const value = tcpPacket({ payload: noise(50_000, 1) });
  sendSuper(plug, writeSuperFrame(value, 1448));
  plug.close();
  assert.deepEqual(
    packets(path).map(({ data }) => Buffer.from(data)),
    cutPacket(value, 1448).map((one) => Buffer.from(writePacket(one))),
  );
});

test('snaplen cuts what is kept, not what passes', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcapng');
  const plug = await open(t, `capture://${path}[snaplen=50]{null://}`);
  sendAll(plug, [frame(1000, 1), frame(40, 2)]);
  plug.close();
  const [long, short] = packets(path);
  assert.deepEqual([Buffer.from(long.data), long.originalLength], [frame(1000, 1).subarray(0, 50), 1000]);
  assert.deepEqual([Buffer.from(short.data), short.originalLength], [frame(40, 2), 40]);
  assert.equal(long.interface.snaplen, 50);
});

test('with a size a new file is begun, and only so many are kept', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcapng');
  const plug = await open(t, `capture://${path}[size=10k/files=3]{null://}`);
  for (let i = 0; i < 100; i++) sendAll(plug, [frame(1000, i)]);
  plug.close();
  const files = [`${path}.2`, `${path}.1`, path];
  const numbers = files.flatMap((file) => packets(file).map(({ data }) => Buffer.from(data).readUInt32BE(14)));
  for (const file of files) assert.ok(statSync(file).size <= 10 * 1024);
  assert.equal(existsSync(`${path}.3`), false);
  assert.equal(numbers.at(-1), 99);
  assert.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, i) => 100 - numbers.length + i),
  );
});

test('a FIFO gets a capture for each reader that comes; without one, traffic passes', async (t) => {
  if (!requirePeer(t, 'mkfifo', 'cat')) return;
  leakCheck(t);
  const path = join(tmpDir(t), 'fifo');
  execFileSync('mkfifo', [path]);
  const plug = await open(t, `capture://${path}{null://}`);
  sendAll(plug, [frame(60, 1)]);
  for (const number of [2, 3]) {
    const reader = start(t, 'cat', [path]);
    const send = setInterval(() => sendAll(plug, [frame(100, number)]), 20);
    await reader.waitFor((text) => text.length > 400, { stream: 'stdout' }).finally(() => clearInterval(send));
    const [first] = [...readCapture(reader.stdoutBytes)];
    assert.deepEqual(Buffer.from(first.data), frame(100, number));
    await reader.end();
    sendAll(plug, [frame(60, 4)]);
  }
});

test('a file that cannot be written is refused; a full disk is told once, and traffic passes', async (t) => {
  leakCheck(t);
  const dir = tmpDir(t);
  await assert.rejects(openPlug(`capture://${dir}/none/a{null://}`), {
    message: `capture://${dir}/none/a{null://}: ${dir}/none/a: No such file or directory`,
  });
  await assert.rejects(openPlug('capture://{null://}'), /no file to record to at character 11/);
  await assert.rejects(openPlug(`capture://${dir}/a[snap=x]{null://}`), /parameter "snaplen": "x" is not a number/);
  const open1 = await open(t, `capture://${dir}/a{null://}`);
  await assert.rejects(openPlug(`capture://${dir}/a{null://}`), /is being written already/);
  open1.close();

  const notices: string[] = [];
  // A device may have more than one writer.
  await open(t, 'capture:///dev/full{null://}');
  const plug = await open(t, 'capture:///dev/full{null://}', notices);
  for (let i = 0; i < 1000; i++) sendAll(plug, [frame(1000, i)]);
  plug.close();
  assert.deepEqual(notices, [
    'capture:///dev/full{null://}: No space left on device: frames pass, but are not recorded until it can be written',
    'capture:///dev/full{null://}: 1000 frames were not recorded',
  ]);
});
