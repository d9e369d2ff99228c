import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { decode } from '../../src/plug/locator.js';
import { type LocatorFiles, MAX_FILE_BYTES, MAX_FILES, resolveLocator } from '../../src/plug/resolve.js';
import { VdeError } from '../../src/sys/errors.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vde-resolve-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Writes a file below the test's directory (parents included) and returns its path. */
function file(name: string, content: string | Uint8Array): string {
  const path = join(dir, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  return path;
}

/** Resolves with the test's directory as home and returns what matters most. */
function resolve(vnl: string): [scheme: string, body: string] {
  const { scheme, body } = resolveLocator(vnl, { home: dir });
  return [scheme, body];
}

function failure(run: () => unknown): VdeError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof VdeError, String(error));
    return error;
  }
  assert.fail('resolved');
}

describe('without files', () => {
  it('a scheme is taken as written', () => {
    assert.deepEqual(resolveLocator('vxvde://234.0.0.1/port=1', { home: dir }), {
      scheme: 'vxvde',
      body: '234.0.0.1/port=1',
      locator: 'vxvde://234.0.0.1/port=1',
      text: 'vxvde://234.0.0.1/port=1',
      bodyAt: 8,
      via: [],
    });
  });

  it('text without a scheme is a switch, there or not', () => {
    assert.deepEqual(resolve(dir), ['vde', dir]);
    assert.deepEqual(resolve(`${dir}/none[3]`), ['vde', `${dir}/none[3]`]);
    const link = join(dir, 'link');
    symlinkSync(dir, link);
    assert.deepEqual(resolve(link), ['vde', link]);
  });

  it('a malformed locator is refused', () => {
    assert.equal(failure(() => resolve('://x')).code, 'EMALFORMED');
    assert.equal(failure(() => resolve('/tmp/\0')).code, 'EMALFORMED');
  });
});

describe('the default network', () => {
  it('is the system switch if the home directory has none, or there is no home', () => {
    assert.deepEqual(resolve(''), ['vde', '']);
    assert.deepEqual(resolveLocator('', { home: '' }), {
      scheme: 'vde',
      body: '',
      locator: '',
      text: '',
      bodyAt: 0,
      via: [],
    });
  });

  it('is the locator in ~/.vdeplug/default', () => {
    const path = file('.vdeplug/default', 'slirp:///v4\n');
    file('.vde2/default.switch', 'tap://x\n');
    assert.deepEqual(resolve(''), ['slirp', '/v4']);
    assert.deepEqual(resolveLocator('', { home: dir }).via, [path]);
  });

  it('is the locator in ~/.vde2/default.switch otherwise', () => {
    file('.vde2/default.switch', 'tap://x\n');
    assert.deepEqual(resolve(''), ['tap', 'x']);
  });

  it('passes over a dangling symlink', () => {
    mkdirSync(join(dir, '.vdeplug'));
    symlinkSync(join(dir, 'gone'), join(dir, '.vdeplug/default'));
    assert.deepEqual(resolve(''), ['vde', '']);
    file('.vde2/default.switch', 'tap://x\n');
    assert.deepEqual(resolve(''), ['tap', 'x']);
  });

  it('may be a symlink to the directory of a switch', () => {
    const home = join(dir, 'my [home] 100%41');
    const name = join(home, '.vdeplug/default');
    mkdirSync(join(home, '.vdeplug'), { recursive: true });
    symlinkSync(dir, name);
    const { scheme, body, via } = resolveLocator('', { home });
    assert.equal(scheme, 'vde');
    assert.equal(decode(body), name);
    assert.deepEqual(via, [name]);
  });

  it('is not consulted by vde://', () => {
    file('.vdeplug/default', 'tap://x\n');
    assert.deepEqual(resolve('vde://'), ['vde', '']);
  });

  it('is looked for in $HOME', () => {
    const before = process.env.HOME;
    file('.vdeplug/default', 'tap://fromhome\n');
    try {
      process.env.HOME = dir;
      assert.equal(resolveLocator('').body, 'fromhome');
      delete process.env.HOME;
      assert.equal(resolveLocator('').body, '');
    } finally {
      if (before !== undefined) process.env.HOME = before;
    }
  });
});

