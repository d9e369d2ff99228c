/** Plugins: those built in beyond what C's do, and modules that users write, also bad ones. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { answerLine, type Caller } from '../../src/console/command-table.js';
import { switchConsole } from '../../src/console/switch-commands.js';
import { readCapture } from '../../src/frame/pcapng-reader.js';
import { SwitchService } from '../../src/switch/service.js';
import { loop } from '../../src/sys/loop.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, MemoryPlug, station } from '../switch/memory-plug.js';
import { nobody } from './tables.js';

function managed(t: Owner) {
  loop();
  const dir = tmpDir(t);
  const lines: string[] = [];
  const service = new SwitchService(join(dir, 'sw'), { ports: 8, log: (line) => lines.push(line) });
  const { table, plugins } = switchConsole({
    version: '0',
    service,
    mac: new Uint8Array(6),
    hashSize: 128,
    management: undefined,
    shutdown: () => {},
  });
  cleanup(t, () => {
    plugins.close();
    service.close();
  });
  const ask = (line: string, caller: Caller = nobody()) =>
    [...answerLine(table(), line, caller)].filter((one) => one !== undefined);
  const result = (line: string, caller?: Caller) => ask(line, caller).at(-1)?.slice(0, 4);
  const seat = (description?: string) => {
    const plug = new MemoryPlug();
    service.switch.attach(plug, { id: 5, module: 'memory', user: -1, description });
    return plug;
  };
  /** Writes a module and returns its path. */
  const module = (name: string, text: string) => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  return { dir, service, lines, ask, result, seat, module, table };
}

const COUNT = `export default {
  name: 'count',
  help: 'count what arrives',
  start(host) {
    let frames = 0;
    const seen = host.debugCategory('count/seen', 0o400, 'frames seen');
    host.observe({ arrived: (port, burst, views, count) => { frames += count; seen.say(String(frames)); } });
    const show = { name: 'count/show', syntax: '', help: 'show', data: true, run: (argument, out) => { out.push('frames ' + frames); } };
    const fail = { name: 'count/fail', syntax: '', help: 'fail', run() { throw new Error('oh no'); } };
    const later = { name: 'count/later', syntax: '', help: 'fail', data: true, *run() { yield 'one'; throw new Error('late'); } };
    return { commands: [{ name: 'count', syntax: '============', help: 'COUNT MENU' }, show, fail, later], close() { host.log('closed'); } };
  },
};`;

test('a module brings commands, a category and an eye on the traffic, and takes all away again', (t) => {
  const { ask, result, seat, module, lines, service } = managed(t);
  const path = module('count.mjs', COUNT);
  const plug = seat();
  assert.equal(result(`plugin/add ${path}`), '1000');
  assert.equal(result(`plugin/add ${path}`), '1017');
  plug.receive(frame(BROADCAST, station(1)), frame(BROADCAST, station(1)));
  assert.deepEqual(ask('count/show').slice(1, -2), ['frames 2']);
  assert.equal(ask('plugin/list count')[3], 'count                  count what arrives');
  assert.equal(ask('debug/list count')[3], 'count/seen             400 OFF    frames seen');
  assert.ok(ask('help count').some((line) => line.startsWith('count/show')));
  assert.equal(result('count/fail'), '1005');
  assert.deepEqual(ask('count/later').slice(1), ['one', '.', '1005 Input/output error']);
  assert.ok(lines.includes('plugin count: count/fail: oh no'));
  assert.equal(result('plugin/del count'), '1000');
  assert.ok(lines.includes('plugin count: closed'));
  assert.equal(service.switch.observers.watching, false);
  assert.deepEqual(
    [result('count/show'), result('debug/list count'), result('plugin/del count')],
    ['1038', '1002', '1002'],
  );
  assert.equal(result(`plugin/add ${path}`), '1000');
  assert.deepEqual(ask('count/show').slice(1, -2), ['frames 0']);
});

test('a module that fails while it is at work is unloaded, and traffic goes on', (t) => {
  const { result, seat, module, lines, service } = managed(t);
  const path = module(
    'bad.mjs',
    `export default { name: 'bad', help: '', start(host) { host.observe({ leaving() { throw new TypeError('no such thing'); } }); return { close() { throw new Error('again'); } }; } };`,
  );
  assert.equal(result(`plugin/add ${path}`), '1000');
  const [one, two] = [seat(), seat()];
  one.receive(frame(BROADCAST, station(1)));
  one.receive(frame(BROADCAST, station(1)));
  assert.equal(two.take().length, 2);
  assert.deepEqual(lines, [
    'plugin bad: TypeError: no such thing: it is unloaded, traffic goes on',
    'plugin bad: again',
  ]);
  assert.equal(result('plugin/list'), '1002');
  assert.equal(service.switch.observers.watching, false);
});

