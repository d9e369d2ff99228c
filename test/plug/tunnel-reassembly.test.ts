import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { noDrops } from '../../src/plug/plug.js';
import { LAST, PREFIX } from '../../src/plug/tunnel-format.js';
import { Reassembly } from '../../src/plug/tunnel-reassembly.js';
import { Memory } from '../../src/sys/memory.js';
import { noise } from '../frame/super-frames.js';

const ADDRESS = 32;
const ADDRESS_LENGTH = 16;
const PLACES = 8;

/** Socket addresses that differ in one octet. */
function addresses(count: number): Memory {
  const memory = new Memory(count * ADDRESS);
  for (let i = 0; i < count; i++) memory.bytes[i * ADDRESS + 7] = i;
  return memory;
}

function piece(number: number, index: number, total: number, bytes: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(PREFIX.size);
  prefix.set([number, index, total >>> 8, total & 0xff], PREFIX.number);
  return Uint8Array.of(...prefix, ...bytes);
}

function cut(whole: Uint8Array, room: number, number: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, index = 0; at < whole.length; at += room, index++) {
    const last = at + room >= whole.length ? LAST : 0;
    pieces.push(piece(number, index | last, whole.length, whole.subarray(at, at + room)));
  }
  return pieces;
}

/** For each of some senders its pieces; and in what order it is whose turn. */
const interleaved = (senders: number) =>
  fc
    .array(fc.tuple(fc.integer({ min: 24, max: 3000 }), fc.integer({ min: 10, max: 700 })), {
      minLength: 1,
      maxLength: senders,
    })
    .chain((sizes) => {
      const turns = sizes.flatMap(([total, room], i) => Array<number>(Math.ceil(total / room)).fill(i));
      return fc.record({
        sizes: fc.constant(sizes),
        turns: fc.shuffledSubarray(turns, { minLength: turns.length }),
        backwards: fc.boolean(),
      });
    })
    .filter(({ sizes }) => sizes.every(([total, room]) => total / room <= 100));

describe('super-frames in pieces', () => {
  it('of several senders at a time are all put together', () => {
    fc.assert(
      fc.property(interleaved(PLACES), ({ sizes, turns, backwards }) => {
        const drops = noDrops();
        const reassembly = new Reassembly(drops, PLACES, addresses(sizes.length));
        const wholes = sizes.map(([total], i) => noise(total, i));
        const pieces = wholes.map((whole, i) => {
          const list = cut(whole, sizes[i][1], 7);
          return backwards ? list.reverse() : list;
        });
        const got: (Uint8Array | undefined)[] = sizes.map(() => undefined);
        for (const sender of turns) {
          const one = pieces[sender].shift() as Uint8Array;
          const whole = reassembly.add(one, 0, one.length, sender * ADDRESS, ADDRESS_LENGTH);
          assert.equal(whole !== undefined, pieces[sender].length === 0);
          if (whole !== undefined) got[sender] = whole.slice();
        }
        assert.deepEqual(got, wholes);
        assert.equal(drops.error, 0);
      }),
    );
  });

  it('of more senders than there are places are lost, counted, and never mixed', () => {
    fc.assert(
      fc.property(interleaved(6), ({ sizes, turns }) => {
        const drops = noDrops();
        const reassembly = new Reassembly(drops, 2, addresses(sizes.length));
        const wholes = sizes.map(([total], i) => noise(total, i));
        const pieces = wholes.map((whole, i) => cut(whole, sizes[i][1], 7));
        let made = 0;
        for (const sender of turns) {
          const one = pieces[sender].shift() as Uint8Array;
          const whole = reassembly.add(one, 0, one.length, sender * ADDRESS, ADDRESS_LENGTH);
          if (whole === undefined) continue;
          made++;
          assert.deepEqual(whole.slice(), wholes[sender]);
        }
        // Two may still be open.
        assert.ok(made + drops.error + 2 >= sizes.length);
      }),
    );
  });

  it('takes any pieces from anybody: what comes out has the length that it said (fuzz)', () => {
    const any = fc.record({
      sender: fc.nat(3),
      number: fc.nat(2),
      index: fc.nat(5),
      last: fc.boolean(),
      total: fc.oneof(fc.nat(100), fc.nat(0xffff)),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    });
    fc.assert(
      fc.property(fc.array(any, { maxLength: 60 }), (list) => {
        const reassembly = new Reassembly(noDrops(), 2, addresses(4));
        for (const { sender, number, index, last, total, bytes } of list) {
          const one = piece(number, index | (last ? LAST : 0), total, bytes);
          const whole = reassembly.add(one, 0, one.length, sender * ADDRESS, ADDRESS_LENGTH);
          if (whole !== undefined) assert.equal(whole.length, total);
        }
        // What comes in order after all of it is whole.
        const sound = noise(200, 1);
        const result = cut(sound, 50, 99).map((one) => reassembly.add(one, 0, one.length, 0, ADDRESS_LENGTH));
        assert.deepEqual(result.at(-1)?.slice(), sound);
      }),
      { numRuns: 300 },
    );
  });
});
