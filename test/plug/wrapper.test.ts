import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ALL_VIEWS, Burst, FRAME_MAX } from '../../src/frame/burst.js';
import { DatagramPlug } from '../../src/plug/datagram.js';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug, registerScheme } from '../../src/plug/registry.js';
import { openInner, WrapperPlug } from '../../src/plug/wrapper.js';
import { VdeError } from '../../src/sys/errors.js';
import { SOCK_DGRAM, socketPair } from '../../src/sys/socket.js';
import { segments, tcpPacket, writeSuperFrame } from '../frame/super-frames.js';
import { cleanup } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { complianceSuite } from './compliance.js';
import { DirectPlug } from './direct-plug.js';
import { Collector, frame, sendAll } from './frames.js';

/** Adds one to a byte of each frame on the way out and takes it off on the way in; refuses broadcasts. */
class AddingPlug extends WrapperPlug {
  readonly #burst = new Burst();
  /** The most super-frames that a hook was given. */
  superFrames = 0;

  protected override outward(burst: Burst, views: Uint8Array, count: number): void {
    for (let k = 0; k < count; k++) if (burst.offload[views[k] & 63]) this.superFrames++;
    const out = this.#burst;
    out.count = 0;
    for (let k = 0; k < count; k++) {
      const bytes = Buffer.from(burst.viewBytes(views[k]));
      if (bytes[0] === 0xff) this.drops.error++;
      else if (bytes.length < 14) this.drops.runt++;
      else {
        bytes[12]++;
        out.add(bytes);
      }
    }
    this.forward(out, ALL_VIEWS, out.count);
  }

  protected override inward(burst: Burst): void {
    this.superFrames += burst.superFrames;
    for (let slot = 0; slot < burst.count; slot++) burst.frame(slot)[12]--;
    this.deliver(burst);
  }

  replace(inner: Plug): void {
    this.replaceInner(inner);
  }
}

/** Leaves everything as it is. */
class PassingPlug extends WrapperPlug {}

const wrap = (plug: Plug, depth: number): Plug =>
  depth === 0 ? plug : wrap(new PassingPlug(`layer ${depth}`, plug, true), depth - 1);

complianceSuite({
  name: 'three wrappers round datagram sockets',
  openPair: async () => {
    const [a, b] = socketPair(SOCK_DGRAM, 'pair').map((end, i) =>
      wrap(new DatagramPlug(end, { name: `end ${i}`, maxFrame: FRAME_MAX }), 3),
    );
    return { a, b };
  },
  supports: { loss: 'on send' },
});

/** A burst with a TCP super-frame of `size` bytes of payload between two plain frames, and what it stands for. */
function mixed(size: number): { burst: Burst; cut: Buffer[] } {
  const superFrame = writeSuperFrame(tcpPacket({ payload: Buffer.alloc(size, 7) }), 1448);
  const [before, after] = [frame(100, 1), frame(100, 2)];
  const burst = new Burst();
  for (const one of [before, superFrame.subarray(10), after]) burst.add(one);
  burst.bytes.set(superFrame.subarray(0, 10), burst.start[1] - 10);
  burst.readOffloads();
  return { burst, cut: [before, ...segments(superFrame).map((one) => Buffer.from(one)), after] };
}

test('hooks that work on frames of the wire get super-frames cut, both ways; others get them whole', () => {
  for (const handles of [false, true]) {
    const [a, b] = DirectPlug.pair(true);
    const near = new AddingPlug('near', a, handles);
    const far = new AddingPlug('far', b, false);
    assert.equal(near.takesOffloads, handles);
    const arrived = new Collector(far);
    const { burst, cut } = mixed(60_000);
    near.send(burst, ALL_VIEWS, burst.count);
    assert.equal(far.superFrames, 0);
    assert.equal(near.superFrames, handles ? 1 : 0);
    // The hook above loses the offload of what it copies, so only what was cut before can be compared.
    if (!handles) arrived.assertFrames(cut);
    arrived.frames.length = 0;
    b.peer?.arrive(mixed(60_000).burst);
    near.close();
    far.close();
  }
  const [a] = DirectPlug.pair(true);
  const plug = new PassingPlug('cutting', a, false);
  const arrived = new Collector(plug);
  const { burst, cut } = mixed(60_000);
  a.arrive(burst);
  arrived.assertFrames(cut);
});

