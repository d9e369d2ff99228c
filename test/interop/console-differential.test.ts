/**
 * The same lines to the consoles of Debian's switch and of ours: the same answers, byte by byte. Debian's cannot use the
 * last of its ports, so it is given one more. What is different on purpose is compared with what is meant.
 */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import fc from 'fast-check';
import { type ManagedSwitch, managedSwitch } from '../console/raw-console.js';
import { debian } from '../support/bin.js';
import { requirePeer } from '../support/peers.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, station } from '../switch/memory-plug.js';
import { type RawClient, seated } from '../switch/raw-client.js';

const PORTS = 8;

interface Pair {
  theirs: ManagedSwitch;
  ours: ManagedSwitch;
}

async function pair(t: TestContext): Promise<Pair | undefined> {
  if (!requirePeer(t, debian('vde_switch'))) return undefined;
  const [theirs, ours] = await Promise.all([
    managedSwitch(t, 'debian', ['-n', String(PORTS + 1)]),
    managedSwitch(t, 'ours', ['-n', String(PORTS)]),
  ]);
  return { theirs, ours };
}

/** The line that means to Debian's switch what `line` means to ours. */
function forDebian(line: string): string {
  return line.replace(/^(port\/setnumports *)([1-9]\d*)/, (_, command, count) => `${command}${Number(count) + 1}`);
}

/** An answer of Debian's with the number of ports as ours counts them. */
function countedAsOurs(text: string): string {
  return text.replace(/^Numports=(\d+)$/m, (_, count) => `Numports=${Number(count) - 1}`);
}

/** Without what differs from run to run; addresses that are forgotten together are so in any order. */
function normal(text: string, { dir, path }: ManagedSwitch): string {
  return text
    .replaceAll(dir, 'DIR')
    .replaceAll(path, 'MGMT')
    .replace(/endpoint ID \d+/g, 'endpoint ID N')
    .replace(/FD +\d+/g, 'FD N')
    .replace(/age \d+ secs/g, 'age N secs')
    .replace(/(^3012 .*\n)+/gm, (lines) =>
      lines
        .split(/(?<=\n)/)
        .sort()
        .join(''),
    );
}

async function ask({ theirs, ours }: Pair, line: string): Promise<{ expected: string; got: string }> {
  const [expected, got] = await Promise.all([theirs.console.ask(forDebian(line)), ours.console.ask(line)]);
  return { expected: countedAsOurs(normal(expected, theirs)), got: normal(got, ours) };
}

async function compare(both: Pair, lines: readonly string[], before: readonly string[] = []): Promise<void> {
  const played = [...before];
  for (const line of lines) {
    const { expected, got } = await ask(both, line);
    played.push(line);
    assert.equal(got, expected, `answer to the last of:\n${played.join('\n')}`);
  }
}

const LOOK = ['port/allprint', 'port/print', 'vlan/allprint', 'port/showinfo', 'hash/showinfo', 'hash/print'];

/** Every way to get an argument wrong. */
const BAD = [
  '',
  'x',
  '-1',
  '99',
  '4095',
  '4096',
  '65536',
  '99999999999',
  '1.5',
  '0x',
  '1 x',
  'x 1',
  '-1 1',
  '1 -1',
  '99 1',
];
const COMMANDS = [
  'ds/showinfo',
  'port/setnumports',
  'port/setvlan',
  'port/create',
  'port/remove',
  'port/allocatable',
  'port/setuser',
  'port/setgroup',
  'port/epclose',
  'port/resetcounter',
  'port/print',
  'port/allprint',
  'vlan/create',
  'vlan/addport',
  'vlan/delport',
  'vlan/print',
  'hash/setsize',
  'hash/find',
  'debug/list',
  'debug/del',
  'plugin/list',
  'plugin/add',
  'plugin/del',
  'port/nosuch',
];

