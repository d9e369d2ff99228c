import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { BURST_SIZE, Burst } from '../../src/frame/burst.js';
import { noDrops, totalDrops } from '../../src/plug/plug.js';
import { LAST, PREFIX } from '../../src/plug/tunnel-format.js';
import { isHello, makeTag } from '../../src/plug/tunnel-hello.js';
import { TunnelReceiver } from '../../src/plug/tunnel-receiver.js';
import { type Destination, TunnelSender } from '../../src/plug/tunnel-sender.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { connectInet } from '../../src/sys/inet.js';
import { setReceiveBuffer } from '../../src/sys/socket.js';
import { enableReceiveOffload } from '../../src/sys/udp-offload.js';
import { noise } from '../frame/super-frames.js';
import { frame } from './frames.js';
import { boundSocket, RawEnd } from './udp-pair.js';

/** A `struct virtio_net_hdr` that asks for segmentation. */
const OFFLOAD = Uint8Array.of(1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0);

interface Item {
  bytes: Uint8Array;
  whole: boolean;
}

const plain = (bytes: Uint8Array): Item => ({ bytes, whole: false });
const whole = (size: number, seed: number): Item => ({ bytes: noise(size, seed), whole: true });

/** Asks until it is so: what was sent to this machine may arrive a moment after the call. */
function atLast(holds: () => boolean): void {
  const end = performance.now() + 30_000;
  while (!holds()) assert.ok(performance.now() < end, `it has not come to this: ${holds}`);
}

class Ends {
  readonly got: Item[] = [];
  /** Offload headers of the super-frames. */
  readonly headers: Uint8Array[] = [];
  readonly hellos: Buffer[] = [];
  readonly drops = noDrops();
  readonly lost = noDrops();
  readonly tag = makeTag(randomFillSync);
  readonly errors: number[] = [];
  readonly to: Destination = { address: 0, length: 0, unfragmented: 65_507 };
  readonly receiver: TunnelReceiver;
  readonly sender: TunnelSender;
  readonly #burst = new Burst();

  constructor(
    readonly here: Descriptor,
    readonly there: Descriptor,
    readonly header: Uint8Array,
  ) {
    this.sender = new TunnelSender(here.fd, header, this.lost, (error) => this.errors.push(error));
    this.receiver = new TunnelReceiver({
      header: header.length,
      tag: this.tag,
      drops: this.drops,
      accepts: (bytes, at) => Buffer.from(bytes.subarray(at, at + header.length)).equals(Buffer.from(header)),
      onFrames: (burst) => {
        assert.ok(burst.count > 0 && burst.count <= BURST_SIZE);
        for (let slot = 0; slot < burst.count; slot++) {
          assert.equal(burst.start[slot] % 4, 0);
          const isWhole = burst.offload[slot] === 1;
          if (isWhole) this.headers.push(burst.offloadHeader(slot).slice());
          this.got.push({ bytes: burst.frame(slot).slice(), whole: isWhole });
        }
      },
      onHello: (bytes, at) => this.hellos.push(Buffer.from(bytes.subarray(at, at + 13))),
    });
  }

  send(items: readonly Item[]): void {
    const burst = this.#burst;
    for (let at = 0; at < items.length; at += BURST_SIZE) {
      burst.count = 0;
      burst.offload.fill(0);
      for (const item of items.slice(at, at + BURST_SIZE)) {
        assert.ok(burst.add(item.bytes));
        const slot = burst.count - 1;
        if (item.whole) burst.offloadHeader(slot).set(OFFLOAD);
        burst.offload[slot] = item.whole ? 1 : 0;
      }
      for (let slot = 0; slot < burst.count; slot++) {
        if (burst.offload[slot] === 0) this.sender.add(burst, slot, this.to);
        else assert.ok(this.sender.addWhole(burst, slot, this.to, this.tag));
      }
      assert.equal(this.sender.flush(), true);
    }
  }

  /** Receives until so many frames are here, and what else is there; returns how many messages it came in. */
  receive(frames: number): number {
    let messages = 0;
    atLast(() => {
      for (let n = this.receiver.receive(this.there.fd); n > 0; n = this.receiver.receive(this.there.fd)) messages += n;
      return this.got.length >= frames;
    });
    return messages;
  }

  assertGot(items: readonly Item[]): void {
    assert.equal(this.got.length, items.length);
    for (const [i, { bytes, whole: isWhole }] of items.entries()) {
      assert.equal(this.got[i].whole, isWhole, `item ${i}`);
      assert.ok(Buffer.from(bytes).equals(Buffer.from(this.got[i].bytes)), `item ${i}`);
    }
    for (const header of this.headers) assert.deepEqual(header, OFFLOAD);
    assert.equal(totalDrops(this.drops) + totalDrops(this.lost), 0);
  }
}

