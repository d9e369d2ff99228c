/** `vde_plug` as a user meets it: the forms of its line, the byte stream, and what is said when an end cannot be had. */

import assert from 'node:assert/strict';
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import {
  clients,
  emptyHome,
  FrameStream,
  frame,
  openEnd,
  plugStream,
  records,
  startSwitch,
  waitForClients,
} from '../support/network.js';
import { requirePeer, requireRoot } from '../support/peers.js';
import { type RunOptions, run, start } from '../support/proc.js';
import { waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const PLUG = bin('vde_plug');

/** Runs `vde_plug`, which must end with one line on standard error and nothing else. Returns the line. */
async function refused(args: string[], status = 1, options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(PLUG, args, options);
  assert.deepEqual([code, stdout], [status, ''], stderr);
  assert.match(stderr, /^vde_plug: [^\n]+\n$/);
  return stderr;
}

test('no locator, an empty one, a path, a scheme, a locator file: all find the switch', async (t) => {
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const home = emptyHome(t);
  mkdirSync(join(home, '.vde2'));
  symlinkSync(dir, join(home, '.vde2/default.switch'));
  writeFileSync(join(home, 'net.vnl'), `\nvde://${dir}`);
  for (const args of [[], [''], [dir], [`vde://${dir}`], ['net.vnl'], ['-D', 'x', dir, '--port', '3'], ['--', dir]]) {
    const plug = start(t, PLUG, args, { cwd: home, env: { HOME: home } });
    await waitForClients(dir, 1);
    plug.stdin.end();
    assert.deepEqual(await plug.exited, { code: 0, signal: null }, plug.output);
    await waitForClients(dir, 0);
  }
  // Two networks, one of them the default; and the default with a command.
  for (const args of [
    ['', 'null://'],
    ['null://', ''],
    ['=', 'cat'],
    [dir, '=', 'cat'],
    ['', '=', 'cat'],
  ]) {
    const plug = start(t, PLUG, args, { env: { HOME: home } });
    await waitForClients(dir, 1);
    plug.kill();
    await plug.exited;
    await waitForClients(dir, 0);
  }
});

test('a line that cannot be understood: status 255 and one line that names the culprit', async () => {
  for (const [args, pattern] of [
    [['--nosuch'], /--nosuch: unknown option/],
    [['--pidfil=x', '--nosuch', 'null://'], /--nosuch/],
    [['a', 'b', 'c'], /"c": there are two ends to a cable/],
    [['--port', '0', 'a'], /--port: "0" is not a port number/],
    [['--port2', 'x', 'a'], /--port2: "x" is not a port number/],
    [['-m', '8', 'a'], /--mode: "8" is not an octal mode/],
    [['-p'], /-p: requires a value/],
    [['-d', 'null://'], /--daemon: in the background there are no standard streams/],
    [['-d'], /--daemon/],
  ] as [string[], RegExp][]) {
    assert.match(await refused(args, 255), pattern);
  }
  const help = await run(PLUG, ['-h']);
  assert.deepEqual([help.code, help.stdout], [255, '']);
  assert.match(help.stderr, /^Usage: vde_plug/);
});

test('--help-vnl lists each scheme with its parameters', async () => {
  const { code, stdout } = await run(PLUG, ['--help-vnl']);
  assert.equal(code, 0);
  for (const text of ['vde://', 'tap://', 'null://', 'port', 'group', 'mode']) assert.ok(stdout.includes(text), text);
  const json = await run(PLUG, ['--help-vnl', '--json']);
  assert.equal(json.code, 0);
  const schemes = JSON.parse(json.stdout) as {
    name: string;
    syntax: string;
    doc: string;
    maxFrame?: number | string;
    params: { name: string }[];
  }[];
  const text = (from: string, to: string) => `\n${stdout}`.split(`\n${from}://`)[1].split(`\n${to}://`)[0];
  for (const [i, { name, syntax, doc, maxFrame, params }] of schemes.entries()) {
    const shown = text(name, schemes[i + 1]?.name ?? 'NAME');
    assert.ok(shown.startsWith(`${syntax}\n`) && shown.includes(doc), name);
    if (maxFrame !== undefined) assert.ok(shown.includes(`\n    longest frame: ${maxFrame}`), name);
    for (const param of params) assert.match(shown, new RegExp(`^    \\[?${param.name}\\b`, 'm'));
  }
  const node = schemes.find(({ name }) => name === 'switch');
  const expiry = { name: 'expiretime', type: 'number', min: 1, max: 1_000_000, default: 120, arg: 'SECONDS' };
  assert.deepEqual(
    node?.params.find(({ name }) => name === 'expiretime'),
    {
      ...expiry,
      doc: 'how long an address that is silent is remembered',
    },
  );
});

test('a locator that cannot be opened: status 1 and one line with locator, cause and remedy', async (t) => {
  const home = emptyHome(t);
  const dir = tmpDir(t);
  const cases: [string, RegExp][] = [
    ['foo://bar', /foo:\/\/bar: Protocol not supported: there is no scheme "foo"/],
    ['vdee://bar', /did you mean vde:\/\/\?/],
    [`vde://${dir}/no`, /no: No such file or directory \(is a switch running there\?/],
    ['-', /-: No such file or directory/],
    [dir, /No such file or directory/],
    [`${dir}[prot=3]`, /unknown parameter "prot" at character \d+/],
    [`${dir}[mode=9]`, /mode/],
    [`vde://${dir}[port`, /./],
    [`vde://${dir}/%00`, /escaped NUL at character \d+/],
    ['', /default switch: .*no switch in \/var\/run\/vde\.ctl or \/tmp\/vde\.ctl/],
  ];
  for (const [locator, pattern] of cases) {
    assert.match(await refused([locator], 1, { env: { HOME: home }, input: '' }), pattern);
    assert.match(await refused(['null://', locator], 1, { env: { HOME: home } }), pattern);
  }
  const { process } = await startSwitch(t, 'ours', ['-s', join(dir, 'dead')]);
  process.kill('SIGKILL');
  await process.exited;
  assert.match(await refused([join(dir, 'dead')]), /Connection refused \(the switch that made .*ctl is gone/);
});

test('ports: [N], [0], --port; a port group that the switch does not have is named', async (t) => {
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  for (const [args, port] of [
    [[`${dir}[5]`], '005'],
    [[`vde://${dir}[port=6]`], '006'],
    [[`${dir}[0]`], '000'],
    [['--port', '7', dir], '007'],
    [['--port', '7', `${dir}[8]`], '008'],
  ] as [string[], string][]) {
    const plug = start(t, PLUG, args);
    await waitForClients(dir, 1);
    assert.match(clients(dir)[0], new RegExp(`^${port}\\.`), args.join(' '));
    plug.kill();
    await plug.exited;
    await waitForClients(dir, 0);
  }
  assert.match(await refused([`${dir}[lab]`]), /No such file or directory \(the switch has no port group lab\)/);
  assert.match(await refused([`${dir}[99]`]), /the switch refused the connection/);
});

test('-D is what the switch shows, with user and process; without it vdeplug:', async (t) => {
  const { dir, process } = await startSwitch(t, 'ours');
  const { process: named } = await plugStream(t, 'ours', dir, { args: ['-D', 'my cable'] });
  const { process: plain } = await plugStream(t, 'ours', dir, { args: ['-D', ''] });
  process.stdin.write('port/print\n');
  await process.waitFor('1000 Success');
  const user = (await run('id', ['-un'])).stdout.trim();
  assert.ok(process.stdout.includes(`: my cable user=${user} pid=${named.pid}\n`), process.stdout);
  assert.ok(process.stdout.includes(`: vdeplug: user=${user} pid=${plain.pid}\n`), process.stdout);
});

/** Starts `vde_plug` to a stopped switch; calls `look` with its own socket before the switch goes on. */
async function whileAsking(t: Owner, args: string[], look: (socket: string) => void): Promise<void> {
  const { dir, process } = await startSwitch(t, 'ours');
  process.kill('SIGSTOP');
  const plug = start(t, PLUG, [...args, dir]);
  const own = () => readdirSync(dir).find((name) => /^\.\d{5,}-\d{5}$/.test(name));
  // The request is sent in the same turn in which the socket gets its mode, so give it that.
  await waitUntil(join(dir, 'ctl'), 'socket of the plug', () => own() !== undefined);
  await waitUntil(
    join(dir, 'ctl'),
    'mode',
    () => {
      try {
        look(join(dir, own() as string));
        return true;
      } catch {
        return false;
      }
    },
    { timeout: 2000 },
  ).catch(() => look(join(dir, own() as string)));
  process.kill('SIGCONT');
  await waitForClients(dir, 1);
  plug.kill();
  await plug.exited;
}

test("the end's own socket has the mode asked for, 0700 for none and for 0, and goes when the switch has answered", async (t) => {
  const mode = (path: string) => (lstatSync(path).mode & 0o7777).toString(8);
  for (const [args, expected] of [
    [[], '700'],
    [['-m', '0'], '700'],
    [['-m', '770'], '770'],
    [['--mode', '0600'], '600'],
  ] as [string[], string][]) {
    await whileAsking(t, args, (socket) => assert.equal(mode(socket), expected, args.join(' ')));
  }
});

test("the end's own socket is given to the group asked for; an unknown one is named", async (t) => {
  const groups = (await run('id', ['-Gn'])).stdout.trim().split(' ');
  const gids = (await run('id', ['-G'])).stdout.trim().split(' ').map(Number);
  const last = groups.length - 1;
  await whileAsking(t, ['-g', groups[last]], (socket) => assert.equal(lstatSync(socket).gid, gids[last]));
  const { dir } = await startSwitch(t, 'ours');
  assert.match(await refused(['-g', 'no-such-group', dir]), /no group called no-such-group/);
  assert.match(await refused(['-G', 'no-such-group', 'null://', dir]), /no group called no-such-group/);
});

test('a switch that is stopped: after five seconds the line says so', async (t) => {
  const { dir, process } = await startSwitch(t, 'ours');
  process.kill('SIGSTOP');
  assert.match(await refused([dir]), /the switch did not answer within 5 s \(is it stopped\?\)/);
  assert.deepEqual(readdirSync(dir), ['ctl'], 'the end has taken its socket with it');
  process.kill('SIGCONT');
  await plugStream(t, 'ours', dir);
});

test('a directory that may not be entered: the line says permission and where to look', async (t) => {
  if (!requireRoot(t) || !requirePeer(t, 'setpriv')) return;
  const { dir } = await startSwitch(t, 'ours');
  // Root without capabilities, before the directory of somebody else.
  chownSync(dir, 65534, 65534);
  chmodSync(dir, 0o700);
  const { code, stderr } = await run('setpriv', ['--bounding-set=-all', '--inh-caps=-all', PLUG, dir]);
  assert.equal(code, 1);
  assert.match(stderr, /^vde_plug: .*Permission denied \(you may not connect to .*ctl: see the switch's -m and -g/);
});

test('a directory that may not be written: the socket of the end goes elsewhere', async (t) => {
  if (!requireRoot(t) || !requirePeer(t, 'setpriv')) return;
  const { dir } = await startSwitch(t, 'ours', ['-m', '666']);
  chownSync(dir, 65534, 65534);
  chmodSync(dir, 0o755);
  const end = await openEnd(t, dir);
  // Root without capabilities, for whom the directory is somebody else's.
  const plug = start(t, 'setpriv', ['--bounding-set=-all', '--inh-caps=-all', PLUG, dir]);
  await waitForClients(dir, 2);
  plug.stdin.write(records(frame({ tag: 'elsewhere' })));
  await end.receive('elsewhere');
});

test('the stream is put together again however it is cut: one byte at a time', async (t) => {
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const end = await openEnd(t, dir);
  const plug = await plugStream(t, 'ours', dir);
  const frames = [14, 60, 255, 256, 257, 600].map((size, i) => frame({ tag: `n${i}`, size }));
  for (const byte of records(...frames)) {
    await new Promise((done) => plug.process.stdin.write(Buffer.of(byte), done));
  }
  await end.receive('n5');
  assert.deepEqual(end.received, frames);
});

test('empty, short and oversize records are skipped, the latter said, and the stream stays in step', async (t) => {
  if (!requirePeer(t, '/usr/bin/vde_switch')) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'debian');
  const end = await openEnd(t, dir);
  const plug = await plugStream(t, 'ours', dir);
  const [first, last] = [frame({ tag: 'first' }), frame({ tag: 'last' })];
  // 20000 and 65535 bytes are more than a C switch may be sent.
  const junk = [0, 1, 13, 20_000, 65_535].map((size) => Buffer.alloc(size, 0xff));
  plug.process.stdin.write(records(first, ...junk, last));
  await end.receive('last');
  assert.deepEqual(end.received, [first, last]);
  await plug.process.waitFor(/^vde_plug: .*: frames dropped so far: \d too long\n$/, { stream: 'stderr' });
  plug.process.stdin.write(records(Buffer.alloc(20_000, 0xff)));
  plug.process.stdin.end();
  await plug.process.exited;
  assert.match(plug.process.stderr, /^[^\n]+\n[^\n]+ so far: \d too long\n$/);
});

test('what was piped in before the end is all delivered, five times of five', async (t) => {
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const end = await openEnd(t, dir);
  for (let turn = 0; turn < 5; turn++) {
    const frames = Array.from({ length: 300 }, (_, i) => frame({ tag: `${turn}/${i}`, size: 60 + i * 4 }));
    const file = join(tmpDir(t), 'frames');
    writeFileSync(file, records(...frames));
    // From a pipe, a file and a socket by turns.
    const line =
      turn % 3 === 0 ? 'cat "$2" | exec "$0" "$1"' : turn % 3 === 1 ? 'exec "$0" "$1" <"$2"' : 'exec "$0" "$1"';
    const input = turn % 3 === 2 ? records(...frames) : '';
    const { code, stderr } = await run('sh', ['-c', line, PLUG, dir, file], { input });
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual(await end.count(300, `${turn}/`), frames);
  }
});

test('frames from the network arrive through a pipe, a file and a socket', async (t) => {
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const end = await openEnd(t, dir);
  const file = join(tmpDir(t), 'out');
  writeFileSync(file, '');
  const piped = new FrameStream(start(t, 'sh', ['-c', '"$0" "$1" | cat', PLUG, dir]));
  const filed = start(t, 'sh', ['-c', 'exec "$0" "$1" >"$2"', PLUG, dir, file]);
  await waitForClients(dir, 3);
  const through = await plugStream(t, 'ours', dir);
  const frames = Array.from({ length: 100 }, (_, i) => frame({ tag: `n${i}`, size: 60 + i * 14 }));
  end.send(...frames);
  assert.deepEqual(await piped.count(100, 'n'), frames);
  assert.deepEqual(await through.count(100, 'n'), frames);
  await waitUntil(file, 'all frames', () => lstatSync(file).size === records(...frames).length);
  assert.equal(filed.running, true);
});

test('a reader of standard output that goes ends the cable', async (t) => {
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const end = await openEnd(t, dir);
  const { process } = await plugStream(t, 'ours', dir);
  process.child.stdout?.destroy();
  end.send(frame({ tag: 'nobody' }));
  assert.deepEqual(await process.exited, { code: 0, signal: null });
  assert.equal(process.stderr, '');
});
