import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { keyFilePath, parseKey, readKeyFile } from '../../src/crypto/key-file.js';
import { VdeError } from '../../src/sys/errors.js';
import { tmpDir } from '../support/tmp.js';

const hex = (text: string, derived = false): string => parseKey(text, derived, '/k').key.toString('hex');

test('only hexadecimal digits count, up to 32, as C’s plugin reads them', () => {
  assert.equal(hex('dd02c7c2232759874e1c205587017bed  -\n'), 'dd02c7c2232759874e1c205587017bed');
  // Captured from C's plugin: a capital A is 1.
  assert.equal(hex('AA BB CC dd:ee:FF 00 11 2233445566778899'), '11bbccddeeff00112233445566778899');
  assert.equal(hex('ab'), `ab${'0'.repeat(30)}`);
  assert.equal(hex('abc'), `abc${'0'.repeat(29)}`);
  assert.equal(hex(`${'12'.repeat(16)}ffff`), '12'.repeat(16));
});

test('keys that others are derived from are read as they are written, up to 64 digits and no less than 32', () => {
  assert.equal(hex('AA'.repeat(16), true), 'aa'.repeat(16));
  assert.equal(hex('1f'.repeat(40), true), '1f'.repeat(32));
  assert.throws(() => hex('AA'.repeat(15), true), { code: 'EINVAL', message: /a key of 30 hexadecimal digits/ });
});

test('a weak key and a capital A are told, a good key is not', () => {
  const notices = (text: string): string[] => parseKey(text, false, '/k').notices;
  assert.deepEqual(notices('dd02c7c2232759874e1c205587017bed  -'), []);
  assert.match(notices('abcd').join(), /^key file \/k has 4 hexadecimal digits of 32: a weak key$/);
  assert.match(notices(`${'1'.repeat(31)}A`).join(), /^key file \/k: a capital A counts as 1/);
  assert.deepEqual(notices(`${'1'.repeat(32)}A`), []);
  assert.throws(() => parseKey('x', false, '/k'), { code: 'EINVAL', message: /^\/k: a key of 0 hex.*openssl rand/ });
});

test('any text is a key or a VdeError', () => {
  fc.assert(
    fc.property(fc.string(), fc.boolean(), (text, derived) => {
      try {
        const { length } = parseKey(text, derived, '/k').key;
        assert.ok(derived ? length >= 16 && length <= 32 : length === 16);
      } catch (error) {
        assert.ok(error instanceof VdeError, String(error));
      }
    }),
  );
});

test('the path is absolute, or in the home directory of the user', () => {
  const home = userInfo().homedir;
  assert.equal(keyFilePath('', 'x'), `${home}/.vde_agno_key`);
  assert.equal(keyFilePath('~/keys/one', 'x'), `${home}/keys/one`);
  assert.equal(keyFilePath('~one', 'x'), `${home}/one`);
  assert.equal(keyFilePath('/etc/key', 'x'), '/etc/key');
  assert.throws(() => keyFilePath('key', 'agno://key'), {
    code: 'EINVAL',
    message: /^agno:\/\/key: key file "key": not an absolute path \(begin it with/,
  });
});

test('a file that is missing, no file, endless or empty is refused; one that others can read is told', (t) => {
  const dir = tmpDir(t);
  const file = join(dir, 'key');
  assert.throws(() => readKeyFile(file, false), {
    code: 'ENOENT',
    message: `${file}: No such file or directory (make a key: (umask 077; openssl rand -hex 16 > ${file}))`,
  });
  mkdirSync(join(dir, 'directory'));
  assert.throws(() => readKeyFile(join(dir, 'directory'), false), { code: 'EISDIR' });
  assert.throws(() => readKeyFile('/dev/zero', false), { code: 'EINVAL' });
  writeFileSync(file, '12'.repeat(16), { mode: 0o600 });
  assert.deepEqual(readKeyFile(file, false), { key: Buffer.alloc(16, 0x12), notices: [] });
  for (const mode of [0o640, 0o604]) {
    chmodSync(file, mode);
    assert.deepEqual(readKeyFile(file, true).notices, [
      `key file ${file} can be read by other users (chmod go= ${file})`,
    ]);
  }
});