function ends(t: TestContext, { header = new Uint8Array(0), joined = true } = {}): Ends {
  const [here, there] = [boundSocket(t), boundSocket(t)];
  connectInet(here.socket, { address: '127.0.0.1', port: there.port });
  connectInet(there.socket, { address: '127.0.0.1', port: here.port });
  setReceiveBuffer(there.socket, 4 << 20);
  if (joined) assert.ok(enableReceiveOffload(there.socket));
  return new Ends(here.socket, there.socket, header);
}

const HEADERS = { 'no header': new Uint8Array(0), 'a header of 8': Uint8Array.of(8, 0, 0, 0, 0, 0, 7, 0) };

describe('tunnel', () => {
  for (const [name, header] of Object.entries(HEADERS)) {
    for (const joined of [true, false]) {
      it(`frames of many sizes arrive in order, ${name}, ${joined ? 'joined' : 'one by one'}`, (t) => {
        const all = ends(t, { header, joined });
        const sizes = [...Array(50).fill(1514), 60, 60, 60, 1514, 9000, ...Array(100).fill(66), 14, 60_000, 15];
        const items = sizes.map((size, i) => plain(frame(size, i)));
        all.send(items);
        all.receive(items.length);
        all.assertGot(items);
      });

      for (const unfragmented of [65_507, 8972, 1472, 600]) {
        it(`super-frames arrive whole by ${unfragmented} bytes, ${name}, ${joined ? 'joined' : 'one by one'}`, (t) => {
          const all = ends(t, { header, joined });
          all.to.unfragmented = unfragmented;
          const items = [
            plain(frame(60, 1)),
            whole(65_226, 1),
            whole(65_500, 2),
            plain(frame(1514, 2)),
            whole(1462 - header.length, 3),
            whole(2 * (1462 - header.length) - 10, 4),
            whole(14, 5),
            whole(4000, 6),
            plain(frame(60, 3)),
          ];
          all.send(items);
          all.receive(items.length);
          all.assertGot(items);
        });
      }
    }
  }

  it('frames of one length travel as one message where that can be, and as many otherwise', (t) => {
    const all = ends(t);
    const items = Array.from({ length: 40 }, (_, i) => plain(frame(1000, i)));
    all.send(items);
    assert.equal(all.receive(40), 1);
    all.to.unfragmented = 999;
    all.send(items);
    assert.equal(all.receive(80), 40);
    all.assertGot([...items, ...items]);
  });

  it('a frame whose tag is changed on its way out is sent so, by itself and whole', (t) => {
    const all = ends(t);
    all.to.unfragmented = 1472;
    const burst = new Burst();
    burst.add(noise(5000, 1));
    burst.offloadHeader(0).set(OFFLOAD);
    const tagged = (): Uint8Array => burst.viewBytes(burst.retag(0, 7, false)).slice();
    const expected = tagged();
    all.sender.add(burst, burst.retag(0, 7, false), all.to);
    burst.offload[0] = 1;
    assert.ok(all.sender.addWhole(burst, burst.retag(0, 7, false), all.to, all.tag));
    all.sender.flush();
    all.receive(2);
    assert.deepEqual(
      all.got.map(({ bytes }) => bytes),
      [expected, expected],
    );
    // The checksum starts four bytes later.
    assert.equal(all.headers[0][6], OFFLOAD[6] + 4);
  });

  it('a path that turns out to be narrower costs nothing', (t) => {
    const all = ends(t);
    // Loopback takes 65 536 bytes at a time; the kernel refuses to cut a message into longer ones.
    all.to.unfragmented = 1 << 20;
    const items = [...Array(3).keys()].map((i) => plain(frame(21_000, i)));
    all.send(items);
    all.receive(items.length);
    all.assertGot(items);
  });

  it('a super-frame that cannot go whole is left to be cut', (t) => {
    const all = ends(t);
    const burst = new Burst();
    burst.add(noise(65_530, 1));
    assert.equal(all.sender.addWhole(burst, 0, all.to, all.tag), false);
    all.to.unfragmented = 20;
    assert.equal(all.sender.addWhole(burst, 0, all.to, all.tag), false);
    all.sender.flush();
    assert.equal(new RawEnd(all.there).receive(), undefined);
  });

  it('what is too long or too short is counted, and what is beside it arrives', (t) => {
    const all = ends(t, { header: HEADERS['a header of 8'] });
    all.send([plain(frame(60, 1)), plain(noise(65_500, 1)), plain(noise(13, 1)), plain(frame(60, 2))]);
    all.receive(2);
    assert.equal(all.got.length, 2);
    assert.deepEqual([all.lost.oversize, all.lost.runt], [1, 1]);
  });

  /** The datagrams that a super-frame becomes. */
  const piecesOf = (all: Ends, item: Item): Buffer[] => {
    const pieces: Buffer[] = [];
    const raw = new RawEnd(all.there);
    all.send([item]);
    atLast(() => {
      pieces.push(...raw.drain());
      return ((pieces.at(-1)?.[PREFIX.index] ?? 0) & LAST) !== 0;
    });
    return pieces;
  };

  it('pieces may come in any order, twice and among other frames (property)', (t) => {
    const all = ends(t, { joined: false });
    all.to.unfragmented = 1472;
    const raw = new RawEnd(all.here);
    const order = fc.shuffledSubarray(
      Array.from({ length: 7 }, (_, i) => i),
      { minLength: 7 },
    );
    fc.assert(
      fc.property(order, fc.nat(), (list, seed) => {
        const item = whole(10_000, seed);
        const pieces = piecesOf(all, item);
        assert.equal(pieces.length, 7);
        all.got.length = 0;
        for (const index of list) raw.send(pieces[index]);
        raw.send(frame(60, 1));
        all.receive(2);
        all.assertGot([item, plain(frame(60, 1))]);
      }),
      { numRuns: 50 },
    );
  });

  it('a super-frame with a piece missing is dropped, counted, and in nobody’s way', (t) => {
    const all = ends(t, { joined: false });
    all.to.unfragmented = 1472;
    const raw = new RawEnd(all.here);
    for (let missing = 0; missing < 7; missing++) {
      const [first, second] = [whole(10_000, missing), whole(10_000, missing + 100)];
      const [lame, sound] = [piecesOf(all, first), piecesOf(all, second)];
      all.got.length = 0;
      for (const [i, piece] of lame.entries()) if (i !== missing) raw.send(piece);
      for (const piece of sound) raw.send(piece);
      all.receive(1);
      assert.equal(all.got.length, 1);
      assert.deepEqual(all.got[0].bytes, second.bytes);
      assert.equal(all.drops.error, missing + 1);
    }
  });

  it('pieces of two super-frames are never mixed, though their number be the same', (t) => {
    const all = ends(t, { joined: false });
    all.to.unfragmented = 1472;
    const raw = new RawEnd(all.here);
    const lame = piecesOf(all, whole(10_000, 1));
    for (let i = 0; i < 255; i++) piecesOf(all, whole(100, i));
    const second = whole(10_000, 2);
    const sound = piecesOf(all, second);
    assert.equal(lame[0][6], sound[0][6]);
    for (const piece of lame.slice(0, 4)) raw.send(piece);
    for (const piece of sound) raw.send(piece);
    all.receive(1);
    assert.deepEqual(
      all.got.map(({ bytes }) => bytes),
      [second.bytes],
    );
  });

  it('takes any bytes: nothing is made of them that was not in one datagram or whole (fuzz)', (t) => {
    const all = ends(t, { header: HEADERS['a header of 8'] });
    const raw = new RawEnd(all.here);
    const bytes = fc.uint8Array({ maxLength: 80 });
    const prefix = fc.tuple(fc.nat(3), fc.nat(255), fc.nat(0xffff), bytes);
    const tagged = prefix.map(([number, index, total, rest]) =>
      Uint8Array.of(...all.header, ...all.tag, number, index, total >>> 8, total & 0xff, ...rest),
    );
    const small = prefix.map(([number, index, total, rest]) =>
      Uint8Array.of(...all.header, ...all.tag, number, index & 0x83, 0, total % 200, ...rest),
    );
    const single = prefix.map(([number, , , rest]) =>
      Uint8Array.of(...all.header, ...all.tag, number, 0x80, 0, rest.length, ...rest),
    );
    const headed = bytes.map((rest) => Uint8Array.of(...all.header, ...rest));
    fc.assert(
      fc.property(fc.array(fc.oneof(bytes, tagged, small, single, headed), { maxLength: 40 }), (datagrams) => {
        all.got.length = 0;
        all.hellos.length = 0;
        for (const one of datagrams) raw.send(one);
        // Joined ones, too.
        const burst = new Burst();
        for (const one of datagrams) if (one.length >= 14) burst.add(one);
        for (let slot = 0; slot < burst.count; slot++) all.sender.add(burst, slot, all.to);
        all.sender.flush();
        // What follows is understood.
        raw.send(Uint8Array.of(...all.header, ...frame(60, 7)));
        atLast(() => {
          all.receive(0);
          return frame(60, 7).equals(all.got.at(-1)?.bytes ?? Buffer.of());
        });
        for (const hello of all.hellos) assert.ok(isHello(hello, 0, hello.length));
      }),
      { numRuns: 200 },
    );
  });
});
