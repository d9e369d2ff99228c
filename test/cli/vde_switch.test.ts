/** `vde_switch` as a user meets it: options, mistakes, pid files, start and end. The console has a file of its own. */

import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin, debian } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { namespace } from '../support/namespace.js';
import { eventually, frame, greet, openEnd, plugStream, startSwitch } from '../support/network.js';
import { requirePeer, requireRoot, requireTun, requireUserNamespaces } from '../support/peers.js';
import { adopt, type RunOptions, run, start, waitForExit } from '../support/proc.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const SWITCH = bin('vde_switch');

/** Runs `vde_switch`, which must end with one line on standard error and nothing else. Returns the line. */
async function refused(args: string[], status = 1, options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(SWITCH, args, options);
  assert.deepEqual([code, stdout], [status, ''], stderr);
  assert.match(stderr, /^vde_switch: [^\n]+\n$/);
  return stderr;
}

function mode(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

test('help goes to standard output with status 1, as in C; the version with status 0', async () => {
  const help = await run(SWITCH, ['--help']);
  assert.deepEqual([help.code, help.stderr], [1, '']);
  for (const option of ['--numports', '--hub', '--sock', '--dirmode', '--pidfile', '--tap', '--nostdin']) {
    assert.ok(help.stdout.includes(option), `${option} in:\n${help.stdout}`);
  }
  assert.ok(help.stdout.split('\n').every((line) => line.length <= 80));
  for (const version of ['-v', '--version', '-version']) {
    const { code, stdout } = await run(SWITCH, [version]);
    assert.equal(code, 0);
    assert.match(stdout, /^VDE \d+\.\d+\.\d+/);
  }
});

test('mistakes are refused with one line that names them, before anything is made', async (t) => {
  const dir = join(tmpDir(t), 'sw');
  const cases: [string[], RegExp][] = [
    [['--nosuch'], /--nosuch: unknown option/],
    [['--numprots', '4'], /did you mean --numports/],
    [['-y'], /-y: unknown option/],
    [['-n', '0'], /--numports: "0" is not a number from 1/],
    [['-n', '4x'], /"4x" is not a number/],
    [['-n', '99999999999'], /is not a number from 1 to/],
    [['-n'], /-n: requires a value/],
    [['--hub=1'], /--hub: takes no value/],
    [['-m', '888'], /--mode: "888" is not an octal mode/],
    [['--dirmode', 'rwx'], /--dirmode: "rwx" is not an octal mode/],
    [['-g', 'no-such-group'], /--group: there is no group called no-such-group/],
    [['--macaddr', '1:2'], /--macaddr: "1:2" is not a station's MAC address/],
    [['--macaddr', 'ff:ff:ff:ff:ff:ff'], /is not a station's MAC address/],
    [['--hashsize', '-1'], /--hashsize/],
    [['--mgmtmode', '9'], /--mgmtmode: "9" is not an octal mode/],
    [['--mgmtgroup', 'no-such-group'], /--mgmtgroup: there is no group called no-such-group/],
    [['-t', 'a-name-that-is-too-long'], /--tap: .*cannot be the name of an interface/],
    [['operand'], /"operand": vde_switch takes options only/],
    [['-d', '--', '-x'], /"-x": vde_switch takes options only/],
  ];
  for (const [args, pattern] of cases) assert.match(await refused(['-s', dir, ...args]), pattern);
  assert.equal(existsSync(dir), false);
});

test('where C warns about an unknown option and runs, we refuse', async (t) => {
  if (!requirePeer(t, '/usr/bin/vde_switch')) return;
  const dir = join(tmpDir(t), 'sw');
  const theirs = start(t, debian('vde_switch'), ['-s', dir, '--nosuch']);
  await theirs.waitFor(/unrecognized option '--nosuch'/, { stream: 'stderr' });
  await waitForSocket(join(dir, 'ctl'));
});

test('long names with one dash, abbreviations and attached values are understood', async (t) => {
  leakCheck(t);
  for (const args of [
    ['-hub', '-mod', '660'],
    ['--hu', '--mod=660'],
    ['-x', '-m660'],
    ['-xm660'],
    ['-mode', '0660', '-hub'],
  ]) {
    const { dir, process } = await startSwitch(t, 'ours', args);
    assert.equal(mode(join(dir, 'ctl')), '660', String(args));
    process.stdin.write('port/showinfo\n');
    await process.waitFor('HUB=true');
  }
  const parent = tmpDir(t);
  for (const [index, option] of ['-sock', '--vdesock', '-unix', '--so'].entries()) {
    const dir = join(parent, `sw${index}`);
    start(t, SWITCH, [option, dir]);
    await waitForSocket(join(dir, 'ctl'));
  }
});

test('permissions of directory and sockets are those of the C switch', async (t) => {
  if (!requirePeer(t, '/usr/bin/vde_switch')) return;
  leakCheck(t);
  const group = String((await run('id', ['-gn'])).stdout.trim());
  for (const args of [
    [],
    ['-m', '660'],
    ['-m', '644'],
    ['--dirmode', '700'],
    ['--dirmode', '2750'],
    ['-m', '600', '--dirmode', '2770'],
    ['-g', group, '-m', '660'],
  ]) {
    const [ours, theirs] = [await startSwitch(t, 'ours', args), await startSwitch(t, 'debian', args)];
    for (const { dir } of [ours, theirs]) await plugStream(t, 'ours', dir);
    const shown = (dir: string) => {
      const data = readdirSync(dir).find((name) => name.startsWith('001.')) ?? '';
      return [mode(dir), mode(join(dir, 'ctl')), mode(join(dir, data)), lstatSync(dir).gid].join(' ');
    };
    // A C switch sets the mode of a data socket some time after it has made it.
    await eventually(args.join(' '), async () => shown(ours.dir) === shown(theirs.dir)).catch(() => {});
    assert.equal(shown(ours.dir), shown(theirs.dir), args.join(' '));
  }
});

test('a directory that cannot be had: status 255, and the line says why', async (t) => {
  const dir = tmpDir(t);
  assert.match(await refused(['-s', join(dir, 'no/such/parent')], 255), /parent directory must exist/);
  writeFileSync(join(dir, 'file'), '');
  assert.match(await refused(['-s', join(dir, 'file')], 255), /there is a file of that name/);
  assert.match(await refused(['-s', join(dir, 'x'.repeat(120))], 255), /choose a shorter directory/);
  mkdirSync(join(dir, 'taken'));
  writeFileSync(join(dir, 'taken/ctl'), 'precious');
  assert.match(await refused(['-s', join(dir, 'taken')], 255), /ctl: a file that is no socket/);
  assert.equal(readFileSync(join(dir, 'taken/ctl'), 'utf8'), 'precious');
});

test('--mkdir: the directories above are made, and go with the switch or with its failure', async (t) => {
  leakCheck(t);
  const home = tmpDir(t);
  const dir = join(home, 'a/b/sw');
  const { process } = await startSwitch(t, 'ours', ['--mkdir', '-s', dir]);
  writeFileSync(join(home, 'a/kept'), '');
  process.kill('SIGTERM');
  await process.exited;
  assert.deepEqual(readdirSync(join(home, 'a')), ['kept']);
  assert.match(await refused(['--mkdir', '-s', join(home, 'x/y', 'z'.repeat(120))], 255), /choose a shorter directory/);
  assert.match(await refused(['--mkdir', '-s', join(home, 'a/kept/x/y')], 255), /kept\/x: Not a directory/);
  assert.deepEqual(readdirSync(home), ['a']);
});

test('a group that one is no member of is named, and nothing stays behind', async (t) => {
  if (!requirePeer(t, 'setpriv')) return;
  const home = tmpDir(t);
  // Root without its capabilities is somebody like any other.
  const start = ['--bounding-set=-all', '--inh-caps=-all', SWITCH, '-s', join(home, 'sw')];
  const command = process.getuid?.() === 0 ? start : start.slice(2);
  for (const [file, ...args] of [
    ['sw', '-g', 'daemon'],
    ['mgmt', '-M', join(home, 'mgmt'), '--mgmtgroup', 'daemon'],
  ]) {
    const { stderr } = await run('setpriv', [...command, ...args]);
    assert.match(stderr, new RegExp(`/${file}: Operation not permitted \\(are you a member of group daemon\\?\\)\n$`));
    assert.deepEqual(readdirSync(home), []);
  }
});

test('a second start on the directory of a live switch fails and changes nothing there', async (t) => {
  leakCheck(t);
  const { dir, process } = await startSwitch(t, 'ours', ['-m', '600']);
  const before = [mode(dir), mode(join(dir, 'ctl'))];
  for (const extra of [[], ['-d'], ['-m', '666']]) {
    assert.match(await refused(['-s', dir, ...extra], 255), /Address already in use.*a switch is running in/);
  }
  assert.deepEqual([mode(dir), mode(join(dir, 'ctl'))], before);
  await plugStream(t, 'ours', dir);
  assert.equal(process.running, true);
});

test('the pid file of a live process stops the start, also of a daemon, and stays; a stale one is replaced', async (t) => {
  leakCheck(t);
  const parent = tmpDir(t);
  const [dir, pidfile] = [join(parent, 'sw'), join(parent, 'pid')];
  writeFileSync(pidfile, `${process.pid}\n`);
  for (const extra of [[], ['-d']]) {
    const line = await refused(['-s', dir, '-p', pidfile, ...extra]);
    assert.match(line, new RegExp(`pid: is held by live process ${process.pid}`));
    assert.equal(readFileSync(pidfile, 'utf8'), `${process.pid}\n`);
    assert.equal(existsSync(dir), false);
  }
  const dead = start(t, 'true');
  await dead.exited;
  writeFileSync(pidfile, `${dead.pid}\n`);
  const { process: ours } = await startSwitch(t, 'ours', ['-s', dir, '-p', pidfile]);
  assert.equal(readFileSync(pidfile, 'utf8'), `${ours.pid}\n`);
  assert.equal(mode(pidfile), '644');
  ours.kill('SIGTERM');
  await ours.exited;
  assert.equal(existsSync(pidfile), false);
  assert.match(await refused(['-s', dir, '-p', join(parent, 'no/pid')]), /no\/pid: .*No such file or directory/);
  assert.equal(existsSync(dir), false, 'a start that fails takes its directory with it');
});

test('a daemon: relative names count from where it was started, standard streams are let go', async (t) => {
  leakCheck(t);
  const cwd = tmpDir(t);
  const { code, stdout, stderr } = await run(SWITCH, ['-daemon', '-s', 'sw', '-p', 'pid'], { cwd });
  assert.deepEqual([code, stdout, stderr], [0, '', '']);
  const pid = Number(readFileSync(join(cwd, 'pid'), 'utf8'));
  adopt(t, pid);
  const link = (name: string) => lstatSync(`/proc/${pid}/${name}`) && run('readlink', [`/proc/${pid}/${name}`]);
  for (const [name, target] of [
    ['cwd', '/'],
    ['fd/0', '/dev/null'],
    ['fd/1', '/dev/null'],
    ['fd/2', '/dev/null'],
  ]) {
    assert.equal((await link(name)).stdout, `${target}\n`, name);
  }
  const { stdout: session } = await run('ps', ['-o', 'sid=', '-p', String(pid)]);
  assert.equal(Number(session), pid);
  await plugStream(t, 'ours', join(cwd, 'sw'));
  process.kill(pid, 'SIGTERM');
  await waitForExit(pid);
  assert.deepEqual(readdirSync(cwd), []);
});

test('a daemon that cannot start says so, with its status', async (t) => {
  const dir = tmpDir(t);
  assert.match(await refused(['-d', '-s', join(dir, 'no/such')], 255), /parent directory must exist/);
  assert.match(await refused(['-d', '-s', join(dir, 'sw'), '-p', join(dir, 'no/pid')]), /No such file/);
  assert.match(await refused(['-d', '-s', join(dir, 'sw'), '-n', 'x']), /is not a number/);
  assert.deepEqual(readdirSync(dir), []);
});

test('the end of standard input ends the switch in the foreground, unless --nostdin or a closed one', async (t) => {
  leakCheck(t);
  const parent = tmpDir(t);
  const dir = join(parent, 'sw');
  const { code, stderr } = await run(SWITCH, ['-s', dir], { input: '' });
  assert.equal(code, 0);
  assert.equal(stderr, 'vde_switch: EOF on stdin, cleaning up and exiting\n');
  assert.equal(existsSync(dir), false);

  const deaf = start(t, SWITCH, ['-s', dir, '--nostdin'], { stdio: ['ignore', 'pipe', 'pipe'] });
  await waitForSocket(join(dir, 'ctl'));
  await plugStream(t, 'ours', dir);
  assert.equal(deaf.output, '');
  deaf.kill();
  await deaf.exited;
  const closed = await run('sh', ['-c', 'exec "$0" -s "$1" <&-', SWITCH, dir]);
  assert.equal(closed.code, 0, closed.stderr);
});

for (const [signal, code, died] of [
  ['SIGTERM', 0, null],
  ['SIGINT', null, 'SIGINT'],
  ['SIGHUP', null, 'SIGHUP'],
] as const) {
  test(`${signal} ends the switch ${died ? 'by that signal' : 'with status 0'}, and all of its files go`, async (t) => {
    leakCheck(t);
    const parent = tmpDir(t);
    const args = ['-s', join(parent, 'sw'), '-p', join(parent, 'pid')];
    const { dir, process } = await startSwitch(t, 'ours', args);
    const plugs = [await plugStream(t, 'ours', dir), await plugStream(t, 'ours', dir)];
    process.kill(signal);
    assert.deepEqual(await process.exited, { code, signal: died });
    assert.equal(process.stderr, `vde_switch: Caught signal ${signal}, cleaning up and exiting\n`);
    assert.deepEqual(readdirSync(parent), []);
    for (const { process } of plugs) assert.deepEqual(await process.exited, { code: 0, signal: null });
  });
}

test('signals that C ignores do not end it', async (t) => {
  const { dir, process } = await startSwitch(t, 'ours');
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGPIPE', 'SIGIO'] as const) process.kill(signal);
  await plugStream(t, 'ours', dir);
  assert.equal(process.output, '');
});

test("after kill -9 the next start cleans up, and what is not a switch's stays", async (t) => {
  leakCheck(t);
  const { dir, process: first } = await startSwitch(t, 'ours');
  const plug = await plugStream(t, 'ours', dir);
  first.kill('SIGKILL');
  await first.exited;
  await plug.process.exited;
  assert.ok(readdirSync(dir).some((name) => name.startsWith('001.')));
  writeFileSync(join(dir, 'notes.txt'), 'mine');
  const { process: second } = await startSwitch(t, 'ours', ['-s', dir]);
  second.stdin.write('ds/showinfo\n');
  await second.waitFor('1000 Success');
  assert.deepEqual(readdirSync(dir).sort(), ['ctl', 'notes.txt']);
  await greet(await openEnd(t, dir), await openEnd(t, dir));
  second.kill();
  await second.exited;
  assert.deepEqual(readdirSync(dir), ['notes.txt']);
});

test('a directory behind a symbolic link is told to clients by its true name', async (t) => {
  const parent = tmpDir(t);
  mkdirSync(join(parent, 'true'));
  symlinkSync(join(parent, 'true'), join(parent, 'link'));
  const { process } = await startSwitch(t, 'ours', ['-s', join(parent, 'link')]);
  process.stdin.write('ds/showinfo\n');
  await process.waitFor(`ctl dir ${join(parent, 'true')}\n`);
  await plugStream(t, 'ours', join(parent, 'link'));
});

test('-n gives ports 1 to N; the client after the last is refused and told so', async (t) => {
  leakCheck(t);
  const { dir, process } = await startSwitch(t, 'ours', ['-n', '2']);
  await plugStream(t, 'ours', dir);
  await plugStream(t, 'ours', dir);
  const third = await run(bin('vde_plug'), [dir]);
  assert.equal(third.code, 1);
  assert.match(third.stderr, /^vde_plug: .*the switch refused the connection.*\n$/);
  await process.waitFor(/client refused .*no free port among its 2/, { stream: 'stderr' });
});

test('--transparent: frames of any VLAN pass, with their tags', async (t) => {
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours', ['--transparent']);
  const [a, b] = [await openEnd(t, dir), await openEnd(t, dir)];
  const plain = frame({ tag: 'in a VLAN' });
  const tagged = Buffer.concat([plain.subarray(0, 12), Buffer.from('81000fa0', 'hex'), plain.subarray(12)]);
  a.send(tagged);
  await eventually('it arrives', async () => b.received.length > 0);
  assert.deepEqual(b.received, [tagged]);
});

test('--tap seats an interface; one that cannot be had is said, and the switch runs without it', async (t) => {
  if (!requirePeer(t, 'ip', 'unshare', 'nsenter') || !requireTun(t) || !requireUserNamespaces(t)) return;
  leakCheck(t);
  const ns = await namespace(t);
  await ns.addTap('t0');
  const { dir, process } = await startSwitch(t, 'ours', ['-t', 't0', '--tap', 'bad/name', '-tap', 't1'], {
    within: ns,
  });
  await process.waitFor(/ERROR OPENING tap interface: .*bad\/name/, { stream: 'stderr' });
  process.stdin.write('port/print\n');
  await process.waitFor(/Port 0001[\s\S]*module tuntap {6}: t0\n[\s\S]*Port 0002[\s\S]*: t1\n[\s\S]*1000 Success/);
  const end = await openEnd(t, dir);
  end.send(frame({ tag: 'x' }));
  await process.waitFor('t1: the interface is DOWN', { stream: 'stderr' });
});

test('--tap without the permission: the line says what the administrator can do', async (t) => {
  if (!requireRoot(t) || !requirePeer(t, 'setpriv', 'ip') || !requireTun(t)) return;
  const ns = await namespace(t);
  const dir = join(tmpDir(t), 'sw');
  const args = ['--bounding-set=-all', '--inh-caps=-all', SWITCH, '-s', dir, '-t', 'nope0'];
  const child = ns.start(t, 'setpriv', args);
  await child.waitFor(/ERROR OPENING tap interface: .*Operation not permitted.*ip tuntap add mode tap name nope0/, {
    stream: 'stderr',
  });
  await waitForSocket(join(dir, 'ctl'));
});