describe('locator files', () => {
  const contents: [what: string, content: string, scheme: string, body: string][] = [
    ['one line', 'vxvde://234.0.0.1\n', 'vxvde', '234.0.0.1'],
    ['no newline', 'vxvde://234.0.0.1', 'vxvde', '234.0.0.1'],
    ['only the first line counts', 'tap://a\ntap://b\n', 'tap', 'a'],
    ['blank lines and blanks', '\n \t\r\n  tap://a \r\n', 'tap', 'a'],
    ['a byte order mark', '\ufefftap://a\n', 'tap', 'a'],
    ['a path', '/nonexistent/switch\n', 'vde', '/nonexistent/switch'],
    ['not ASCII', 'vde:///tmp/é€\n', 'vde', '/tmp/é€'],
    ['exactly the limit', 'tap://a\n'.padEnd(MAX_FILE_BYTES, ' '), 'tap', 'a'],
    ['long, with a short first line', `tap://a\n${'x\n'.repeat(MAX_FILE_BYTES)}`, 'tap', 'a'],
  ];
  for (const [what, content, scheme, body] of contents) {
    it(what, () => {
      const path = file('net.vnl', content);
      assert.deepEqual(resolve(path), [scheme, body]);
    });
  }

  it('tells what was written, what it stands for and how it got there', () => {
    const inner = file('inner', 'vlan://3{/tmp/sw}\n');
    const outer = file('outer', `${inner}\n`);
    assert.deepEqual(resolveLocator(outer, { home: dir }), {
      scheme: 'vlan',
      body: '3{/tmp/sw}',
      locator: outer,
      text: 'vlan://3{/tmp/sw}',
      bodyAt: 7,
      via: [outer, inner],
    });
  });

  it('are not looked for behind a scheme or before parameters', () => {
    const path = file('net.vnl', 'tap://a\n');
    assert.deepEqual(resolve(`vde://${path}`), ['vde', path]);
    assert.deepEqual(resolve(`${path}[3]`), ['vde', `${path}[3]`]);
  });

  it('may name one another up to the limit', () => {
    const chain = (n: number): string => {
      file('0', 'tap://end\n');
      for (let i = 1; i < n; i++) file(`${i}`, join(dir, `${i - 1}`));
      return join(dir, `${n - 1}`);
    };
    assert.deepEqual(resolve(chain(MAX_FILES)), ['tap', 'end']);
    const error = failure(() => resolve(chain(MAX_FILES + 1)));
    assert.equal(error.code, 'ELOOP');
    assert.match(error.message, /more than 8 locator files/);
  });

  it('that lead back to themselves are an error naming the chain', () => {
    const a = file('a', join(dir, 'b'));
    const b = file('b', join(dir, 'alias'));
    const alias = join(dir, 'alias');
    symlinkSync(a, alias);
    const error = failure(() => resolve(a));
    assert.equal(error.code, 'ELOOP');
    assert.equal(error.subject, a);
    assert.ok(error.message.endsWith(`${a} -> ${b} -> ${alias}`), error.message);
  });

  it('that start at the default network and loop call it by a name', () => {
    const path = file('.vdeplug/default', join(dir, '.vdeplug/default'));
    const error = failure(() => resolve(''));
    assert.equal(error.code, 'ELOOP');
    assert.equal(error.subject, 'default switch');
    assert.ok(error.message.endsWith(`${path} -> ${path}`));
  });

  const broken: [what: string, content: string | Uint8Array, message: RegExp][] = [
    ['empty', '', /no locator in it/],
    ['blank', ' \n\n\t\n', /no locator in it/],
    ['blank for long', '\n'.repeat(MAX_FILE_BYTES + 1), /no locator in its first 4096 bytes/],
    ['with a NUL', 'tap://a\n\0', /not a locator file: it is not text/],
    ['with control characters', '\x1b[31mtap://a\n', /not a locator file: it is not text/],
    ['not UTF-8', Uint8Array.of(0x74, 0xff, 0x0a), /not a locator file: it is not text/],
    ['with an endless line', 'é'.repeat(MAX_FILE_BYTES), /first line goes on after 4096 bytes/],
  ];
  for (const [what, content, message] of broken) {
    it(`${what}: refused by name`, () => {
      const path = file('bad.vnl', content);
      const error = failure(() => resolve(path));
      assert.equal(error.code, 'EMALFORMED');
      assert.equal(error.subject, path);
      assert.match(error.message, message);
    });
  }

  it('with a malformed locator are named beside it', () => {
    const path = file('bad.vnl', '\n/tmp/a://b\n');
    const error = failure(() => resolve(path));
    assert.equal(error.code, 'EMALFORMED');
    assert.ok(error.message.startsWith(`${path}: /tmp/a://b: "/" in a scheme at character 1`), error.message);
  });

  it('that cannot be read say why', () => {
    const fs: LocatorFiles = {
      look: () => ({ regular: true, id: '1' }),
      head: () => {
        throw Object.assign(new Error('no'), { code: 'EACCES', errno: -13, syscall: 'open' });
      },
    };
    const error = failure(() => resolveLocator('/etc/secret.vnl', { home: '', fs }));
    assert.equal(error.code, 'EACCES');
    assert.equal(error.call, 'open');
    assert.match(error.message, /^\/etc\/secret\.vnl: Permission denied/);
  });

  it('are regular files: a FIFO is not opened', () => {
    const fifo = join(dir, 'fifo');
    execFileSync('mkfifo', [fifo]);
    assert.deepEqual(resolve(fifo), ['vde', fifo]);
  });

  it('of any bytes give a locator or a VdeError', () => {
    const fs = (content: Uint8Array): LocatorFiles => ({
      look: (path) => (path === 'f' ? { regular: true, id: 'f' } : undefined),
      head: (_, limit) => content.subarray(0, limit),
    });
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.string().map((s) => new TextEncoder().encode(s)),
    );
    fc.assert(
      fc.property(bytes, (content) => {
        try {
          const { text, via } = resolveLocator('f', { home: '', fs: fs(content) });
          assert.deepEqual(via, ['f']);
          assert.notEqual(text.trim(), '');
        } catch (error) {
          if (!(error instanceof VdeError)) throw error;
        }
      }),
    );
  });
});
