import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  composeLocator,
  composeNested,
  composePath,
  composeSlash,
  decode,
  MAX_LOCATOR,
  MAX_NESTING,
  parsePath,
  parseSlash,
  quote,
  quotePath,
  splitNested,
  splitScheme,
} from '../../src/plug/locator.js';
import { VdeError } from '../../src/sys/errors.js';

/** Keys and values alone, as most examples don't care for offsets. */
const pairs = (params: readonly (readonly unknown[])[]): unknown[] => params.map(([key, value]) => [key, value]);

const malformed = (at: number, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof VdeError);
  assert.equal(error.code, 'EMALFORMED');
  assert.match(error.message, text);
  assert.match(error.message, new RegExp(`at character ${at}( |$)`));
  return true;
};

describe('scheme', () => {
  const examples: [vnl: string, scheme: string | undefined, body: string][] = [
    ['vxvde://234.0.0.1', 'vxvde', '234.0.0.1'],
    ['/tmp/sw', undefined, '/tmp/sw'],
    ['', undefined, ''],
    ['vde://', 'vde', ''],
    ['VDE:///x', 'VDE', '/x'],
    ['vlan://3{a://b}', 'vlan', '3{a://b}'],
    ['vde:///tmp/a://b', 'vde', '/tmp/a://b'],
    ['x+y-z.1_2://q', 'x+y-z.1_2', 'q'],
  ];
  for (const [vnl, scheme, body] of examples) {
    it(`${vnl || '(empty)'} -> ${scheme ?? 'none'}`, () => {
      const split = splitScheme(vnl);
      assert.deepEqual([split.scheme, split.body], [scheme, body]);
      assert.equal(vnl.slice(split.bodyAt), body);
    });
  }

  it('refuses malformed locators and says where', () => {
    assert.throws(() => splitScheme('://bar'), malformed(1, /no scheme/));
    assert.throws(() => splitScheme('/tmp/a://b'), malformed(1, /"\/" in a scheme/));
    assert.throws(() => splitScheme("vd'e://b"), malformed(3, /"'" in a scheme/));
    assert.throws(() => splitScheme('vde:///tmp/a\0b'), malformed(13, /NUL/));
    assert.throws(() => splitScheme('/tmp/a\tb'), malformed(7, /control character.*%09/));
    assert.throws(() => splitScheme('/tmp/a\u0085'), malformed(7, /control character.*%C2%85/));
    assert.throws(() => splitScheme('/tmp/\ud800x'), malformed(6, /surrogate/));
    assert.throws(() => splitScheme('x'.repeat(MAX_LOCATOR + 1)), malformed(MAX_LOCATOR + 1, /limit of 4096/));
    assert.equal(splitScheme('x'.repeat(MAX_LOCATOR)).body.length, MAX_LOCATOR);
  });

  it('shows only the beginning of a huge locator', () => {
    assert.throws(
      () => splitScheme('x'.repeat(1e6)),
      (error: VdeError) => error.message.length < 400,
    );
  });
});

