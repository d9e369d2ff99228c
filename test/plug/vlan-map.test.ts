import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { resolveLocator } from '../../src/plug/resolve.js';
import { parseVlan } from '../../src/plug/vlan.js';
import { type Action, type Direction, DROP, INSERT, KEEP, STRIP, vlanTables } from '../../src/plug/vlan-map.js';
import { VdeError } from '../../src/sys/errors.js';

const parse = (locator: string) => parseVlan(resolveLocator(locator));
const tables = (locator: string) => vlanTables(parse(locator).rules);
const IDS = [4, 7, 10, 11, 12, 99] as const;
const row = ({ untagged, tagged }: Direction): Action[] => [untagged, ...IDS.map((id) => tagged[id])];

test('the tables are those measured at C’s plugin', () => {
  const none = Array(6).fill(DROP);
  assert.deepEqual(row(tables('vlan://').outward), [KEEP, ...none]);
  assert.deepEqual(row(tables('vlan://').inward), [KEEP, ...none]);

  const four = tables('vlan://4');
  assert.deepEqual(row(four.outward), [INSERT + 4, ...none]);
  assert.deepEqual(row(four.inward), [DROP, STRIP, ...none.slice(1)]);

  const both = tables('vlan://4/untag=7');
  assert.deepEqual(row(both.outward), [INSERT + 4, DROP, STRIP, DROP, DROP, DROP, DROP]);
  assert.deepEqual(row(both.inward), [INSERT + 7, STRIP, DROP, DROP, DROP, DROP, DROP]);

  const list = tables('vlan:///t=10:11-12:12-11');
  assert.deepEqual(row(list.outward), [KEEP, DROP, DROP, KEEP, 12, 11, DROP]);
  assert.deepEqual(row(list.inward), [KEEP, DROP, DROP, KEEP, 12, 11, DROP]);

  const trunk = tables('vlan:///x');
  assert.deepEqual(row(trunk.outward), Array(7).fill(KEEP));
  for (const id of [1, 4095]) assert.equal(trunk.outward.tagged[id], DROP);
  for (const id of [2, 4094]) assert.equal(trunk.inward.tagged[id], KEEP);
});

test('a frame with a priority and no VLAN goes where an untagged one would', () => {
  const zero = (locator: string): Action[] => {
    const { outward, inward } = tables(locator);
    return [outward.tagged[0], inward.tagged[0]];
  };
  assert.deepEqual(zero('vlan://'), [KEEP, KEEP]);
  assert.deepEqual(zero('vlan://4'), [4, DROP]);
  assert.deepEqual(zero('vlan:///untag=7'), [DROP, 7]);
  assert.deepEqual(zero('vlan://4/untag=7'), [4, 7]);
  assert.deepEqual(zero('vlan://4095/trunk'), [DROP, DROP]);
});

test('4095 shuts out untagged frames, both ways', () => {
  const { outward, inward } = tables('vlan://4095/t=5');
  assert.deepEqual(
    [outward.untagged, inward.untagged, outward.tagged[5], inward.tagged[4095]],
    [DROP, DROP, KEEP, DROP],
  );
});

test('slashes, brackets, short and long names say the same', () => {
  const expected = {
    rules: {
      untagged: 3,
      untag: 4,
      tags: [
        [10, 10],
        [11, 12],
        [12, 11],
      ],
      trunk: true,
    },
    tpid: 0x8100,
  };
  for (const locator of [
    'vlan://3/untag=4/trunk/tag=10:11-12:12-11{vde:///tmp/sw}',
    'vlan://3[untag=4/trunk/tag=10:11-12:12-11]{vde:///tmp/sw}',
    'vlan://0x3/u=4/x/t=10.11-12.12-11',
    'vlan://3/un=0x4/tru[ta=10.11-0xc:12-11]',
    'vlan://3/tag=5/untag=4/x/tag=10:11-12:12-11{}',
  ]) {
    assert.deepEqual(parse(locator), expected, locator);
  }
  for (const locator of ['vlan://5/qinq', 'vlan://5/q', 'vlan://5/ad', 'vlan://5[q]{vlan://4/untag=3{x}}']) {
    assert.equal(parse(locator).tpid, 0x88a8, locator);
    assert.equal(parse(locator).rules.untagged, 5);
  }
  assert.deepEqual(parse('vlan:///t=5').rules.tags, [[5, 5]], 'a last item of one digit counts');
  assert.deepEqual(parse('vlan:///t=10:5').rules.tags, [
    [10, 10],
    [5, 5],
  ]);
});

test('mistakes are named, with where they stand', () => {
  for (const [locator, message] of [
    ['vlan://five', /^vlan:\/\/five: "five" is no VLAN at character 8 \(0 to 4095/],
    ['vlan://4096', /"4096" is no VLAN/],
    ['vlan://4x', /"4x" is no VLAN/],
    ['vlan://4/untagg=1', /unknown parameter "untagg" at character 10 .*did you mean "untag"/],
    ['vlan://4/untag=4095', /parameter "untag": "4095" is out of range .*0 to 4094/],
    ['vlan://4/tag=10:', /parameter "tag": "" is no VLAN at character 10/],
    ['vlan://4/tag=10-', /"10-" is no VLAN/],
    ['vlan://4/t=1', /parameter "t": VLAN 1 is out of range .*2 to 4094/],
    ['vlan://4/t=10:10-11', /VLAN 10 is there twice at the client/],
    ['vlan://4/t=10-11:12-11', /VLAN 11 is there twice on the network/],
    ['vlan://4/tag', /"" is no VLAN/],
  ] as const) {
    assert.throws(() => parse(locator), { name: 'VdeError', code: 'EINVAL', message }, locator);
  }
});

test('any text is rules or a VdeError', () => {
  const piece = fc.constantFrom(
    '4',
    '0x10',
    '/',
    'tag=',
    'u=7',
    'x',
    'q',
    '[',
    ']',
    '{',
    '}',
    ':',
    '-',
    '.',
    '4095',
    'z',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece, { maxLength: 12 }).map((all) => all.join('')),
      ),
      (body) => {
        try {
          const { outward, inward } = vlanTables(parse(`vlan://${body}`).rules);
          for (const { tagged } of [outward, inward])
            assert.ok(tagged.every((action) => action >= STRIP && action < INSERT));
        } catch (error) {
          assert.ok(error instanceof VdeError, String(error));
        }
      },
    ),
  );
});
