/** Who may have a port: by user, by group, and what is not asked again. */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Identity } from '../../src/switch/port.js';
import { MemoryPlug, portOf, virtualSwitch } from './memory-plug.js';

function person(uid: number, ...groups: number[]): Identity {
  return { uid, belongsTo: (gid) => groups.includes(gid) };
}

function ask(
  sw: ReturnType<typeof virtualSwitch>['sw'],
  identity: Identity | undefined,
  port?: number,
): number | string {
  const plug = new MemoryPlug();
  try {
    const user = identity?.uid ?? -1;
    return sw.attach(plug, { port, id: 1, module: 'memory', user, identity }).number;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('a port is for root, its user and the members of its group; for anybody if it is kept for nobody', () => {
  for (const [user, group, allowed] of [
    [-1, -1, [0, 7, 8, 9]],
    [7, -1, [0, 7]],
    [-1, 50, [0, 8]],
    [7, 50, [0, 7, 8]],
  ] as const) {
    for (const identity of [person(0), person(7), person(8, 50), person(9, 51)]) {
      const { sw } = virtualSwitch();
      const port = sw.createPort(4);
      Object.assign(port, { user, group });
      const expected = (allowed as readonly number[]).includes(identity.uid) ? 4 : 'EACCES';
      assert.equal(ask(sw, identity, 4), expected, `uid ${identity.uid} at a port for ${user}, ${group}`);
    }
  }
});

test("one who does not ask for a number gets no port that is kept for others; the switch's own get any", () => {
  const { sw } = virtualSwitch();
  sw.createPort(1).user = 7;
  assert.equal(ask(sw, person(9)), 2);
  assert.equal(ask(sw, person(7)), 1);
  sw.createPort(3).user = 7;
  assert.equal(ask(sw, undefined), 3);
});

test('a port in use is shared by clients of one user only, whoever it is kept for', () => {
  const { sw } = virtualSwitch();
  const port = sw.createPort(1);
  assert.equal(ask(sw, person(9), 1), 1);
  port.user = 7;
  assert.equal(ask(sw, person(9), 1), 1);
  assert.equal(ask(sw, person(7), 1), 'EADDRINUSE');
  assert.equal(ask(sw, person(0), 1), 'EADDRINUSE');
  assert.equal(portOf(sw, 1).endpoints.length, 2);
});
