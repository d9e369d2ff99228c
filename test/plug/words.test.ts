import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { splitWords } from '../../src/plug/words.js';

test('blanks separate, quotes group, a backslash takes the next character as it is', () => {
  assert.deepEqual(splitWords('ssh  host\tvde_plug'), ['ssh', 'host', 'vde_plug']);
  assert.deepEqual(splitWords(`a 'b c'"d e" '' f\\ g`), ['a', 'b cd e', '', 'f g']);
  assert.deepEqual(splitWords(`'$HOME' a$b *.c ~ 'x;y' "a\\b"`), ['$HOME', 'a$b', '*.c', '~', 'x;y', 'a\\b']);
  assert.deepEqual(splitWords('one two ; '), ['one', 'two']);
});

test('what would be taken for something else is refused', () => {
  for (const text of ['', '  ', ';', "a 'b", 'a "b', 'a\\', 'a ; b', '$SHELL', 'a $b']) {
    assert.throws(() => splitWords(text), { code: 'EMALFORMED' }, text);
  }
});

test('whatever is quoted comes back as it was', () => {
  fc.assert(
    fc.property(fc.array(fc.string(), { minLength: 1 }), (words) => {
      const quoted = words.map((word) => `'${word.replaceAll("'", `'"'"'`)}'`).join(' ');
      assert.deepEqual(splitWords(quoted), words);
    }),
  );
});

test('any text is split or refused, nothing else', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        assert.ok(splitWords(text).length > 0);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'EMALFORMED');
      }
    }),
  );
});
