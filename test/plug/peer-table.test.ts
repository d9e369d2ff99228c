import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MOVE_AFTER_MS, PEERS_MAX, PeerTable, type PeerTableOptions } from '../../src/plug/peer-table.js';
import { formatInetAddress, writeInetAddress } from '../../src/sys/inet.js';
import { Memory } from '../../src/sys/memory.js';
import { AF_INET, AF_INET6 } from '../../src/sys/socket.js';

const EXPIRE = 10_000;
const PORT = 1000;

/** A table that is spoken to of members and stations by number. */
class Fixture {
  readonly table: PeerTable;
  readonly #v6: boolean;
  readonly #raw = new Memory(32);

  constructor(options: Partial<PeerTableOptions> = {}) {
    this.#v6 = options.family === AF_INET6;
    this.table = new PeerTable({ family: AF_INET, capacity: 1024, expire: EXPIRE, random: () => 0.5, ...options });
  }

  #write(member: number, port: number): void {
    const [high, low] = [member >> 8, member & 0xff];
    const address = this.#v6 ? `fd00::${high.toString(16)}:${low.toString(16)}` : `10.0.${high}.${low}`;
    writeInetAddress(this.#raw, 0, { address, port });
  }

  learn(station: number, member: number, now: number, port = PORT): void {
    this.#write(member, port);
    this.table.learn(station * 7919, station & 0xffff, this.#raw.words, 0, now);
  }

  forget(member: number, port = PORT): void {
    this.#write(member, port);
    this.table.forget(this.#raw.words, 0);
  }

  /** Where frames to a station go. */
  where(station: number, now: number): string | undefined {
    const peer = this.table.lookup(station * 7919, station & 0xffff, now);
    const address = peer < 0 ? undefined : this.table.peerAddress(peer);
    return address && formatInetAddress(address);
  }
}

describe('peer table', () => {
  for (const [family, first] of [
    [AF_INET, '10.0.0.1:1000'],
    [AF_INET6, '[fd00::1]:1000'],
  ] as const) {
    it(`a station is where it was heard, until it has been silent for long (${first})`, () => {
      const f = new Fixture({ family });
      assert.equal(f.where(1, 0), undefined);
      f.learn(1, 1, 0);
      assert.equal(f.where(1, EXPIRE), first);
      assert.equal(f.where(2, 0), undefined);
      assert.equal(f.where(1, EXPIRE + 1), undefined);
      f.learn(1, 1, EXPIRE - 1);
      assert.equal(f.where(1, 2 * EXPIRE - 1), first);
      assert.deepEqual([f.table.size, f.table.peers], [1, 1]);
    });
  }

  it('members of one address are told apart by their port', () => {
    const f = new Fixture();
    f.learn(1, 1, 0, 1000);
    f.learn(2, 1, 0, 2000);
    assert.deepEqual([f.where(1, 0), f.where(2, 0)], ['10.0.0.1:1000', '10.0.0.1:2000']);
    f.forget(1, 2000);
    assert.deepEqual([f.where(1, 0), f.where(2, 0)], ['10.0.0.1:1000', undefined]);
  });

  it('a station that is heard elsewhere has moved only if its old place was silent for a while', () => {
    const f = new Fixture();
    f.learn(1, 1, 0);
    f.learn(1, 2, MOVE_AFTER_MS);
    assert.equal(f.where(1, MOVE_AFTER_MS), '10.0.0.1:1000');
    assert.equal(f.table.refused, 1);
    f.learn(1, 2, MOVE_AFTER_MS + 1);
    assert.equal(f.where(1, MOVE_AFTER_MS + 1), '10.0.0.2:1000');
    // The old member had no other station.
    assert.equal(f.table.peers, 1);
  });

  it('a member that leaves takes all its stations with it, and may come back', () => {
    const f = new Fixture();
    for (let station = 0; station < 100; station++) f.learn(station, station % 2, 0);
    f.forget(1);
    for (let station = 0; station < 100; station++) {
      assert.equal(f.where(station, 0), station % 2 ? undefined : '10.0.0.0:1000');
    }
    f.learn(1, 1, 0);
    assert.deepEqual([f.where(1, 0), f.where(3, 0)], ['10.0.0.1:1000', undefined]);
    // One that was never heard of is no matter.
    f.forget(77);
    f.forget(1);
    f.forget(1);
    assert.equal(f.table.peers, 1);
  });

  it('stations are bounded, and one member cannot have them all; what is past its time makes room', () => {
    const f = new Fixture({ capacity: 100 });
    for (let station = 0; station < 1000; station++) f.learn(station, 1, 0);
    assert.equal(f.table.size, 75);
    for (let station = 1000; station < 2000; station++) f.learn(station, 2, 0);
    assert.equal(f.table.size, 100);
    assert.equal(f.table.refused, 925 + 975);
    assert.equal(f.where(1, 0), '10.0.0.1:1000');
    f.learn(5000, 3, EXPIRE + 1);
    assert.equal(f.where(5000, EXPIRE + 1), '10.0.0.3:1000');
    assert.deepEqual([f.table.size, f.table.peers], [1, 1]);
  });

  it('members are bounded; one that is not admitted, or has no port, is none', () => {
    const f = new Fixture({ capacity: 10_000 });
    for (let member = 0; member < PEERS_MAX + 100; member++) f.learn(member, member, 0);
    assert.equal(f.table.peers, PEERS_MAX);
    assert.equal(f.where(PEERS_MAX - 1, 0), '10.0.15.255:1000');
    assert.equal(f.where(PEERS_MAX, 0), undefined);
    f.forget(0);
    f.learn(PEERS_MAX, PEERS_MAX, 0);
    assert.equal(f.where(PEERS_MAX, 0), '10.0.16.0:1000');
    const none = new Fixture({ admit: () => false });
    none.learn(1, 1, 0);
    f.learn(2, 1, 0, 0);
    assert.equal(none.where(1, 0), undefined);
  });

  it('a table of no stations learns none', () => {
    const f = new Fixture({ capacity: 0 });
    f.learn(1, 1, 0);
    assert.deepEqual([f.where(1, 0), f.table.size, f.table.peers], [undefined, 0, 0]);
  });

  it('does what a plain map does, whatever happens', () => {
    const station = fc.nat(300);
    const member = fc.nat(40);
    const step = fc.oneof(
      { weight: 10, arbitrary: fc.tuple(fc.constant('learn' as const), station, member) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('forget' as const), station, member) },
      { weight: 2, arbitrary: fc.tuple(fc.constant('wait' as const), fc.nat(EXPIRE), member) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
        const f = new Fixture({ capacity: 4096 });
        const model = new Map<number, { member: number; heard: number }>();
        let now = 0;
        for (const [what, which, whose] of steps) {
          if (what === 'wait') now += which;
          else if (what === 'forget') {
            f.forget(whose);
            for (const [known, { member: at }] of model) if (at === whose) model.delete(known);
          } else {
            f.learn(which, whose, now);
            const known = model.get(which);
            const valid = known !== undefined && now - known.heard <= EXPIRE;
            if (!valid || known.member === whose || now - known.heard > MOVE_AFTER_MS) {
              model.set(which, { member: whose, heard: now });
            }
          }
        }
        for (let one = 0; one <= 300; one++) {
          const known = model.get(one);
          const valid = known !== undefined && now - known.heard <= EXPIRE;
          assert.equal(f.where(one, now), valid ? `10.0.0.${known.member}:1000` : undefined);
        }
      }),
      { numRuns: 60 },
    );
  });
});
