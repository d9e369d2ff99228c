/** Frames for tests of plugs: numbered, sent in bursts, collected where they arrive. */

import assert from 'node:assert/strict';
import { ALL_VIEWS, BURST_SIZE, Burst } from '../../src/frame/burst.js';
import type { Plug } from '../../src/plug/plug.js';
import { loop } from '../../src/sys/loop.js';

const STATION_A = [0x02, 0, 0, 0, 0, 0x0a];
const STATION_B = [0x02, 0, 0, 0, 0, 0x0b];
/** IEEE 802 local experimental EtherType 1. */
const EXPERIMENTAL = 0x88b5;
const WAIT_MS = 30_000;

/**
 * A frame of `size` bytes (at least 14) whose payload says that it is number `number`.
 * @param forth from the first station to the second; the other way round if false.
 */
export function frame(size: number, number: number, forth = true): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.set(forth ? STATION_B : STATION_A, 0);
  bytes.set(forth ? STATION_A : STATION_B, 6);
  bytes.writeUInt16BE(EXPERIMENTAL, 12);
  for (let i = 14; i < size; i++) bytes[i] = (number * 31 + i * 7) & 0xff;
  if (size >= 18) bytes.writeUInt32BE(number, 14);
  return bytes;
}

/** The number of a frame of at least 18 bytes. */
export function sequence(bytes: Buffer): number {
  return bytes.readUInt32BE(14);
}

/** Frames of the kinds that some device might think it knows better. */
export function contents(tags: boolean): Buffer[] {
  const header = (etherType: number, payload: string | Buffer, size = 60): Buffer => {
    const bytes = frame(size, 0);
    bytes.fill(0, 12);
    bytes.writeUInt16BE(etherType, 12);
    bytes.set(Buffer.from(payload as string, 'hex'), 14);
    return bytes;
  };
  const broadcast = header(0x0806, '00010800060400010200000000 0a0a0000010000000000000a000002'.replaceAll(' ', ''));
  broadcast.fill(0xff, 0, 6);
  const multicast = header(0x86dd, `6000000000083a01${'fe80'.padEnd(32, '0')}${'ff02'.padEnd(31, '0')}1`, 70);
  multicast.set([0x33, 0x33, 0, 0, 0, 1]);
  return [
    broadcast,
    // An IPv4 packet with a wrong checksum, one whose length is a lie, and a fragment.
    header(0x0800, '4500001c000000004011ffff0a0000010a000002000900090008ffff'),
    header(0x0800, '4500ffff000000004011ffff0a0000010a000002'),
    header(0x0800, '4500001c0000200140110000 0a0000010a000002'.replaceAll(' ', '')),
    multicast,
    // IEEE 802.3 with a length, LLC and nothing else.
    header(0x0003, '424203'),
    header(0xffff, 'ffffffff'),
    // Ends within the header of what it says that it is.
    header(0x0800, '', 15),
    header(0x86dd, '', 14),
    ...(tags
      ? [header(0x8100, '00050800', 64), header(0x8100, '0000', 60), header(0x88a8, '000781000005', 100)]
      : [header(0x88a8, '000781000005', 100)]),
  ];
}

/** Sends frames in bursts as large as they can be. */
export function sendAll(plug: Plug, frames: readonly Uint8Array[]): void {
  const burst = new Burst();
  for (let at = 0; at < frames.length; at += BURST_SIZE) {
    burst.count = 0;
    for (const one of frames.slice(at, at + BURST_SIZE)) assert.ok(burst.add(one));
    plug.send(burst, ALL_VIEWS, burst.count);
  }
}

/** Copies what arrives at a plug. */
export class Collector {
  readonly frames: Buffer[] = [];
  #changed: (() => void) | undefined;

  /** @param each is called with every burst, after it has been copied. */
  constructor(
    private readonly plug: Plug,
    each?: () => void,
  ) {
    plug.sink = (burst) => {
      assert.ok(burst.count > 0 && burst.count <= BURST_SIZE);
      for (let slot = 0; slot < burst.count; slot++) this.frames.push(Buffer.from(burst.frame(slot)));
      each?.();
      this.#changed?.();
    };
  }

  /** Resolves when so many have arrived in all. */
  async count(count: number): Promise<void> {
    await this.until(() => this.frames.length >= count, `${count} frames`);
  }

  /** Resolves when something holds that is asked after each arrival, and now and then. */
  until(holds: () => boolean, what = 'what was awaited'): Promise<void> {
    return new Promise((done, fail) => {
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        clearInterval(poll);
        this.#changed = undefined;
        // Who waits goes on at once, not when the loop has lingered.
        loop().touch();
        finish();
      };
      const look = (): void => {
        if (holds()) settle(done);
      };
      const timer = setTimeout(() => {
        const drops = JSON.stringify(this.plug.drops);
        const got = `${this.frames.length} have arrived, drops there: ${drops}`;
        settle(() => fail(new Error(`${this.plug.name}: not ${what} within ${WAIT_MS} ms; ${got}`)));
      }, WAIT_MS);
      // Drops at another process's end, or in a switch, announce themselves to nobody.
      const poll = setInterval(look, 20);
      this.#changed = look;
      look();
    });
  }

  /** Asserts that exactly these have arrived, in this order. */
  assertFrames(expected: readonly Buffer[]): void {
    assert.equal(this.frames.length, expected.length);
    for (const [i, one] of expected.entries()) {
      if (this.frames[i].equals(one)) continue;
      // Only where they differ: the whole of a long frame tells nothing.
      const at = one.findIndex((byte, k) => this.frames[i][k] !== byte);
      const [got, wanted] = [this.frames[i][at], one[at]];
      assert.fail(
        `frame ${i}: ${this.frames[i].length} bytes of ${one.length}, differs at ${at}: ${got}, not ${wanted}`,
      );
    }
  }
}
