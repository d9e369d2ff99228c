import assert from 'node:assert/strict';
import test from 'node:test';
import { DropNotice } from '../../src/cli/drop-notice.js';
import { noDrops } from '../../src/plug/plug.js';

test('the first drops are told at once, more of them a minute later, the last at the end', () => {
  let now = 0;
  const lines: string[] = [];
  const drops = noDrops();
  const notice = new DropNotice(
    { name: 'sw', drops },
    (line) => lines.push(line),
    () => now,
  );
  const look = (ms: number): string[] => {
    now += ms;
    notice.look();
    return lines.splice(0);
  };
  assert.deepEqual(look(1000), []);
  drops.error = drops.runt = 7;
  assert.deepEqual(look(1000), []);
  drops.oversize = 2;
  assert.deepEqual(look(1000), ['sw: frames dropped so far: 2 too long']);
  drops.full = 3;
  assert.deepEqual(look(59_999), []);
  assert.deepEqual(look(1), ['sw: frames dropped so far: 2 too long, 3 for want of room']);
  assert.deepEqual(look(60_000), []);
  drops.oversize = 4;
  notice.close();
  notice.close();
  assert.deepEqual(lines, ['sw: frames dropped so far: 4 too long, 3 for want of room']);
});