test('wrong arguments get the same refusal, or do the same, as in C', async (t) => {
  const both = await pair(t);
  if (!both) return;
  await compare(both, ['port/create 1', 'port/create 5', 'vlan/create 10', 'vlan/addport 10 1']);
  for (const command of COMMANDS) {
    // The greatest sizes end Debian's switch.
    const unfit =
      command === 'port/setnumports' ? /^(4096|65536|9{11})$/ : command === 'hash/setsize' ? /^9{11}$/ : /^(?!)/;
    const lines = BAD.filter((argument) => !unfit.test(argument)).map((argument) => `${command} ${argument}`);
    await compare(both, [
      ...lines,
      `${command}1`,
      `${command} 1 1 1`,
      'port/allprint',
      'vlan/allprint',
      'hash/showinfo',
    ]);
  }
});

test('ports, VLANs and access control by hand', async (t) => {
  const both = await pair(t);
  if (!both) return;
  await compare(both, [
    ...['port/create 7', 'port/create 7', 'port/create', 'port/create0x5', 'port/createauto', 'port/create 3x'],
    ...['port/allocatable 7 1', 'port/allocatable 7 0', 'port/allocatable 9 1', 'port/allocatable 0x7 07'],
    ...[
      'root',
      'nobody',
      '4321',
      '0',
      '12x',
      '0x5',
      '',
      'nosuchuser',
      'NONE',
      'ANY',
      'none',
      'root x',
      '-1',
      '-2',
    ].flatMap((who) => [`port/setuser 7 ${who}`, `port/setgroup 7 ${who}`, 'port/allprint 7']),
    ...[
      'port/setuser 8 nosuchuser',
      'port/setuser 99 root',
      'port/setuser',
      'port/setuser x root',
      'port/setuser 7x root',
      'port/setuser 7x',
    ],
    ...['vlan/create 10', 'vlan/create 10', 'vlan/create 4093', 'vlan/create 4095', 'vlan/create 11x', ...LOOK],
    ...['vlan/addport 10 7', 'vlan/addport 10 7', 'vlan/addport 12 7', 'vlan/addport 10 6', 'vlan/addport 0xa 1'],
    ...['vlan/addport 0 7', 'port/setvlan 7 10', ...LOOK, 'port/setvlan 7 11', ...LOOK, 'port/setvlan 7 4095', ...LOOK],
    ...['vlan/addport 0 7', 'vlan/allprint', 'vlan/delport 0 7', 'vlan/delport 10 1', 'vlan/delport 10 1', ...LOOK],
    ...['port/setvlan 7 0x0', 'port/setvlan 7 012', 'port/setvlan 7 0 junk', 'port/setvlan 6 0', 'port/setvlan 7'],
    ...['vlan/remove 10', 'vlan/remove 10', 'vlan/remove', 'vlan/remove 4094', 'vlan/remove 4095', 'vlan/remove 11'],
    ...['port/remove 7', 'port/remove 7', 'port/remove 99', 'port/create 7', 'port/allprint 7', ...LOOK],
    ...['port/sethub 2', 'port/showinfo', 'vlan/allprint', 'port/sethub', 'port/showinfo', 'port/sethub x'],
    ...[
      'port/setnumports 4',
      'port/setnumports 40',
      'port/create 40',
      'port/create 41',
      'port/setnumports 39',
      ...LOOK,
    ],
    ...['vlan/print', 'vlan/print 4093', 'vlan/print 10x', 'vlan/print 77', 'vlan/print x', 'vlan/allprint 4093'],
    ...['help', 'help nosuch', 'help showinfo x'].slice(1),
  ]);
});