describe('quoting', () => {
  const examples: [text: string, decoded: string][] = [
    ['plain', 'plain'],
    ["a'b c'd", 'ab cd'],
    ['a"b c"d', 'ab cd'],
    [`'a"b'`, 'a"b'],
    [`"a'b"`, "a'b"],
    [`'a\\b%41'`, 'a\\b%41'],
    [`"a\\b%41"`, 'a\\b%41'],
    ['\\\'\\"\\\\', '\'"\\'],
    ['\\%41', '%41'],
    ['%41%6e', 'An'],
    ['%2F%5B%5d', '/[]'],
    ['%%41', '%A'],
    ['a%4', 'a%4'],
    ['a%zz', 'a%zz'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    ['fe80::1%25ed0', 'fe80::1%ed0'],
    ["'open", 'open'],
    ['end\\', 'end'],
    ['%c3%a9', 'é'],
    [`%c3''%a9`, 'é'],
    ['%EF%BB%BFx', '\ufeffx'],
    ['\\é%20€', 'é €'],
  ];
  for (const [text, decoded] of examples) it(text, () => assert.equal(decode(text), decoded));

  it('refuses escaped bytes that no text has', () => {
    assert.throws(() => decode('ab%00'), malformed(3, /NUL/));
    assert.throws(() => parseSlash('a/bc%ff', 8), malformed(13, /not UTF-8/));
    assert.throws(() => parsePath('a[b=%c3z]', 6, 'vde://a[b=%c3z]'), malformed(11, /^vde:.*not UTF-8/));
  });
});

describe('slash style', () => {
  const examples: [body: string, address: string, params: unknown[]][] = [
    ['239.0.0.1/port=5', '239.0.0.1', [['port', '5']]],
    [
      '/v6/port=5',
      '',
      [
        ['v6', undefined],
        ['port', '5'],
      ],
    ],
    ['', '', []],
    ['//=5/a=', '', [['a', '']]],
    ["/''/b", '', [['b', undefined]]],
    ["/host='10.1.0.2/16'", '', [['host', '10.1.0.2/16']]],
    ['/host=10.1.0.2%2f16', '', [['host', '10.1.0.2/16']]],
    [
      '/host=10.1.0.2/16',
      '',
      [
        ['host', '10.1.0.2'],
        ['16', undefined],
      ],
    ],
    ['a"/b"/c=d=e', 'a/b', [['c', 'd=e']]],
    ['/port = 3', '', [['port ', ' 3']]],
    ['/a%3d1', '', [['a', '1']]],
    ['a\\/b/c', 'a/b', [['c', undefined]]],
    ["/zz'a/b", '', [['zza/b', undefined]]],
  ];
  for (const [body, address, params] of examples) {
    it(body || '(empty)', () => {
      const parsed = parseSlash(body);
      assert.equal(parsed.address, address);
      assert.deepEqual(pairs(parsed.params), params);
    });
  }

  it('gives the offset of each parameter in the locator', () => {
    const locator = "vxvde://'a'/p=%41//vni=2";
    const { body, bodyAt } = splitScheme(locator);
    const offsets = parseSlash(body, bodyAt, locator).params.map(([, , at]) => at);
    assert.deepEqual(offsets, [locator.indexOf('p='), locator.indexOf('vni')]);
  });
});

describe('path style', () => {
  const examples: [body: string, path: string, params: unknown[]][] = [
    ['/tmp/sw', '/tmp/sw', []],
    ['/tmp/sw[7]', '/tmp/sw', [['7', undefined]]],
    [
      '/tmp/sw[port=7/group=x]',
      '/tmp/sw',
      [
        ['port', '7'],
        ['group', 'x'],
      ],
    ],
    ['/tmp/x[3', '/tmp/x', [['3', undefined]]],
    ['/tmp/x[3][4]', '/tmp/x', [['3][4', undefined]]],
    ['/tmp/x[3]ignored', '/tmp/x', [['3', undefined]]],
    ['/tmp/x[]', '/tmp/x', []],
    ['/tmp/x[=5]', '/tmp/x', []],
    ['/tmp/%6e%6e', '/tmp/nn', []],
    ['/tmp/a%5Bb\\[c"["[1]', '/tmp/a[b[c[', [['1', undefined]]],
    ['x[zz\\]q]', 'x', [['zz]q', undefined]]],
    ["x[zz']q", 'x', [['zz]q', undefined]]],
    ['x[zz"]"]k', 'x', [['zz]', undefined]]],
    ['x[zz%5D]k', 'x', [['zz]', undefined]]],
  ];
  for (const [body, path, params] of examples) {
    it(body, () => {
      const parsed = parsePath(body);
      assert.equal(parsed.path, path);
      assert.deepEqual(pairs(parsed.params), params);
    });
  }

  it('gives the offset of each parameter in the locator', () => {
    const locator = 'vde:///tmp/sw[7/mode=700]';
    const offsets = parsePath('/tmp/sw[7/mode=700]', 6, locator).params.map(([, , at]) => at);
    assert.deepEqual(offsets, [locator.indexOf('7'), locator.indexOf('mode')]);
  });
});

describe('nesting', () => {
  const examples: [body: string, outer: string, nested: string | undefined][] = [
    ['4{a://{b://}}', '4', 'a://{b://}'],
    ['x{a}b', 'x', 'a'],
    ['x{', 'x', ''],
    ['x{}', 'x', ''],
    ['x', 'x', undefined],
    ['x{a', 'x', 'a'],
    ['3{/tmp/sw}', '3', '/tmp/sw'],
    ['/path/key[ethtype=copy]{vde://}', '/path/key[ethtype=copy]', 'vde://'],
    [`a'{'b\\{{c"}"\\}%41}d`, `a'{'b\\{`, 'c"}"\\}%41'],
    [`x'{a}`, `x'{a}`, undefined],
    ['{{vde:///tmp/sw}}', '', 'vde:///tmp/sw'],
    ['2{{tap://t0}', '2', '{tap://t0'],
    ['{{}}', '', ''],
  ];
  for (const [body, outer, nested] of examples) {
    it(body, () => {
      const split = splitNested(body);
      assert.deepEqual([split.outer, split.nested], [outer, nested]);
      assert.ok(body.slice(split.nestedAt).startsWith(nested ?? ''));
    });
  }

  it('goes as deep as the limit and no deeper', () => {
    const deep = (n: number): string => '1{vlan://'.repeat(n) + '}'.repeat(n);
    assert.equal(splitNested(deep(MAX_NESTING)).outer, '1');
    const tooDeep = deep(MAX_NESTING + 1);
    const at = tooDeep.lastIndexOf('{') + 1;
    assert.throws(() => splitNested(tooDeep), malformed(at, /limit of 16 nested/));
    assert.throws(() => splitNested(tooDeep, 7, `vlan://${tooDeep}`), malformed(at + 7, /^vlan:/));
    assert.throws(() => splitNested('{'.repeat(100_000)), VdeError);
  });
});

describe('composing', () => {
  const text = fc.string({ unit: 'binary' }).filter((s) => !s.includes('\0'));
  const awkward = fc.string({ unit: fc.constantFrom(...`'"\\%[]{}/=:. aF4é\n`) });
  const any = fc.oneof(text, awkward);
  const params = fc.array(
    fc.tuple(
      any.map((s) => `k${s.replaceAll('=', '')}`),
      fc.option(any, { nil: undefined }),
    ),
  );

  it('quote leaves ordinary text readable', () => {
    assert.equal(quote('10.1.0.2/16'), '10.1.0.2%2F16');
    assert.equal(quote('fe80::1%eth0'), 'fe80::1%25eth0');
    assert.equal(quotePath('/tmp/my [sw]'), '/tmp/my%20%5Bsw%5D');
  });

  it('what is quoted decodes to itself', () => {
    fc.assert(
      fc.property(any, (s) => {
        assert.equal(decode(quote(s)), s);
        assert.equal(decode(quotePath(s)), s);
        assert.equal(splitScheme(`x://${quote(s).slice(0, 1000)}`).scheme, 'x');
      }),
    );
  });

  it('slash-style parts come back, also around a nested locator', () => {
    fc.assert(
      fc.property(any, params, any, (address, list, inner) => {
        const nested = composeLocator('vde', quotePath(inner));
        const { outer, nested: back } = splitNested(composeNested(composeSlash({ address, params: list }), nested));
        const parsed = parseSlash(outer);
        assert.equal(back, nested);
        assert.equal(parsed.address, address);
        assert.deepEqual(pairs(parsed.params), list);
      }),
    );
  });

  it('path-style parts come back, also around a nested locator', () => {
    fc.assert(
      fc.property(any, params, any, (path, list, inner) => {
        const nested = composeLocator('vde', quotePath(inner));
        const { outer, nested: back } = splitNested(composeNested(composePath({ path, params: list }), nested));
        const parsed = parsePath(outer);
        assert.equal(back, nested);
        assert.equal(parsed.path, path);
        assert.deepEqual(pairs(parsed.params), list);
      }),
    );
  });

  it('what was parsed can be composed again', () => {
    const { address, params } = parseSlash('a/b=c/d');
    assert.equal(composeSlash({ address, params }), 'a/b=c/d');
  });

  it('refuses what the grammar cannot carry', () => {
    const invalid = { name: 'VdeError', code: 'EINVAL' };
    assert.throws(() => quote('a\0'), invalid);
    assert.throws(() => quotePath('\ud800'), invalid);
    assert.throws(() => composeSlash({ address: '', params: [['', 'x']] }), invalid);
    assert.throws(() => composePath({ path: '', params: [['a=b']] }), invalid);
    assert.throws(() => composeNested('1', "vde:///it's"), invalid);
    assert.throws(() => composeNested('1', 'vde:///x\\'), invalid);
    assert.throws(() => composeLocator('a b', 'x'), { name: 'VdeError', code: 'EMALFORMED' });
  });
});

describe('hostile text', () => {
  /** Every parser on one text: each answers or throws a VdeError. Returns the answers that must hold together. */
  const parseAll = (text: string): void => {
    for (const parse of [splitScheme, decode, parseSlash, parsePath, splitNested]) {
      try {
        const result: unknown = parse(text);
        if (parse === splitNested) {
          const { outer, nested, nestedAt } = result as ReturnType<typeof splitNested>;
          assert.ok(text.startsWith(outer));
          if (nested === undefined) assert.equal(outer, text);
          else assert.equal(text.slice(nestedAt, nestedAt + nested.length), nested);
        }
        if (parse === parseSlash || parse === parsePath) {
          for (const [key, , at] of (result as ReturnType<typeof parseSlash>).params) {
            assert.ok(key !== '' && !key.includes('='));
            assert.ok(at > 0 && at < text.length);
          }
        }
      } catch (error) {
        if (!(error instanceof VdeError)) throw error;
      }
    }
  };

  it('any text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 300 }), parseAll), { numRuns: 500 });
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 0xffff })), (u) => parseAll(String.fromCharCode(...u))));
  });

  it('10 000 texts of special characters', () => {
    const special = fc.string({
      unit: fc.constantFrom(...`'"\\%[]{}/=:aF40\0\n`, '://', '%c3', '\ud83d'),
      maxLength: 40,
    });
    fc.assert(fc.property(special, parseAll), { numRuns: 10_000 });
  });
});
