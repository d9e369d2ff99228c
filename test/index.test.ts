/** The library as a program has it: only what src/index.ts exports is used. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Drops, End, listSchemes, type OpenOptions, open, SwitchService, VdeError } from '../src/index.js';
import { root } from './support/bin.js';
import { cleanup, type Owner } from './support/cleanup.js';
import { leakCheck } from './support/leaks.js';
import { run } from './support/proc.js';
import { tmpDir } from './support/tmp.js';

function ethernet(number: number, size = 60): Buffer {
  const frame = Buffer.alloc(size);
  frame.fill(0xff, 0, 6);
  frame.set([2, 0, 0, 0, 0, 1], 6);
  frame.writeUInt16BE(0x88b5, 12);
  frame.writeUInt32BE(number, 14);
  return frame;
}

/** Bytes of buffers that are in use, without those that only wait for the garbage collector. */
function held(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What is collected is given back meanwhile; the second time waits for that.
  collect();
  collect();
  return process.memoryUsage().arrayBuffers;
}

/** Two ends of one switch. */
async function network(t: Owner, options: OpenOptions = {}): Promise<{ a: End; b: End; hub: SwitchService }> {
  const hub = new SwitchService(join(tmpDir(t), 's'));
  cleanup(t, () => hub.close());
  const [a, b] = [await open(`vde://${hub.directory}`, options), await open(hub.directory)];
  cleanup(t, () => {
    a.close();
    b.close();
  });
  return { a, b, hub };
}

test('two ends of a switch play ping-pong', async (t) => {
  const { a, b } = await network(t);
  b.on('frame', (frame) => b.send(frame));
  a.send(ethernet(1));
  let number = 1;
  for await (const frame of a) {
    assert.equal(frame.readUInt32BE(14), number);
    if (++number > 200) break;
    assert.equal(a.send(ethernet(number)), true);
  }
});

test('frames belong to whoever gets them', async (t) => {
  const { a, b } = await network(t);
  const frames: Buffer[] = [];
  b.on('frame', (frame) => frames.push(frame));
  for (let i = 0; i < 300; i++) a.send(ethernet(i, 60 + i));
  while (frames.length < 300) await immediate();
  for (const [i, frame] of frames.entries()) assert.ok(frame.equals(ethernet(i, 60 + i)), `frame ${i}`);
  frames[0].fill(0);
  assert.ok(frames[1].equals(ethernet(1, 61)));
});

test('what is sent may be changed at once; what is sent in one go leaves together, or when flushed', async (t) => {
  const { a, b } = await network(t);
  const arrived = once(b, 'frame');
  const frame = ethernet(7);
  a.send(frame);
  a.flush();
  frame.fill(0);
  assert.ok((await arrived)[0].equals(ethernet(7)));
});

test('an iterator gets the frames from before it asked, and ends with the end', async (t) => {
  const { a, b } = await network(t);
  for (let i = 0; i < 5; i++) a.send(ethernet(i));
  a.flush();
  const seen: number[] = [];
  for await (const frame of b) {
    seen.push(frame.readUInt32BE(14));
    if (seen.length === 5) b.close();
  }
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
});

test('a slow iterator stops the reading: memory stays bounded, and what waited still comes', async (t) => {
  const { a, b } = await network(t);
  const iterator = b[Symbol.asyncIterator]();
  a.send(ethernet(0));
  await iterator.next();
  let sent = 1;
  const before = held();
  for (let round = 0; round < 400; round++) {
    for (let i = 0; i < 64; i++) a.send(ethernet(sent++, 1400));
    await immediate();
  }
  const grown = held() - before;
  // 36 MB were sent. The iterator keeps about 600 frames, the switch's queue for the port has a bound of its own.
  assert.ok(grown < 24 << 20, `${grown >> 20} MB`);
  let last = 0;
  let count = 1;
  for await (const frame of { [Symbol.asyncIterator]: () => iterator }) {
    const number = frame.readUInt32BE(14);
    assert.ok(number > last);
    last = number;
    if (++count === 600) break;
  }
});

