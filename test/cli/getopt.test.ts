import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { type OptionSpec, type ParseSettings, parseOptions, renderHelp } from '../../src/cli/getopt.js';
import { editDistance } from '../../src/sys/nearest.js';
import { requirePeer } from '../support/peers.js';

const table: OptionSpec[] = [
  { name: 'daemon', short: 'd', long: ['daemon'], arg: 'none', help: 'run in the background' },
  {
    name: 'pidfile',
    short: 'p',
    long: ['pidfile'],
    arg: 'required',
    metavar: 'FILE',
    help: 'write the process id to FILE',
  },
  { name: 'sock', short: 's', long: ['sock', 'vdesock', 'unix'], arg: 'required', metavar: 'DIR', help: 'directory' },
  { name: 'mode', short: 'm', long: ['mod', 'mode'], arg: 'required', metavar: 'MODE', help: 'octal' },
  { name: 'hub', short: 'x', long: ['hub'], arg: 'none', help: 'no learning' },
  { name: 'level', short: 'l', long: ['level'], arg: 'optional', metavar: 'N', help: 'how much' },
  { name: 'macaddr', long: ['macaddr'], arg: 'required', help: 'address' },
];

function parse(args: string[], settings?: ParseSettings): string {
  const { options, operands } = parseOptions(args, table, settings);
  const found = options.map(({ option, value }) => (value === undefined ? option.name : `${option.name}=${value}`));
  return [...found, '|', ...operands].join(' ');
}

function usage(args: string[], settings?: ParseSettings): string {
  try {
    parseOptions(args, table, settings);
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'EUSAGE');
    return (error as Error).message;
  }
  throw new Error(`${args.join(' ')} was accepted`);
}

test('short options, clusters, attached and separate values', () => {
  assert.equal(
    parse(['-dx', '-pFILE', '-p', 'other', '-dl', '-l3', '-xs', 'dir']),
    'daemon hub pidfile=FILE pidfile=other daemon level level=3 hub sock=dir |',
  );
});

test('long options, abbreviations, values after = or in the next word', () => {
  assert.equal(
    parse(['--pid', 'a', '--pidfile=b', '--unix=', '--da', '--level=', '--level', 'x']),
    'pidfile=a pidfile=b sock= daemon level= level | x',
  );
  assert.equal(parse(['--mo', '600']), 'mode=600 |', 'two names of one option are not ambiguous');
});

test('permuting takes options anywhere up to --, posix up to the first operand', () => {
  assert.equal(parse(['a', '-d', '-', 'b', '--', '-x']), 'daemon | a - b -x');
  assert.equal(parse(['-d', 'a', '-x', '--', 'b'], { mode: 'posix' }), 'daemon | a -x -- b');
});

test('stopAt ends the options and stays an operand, unless it is a value', () => {
  assert.equal(parse(['net', '-d', '=', 'ssh', '-p', '22'], { stopAt: '=' }), 'daemon | net = ssh -p 22');
  assert.equal(parse(['-p', '=', '=', '-x'], { stopAt: '=' }), 'pidfile== | = -x');
});

test('single-dash long names', () => {
  const longOnly = { longOnly: true };
  assert.equal(
    parse(['-sock', 'd', '-hub', '-daem', '-mod=700', '-pid=f', '-x', '-s', 'e'], longOnly),
    'sock=d hub daemon mode=700 pidfile=f hub sock=e |',
  );
  assert.equal(
    parse(['-dx', '-pFILE', '-m600'], longOnly),
    'daemon hub pidfile=FILE mode=600 |',
    'clusters that are no long name',
  );
});

test('where an option was found', () => {
  const { options } = parseOptions(['a', '-dx', '--pidf', 'f', '-l'], table);
  assert.deepEqual(
    options.map(({ spelling, index }) => [spelling, index]),
    [
      ['-d', 1],
      ['-x', 1],
      ['--pidfile', 2],
      ['-l', 4],
    ],
  );
});

test('mistakes name the option and the nearest valid one', () => {
  assert.equal(usage(['--pdifile', 'x']), '--pdifile: unknown option (did you mean --pidfile?)');
  assert.equal(usage(['-hbu'], { longOnly: true }), '-hbu: unknown option (did you mean -hub?)');
  assert.equal(usage(['--nothing-like-it']), '--nothing-like-it: unknown option');
  assert.equal(usage(['-dq']), '-q: unknown option');
  assert.equal(usage(['--pidfile']), '--pidfile: requires a value');
  assert.equal(usage(['-dp']), '-p: requires a value');
  assert.equal(usage(['--hub=1']), '--hub: takes no value');
  assert.equal(usage(['--m', '1']), '--m: ambiguous, could be --mod, --mode, --macaddr');
  assert.equal(usage(['--evil\u001b[31m\nname']), '--evil\\x1b[31m\\x0aname: unknown option');
});

