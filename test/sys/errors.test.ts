import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  callError,
  ERRNO_NAMES,
  errnoNumber,
  errnoText,
  execError,
  fromNodeError,
  VdeError,
} from '../../src/sys/errors.js';

test('a message is subject, cause and remedy', () => {
  const bare = new VdeError({ code: 'ENOENT', subject: 'vde:///tmp/sw', cause: 'no switch' });
  assert.equal(bare.message, 'vde:///tmp/sw: no switch');
  assert.ok(bare instanceof Error);
  const full = new VdeError({ code: 'ENOENT', subject: 'vde:///tmp/sw', cause: 'no switch', remedy: 'start one' });
  assert.equal(full.message, 'vde:///tmp/sw: no switch (start one)');
  assert.deepEqual(
    [full.name, full.code, full.subject, full.reason, full.remedy, full.call, full.errno],
    ['VdeError', 'ENOENT', 'vde:///tmp/sw', 'no switch', 'start one', undefined, undefined],
  );
});

test('a message is one line that no terminal obeys, whatever is in the name', () => {
  const error = new VdeError({ code: 'EINVAL', subject: 'a\nb\x1b[2Jc\x9bd\x7f', cause: 'x\0y', remedy: '\r' });
  assert.equal(error.message, 'a\\x0ab\\x1b[2Jc\\x9bd\\x7f: x\\x00y (\\x0d)');
  assert.equal(error.subject, 'a\nb\x1b[2Jc\x9bd\x7f');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (subject, cause) => {
      const { message } = new VdeError({ code: 'EINVAL', subject, cause });
      assert.doesNotMatch(message, /[\u0000-\u001f\u007f-\u009f]/);
    }),
  );
});

test('a failed call names itself, its errno and what it was done to', () => {
  const error = callError('connect', errnoNumber('ECONNREFUSED'), '/tmp/sw/ctl', 'start it');
  assert.equal(error.message, '/tmp/sw/ctl: Connection refused (start it)');
  assert.deepEqual([error.code, error.call, error.errno], ['ECONNREFUSED', 'connect', 111]);
});

test('an errno that nobody knows is shown by its number', () => {
  const error = callError('ioctl', 4095, 'thing');
  assert.equal(error.code, 'E4095');
  assert.equal(error.message, 'thing: Unknown error 4095');
  assert.equal(errnoText(errnoNumber('EXDEV')), 'EXDEV');
  assert.throws(() => errnoNumber('ENONSENSE'), /ENONSENSE/);
});

test('errno names and numbers belong together', () => {
  for (const [number, name] of ERRNO_NAMES) {
    // Two names for one number, in Linux: the later one in the table is the one shown.
    const aliases = ['EAGAIN', 'EWOULDBLOCK', 'ENOTSUP', 'EOPNOTSUPP'];
    assert.ok(errnoNumber(name) === number, name);
    if (!aliases.includes(name)) assert.equal(ERRNO_NAMES.get(errnoNumber(name)), name);
  }
  assert.equal(errnoNumber('EBADFD'), 77);
});

test('the full queue of a socket has one name everywhere', () => {
  assert.equal(callError('send', errnoNumber('EAGAIN'), 'x').code, 'EAGAIN');
  assert.equal(callError('send', errnoNumber('EAGAIN'), 'x').reason, 'Resource temporarily unavailable');
  assert.equal(callError('setsockopt', errnoNumber('EOPNOTSUPP'), 'x').errno, 95);
});

test("Node's errors become ours, and ours stay", () => {
  const thrown = (() => {
    try {
      return readFileSync('/no/such/file');
    } catch (error) {
      return error;
    }
  })();
  const error = fromNodeError(thrown, 'labs.yaml', 'look again');
  assert.equal(error.message, 'labs.yaml: No such file or directory (look again)');
  assert.deepEqual([error.code, error.call, error.errno], ['ENOENT', 'open', 2]);
  assert.equal(fromNodeError(error, 'other'), error);
  const other = fromNodeError(new TypeError('bad thing'), 'labs.yaml');
  assert.deepEqual([other.code, other.message], ['EFAIL', 'labs.yaml: bad thing']);
  assert.ok(other.cause instanceof TypeError);
});

test('a program that cannot be started is said as execvp says it, at once or by an event', async () => {
  const start = async (file: string): Promise<unknown> => {
    try {
      const [error] = await once(spawn(file), 'error');
      return error;
    } catch (error) {
      return error;
    }
  };
  for (const [file, code] of [
    ['', 'ENOENT'],
    ['/nonexistent', 'ENOENT'],
    ['/', 'EACCES'],
    [`${process.execPath}/below`, 'ENOTDIR'],
    ['q'.repeat(300), 'ENAMETOOLONG'],
    ['/a\0b', 'ERR_INVALID_ARG_VALUE'],
  ]) {
    const error = execError(await start(file), file, 'try another', 'it');
    assert.equal(error.code, code, file);
    assert.match(error.message, /^it: [^\n]+ \(try another\)$/);
  }
});
