import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { REPLAY_WINDOW, ReplayWindow } from '../../src/crypto/replay-window.js';

/** The same by the definition: all numbers seen, and the newest. */
class Model {
  readonly seen = new Set<number>();
  newest = -1;

  isNew(n: number): boolean {
    return !this.seen.has(n) && n > this.newest - REPLAY_WINDOW;
  }

  add(n: number): void {
    this.seen.add(n);
    this.newest = Math.max(this.newest, n);
  }
}

test('numbers in any order, with any gaps, are accepted once, and within the window only', () => {
  const step = fc.oneof(fc.integer({ min: -40, max: 40 }), fc.integer({ min: -5000, max: 5000 }));
  const start = fc.constantFrom(0, 1, 31, 2 ** 32 - 100, 2 ** 53 - 1e6);
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 400 }), (first, steps) => {
      const [window, model] = [new ReplayWindow(), new Model()];
      let at = first;
      for (const by of [0, ...steps]) {
        at = Math.max(0, at + by);
        assert.equal(window.isNew(at), model.isNew(at), `${at} after ${model.newest}`);
        if (!model.isNew(at)) continue;
        window.add(at);
        model.add(at);
      }
    }),
    { numRuns: 300 },
  );
});

test('the window is as wide as it says, at every alignment', () => {
  assert.ok(REPLAY_WINDOW >= 1024);
  for (let newest = REPLAY_WINDOW; newest < REPLAY_WINDOW + 70; newest++) {
    const window = new ReplayWindow();
    window.add(newest);
    assert.ok(window.isNew(newest - REPLAY_WINDOW + 1));
    assert.ok(!window.isNew(newest - REPLAY_WINDOW));
    assert.ok(!window.isNew(newest));
  }
});
