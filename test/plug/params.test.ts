import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parsePath, parseSlash, splitScheme } from '../../src/plug/locator.js';
import { describeParams, type ParamSpec, paramError, readParams } from '../../src/plug/params.js';
import { VdeError } from '../../src/sys/errors.js';
import { nearestName } from '../../src/sys/nearest.js';

const VXVDE = [
  { name: 'port', type: 'number', max: 65535, default: 14789, doc: 'UDP port of the group' },
  { name: 'vni', type: 'number', max: 0xffffff, default: 1, doc: 'network identifier' },
  { name: 'grp', type: 'group', doc: 'group whose network it is' },
  { name: 'ttl', type: 'number', min: 1, max: 255, default: 1, doc: 'time to live' },
  { name: 'rcvbuf', type: 'size', max: 2 ** 30, doc: 'receive buffer in bytes' },
  { name: 'v6', type: 'flag', doc: 'IPv6 only' },
  { name: 'v4', type: 'flag', doc: 'IPv4 only' },
  { name: 'if', type: 'string', arg: 'NAME', doc: 'interface for multicast' },
] as const satisfies readonly ParamSpec[];

const VDE = [
  { name: 'port', type: 'string', bare: true, doc: 'port number or port group' },
  { name: 'portgroup', alias: 'port' },
  { name: 'group', type: 'group', doc: 'owner of the data socket' },
  { name: 'mode', type: 'octal', max: 0o777, default: 0o700, doc: 'mode of the data socket' },
] as const satisfies readonly ParamSpec[];

const SERIAL = [
  { name: 'speed', type: 'choice', values: ['9600', '38400'], default: '38400', doc: 'line speed in bit/s' },
  { name: 'offset', type: 'number', min: -5, max: 5, doc: 'a signed number' },
] as const satisfies readonly ParamSpec[];

function read<const T extends readonly ParamSpec[]>(table: T, locator: string) {
  const { scheme, body, bodyAt } = splitScheme(locator);
  const parse = scheme === 'vxvde' ? parseSlash : parsePath;
  return readParams(table, parse(body, bodyAt, locator).params, locator);
}