test('clients at the ports are shown, and leave, alike', async (t) => {
  const both = await pair(t);
  if (!both) return;
  const clients: Record<'theirs' | 'ours', RawClient[]> = { theirs: [], ours: [] };
  await compare(both, ['debug/add port', 'debug/add hash', 'vlan/create 5', 'port/create 3', 'vlan/addport 5 3']);
  for (const make of ['theirs', 'ours'] as const) {
    for (const port of [undefined, undefined, 3, 3]) clients[make].push(await seated(t, both[make].dir, port));
    clients[make][0].send(frame(BROADCAST, station(1)));
    await clients[make][1].frames(1);
    clients[make][2].send(frame(BROADCAST, station(300), { tci: 5 }));
  }
  // Whatever order each reads its sockets in, the second address is there soon.
  const known = (make: 'theirs' | 'ours') => both[make].console.data('hash/print');
  for (const make of ['theirs', 'ours'] as const) while ((await known(make)).length < 2);
  await compare(both, [...LOOK, 'vlan/print', 'vlan/print 5', 'port/print 3', 'port/print 4', 'port/remove 3']);
  const seen = { theirs: both.theirs.console.text, ours: both.ours.console.text };
  const events = (make: 'theirs' | 'ours') =>
    normal(seen[make], both[make])
      .split('\n')
      .map((line) => line.replace('vde$ ', ''))
      .filter((line) => /^3\d{3} /.test(line));
  assert.deepEqual(events('ours'), events('theirs'));
  assert.equal(events('ours').length, 13);
  await compare(both, ['hash/find 2.0.0.0.1.2c 6', 'hash/find 02:00:00:00:00:ff', 'hash/setsize 64', 'hash/print']);
  await compare(both, [
    'port/setvlan 1 5',
    'vlan/print',
    'port/setvlan 1 4095',
    'vlan/print',
    'port/resetcounter',
    'port/print',
  ]);
  for (const make of ['theirs', 'ours'] as const) {
    const print = await both[make].console.data('port/print 1');
    const id = /endpoint ID (\d+)/.exec(print.join('\n'))?.[1];
    const answer = await both[make].console.ask(`port/epclose 1 ${Number(id)}`);
    assert.match(normal(answer, both[make]), /^3032 port\/ep\/- Port 01 FD N\n3022 port\/- 01\n1000 Success\n$/);
    await clients[make][0].dismissed();
  }
  await compare(both, ['port/print 1', 'port/allprint', 'debug/del', 'debug/del', 'debug/list']);
});

test('port/createauto takes a port that is there for anybody, too, as it is', async (t) => {
  const both = await pair(t);
  if (!both) return;
  await compare(both, [
    ...['debug/add port', 'port/create 1', 'port/allocatable 1 1', 'port/setuser 1 root', 'port/createauto'],
    ...['port/allprint', 'port/createauto', 'port/create 3', 'port/allocatable 3 1', 'port/create 3'],
    ...['port/createauto', 'port/allocatable 2 1', 'port/create 0', 'port/createauto', 'port/allprint'],
  ]);
});

test('debugging is switched on and off by prefix, for each console by itself', async (t) => {
  const both = await pair(t);
  if (!both) return;
  await compare(both, [
    ...['debug/list', 'debug/list port', 'debug/list zzz', 'debug/add nosuch', 'debug/add hash/+', 'debug/add hash'],
    ...['debug/add h', 'debug/list', 'debug/add hash/+ x', 'debug/add', 'debug/add', 'debug/del port/ep', 'debug/list'],
    ...['debug/del port/ep', 'debug/del nosuch', 'debug', 'debug/', 'debug/del fstp'],
    ...['port/create 4', 'port/create 4', 'port/createauto', 'port/remove 4', 'hash/setsize 9'],
  ]);
});

test('help lists what C lists, and more', async (t) => {
  const both = await pair(t);
  if (!both) return;
  const [theirs, ours] = await Promise.all([both.theirs.console.data('help'), both.ours.console.data('help')]);
  // C's help says of vlan/delport that it adds a port.
  const meant = theirs.map((line) =>
    line.startsWith('vlan/delport') ? line.replace('add port to', 'delete port from') : line,
  );
  const missing = meant.filter((line) => !ours.includes(line));
  assert.deepEqual(missing, []);
  const order = ours.filter((line) => meant.includes(line));
  assert.deepEqual(
    order,
    meant.filter((line) => ours.includes(line)),
  );
});

test('a script that is loaded is shown and answered line by line, as in C; its blank lines are not', async (t) => {
  const both = await pair(t);
  if (!both) return;
  const dir = tmpDir(t);
  const [script, inner] = [join(dir, 'script'), join(dir, 'inner')];
  writeFileSync(inner, 'port/create 2\nload /nonexistent\n');
  const lines = [
    '# note',
    '  vlan/create 5',
    'debug/add port',
    `load ${inner}`,
    'logout',
    'vlan/allprint',
    'no',
    'shutdown',
    'port/create 3',
  ];
  writeFileSync(script, lines.join('\n'));
  await compare(both, [`load ${script}`, `load ${script} `, 'load', 'load /nonexistent', `load ${script}`, ...LOOK]);
  writeFileSync(script, '\n\nport/create 4\n \n');
  const { expected, got } = await ask(both, `load ${script}`);
  assert.equal(expected.match(/1038/g)?.length, 2);
  assert.equal(got, `vde[${script}]: port/create 4\n3021 port/+ 04\n1000 Success\n1000 Success\n`);
});

