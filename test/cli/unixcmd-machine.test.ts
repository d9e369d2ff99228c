/** The state machines of `unixcmd`: what is read from a file, and what each opcode does. */

import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { parseMachine, runMachine } from '../../src/cli/unixcmd-machine.js';
import type { VdeError } from '../../src/sys/errors.js';

/** Runs a machine against an input; returns status, output and what it sent. */
async function play(text: string, input = '', words: string[] = []) {
  const sent: string[] = [];
  let at = 0;
  const channel = { send: (one: string) => void sent.push(one), receive: async () => input[at++] };
  const { status, output } = await runMachine(parseMachine(text, 'test'), words, channel);
  return { status, output, sent: sent.join('') };
}

test('states run in numeric order, whatever the order of the file; comments and blanks do nothing', async () => {
  assert.equal((await play('TIMEOUT 5\n2 EXIT 8\n1 EXIT 7\n')).status, 7);
  assert.equal((await play('# c\n\n  1 THROW\n 30 EXIT 300 # too large for a status\n')).status, 44);
  assert.equal((await play('1 BOGUS\n2 EXIT -3\n')).status, 253);
});

test('IN collects until its text, or goes on at its number at the end of the input', async () => {
  const machine = "1 IN '$ ' 9\n2 COPY\n3 EXIT 1\n9 COPY\n10 EXIT 2\n";
  assert.deepEqual(await play(machine, 'hello\nvde$ rest'), { status: 1, output: ['hello\nvde$ '], sent: '' });
  assert.deepEqual(await play(machine, 'hel'), { status: 2, output: ['hel'], sent: '' });
});

test('IF, SKIP, RVATOI and EXITRV look at the place in the line', async () => {
  const machine =
    "1 IN '\\n' 90\n2 IF '10' 10\n3 EXIT 3\n10 SKIP 2\n11 IF '17 File' 13\n12 EXIT 5\n13 RVATOI\n14 EXITRV\n90 EXIT 9\n";
  assert.equal((await play(machine, '1017 File exists\n')).status, 17);
  assert.equal((await play(machine, '1022 Invalid\n')).status, 5);
  assert.equal((await play(machine, '9999\n')).status, 3);
  assert.equal((await play("1 IN 'c' 9\n2 RVATOI 16\n3 EXITRV\n9 EXIT 9\n", 'abc')).status, 0xbc);
  assert.equal((await play("1 IN '\\n' 9\n2 SKIP '10'\n3 EXITATOI\n9 EXIT 9\n", '1000 Success\n')).status, 0);
});

test('SEND puts the arguments in the place of its variables, as C does', async () => {
  const send = async (text: string, words: string[]) => (await play(`1 SEND '${text}'\n2 EXIT 0\n`, '', words)).sent;
  assert.equal(await send('$*\\n', ['port/create', '5']), 'port/create 5\n');
  assert.equal(await send("[$0]x\\t\\f\\\\\\'", ['a', 'b c']), "[a b c]x\t\f\\'");
  assert.equal(await send('[$1][$2][$3][$0]x', ['a', 'b', 'c']), '[b[c[[a b c]x');
  assert.equal((await play("1 SHIFT\n2 SEND '$*'\n3 EXIT 0\n", '', ['a', 'b', 'c'])).sent, 'b c');
});

test('a file that is no machine, and a machine that cannot run, are said', async () => {
  for (const text of ['EXIT 3\n', "1 SEND 'abc\n", '1 exit 5\n', 'x']) {
    assert.throws(() => parseMachine(text, 'some.rc'), {
      code: 'EMALFORMED',
      message: /^some\.rc: line 1 is no state/,
    });
  }
  for (const text of ['', '1 THROW\n', '1 GOTO 50\n', "1 IN 'x' 5\n"]) {
    await assert.rejects(play(text), { code: 'EMALFORMED' }, text);
  }
});

test('any text is a machine or a named error, and no machine hangs', async () => {
  const line = fc.oneof(
    fc.string(),
    fc
      .tuple(
        fc.nat(9),
        fc.constantFrom('IN', 'SEND', 'IF', 'SKIP', 'COPY', 'EXIT', 'RVATOI', 'THROW', 'SHIFT'),
        fc.nat(9),
      )
      .map(([n, word, to]) => `${n} ${word} 'x' ${to}`),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 8 }), fc.string(), async (lines, input) => {
      try {
        const { status } = await play(lines.join('\n'), input, ['a']);
        assert.ok(status >= 0 && status <= 255);
      } catch (error) {
        assert.equal((error as VdeError).code, 'EMALFORMED');
      }
    }),
    { numRuns: 200 },
  );
});