test('a huge unknown option is refused at once', () => {
  assert.match(usage([`--${'a'.repeat(1e6)}`]), /unknown option$/);
});

test('edit distance counts insertions, deletions, substitutions and swaps', () => {
  for (const [a, b, distance] of [
    ['', 'abc', 3],
    ['abc', 'abc', 0],
    ['abc', 'acb', 1],
    ['abcd', 'bcd', 1],
    ['kitten', 'sitting', 3],
  ] as const)
    assert.equal(editDistance(a, b), distance, `${a} ${b}`);
});

test('help has two columns and stays within 80 characters', () => {
  const text = renderHelp([
    ...table.slice(0, 2),
    {
      name: 'level',
      long: ['level'],
      arg: 'optional',
      metavar: 'N',
      help: 'how much to say, from nothing at all to each and every single frame that goes by',
    },
    { name: 'wide', long: ['an-option-with-a-very-long-name'], arg: 'required', help: 'explained below' },
  ]);
  assert.equal(
    text,
    `  -d, --daemon        run in the background
  -p, --pidfile FILE  write the process id to FILE
      --level[=N]     how much to say, from nothing at all to each and every
                      single frame that goes by
      --an-option-with-a-very-long-name VALUE
                      explained below
`,
  );
});

/** One name per option, so that what getopt(1) prints tells which one it found. */
const peerTable: OptionSpec[] = [
  { name: 'a', short: 'a', arg: 'none', help: '' },
  { name: 'b', short: 'b', arg: 'required', help: '' },
  { name: 'c', short: 'c', arg: 'optional', help: '' },
  { name: 'alpha', long: ['alpha'], arg: 'none', help: '' },
  { name: 'alps', long: ['alps'], arg: 'required', help: '' },
  { name: 'beta', long: ['beta'], arg: 'required', help: '' },
  { name: 'gamma', long: ['gamma'], arg: 'optional', help: '' },
  { name: 'a-b', long: ['ab'], arg: 'none', help: '' },
  { name: 'dd', long: ['d'], arg: 'none', help: '' },
];
const SHORT = 'ab:c::';
const LONG = 'alpha,alps:,beta:,gamma::,ab,d';

/** Options, then `--`, then operands, as getopt(1) prints them; undefined for a refusal. */
function glibc(args: string[], { mode, longOnly }: ParseSettings): string[] | undefined {
  const words = [...(longOnly ? ['-a'] : []), '-o', (mode === 'posix' ? '+' : '') + SHORT, '-l', LONG, '--', ...args];
  const { status, stdout } = spawnSync('getopt', words, { encoding: 'utf8', env: { PATH: process.env.PATH } });
  if (status !== 0) return undefined;
  return [...stdout.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) =>
    quoted === undefined ? bare : `'${quoted}'`,
  );
}

function ours(args: string[], settings: ParseSettings): string[] | undefined {
  try {
    const { options, operands } = parseOptions(args, peerTable, settings);
    const found = options.flatMap(({ option, value }) => [
      option.long ? `--${option.long[0]}` : `-${option.short}`,
      ...(option.arg === 'none' ? [] : [`'${value ?? ''}'`]),
    ]);
    return [...found, '--', ...operands.map((operand) => `'${operand}'`)];
  } catch {
    return undefined;
  }
}

test('reads any arguments as the GNU C library does', (t) => {
  if (!requirePeer(t, 'getopt')) return;
  const likely = [
    '-',
    '--',
    '',
    'word',
    '-a',
    '-aab',
    '-abX',
    '-b',
    '-cX',
    '-c',
    '-x',
    '-ab',
    '-d',
    '-alp',
    '-be',
    '-gam=1',
    '-ax',
  ];
  const long = [
    '--alpha',
    '--alph',
    '--alp',
    '--al=1',
    '--alps',
    '--beta=',
    '--b',
    '--gamma',
    '--g=x',
    '--ab',
    '--a',
    '--d',
    '--=x',
  ];
  const word = fc.oneof(
    fc.constantFrom(...likely, ...long),
    fc.string({ unit: fc.constantFrom(...'abcdxlpg=-'), maxLength: 6 }),
    fc.string({ unit: fc.constantFrom(...'abcdxlpg='), maxLength: 5 }).map((text) => `-${text}`),
  );
  const settings = fc.record({ mode: fc.constantFrom('permute' as const, 'posix' as const), longOnly: fc.boolean() });
  fc.assert(
    fc.property(fc.array(word, { maxLength: 6 }), settings, (args, how) => {
      assert.deepEqual(ours(args, how), glibc(args, how));
    }),
    { numRuns: 600 },
  );
});
