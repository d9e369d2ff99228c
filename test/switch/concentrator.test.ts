import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { registerNodeSchemes } from '../../src/console/schemes.js';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { Concentrator, type ConcentratorKind } from '../../src/switch/concentrator.js';
import { Port } from '../../src/switch/port.js';
import { loop } from '../../src/sys/loop.js';
import { Collector, sendAll } from '../plug/frames.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, station } from './memory-plug.js';

loop();
registerNodeSchemes();

/** Ports that join and leave, and what each frame of the station's went to. */
function play(kind: ConcentratorKind, steps: string): string {
  const node = new Concentrator(kind);
  const ports = new Map<string, Port>();
  const name = (port: Port): string => [...ports].find(([, one]) => one === port)?.[0] ?? '?';
  let went = '';
  for (const step of steps.split(' ')) {
    const [what, who] = step;
    if (what === '+') {
      ports.set(who, new Port(ports.size));
      node.join(ports.get(who) as Port);
    } else if (what === '-') node.leave(ports.get(who) as Port);
    else {
      const to = node.outputs(ports.get(what) as Port).map(name);
      went += `${to.join('') || '.'} `;
    }
  }
  return went.trim();
}

test('bonding: the second is the first to get its turn; the last takes the place of one that leaves', () => {
  assert.equal(play('bonding', '+h h +a h h +b +c h h h h'), '. a a b c a b');
  assert.equal(play('bonding', '+h +a +b +c h h h h h h h -a h h h h +d h h h h'), 'b c a b c a b c b c b d c b d');
  assert.equal(play('bonding', '+h +a +b b a -h a +i i h'), 'h h . b i');
});

test('multi: each frame of the station goes to all; the others reach nobody but the station', () => {
  assert.equal(play('multi', '+h h +a +b +c h a c -b h -h a'), '. abc h h ac .');
});

test('whoever comes and goes, everybody has as many turns as the others', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 60 }), (moves) => {
      const node = new Concentrator('bonding');
      const own = new Port(0);
      node.join(own);
      const there: Port[] = [];
      for (const move of moves) {
        if (move < 18 || there.length === 0) {
          there.push(new Port(there.length + 1));
          node.join(there.at(-1) as Port);
        } else node.leave(there.splice(move % there.length, 1)[0]);
        const seen = new Set(there.map(() => node.outputs(own)[0]));
        assert.deepEqual(seen, new Set(there));
      }
    }),
  );
});

async function open(t: TestContext, locator: string): Promise<Plug> {
  const plug = await openPlug(locator);
  cleanup(t, () => plug.close());
  return plug;
}

for (const kind of ['multi', 'bonding'] as const) {
  test(`${kind}: frames, tagged or not, go between the process and its clients, and between no others`, async (t) => {
    leakCheck(t);
    const dir = join(tmpDir(t), 'n');
    const owner = await open(t, `${kind}://${dir}`);
    const plugs = [owner];
    for (let i = 0; i < 3; i++) plugs.push(await open(t, `vde://${dir}`));
    const at = plugs.map((plug) => new Collector(plug));
    const named = (payload: string) => at.map(({ frames }) => frames.some((one) => one.includes(payload)));
    for (const [i, plug] of plugs.entries()) {
      if (i > 0) sendAll(plug, [frame(BROADCAST, station(i), { payload: `from ${i}`, tci: i })]);
    }
    await at[0].count(3);
    // Known or not, an address decides nothing.
    const back = [1, 2, 3].map((i) => frame(station(1), station(9), { payload: `back ${i}` }));
    sendAll(owner, back);
    const each = kind === 'multi' ? 3 : 1;
    await Promise.all(at.slice(1).map((one) => one.count(each)));
    for (const i of [1, 2, 3]) assert.deepEqual(named(`from ${i}`), [true, false, false, false]);
    const turns = [1, 2, 3].map((i) => named(`back ${i}`));
    const all = [false, true, true, true];
    if (kind === 'multi') assert.deepEqual(turns, [all, all, all]);
    else
      assert.deepEqual(turns, [
        [false, false, true, false],
        [false, false, false, true],
        [false, true, false, false],
      ]);
    // The process goes, and its clients with it.
    const lost = plugs.slice(1).map(
      (plug) =>
        new Promise<void>((done) => {
          plug.onLost = () => done();
        }),
    );
    owner.close();
    await Promise.all(lost);
  });
}
