/** Capture files as ends: replayed, written, hostile. Interfaces are in packet.test.ts. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CapturedPacket, readCapture } from '../../src/frame/pcapng-reader.js';
import { PcapngWriter } from '../../src/frame/pcapng-writer.js';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import type { VdeError } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';
import { Collector, frame, sendAll } from './frames.js';

loop();

async function open(t: Owner, locator: string, notices: string[] = []): Promise<Plug> {
  const plug = await openPlug(locator, { onNotice: (line) => notices.push(line) });
  cleanup(t, () => plug.close());
  return plug;
}

/** What arrives at a plug until it is lost. */
async function replay(plug: Plug): Promise<{ frames: Buffer[]; error: VdeError | undefined }> {
  const arrived = new Collector(plug);
  const error = await new Promise<VdeError | undefined>((done) => {
    plug.onLost = done;
  });
  return { frames: arrived.frames, error };
}

/** A capture of frames `gap` ms apart. */
function capture(frames: readonly Buffer[], gap = 0): Buffer {
  const blocks: Uint8Array[] = [];
  const writer = new PcapngWriter((block) => blocks.push(block));
  writer.addInterface();
  for (const [i, data] of frames.entries()) {
    writer.write({ interfaceId: 0, timestamp: 1_700_000_000_000_000_000n + BigInt(i * gap) * 1_000_000n, data });
  }
  return Buffer.concat(blocks);
}

/** A classic pcap file of one packet. */
function classic(data: Buffer, { big = false, magic = 0xa1b2c3d4, link = 1, original = data.length } = {}): Buffer {
  const bytes = Buffer.alloc(40 + data.length);
  const put = (value: number, at: number) => (big ? bytes.writeUInt32BE(value, at) : bytes.writeUInt32LE(value, at));
  put(magic, 0);
  put(big ? 0x0002_0004 : 0x0004_0002, 4);
  put(262_144, 16);
  put(link, 20);
  put(1_700_000_000, 24);
  put(data.length, 32);
  put(original, 36);
  bytes.set(data, 40);
  return bytes;
}

function packets(path: string): CapturedPacket[] {
  return [...readCapture(readFileSync(path))];
}

test('what is written to a file is replayed from it, in order and whole', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcapng');
  const frames = Array.from({ length: 500 }, (_, i) => frame(14 + ((i * 37) % 3000), i));
  const out = await open(t, `pcap://${path}[out]`);
  sendAll(out, frames);
  out.close();
  const { frames: back, error } = await replay(await open(t, `pcap://${path}[speed=fast]`));
  assert.equal(error, undefined);
  assert.deepEqual(back, frames);
});

test('pcap of either byte order and resolution is replayed', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcap');
  for (const big of [false, true]) {
    for (const magic of [0xa1b2c3d4, 0xa1b23c4d]) {
      writeFileSync(path, classic(frame(100, 5), { big, magic }));
      const { frames, error } = await replay(await open(t, `pcap://${path}`));
      assert.equal(error, undefined);
      assert.deepEqual(frames, [frame(100, 5)]);
    }
  }
});

test('the pauses between frames are kept, or shortened as many times as asked', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcapng');
  const frames = [1, 2, 3].map((i) => frame(60, i));
  writeFileSync(path, capture(frames, 100));
  for (const [speed, least] of [
    ['', 195],
    ['[speed=4]', 49],
  ] as const) {
    const begin = performance.now();
    const { frames: back } = await replay(await open(t, `pcap://${path}${speed}`));
    assert.ok(performance.now() - begin >= least, `done after ${performance.now() - begin} ms`);
    assert.deepEqual(back, frames);
  }
  writeFileSync(path, capture(frames, 86_400_000));
  assert.equal((await replay(await open(t, `pcap://${path}[speed=fast]`))).frames.length, 3);
});

test('a file with loop begins again; one without frames does not go on for ever', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcapng');
  writeFileSync(path, capture([frame(60, 1), frame(60, 2)], 1));
  const arrived = new Collector(await open(t, `pcap://${path}[speed=fast/loop]`));
  await arrived.count(300);
  assert.deepEqual(arrived.frames[298], frame(60, 1));
  assert.deepEqual(arrived.frames[299], frame(60, 2));
  writeFileSync(path, capture([]));
  assert.equal((await replay(await open(t, `pcap://${path}[loop]`))).error, undefined);
});

test('frames wait while nothing is received', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcapng');
  writeFileSync(path, capture(Array.from({ length: 200 }, (_, i) => frame(60, i))));
  const plug = await open(t, `pcap://${path}[speed=fast]`);
  const arrived = new Collector(plug, () => {
    plug.receiving = false;
    setImmediate(() => {
      plug.receiving = true;
    });
  });
  await arrived.count(200);
  assert.deepEqual(arrived.frames[199], frame(60, 199));
});