describe('keys', () => {
  it('absent parameters are their default, false or undefined', () => {
    assert.deepEqual(read(VXVDE, 'vxvde://'), {
      port: 14789,
      vni: 1,
      grp: undefined,
      ttl: 1,
      rcvbuf: undefined,
      v6: false,
      v4: false,
      if: undefined,
    });
  });

  it('a shortened key means the first of the table that begins with it', () => {
    assert.equal(read(VXVDE, 'vxvde:///po=3').port, 3);
    assert.equal(read(VXVDE, 'vxvde:///p=3').port, 3);
    assert.equal(read(VXVDE, 'vxvde:///v=7').vni, 7);
    assert.equal(read(VXVDE, 'vxvde:///i=lo').if, 'lo');
    assert.throws(() => read(VXVDE, 'vxvde:///portx=3'), /unknown parameter "portx"/);
  });

  it('a whole key wins over a longer one before it', () => {
    const table = [
      { name: 'hostname', type: 'string', doc: '' },
      { name: 'host', type: 'string', doc: '' },
    ] as const satisfies readonly ParamSpec[];
    assert.deepEqual(read(table, 'vxvde:///host=a/hos=b'), { hostname: 'b', host: 'a' });
  });

  it('later duplicates override, also through an alias', () => {
    assert.equal(read(VXVDE, 'vxvde:///port=1/port=2').port, 2);
    assert.deepEqual(read(VDE, 'vde:///tmp/sw[7/portgroup=x]'), { port: 'x', group: undefined, mode: 0o700 });
  });

  it('a token alone is the value of the bare parameter, unless it is a key', () => {
    assert.equal(read(VDE, 'vde:///tmp/sw[7]').port, '7');
    assert.equal(read(VDE, 'vde:///tmp/sw[lab1]').port, 'lab1');
    assert.equal(read(VDE, 'vde:///tmp/sw[3][4]').port, '3][4');
    assert.equal(read(VDE, 'vde:///tmp/sw[p]').port, '');
    assert.throws(() => read(VDE, 'vde:///tmp/sw[7=]'), /unknown parameter "7"/);
    assert.throws(() => read(VXVDE, 'vxvde:///7'), /unknown parameter "7"/);
  });

  it('an unknown key names itself, its place, the nearest key and all of them', () => {
    assert.throws(
      () => read(VXVDE, 'vxvde:///ttl=1/prot=5'),
      (error: VdeError) => {
        assert.equal(error.code, 'EINVAL');
        assert.equal(error.subject, 'vxvde:///ttl=1/prot=5');
        assert.equal(error.reason, 'unknown parameter "prot" at character 16');
        assert.equal(error.remedy, 'did you mean "port"? valid: port, vni, grp, ttl, rcvbuf, v6, v4, if');
        return true;
      },
    );
    assert.throws(() => read(VXVDE, 'vxvde:///nonsense'), /\(valid: port/);
    assert.throws(() => read([], 'vxvde:///x'), /there are none/);
  });
});

describe('values', () => {
  const good: [locator: string, name: string, value: unknown][] = [
    ['vxvde:///vni=0x10', 'vni', 16],
    ['vxvde:///vni=0X1F', 'vni', 31],
    ['vxvde:///vni=010', 'vni', 10],
    ['vxvde:///port=+5', 'port', 5],
    ['vxvde:///port=65535', 'port', 65535],
    ['vxvde:///port=-0', 'port', 0],
    ['vxvde:///rcvbuf=100', 'rcvbuf', 100],
    ['vxvde:///rcvbuf=2k', 'rcvbuf', 2048],
    ['vxvde:///rcvbuf=0x10K', 'rcvbuf', 16384],
    ['vxvde:///rcvbuf=3M', 'rcvbuf', 3 * 2 ** 20],
    ['vxvde:///rcvbuf=1kk', 'rcvbuf', 2 ** 20],
    ['vxvde:///rcvbuf=1G', 'rcvbuf', 2 ** 30],
    ['vxvde:///rcvbuf=010', 'rcvbuf', 8],
    ['vxvde:///grp=1000', 'grp', 1000],
    ['vxvde:///grp=staff', 'grp', 'staff'],
    ['vxvde:///grp', 'grp', ''],
    ['vxvde:///v6', 'v6', true],
    ['vxvde:///v6=', 'v6', true],
    ['vxvde:///v6=1', 'v6', true],
    ['vxvde:///if', 'if', ''],
    ['vxvde:///if=a%2Fb', 'if', 'a/b'],
  ];
  for (const [locator, name, value] of good) {
    it(locator, () => assert.equal((read(VXVDE, locator) as Record<string, unknown>)[name], value));
  }

  it('lists are added to by each occurrence, at commas, and by bare tokens', () => {
    const table = [
      { name: 'up', type: 'flag', doc: 'a flag' },
      { name: 'ip', type: 'list', bare: true, doc: 'addresses' },
    ] as const satisfies readonly ParamSpec[];
    assert.deepEqual(read(table, 'tap://t').ip, []);
    assert.deepEqual(read(table, 'tap://t[ip=a,b/up/ip=c/24]').ip, ['a', 'b', 'c', '24']);
    assert.throws(() => read(table, 'tap://t[ip]'), /parameter "ip": needs a value/);
    assert.deepEqual(describeParams(table)[1], '[ip=]TEXT,...  addresses');
  });

  it('modes are octal', () => {
    assert.equal(read(VDE, 'vde://[mode=660]').mode, 0o660);
    assert.equal(read(VDE, 'vde://[mode=0700]').mode, 0o700);
  });

  it('choices and signed numbers', () => {
    assert.deepEqual(read(SERIAL, 'vdesl://[speed=9600/offset=-3]'), { speed: '9600', offset: -3 });
  });

  const bad: [table: readonly ParamSpec[], locator: string, reason: string, allowed: RegExp][] = [
    [VXVDE, 'vxvde:///port=x', 'parameter "port": "x" is not a number at character 10', /^0 to 65535$/],
    [VXVDE, 'vxvde:///port=65536', 'parameter "port": "65536" is out of range at character 10', /^0 to 65535$/],
    [VXVDE, 'vxvde:///port=-1', 'parameter "port": "-1" is out of range at character 10', /^0 to 65535$/],
    [VXVDE, 'vxvde:///po=1x', 'parameter "port": "1x" is not a number at character 10', /^0 to 65535$/],
    [VXVDE, 'vxvde:///ttl= 3', 'parameter "ttl": " 3" is not a number at character 10', /^1 to 255$/],
    [VXVDE, 'vxvde:///port', 'parameter "port": needs a number at character 10', /^0 to 65535$/],
    [VXVDE, 'vxvde:///vni=1e3', 'parameter "vni": "1e3" is not a number at character 10', /16777215/],
    [VXVDE, 'vxvde:///rcvbuf=1x', 'parameter "rcvbuf": "1x" is not a size at character 10', /suffixes/],
    [VXVDE, 'vxvde:///rcvbuf=2g', 'parameter "rcvbuf": "2g" is out of range at character 10', /0 to 1073741824/],
    [VXVDE, 'vxvde:///rcvbuf=09', 'parameter "rcvbuf": "09" is not a size at character 10', /suffixes/],
    [VXVDE, 'vxvde:///v6=0', 'parameter "v6": "0" is not a value for a flag at character 10', /leave it out/],
    [VXVDE, 'vxvde:///grp=4294967295', 'parameter "grp": "4294967295" is out of range at character 10', /4294967294/],
    [VDE, 'vde://[7/mode=8]', 'parameter "mode": "8" is not an octal mode at character 10', /octal, up to 0777/],
    [VDE, 'vde://[mode=7777]', 'parameter "mode": "7777" is out of range at character 8', /octal, up to 0777/],
    [SERIAL, 'vdesl://[speed=1]', 'parameter "speed": "1" is not one of its words at character 10', /9600, 38400/],
  ];
  for (const [table, locator, reason, allowed] of bad) {
    it(`${locator} is refused`, () => {
      assert.throws(
        () => read(table, locator),
        (error: VdeError) => {
          assert.equal(error.code, 'EINVAL');
          assert.equal(error.subject, locator);
          assert.equal(error.reason, reason);
          assert.match(error.remedy ?? '', allowed);
          return true;
        },
      );
    });
  }

  it('values have the types of the table', () => {
    const { port, rcvbuf, v6, grp } = read(VXVDE, 'vxvde://');
    const { speed } = read(SERIAL, 'vdesl://');
    const typed: [number, number | undefined, boolean, number | string | undefined, '9600' | '38400'] = [
      port,
      rcvbuf,
      v6,
      grp,
      speed,
    ];
    assert.equal(typed.length, 5);
  });

  it('any decimal number in range is read, any out of range refused', () => {
    fc.assert(
      fc.property(fc.integer({ min: -10, max: 70000 }), (n) => {
        const locator = `vxvde:///port=${n}`;
        if (n >= 0 && n <= 65535) assert.equal(read(VXVDE, locator).port, n);
        else assert.throws(() => read(VXVDE, locator), VdeError);
      }),
    );
  });

  it('any text gives values of the declared types or a VdeError', () => {
    const text = fc.string({ unit: fc.constantFrom(...'portvnigmdecuf640xkK=/-', '\u00e9'), maxLength: 30 });
    fc.assert(
      fc.property(text, (s) => {
        try {
          const values = readParams(VXVDE, parseSlash(`/${s}`, 8).params, `vxvde:///${s}`);
          assert.ok(Number.isInteger(values.port) && values.port >= 0 && values.port <= 65535);
          assert.equal(typeof values.v6, 'boolean');
        } catch (error) {
          if (!(error instanceof VdeError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('a plug can refuse a value in the same words', () => {
    const error = paramError('vxvde:///if=x', { name: 'if', at: 9 }, 'no interface "x"', 'see ip link');
    assert.equal(error.message, 'vxvde:///if=x: parameter "if": no interface "x" at character 10 (see ip link)');
    assert.equal(paramError('x://', { name: 'if' }, 'missing').message, 'x://: parameter "if": missing');
  });
});

describe('help', () => {
  it('describes each entry with its range and default', () => {
    assert.deepEqual(describeParams(VXVDE), [
      'port=N       UDP port of the group (0 to 65535; default 14789)',
      'vni=N        network identifier (0 to 16777215; default 1)',
      'grp=GROUP    group whose network it is (a name, or a number up to 4294967294)',
      'ttl=N        time to live (1 to 255; default 1)',
      'rcvbuf=SIZE  receive buffer in bytes (0 to 1073741824; suffixes k, m, g, t)',
      'v6           IPv6 only',
      'v4           IPv4 only',
      'if=NAME      interface for multicast',
    ]);
    assert.deepEqual(describeParams(VDE), [
      '[port=]TEXT  port number or port group',
      'portgroup    the same as port',
      'group=GROUP  owner of the data socket (a name, or a number up to 4294967294)',
      'mode=MODE    mode of the data socket (octal, up to 0777; default 0700)',
    ]);
    assert.equal(describeParams(SERIAL)[0], 'speed=WORD  line speed in bit/s (one of 9600, 38400; default 38400)');
    assert.deepEqual(describeParams([{ name: 'type', type: 'string', default: '', doc: 'a word' }]), [
      'type=TEXT  a word',
    ]);
    assert.deepEqual(describeParams([]), []);
  });
});

describe('nearest name', () => {
  const schemes = ['null', 'vde', 'tap', 'vxvde', 'vxlan', 'switch', 'slirp', 'vlan'];
  const examples: [name: string, nearest: string | undefined][] = [
    ['vxdve', 'vxvde'],
    ['swich', 'switch'],
    ['VDE', 'vde'],
    ['tpa', 'tap'],
    ['slurp', 'slirp'],
    ['vlans', 'vlan'],
    ['tap', 'tap'],
    ['ethernet', undefined],
    ['x', undefined],
    ['zz', undefined],
    ['', undefined],
  ];
  for (const [name, nearest] of examples) {
    it(`${name || '(empty)'} -> ${nearest ?? 'none'}`, () => assert.equal(nearestName(name, schemes), nearest));
  }

  it('takes the first of equally near names', () => assert.equal(nearestName('v5', ['vx', 'v6', 'v4']), 'vx'));

  it('finds any name after one edit', () => {
    const edited = fc.tuple(fc.constantFrom('switch', 'multi', 'bonding', 'seqpacket'), fc.nat(4), fc.nat(2));
    fc.assert(
      fc.property(edited, ([name, at, kind]) => {
        const rest = name.slice(at + 1);
        const typo = name.slice(0, at) + ['', 'z', `z${name[at]}`][kind] + rest;
        assert.equal(nearestName(typo, ['switch', 'multi', 'bonding', 'seqpacket']), name);
      }),
    );
  });
});