test('frames that are cut may be answered, and cut again, within the call', () => {
  const [a, b] = DirectPlug.pair(true);
  const near = wrap(new PassingPlug('near', a, false), 2);
  const far = wrap(new PassingPlug('far', b, false), 2);
  const arrived = new Collector(near);
  const { burst, cut } = mixed(30_000);
  const answer = mixed(20_000);
  let answered = false;
  far.sink = (got) => {
    far.send(got, ALL_VIEWS, got.count);
    if (!answered) far.send(answer.burst, ALL_VIEWS, answer.burst.count);
    answered = true;
  };
  near.send(burst, ALL_VIEWS, burst.count);
  const inOrder = arrived.frames.filter((one) => one.length === 100 || one.includes(Buffer.alloc(9, 7)));
  assert.equal(inOrder.length, cut.length + answer.cut.length);
  for (const one of [...cut, ...answer.cut]) {
    assert.ok(
      arrived.frames.some((got) => got.equals(one)),
      'a frame has changed on the way',
    );
  }
});

test('drops of a wrapper are its own and those of what it is wrapped round', () => {
  const [a] = DirectPlug.pair(false, 200);
  const plug = new AddingPlug('outer', new AddingPlug('inner', a, false), false);
  sendAll(plug, [Buffer.alloc(60, 0xff), Buffer.alloc(5), frame(300, 1), frame(60, 2)]);
  assert.deepEqual(plug.drops, { full: 0, oversize: 1, runt: 1, error: 1 });
  assert.deepEqual(plug.inner.drops, { full: 0, oversize: 1, runt: 0, error: 0 });
  assert.equal(plug.maxFrame, 200);
});

test('an inner plug can be replaced: frames flow through the new one, drops are kept, the old one is closed', () => {
  const [a] = DirectPlug.pair(false, 200);
  const plug = new AddingPlug('outer', a, false);
  const arrived = new Collector(plug);
  sendAll(plug, [frame(300, 1)]);
  const [c, d] = DirectPlug.pair(false, 100);
  plug.replace(c);
  assert.ok(a.closed);
  sendAll(plug, [frame(150, 1)]);
  assert.equal(plug.drops.oversize, 2);
  d.sink = (burst) => d.send(burst, ALL_VIEWS, burst.count);
  sendAll(plug, [frame(60, 3)]);
  arrived.assertFrames([frame(60, 3)]);
  plug.receiving = false;
  assert.equal(c.receiving, false);
});

test('the loss of the inner plug is the wrapper’s; closing the wrapper closes what is inside', () => {
  const [a] = DirectPlug.pair();
  const plug = new PassingPlug('outer', a, true);
  let lost = 0;
  plug.onLost = () => lost++;
  a.fail();
  assert.equal(lost, 1);
  assert.ok(plug.closed);
  const [c] = DirectPlug.pair();
  new PassingPlug('outer', c, true).close();
  assert.ok(c.closed);
});

registerScheme({
  name: 'passing',
  syntax: '{VNL}',
  doc: 'for these tests',
  params: [],
  open: async (locator, options) => new PassingPlug(locator.locator, await openInner(locator, options), true),
});

test('locators nest, and what nests without end is refused in one line', async (t) => {
  const plug = await openPlug('passing://{passing://{null://}}', { offer: {} as never });
  cleanup(t, () => plug.close());
  assert.equal(plug.name, 'passing://{passing://{null://}}');
  assert.equal((plug as PassingPlug).inner.name, 'passing://{null://}');

  const home = tmpDir(t);
  const file = join(home, 'loop');
  writeFileSync(file, `passing://{${file}}\n`);
  const endless = (error: unknown): boolean =>
    error instanceof VdeError && error.code === 'EMALFORMED' && /^.*more than 16 locators nested/.test(error.message);
  await assert.rejects(openPlug(file), endless);
  await assert.rejects(openPlug('passing://{null://nested'.repeat(17)), { code: 'EMALFORMED' });

  mkdirSync(join(home, '.vdeplug'));
  writeFileSync(join(home, '.vdeplug/default'), 'passing://\n');
  const before = process.env.HOME;
  cleanup(t, () => {
    process.env.HOME = before;
  });
  process.env.HOME = home;
  await assert.rejects(openPlug(''), endless);
});