test('a backlogged end says so, and says when it is not any more', async (t) => {
  const { a, b, hub } = await network(t);
  b.on('frame', () => {});
  // A switch that does not get its turn reads nothing: sending goes on within one turn.
  let ready = true;
  let sent = 0;
  while (ready && sent < 100_000) {
    ready = a.send(ethernet(sent++, 1400));
    if (sent % 64 === 0) a.flush();
  }
  assert.equal(ready, false);
  await once(a, 'drain');
  assert.equal(a.send(ethernet(sent)), true);
  assert.ok(hub.switch.portCount > 0);
});

test('a frame that cannot be sent is refused with its size, and a closed end with its name', async (t) => {
  const { a } = await network(t);
  for (const size of [0, 13, a.maxFrame + 1]) {
    assert.throws(() => a.send(Buffer.alloc(size)), {
      name: 'VdeError',
      code: 'EMSGSIZE',
      subject: a.name,
      message: new RegExp(`a frame of ${size} bytes, 14 to ${a.maxFrame} can be sent`),
    });
  }
  a.send(Buffer.alloc(14));
  a.close();
  assert.equal(a.closed, true);
  assert.throws(() => a.send(ethernet(1)), { code: 'EPIPE', subject: a.name });
});

test('closing sends what was sent before, tells once and may be done twice', async (t) => {
  const { a, b } = await network(t);
  const arrived = once(b, 'frame');
  let closed = 0;
  a.on('close', (error) => {
    closed++;
    assert.equal(error, undefined);
  });
  a.send(ethernet(9));
  a.close();
  a.close();
  assert.equal(closed, 1);
  assert.ok((await arrived)[0].equals(ethernet(9)));
});

test('an end that is lost tells why, and so does its iterator', async (t) => {
  const { a, b, hub } = await network(t);
  const told = once(a, 'close');
  const iterated = assert.rejects(
    async () => {
      for await (const frame of b) assert.fail(`a frame out of nowhere: ${frame.length} bytes`);
    },
    (error) => error instanceof VdeError && error.code === 'ECONNRESET',
  );
  await immediate();
  hub.close();
  const [error] = await told;
  assert.ok(error instanceof VdeError);
  assert.equal(error.code, 'ECONNRESET');
  assert.equal(error.subject, a.name);
  await iterated;
  assert.equal(a.closed && b.closed, true);
});

test('an end closes with the block that uses it, and leaves nothing', async (t) => {
  const hub = new SwitchService(join(tmpDir(t), 's'));
  cleanup(t, () => hub.close());
  const check = leakCheck(t);
  {
    await using a = await open(hub.directory);
    await using b = await open('null://');
    a.send(ethernet(1));
    b.send(ethernet(1));
    assert.equal(a.closed || b.closed, false);
  }
  await check();
});

test('what cannot be opened says what and why', async () => {
  await assert.rejects(open('vde:///no/such/directory'), { name: 'VdeError', code: 'ENOENT' });
  await assert.rejects(open('nul://'), { code: 'EPROTONOSUPPORT', message: /did you mean null/ });
  await assert.rejects(open('vde://[port='), VdeError);
});

test('drops are counted by reason, and schemes listed', async (t) => {
  const { a } = await network(t);
  const drops: Readonly<Drops> = a.drops;
  assert.deepEqual(drops, { full: 0, oversize: 0, runt: 0, error: 0 });
  assert.ok((await listSchemes()).length >= 3);
  assert.ok(a instanceof End);
});

test('a program ends when it has closed what it opened', async (t) => {
  const directory = join(tmpDir(t), 's');
  const program = `
    import { open, SwitchService } from './src/index.ts';
    const hub = new SwitchService(${JSON.stringify(directory)});
    const [a, b] = [await open(hub.directory), await open(hub.directory)];
    b.once('frame', (frame) => {
      console.log(frame.length);
      for (const one of [a, b, hub]) one.close();
    });
    a.send(Buffer.alloc(60, 255));
    process.on('exit', () => console.log('exit'));`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', program];
  const { code, stdout, stderr } = await run(process.execPath, args, { cwd: root, timeout: 60_000 });
  assert.deepEqual([code, stdout], [0, '60\nexit\n'], stderr);
});
