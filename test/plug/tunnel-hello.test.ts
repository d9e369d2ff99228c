import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FRAME_MIN } from '../../src/frame/burst.js';
import { HELLO_SIZE, isHello, makeTag, PATIENCE_MS, TunnelHello, VALID_MS } from '../../src/plug/tunnel-hello.js';

class Side {
  readonly tag = makeTag(randomFillSync);
  readonly hello = new TunnelHello(this.tag, randomFillSync);

  /** The request that is due when there is a super-frame to send, as it goes out. */
  ask(now: number): Uint8Array | undefined {
    return this.hello.request(now)?.slice();
  }

  hear(message: Uint8Array, now: number): Uint8Array | undefined {
    assert.ok(isHello(message, 0, message.length));
    return this.hello.receive(message, 0, now)?.slice();
  }
}

/** One side asks, the other answers. */
function introduce(from: Side, to: Side, now: number): Uint8Array {
  const answer = to.hear(from.ask(now) as Uint8Array, now) as Uint8Array;
  assert.equal(from.hear(answer, now), undefined);
  return answer;
}

describe('tunnel hello', () => {
  it('an answered side knows the tag of the other, which has learned nothing', () => {
    const [a, b] = [new Side(), new Side()];
    assert.equal(a.hello.usable(0), false);
    introduce(a, b, 0);
    assert.equal(a.hello.usable(0), true);
    assert.deepEqual(a.hello.peerTag, b.tag);
    assert.equal(b.hello.usable(0), false);
  });

  it('messages are shorter than an Ethernet header, an answer no longer than its request', () => {
    const [a, b] = [new Side(), new Side()];
    const request = a.ask(0) as Uint8Array;
    const answer = b.hear(request, 0) as Uint8Array;
    assert.ok(request.length < FRAME_MIN);
    assert.equal(answer.length, request.length);
  });

  it('a tag is the address of no station', () => {
    for (let i = 0; i < 100; i++) assert.equal(makeTag(randomFillSync)[0] & 3, 3);
  });

  it('what was learned holds while answers come, and for a bounded time after the last', () => {
    const [a, b] = [new Side(), new Side()];
    introduce(a, b, 0);
    let last = 0;
    for (let now = 1; now < 5000; now++) {
      assert.ok(a.hello.usable(now), `at ${now}`);
      const request = a.ask(now);
      if (request === undefined) continue;
      last = now;
      a.hear(b.hear(request, now) as Uint8Array, now);
    }
    // The peer is one of C from here on.
    for (let now = 5000; now < 5000 + VALID_MS; now++) a.ask(now);
    assert.equal(a.hello.usable(last + VALID_MS - 1), true);
    assert.equal(a.hello.usable(last + VALID_MS), false);
  });

  it('a peer that does not answer is asked ever more seldom, one that asks itself at once', () => {
    const [a, b] = [new Side(), new Side()];
    const times: number[] = [];
    for (let now = 0; now < 120_000; now++) if (a.ask(now)) times.push(now);
    assert.ok(times.length >= 12 && times.length <= 20, String(times.length));
    assert.ok((times.at(-1) as number) >= 120_000 - PATIENCE_MS - 1);
    let now = (times.at(-1) as number) + 5000;
    assert.equal(a.ask(now), undefined);
    a.hear(b.ask(now) as Uint8Array, now);
    now++;
    const request = a.ask(now);
    assert.ok(request);
    a.hear(b.hear(request, now) as Uint8Array, now);
    assert.ok(a.hello.usable(now));
  });

  it('a flood of requests makes nobody ask more often than in a conversation', () => {
    const a = new Side();
    const b = new Side();
    let asked = 0;
    for (let now = 0; now < 10_000; now++) {
      const request = new Side().ask(now) as Uint8Array;
      a.hear(request, now);
      if (a.ask(now)) asked++;
    }
    assert.ok(asked <= 51, String(asked));
    assert.ok(b);
  });

  it('an answer counts once, and not when it is old: a recorded one revives nothing', () => {
    const [a, b] = [new Side(), new Side()];
    const answer = introduce(a, b, 0);
    a.hear(answer, VALID_MS - 1);
    assert.equal(a.hello.usable(VALID_MS), false);
    const late = b.hear(a.ask(VALID_MS) as Uint8Array, VALID_MS) as Uint8Array;
    a.hear(late, 2 * VALID_MS);
    assert.equal(a.hello.usable(2 * VALID_MS), false);
  });

  it('a refused peer is forgotten with all that it could still answer', () => {
    const [a, b] = [new Side(), new Side()];
    introduce(a, b, 0);
    const open = b.hear(a.ask(500) as Uint8Array, 500) as Uint8Array;
    a.hello.forget();
    assert.equal(a.hello.usable(500), false);
    a.hear(open, 500);
    assert.equal(a.hello.usable(500), false);
    introduce(a, b, 900);
    assert.ok(a.hello.usable(900));
  });

  it('an answer to somebody else, or with a station’s address for a tag, counts for nothing', () => {
    const [a, b, c] = [new Side(), new Side(), new Side()];
    const request = a.ask(0) as Uint8Array;
    a.hear(b.hear(c.ask(0) as Uint8Array, 0) as Uint8Array, 0);
    assert.equal(a.hello.usable(0), false);
    const answer = b.hear(request, 0) as Uint8Array;
    const station = answer.slice();
    station[7] &= 0xfc;
    a.hear(station, 0);
    assert.equal(a.hello.usable(0), false);
    a.hear(answer, 0);
    assert.equal(a.hello.usable(0), true);
  });

  it('no bytes that were not answered to it switch it on (property)', () => {
    const kinds = fc.constantFrom(0xd1, 0xd2);
    const message = fc.tuple(kinds, fc.uint8Array({ minLength: HELLO_SIZE - 1, maxLength: HELLO_SIZE - 1 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(message, fc.nat(3000)), { maxLength: 60 }), (steps) => {
        const a = new Side();
        let now = 0;
        for (const [[kind, rest], wait] of steps) {
          now += wait;
          a.ask(now);
          const answer = a.hello.receive(Uint8Array.of(kind, ...rest), 0, now);
          if (answer !== undefined) assert.equal(kind, 0xd1);
          assert.equal(a.hello.usable(now), false);
        }
      }),
    );
  });

  it('usable means: the peer has answered what was asked less than a second ago (property)', () => {
    const step = fc.record({
      wait: fc.nat(700),
      action: fc.constantFrom('deliver', 'deliver', 'lose', 'hold', 'release', 'restart'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const a = new Side();
        let b = new Side();
        let now = 0;
        let proven = Number.NEGATIVE_INFINITY;
        let tag: Uint8Array | undefined;
        let held: { answer: Uint8Array; at: number; tag: Uint8Array } | undefined;
        for (const { wait, action } of steps) {
          now += wait;
          if (action === 'restart') b = new Side();
          const request = a.ask(now);
          const answer = request && b.hear(request, now);
          const accept = (one: { answer: Uint8Array; at: number; tag: Uint8Array }) => {
            a.hear(one.answer, now);
            if (now - one.at >= VALID_MS || one.at < proven) return;
            proven = one.at;
            tag = one.tag;
          };
          if (answer && action === 'hold') held = { answer, at: now, tag: b.tag };
          else if (answer && action !== 'lose') accept({ answer, at: now, tag: b.tag });
          if (action === 'release' && held) {
            accept(held);
            held = undefined;
          }
          assert.equal(a.hello.usable(now), now - proven < VALID_MS, `${action} at ${now}`);
          if (a.hello.usable(now)) assert.deepEqual(a.hello.peerTag, tag);
        }
      }),
    );
  });
});
