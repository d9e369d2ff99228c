import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { connections, parseChain } from '../../src/cli/dpipe-chain.js';

/** The pipes of a chain as `a1>b0`, commands named by their first word. */
function wiring(chain: string): string {
  const stages = parseChain(chain.split(' '));
  const end = ({ stage, fd }: { stage: number; fd: number }) => `${stages[stage].words[0]}${fd}`;
  return connections(stages)
    .map(({ from, to }) => `${end(from)}>${end(to)}`)
    .sort()
    .join(' ');
}

for (const [chain, pipes] of [
  ['a = b', 'a1>b0 b1>a0'],
  ['a = b = c', 'a1>b0 b1>a0 b4>c0 c1>b3'],
  ['a = b = c = d', 'a1>b0 b1>a0 b4>c0 c1>b3 c4>d0 d1>c3'],
  ['a =} b }= c', 'a1>b0 b1>c0 c1>a0'],
  ['a ={ b {= c', 'a1>c0 b1>a0 c1>b0'],
  ['a =} b }={ c {= d = e', 'a1>b0 b1>d0 c1>a0 d1>c0 d4>e0 e1>d3'],
  ['a ={ b {=} c }= d', 'a1>c0 b1>a0 c1>d0 d1>b0'],
  ['a =} b =} c }= d', 'a1>b0 b1>c0 c1>d0 d1>a0'],
  ['a =} b = c }= d', 'a1>b0 b1>c0 c1>d0 d1>a0'],
  ['a =} b ={ c {= d', 'a1>b0 b1>d0 c1>a0 d1>c0'],
  ['a ={ b = c {= d', 'a1>d0 b1>a0 c1>b0 d1>c0'],
  ['a = b =} c }= d', 'a1>b0 b1>a0 b4>c0 c1>d0 d1>b3'],
])
  test(`wires ${chain}`, () => assert.equal(wiring(chain), pipes));

test('a closing brace closes only what is open', () => {
  assert.deepEqual(
    parseChain('a }= = b {=x'.split(' ')).map(({ words }) => words),
    [
      ['a', '}='],
      ['b', '{=x'],
    ],
  );
});

test('one backslash is taken off what would be a connector', () => {
  const words = ['a', '\\=', '\\=x', '\\\\=x', '\\x', '\\}=', 'x=y', '=}', 'b', '\\}=', '\\{=', '}=', 'c'];
  assert.deepEqual(
    parseChain(words).map((stage) => stage.words),
    [['a', '=', '=x', '\\=x', '\\x', '\\}=', 'x=y'], ['b', '}=', '\\{='], ['c']],
  );
});

for (const [chain, message] of [
  ['', 'arguments: at least two commands joined by = are needed (see dpipe -h)'],
  ['a b c', 'arguments: at least two commands joined by = are needed (see dpipe -h)'],
  ['= b', '=: no command before it'],
  ['a =', '=: no command after it'],
  ['a =} = b', '=: no command between =} and it'],
  ['a =} b', '=}: not closed by }='],
  ['a =} b }={ c }= d', '}={: not closed by {='],
])
  test(`refuses "${chain}"`, () => {
    assert.throws(() => parseChain(chain.split(' ').filter(Boolean)), { code: 'EUSAGE', message });
  });

test('in every accepted chain each command reads one pipe and writes one, two-way ones in the middle two each', () => {
  const word = fc.constantFrom('x', 'x', 'y', '=', '=', '=}', '}=', '={', '{=', '}={', '{=}', '\\=');
  fc.assert(
    fc.property(fc.array(word, { maxLength: 20 }), (words) => {
      let stages: ReturnType<typeof parseChain>;
      try {
        stages = parseChain(words);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'EUSAGE');
        return;
      }
      const text = connections(stages).flatMap(({ from, to }) => [`${from.stage}.${from.fd}`, `${to.stage}.${to.fd}`]);
      const expected = stages.flatMap(({ flow }, i) =>
        flow === 'both' && i > 0 && i < stages.length - 1
          ? [0, 1, 3, 4].map((fd) => `${i}.${fd}`)
          : [`${i}.0`, `${i}.1`],
      );
      assert.deepEqual(text.sort(), expected.sort());
    }),
    { numRuns: 2000 },
  );
});