const number = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: PORTS }).map(String) },
  { weight: 1, arbitrary: fc.constantFrom('-1', '9', '99', 'x', '', '007', '0x3', '3x', '-5 2') },
);
const vlan = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('1', '2', '3', '100', '4093') },
  { weight: 1, arbitrary: fc.constantFrom('0', '4095', '4096', '-1', 'x', '', '0x2', '2x') },
);
const words = (...parts: fc.Arbitrary<string>[]) => fc.tuple(...parts).map((all) => all.join(' '));
const word = (text: string) => fc.constant(text);
const who = fc.constantFrom('root', 'nobody', 'NONE', 'ANY', '4321', 'nosuchuser', '');
// VLAN 0 is not removed: Debian's switch would crash over it some time later.
const removable = vlan.filter((text) => Number.parseInt(text, 10) > 0);
const generated = fc.oneof(
  { weight: 6, arbitrary: words(word('port/create'), number) },
  { weight: 2, arbitrary: word('port/createauto') },
  { weight: 4, arbitrary: words(word('port/remove'), number) },
  { weight: 5, arbitrary: words(word('port/setvlan'), number, vlan) },
  { weight: 2, arbitrary: words(word('port/allocatable'), number, fc.constantFrom('0', '1', '-3', 'x', '')) },
  { weight: 2, arbitrary: words(fc.constantFrom('port/setuser', 'port/setgroup'), number, who) },
  { weight: 1, arbitrary: words(word('port/setnumports'), fc.constantFrom('8', '9', '12', '3', '0', '-1', 'x', '')) },
  { weight: 1, arbitrary: words(word('port/sethub'), fc.constantFrom('0', '1', 'x')) },
  { weight: 6, arbitrary: words(word('vlan/create'), vlan) },
  { weight: 4, arbitrary: words(word('vlan/remove'), removable) },
  { weight: 6, arbitrary: words(word('vlan/addport'), vlan, number) },
  { weight: 4, arbitrary: words(word('vlan/delport'), vlan, number) },
  { weight: 2, arbitrary: words(fc.constantFrom('port/print', 'port/allprint', 'port/resetcounter'), number) },
  { weight: 1, arbitrary: words(word('hash/setsize'), fc.constantFrom('0', '1', '100', '128', '-4', 'x')) },
  { weight: 1, arbitrary: words(fc.constantFrom('hash/setexpire', 'hash/setgcint', 'hash/setminper'), number) },
  {
    weight: 1,
    arbitrary: words(fc.constantFrom('debug/add', 'debug/del'), fc.constantFrom('port', 'hash', 'port/+', 'zz')),
  },
);
const scripts = fc.array(generated, { minLength: 1, maxLength: 20, size: 'max' });

/** Puts both switches back to where they began, but for what the next script's answers will show anyway. */
async function clean(both: Pair): Promise<void> {
  const ports = await both.ours.console.data('port/allprint');
  const vlans = await both.ours.console.data('vlan/allprint');
  const numbers = (lines: string[], pattern: RegExp) => lines.flatMap((line) => pattern.exec(line)?.[1] ?? []);
  await compare(both, [
    ...numbers(ports, /^Port (\d+)/).map((port) => `port/remove ${Number(port)}`),
    ...numbers(vlans, /^VLAN (\d+)/)
      .filter((one) => one !== '0000')
      .map((one) => `vlan/remove ${Number(one)}`),
    `port/setnumports ${PORTS}`,
    'port/sethub 0',
  ]);
}

for (const seed of [1, 2, 3, 4, 5]) {
  test(`a hundred scripts that nobody would write (seed ${seed})`, { timeout: 120_000 }, async (t) => {
    const both = await pair(t);
    if (!both) return;
    for (const script of fc.sample(scripts, { seed, numRuns: 100 })) {
      await compare(both, script);
      await compare(both, ['port/allprint', 'vlan/allprint', 'port/showinfo', 'hash/showinfo'], script);
      await clean(both);
    }
  });
}