test('what is no plugin is refused, the log says why, and nothing is left of it', (t) => {
  const { dir, result, module, lines, service } = managed(t);
  const plugin = (body: string) => `export default { name: 'x', help: 'h', start(host) { ${body} } };`;
  const cases: [string, string, RegExp][] = [
    ['syntax.mjs', 'export default {', /(Syntax|Transform)Error/],
    ['throws.mjs', 'throw new Error("at once")', /Error: at once/],
    ['await.mjs', 'await new Promise(() => {}); export default {};', /awaits at its top level/],
    ['none.mjs', 'export const a = 1;', /default export must be/],
    ['number.mjs', 'export default 5;', /default export must be/],
    ['name.mjs', 'export default { name: "a b", help: "", start() {} };', /default export must be/],
    ['start.mjs', plugin('throw new Error("not today");'), /plugin x: not today/],
    ['foreign.mjs', plugin('return { commands: [{ name: "port/print", run() {} }] };'), /must begin with x\//],
    ['tag.mjs', plugin('host.debugCategory("x/a", 0o1000, "");'), /tag 512/],
    ['path.mjs', plugin('host.observe({ arrived() {} }); host.debugCategory("hash/a", 1, "");'), /must begin x\//],
    ['text.so', '\x7fELF', /a plugin is an ES module/],
  ];
  for (const [name, text, why] of cases) {
    assert.equal(result(`plugin/add ${module(name, text)}`), '1022', name);
    assert.match(lines.splice(0).join('\n'), why, name);
  }
  mkdirSync(join(dir, 'directory.mjs'));
  assert.equal(result(`plugin/add ${join(dir, 'directory.mjs')}`), '1022');
  assert.equal(result('plugin/add /nonexistent/x.mjs'), '1002');
  assert.equal(result('plugin/list'), '1002');
  assert.equal(service.switch.observers.watching, false);
  assert.equal(service.switch.debug.list.length, 11);
});

test('a CommonJS module will do; one that has changed is loaded as it was, and that is said', (t) => {
  const { result, module, lines } = managed(t);
  const text = 'exports.name = "old"; exports.help = ""; exports.start = () => {};';
  const path = module('old.cjs', text);
  assert.equal(result(`plugin/add ${path}`), '1000');
  assert.equal(result('plugin/del old'), '1000');
  utimesSync(path, 1, 1);
  assert.equal(result(`plugin/add ${path}`), '1000');
  assert.match(lines[0], /changed since it was first loaded/);
});

test('only who could do it without the switch has code run or files written by it', (t) => {
  const { dir, result, module, lines } = managed(t);
  const stranger: Caller = { ...nobody(), uid: 54_321 };
  const owner: Caller = { ...nobody(), uid: process.geteuid?.() };
  const path = module('count.mjs', COUNT);
  const file = join(dir, 'file');
  assert.equal(result(`plugin/add ${path}`, stranger), '1013');
  for (const name of ['dump', 'pdump', 'iplog']) assert.equal(result(`plugin/add ${name}`, stranger), '1000');
  assert.equal(result('plugin/add nosuch', stranger), '1002');
  for (const line of [
    `pdump/filename ${file}`,
    'pdump/active 1',
    `iplog/logfile ${file}`,
    `port/mirror all in file ${file}`,
  ]) {
    assert.equal(result(line, stranger), '1013', line);
  }
  assert.equal(existsSync(file), false);
  assert.equal(result(`pdump/filename ${file}`, owner), '1000');
  assert.equal(result(`plugin/add ${path}`, owner), '1000');
  assert.deepEqual(lines, []);
});

test('iplog: tags do not shift addresses, ARP and halves of packets are no addresses', (t) => {
  const { dir, ask, result, seat } = managed(t);
  const log = join(dir, 'log');
  for (const line of ['plugin/add iplog', 'iplog/ipadd 0.0.0.0/0', 'iplog/ipadd fd00::/8', `iplog/logfile ${log}`]) {
    assert.equal(result(line), '1000', line);
  }
  const ipv4 = Buffer.from('450000140000000040110000' + '0a010203' + '0a010204', 'hex');
  const plug = seat('who "is" this\n');
  plug.receive(
    frame(BROADCAST, station(1), { type: 0x800, payload: ipv4 }),
    frame(BROADCAST, station(1), { type: 0x800, payload: ipv4 }),
    frame(BROADCAST, station(2), { type: 0x800, payload: ipv4, tci: 5 }),
    frame(BROADCAST, station(1), { type: 0x800, payload: ipv4.subarray(0, 19) }),
    frame(BROADCAST, station(1), { type: 0x806, payload: Buffer.alloc(28, 9) }),
    frame(BROADCAST, station(1), { type: 0x86dd, payload: Buffer.alloc(40, 0xfd) }),
    frame(BROADCAST, station(1), {
      type: 0x86dd,
      payload: Buffer.concat([Buffer.from([0x60]), Buffer.alloc(39, 0xfd)]),
    }),
  );
  const v6 = 'fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd';
  assert.deepEqual(ask('iplog/iplist').slice(1, -2), ['ipv4 10.1.2.3 port=1 user=NONE', `ipv6 ${v6} port=1 user=NONE`]);
  assert.deepEqual(
    readFileSync(log, 'utf8').replace(/^\w{3} \d\d \d\d:\d\d:\d\d /gm, ''),
    [
      'ipv4 10.1.2.3 mac=02:00:00:00:00:01 port=1 vlan=0 user=NONE "who "is" this?"\n',
      'ipv4 10.1.2.3 mac=02:00:00:00:00:02 port=1 vlan=5 user=NONE "who "is" this?"\n',
      `ipv6 ${v6} mac=02:00:00:00:00:01 port=1 vlan=0 user=NONE "who "is" this?"\n`,
    ].join(''),
  );
  // C's switch dies of one of these.
  for (const line of [
    'iplog/logfile',
    `iplog/logfile ${log}`,
    'iplog/logfile -',
    `iplog/logfile ${log}2`,
    'plugin/del iplog',
  ]) {
    assert.equal(result(line), '1000', line);
  }
  assert.equal(statSync(log).mode & 0o777, 0o600);
});

test('pdump: whole frames in a file that readers take whole; a file that cannot be written changes nothing', (t) => {
  const { dir, ask, result, seat } = managed(t);
  const file = join(dir, 'a.cap');
  assert.equal(result('plugin/add /usr/lib/vde2/plugins/pdump.so'), '1000');
  assert.deepEqual(ask(`pdump/filename ${file}`).slice(1), [`dumpfile=${file}`, '.', '1000 Success']);
  assert.equal(result('pdump/active 1'), '1000');
  const [one] = [seat(), seat(), seat()];
  const long = frame(BROADCAST, station(1), { payload: Buffer.alloc(1400, 7) });
  one.receive(long);
  const { length } = ask(`pdump/filename ${dir}/no/such`);
  assert.equal(length, 5);
  assert.deepEqual(ask('pdump/filename').slice(1, 2), [`dumpfile=${file}`]);
  one.receive(long);
  assert.equal(result('pdump/buffered 1'), '1000');
  one.receive(long);
  assert.equal([...readCapture(readFileSync(file), file)].length, 6);
  assert.equal(result('pdump/active 0'), '1000');
  const packets = [...readCapture(readFileSync(file), file)];
  assert.equal(packets.length, 9);
  assert.ok(packets.every(({ data }) => Buffer.compare(data, long) === 0));
  // The snapshot length covers them: readers cut what exceeds it.
  assert.equal(readFileSync(file).readUInt32LE(16), 262_144);
  assert.deepEqual(
    [result('pdump/active 0'), result('pdump/active 1'), result('pdump/active 1')],
    ['1002', '1000', '1017'],
  );
});

test('mirrors by command: made, shown, kept in the configuration, ended', (t) => {
  const { dir, ask, result, seat } = managed(t);
  const one = seat();
  for (const line of ['port/create 4', 'vlan/create 9']) assert.equal(result(line), '1000');
  assert.deepEqual(ask('port/mirror 1-3 both port 4').slice(1), ['Mirror 0001', '.', '1000 Success']);
  assert.deepEqual(ask('port/mirror all in vlan 9').slice(1, 2), ['Mirror 0002']);
  assert.deepEqual(ask(`port/mirror 3,1 out file ${dir}/m.pcapng`).slice(1, 2), ['Mirror 0003']);
  one.receive(frame(BROADCAST, station(1)));
  assert.deepEqual(ask('port/mirrors').slice(1, -2), [
    'Mirror 0001 ports=1-3 direction=both pkts=1 bytes=21 to port 4',
    'Mirror 0002 ports=all direction=in pkts=1 bytes=21 to vlan 9',
    `Mirror 0003 ports=1,3 direction=out pkts=0 bytes=0 to file ${dir}/m.pcapng`,
  ]);
  const saved = ask('showconfig').filter((line) => /mirror|rspan|port.create/.test(line));
  assert.deepEqual(saved, [
    'port/create 4',
    'vlan/rspan 9 1',
    'port/mirror 1-3 both port 4',
    'port/mirror all in vlan 9',
    `port/mirror 1,3 out file ${dir}/m.pcapng`,
  ]);
  const bad = [
    '',
    '1',
    '1 both',
    '1 both port',
    '1 both port x',
    '1 both port -1',
    '1 up port 4',
    '9 in port 4',
    '1- in port 4',
  ];
  bad.push('2-1 in port 4', 'x in port 4', '1 in port 99', '4 in port 4', '1 in vlan 4095', '1 in file', '1 in hole 4');
  for (const argument of bad) assert.equal(result(`port/mirror ${argument}`), '1022', argument);
  assert.equal(result('port/mirror 1 in vlan 77'), '1006');
  assert.equal(result(`port/mirror 1 in file ${dir}`), '1021');
  for (const line of ['vlan/rspan 9 0', 'port/remove 4', 'vlan/remove 9']) assert.equal(result(line), '1098', line);
  for (const id of [1, 2, 3]) assert.equal(result(`port/unmirror ${id}`), '1000');
  assert.equal(result('port/unmirror 1'), '1002');
  for (const line of ['vlan/rspan 9 0', 'port/remove 4', 'vlan/remove 9']) assert.equal(result(line), '1000', line);
  assert.deepEqual(ask('port/mirrors').slice(1), ['.', '1000 Success']);
});