test('write= records what is sent beside what is replayed', async (t) => {
  leakCheck(t);
  const dir = tmpDir(t);
  const [source, target] = [join(dir, 'in.pcap'), join(dir, 'out.pcapng')];
  writeFileSync(source, classic(frame(60, 1)));
  const plug = await open(t, `pcap://${source}[write=${target.replaceAll('/', '%2F')}]`);
  sendAll(plug, [frame(80, 2)]);
  assert.deepEqual((await replay(plug)).frames, [frame(60, 1)]);
  assert.deepEqual(
    packets(target).map(({ data }) => Buffer.from(data)),
    [frame(80, 2)],
  );
});

test('what is no whole Ethernet frame is left out and counted', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcap');
  for (const [bytes, reason] of [
    [classic(frame(60, 1), { original: 61 }), 'error'],
    [classic(Buffer.alloc(13)), 'runt'],
    [classic(Buffer.alloc(65_554)), 'oversize'],
  ] as const) {
    writeFileSync(path, bytes);
    const plug = await open(t, `pcap://${path}`);
    assert.equal((await replay(plug)).frames.length, 0);
    assert.equal(plug.drops[reason], 1);
  }
});

test('a file that breaks off gives what it has and says so; one that is wrong says where', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcapng');
  const whole = capture([frame(60, 1), frame(60, 2)]);
  writeFileSync(path, whole.subarray(0, -10));
  const notices: string[] = [];
  const { frames, error } = await replay(await open(t, `pcap://${path}`, notices));
  assert.deepEqual(frames, [frame(60, 1)]);
  assert.equal(error, undefined);
  assert.match(notices.join(), /breaks off at byte \d+$/);

  whole.writeUInt32LE(0xffff_fff0, whole.length - 4);
  writeFileSync(path, whole);
  const wrong = await replay(await open(t, `pcap://${path}[speed=fast]`));
  assert.deepEqual(wrong.frames, [frame(60, 1)]);
  assert.match(String(wrong.error?.message), /^pcap:\/\/.*block lengths that differ at byte \d+$/);
});

test('whatever a file holds, it is refused or replayed to an end', async (t) => {
  leakCheck(t);
  const path = join(tmpDir(t), 'a.pcapng');
  const sound = capture([frame(60, 1), frame(200, 2), frame(61, 3)]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 8 }),
      fc.nat(sound.length),
      async (changes, length) => {
        const bytes = Buffer.from(sound.subarray(0, length));
        for (const [at, value] of changes) if (at < length) bytes[at] = value;
        writeFileSync(path, bytes);
        let plug: Plug;
        try {
          plug = await openPlug(`pcap://${path}[speed=fast]`, { onNotice: () => {} });
        } catch (error) {
          assert.equal((error as Error).name, 'VdeError');
          return;
        }
        const { frames, error } = await replay(plug);
        assert.ok(frames.length <= 3);
        assert.ok(error === undefined || error.name === 'VdeError');
      },
    ),
    { numRuns: 100 },
  );
});

test('what cannot be a capture, or cannot be meant, is refused with the reason', async (t) => {
  leakCheck(t);
  const dir = tmpDir(t);
  const path = join(dir, 'a.pcap');
  const refused = async (locator: string, message: RegExp): Promise<void> => {
    await assert.rejects(openPlug(locator), { name: 'VdeError', message });
  };
  await refused(`pcap://${dir}/none`, /No such file or directory/);
  await refused(`pcap://${dir}`, /is not a file|Is a directory/);
  execFileSync('mkfifo', [join(dir, 'fifo')]);
  await refused(`pcap://${dir}/fifo`, /is not a file/);
  writeFileSync(path, 'text, no capture');
  await refused(`pcap://${path}`, /neither a pcapng nor a pcap file/);
  writeFileSync(path, classic(frame(60, 1), { link: 101 }));
  await refused(`pcap://${path}`, /no Ethernet frames \(link type 101\)/);
  await refused(`pcap://${path}[speed=-1]`, /"-1" is no speed .*real, fast, or a number/);
  await refused(`pcap://${path}[sped=1]`, /unknown parameter "sped".*did you mean "speed"/);
  await refused(`pcap://${path}[out/loop]`, /cannot be written and read/);
  await refused(`pcap://${path}[host]`, /is a file/);
  await refused(`pcap://${dir}/none/out[out]`, /No such file or directory/);
  await refused('pcap://eth0[loop]', /parameter "loop": eth0 is an interface.*pcap:\/\/\.\/eth0/);
});
