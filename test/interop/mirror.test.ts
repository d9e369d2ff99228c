/** Mirrors of a running switch: Wireshark's tools read them, also live; what ends one costs no traffic; start scripts. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { managedSwitch, openRawConsole } from '../console/raw-console.js';
import { bin } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { command, waitForClients } from '../support/network.js';
import { requirePeer, requireUserNamespaces } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, station } from '../switch/memory-plug.js';
import { seated } from '../switch/raw-client.js';

const FIELDS = ['frame.len', 'frame.interface_name', 'frame.packet_flags_direction', 'eth.src'];
const C = { env: { LC_ALL: 'C' } };

test('tshark reads a mirror: which port, which way, every frame whole', async (t) => {
  if (!requirePeer(t, 'tshark')) return;
  leakCheck(t);
  const { console, dir } = await managedSwitch(t, 'ours', ['-n', '4']);
  const path = join(tmpDir(t), 'm.pcapng');
  assert.match(await console.ask(`port/mirror all both file ${path}`), /^Mirror 0001$/m);
  const [one, two] = [await seated(t, dir), await seated(t, dir)];
  one.send(frame(BROADCAST, station(1), { payload: Buffer.alloc(1486) }));
  await two.frames(1);
  two.send(frame(station(1), station(2)));
  await one.frames(1);
  assert.match(await console.ask('port/unmirror 1'), /^1000/m);
  one.send(frame(BROADCAST, station(3)));
  await two.frames(1);
  const args = ['-n', '-r', path, '-T', 'fields', ...FIELDS.flatMap((field) => ['-e', field])];
  const { code, stdout, stderr } = await run('tshark', args, C);
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, /cut short|damaged/);
  // tshark calls them 1 (inbound) and 2 (outbound).
  assert.deepEqual(stdout.trim().split('\n'), [
    '1500\tport 1\t0x00000001\t02:00:00:00:00:01',
    '1500\tport 2\t0x00000002\t02:00:00:00:00:01',
    '21\tport 2\t0x00000001\t02:00:00:00:00:02',
    '21\tport 1\t0x00000002\t02:00:00:00:00:02',
  ]);
});

test('live on a FIFO: tshark sees frames as they pass; when it leaves, the mirror ends with one line', async (t) => {
  if (!requirePeer(t, 'tshark', 'mkfifo')) return;
  leakCheck(t);
  const { console, dir, process: own } = await managedSwitch(t, 'ours', ['-n', '4']);
  const fifo = join(tmpDir(t), 'fifo');
  assert.equal((await run('mkfifo', [fifo])).code, 0);
  assert.match(await console.ask(`port/mirror 1 in file ${fifo}`), /^1000/m);
  const [one, two] = [await seated(t, dir, 1), await seated(t, dir, 2)];
  const watcher = start(t, 'tshark', ['-n', '-l', '-i', fifo, '-c', '3', '-T', 'fields', '-e', 'eth.src'], C);
  const send = setInterval(() => one.send(frame(BROADCAST, station(0x77))), 50);
  const { code } = await watcher.exited;
  assert.equal(code, 0, watcher.output);
  assert.deepEqual(watcher.stdout.trim().split('\n'), Array(3).fill('02:00:00:00:00:77'));
  await own.waitFor(/mirror 1: its reader has left/, { stream: 'stderr' }).finally(() => clearInterval(send));
  assert.equal(own.stderr.match(/mirror 1/g)?.length, 1);
  assert.deepEqual(await console.data('port/mirrors'), []);
  two.take();
  one.send(frame(BROADCAST, station(1)));
  await two.frames(1);
});

test('a disk that fills up ends a mirror with one line, and traffic passes', async (t) => {
  if (!requirePeer(t, 'unshare', 'mount') || !requireUserNamespaces(t)) return;
  leakCheck(t);
  const dir = tmpDir(t);
  const [sw, mgmt, script] = ['sw', 'mgmt', 'rc'].map((name) => join(dir, name));
  writeFileSync(script, `port/mirror all in file ${dir}/small/m.pcapng\n`);
  const shell =
    'mkdir "$1/small" && mount -t tmpfs -o size=100k none "$1/small" && exec "$0" -s "$1/sw" -M "$1/mgmt" -f "$1/rc"';
  const flags = ['--user', '--map-root-user', '--mount'];
  const own = start(t, 'unshare', [...flags, 'sh', '-c', shell, bin('vde_switch'), dir]);
  await waitForSocket(mgmt);
  const console = await openRawConsole(t, mgmt);
  assert.equal((await console.data('port/mirrors')).length, 1);
  const [one, two] = [await seated(t, sw), await seated(t, sw)];
  const send = setInterval(() => {
    for (let i = 0; i < 40; i++) one.send(frame(BROADCAST, station(1), { payload: Buffer.alloc(1400) }));
    two.take();
  }, 5);
  await own.waitFor(/mirror 1: No space left on device/, { stream: 'stderr' }).finally(() => clearInterval(send));
  assert.deepEqual(await console.data('port/mirrors'), []);
  two.take();
  one.send(frame(BROADCAST, station(1)));
  await two.frames(1);
  assert.equal(own.stderr.match(/mirror 1/g)?.length, 1, own.stderr);
  assert.match(await console.data('showinfo').then((lines) => lines.join('\n')), /pid/);
});

test('RSPAN over two switches: a probe at the second sees both sides of a conversation at the first', async (t) => {
  leakCheck(t);
  const [near, far] = [await managedSwitch(t, 'ours', ['-n', '8']), await managedSwitch(t, 'ours', ['-n', '8'])];
  const setUp = async ({ console }: typeof near, lines: string[]) => {
    for (const line of lines) assert.match(await console.ask(line), /^1000/m, line);
  };
  const trunk = ['vlan/create 100', 'port/create 8', 'port/trunk 8 100'];
  await setUp(near, [...trunk, 'port/mirror 1 both vlan 100']);
  await setUp(far, [...trunk, 'vlan/rspan 100 1', 'port/create 2', 'port/access 2 100']);
  const cable = start(t, command('ours', 'vde_plug'), [`vde://${near.dir}[8]`, `vde://${far.dir}[8]`]);
  await Promise.all([waitForClients(near.dir, 1), waitForClients(far.dir, 1)]);
  const [one, two] = [await seated(t, near.dir, 1), await seated(t, near.dir, 2)];
  const probe = await seated(t, far.dir, 2);
  const talk = [frame(BROADCAST, station(1)), frame(station(1), station(2)), frame(station(2), station(1))];
  for (const [index, bytes] of talk.entries()) {
    (index === 1 ? two : one).send(bytes);
    await (index === 1 ? one : two).frames(1);
  }
  assert.deepEqual(await probe.frames(3), talk);
  cable.kill('SIGTERM');
  await cable.exited;
});

test('a start script loads a module of the user’s, by path and from its directory', async (t) => {
  leakCheck(t);
  const home = tmpDir(t);
  const text = (name: string) =>
    `export default { name: '${name}', help: 'of mine', start: (host) => { host.log('hello'); } };`;
  assert.equal((await run('mkdir', ['-p', join(home, '.vde2/plugins')])).code, 0);
  writeFileSync(join(home, '.vde2/plugins/first.mjs'), text('first'));
  writeFileSync(join(home, 'second.mjs'), text('second'));
  writeFileSync(join(home, '.vde2/vde_switch.rc'), `plugin/add first\nplugin/add ${home}/second.mjs\n`);
  const { console, process: own } = await managedSwitch(t, 'ours', [], { env: { HOME: home } });
  assert.deepEqual((await console.data('plugin/list')).slice(2), [
    'first                  of mine',
    'second                 of mine',
  ]);
  assert.deepEqual(own.stderr.match(/plugin \w+: hello/g), ['plugin first: hello', 'plugin second: hello']);
  writeFileSync(join(home, 'bad.mjs'), 'export default {');
  assert.match(await console.ask(`plugin/add ${home}/bad.mjs`), /^1022/m);
  await own.waitFor(/bad\.mjs: SyntaxError/, { stream: 'stderr' });
});
