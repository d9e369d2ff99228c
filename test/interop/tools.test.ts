/** vde_tunctl, vde_plug2tap, vde_pcapplug and vdeq beside Debian's. */

import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { machine } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { bin } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { type Namespace, namespace } from '../support/namespace.js';
import { command, frame, MAKES, type Make, openEnd, startSwitch, waitForEndpoints } from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces, type Skippable, which } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { waitForFile } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

function ready(t: Skippable, ...peers: string[]): boolean {
  return requirePeer(t, ...peers, 'ip', 'unshare', 'nsenter') && requireTun(t) && requireUserNamespaces(t);
}

/** The tun and tap interfaces of a namespace, with what is set for them: `tq0 tap pi off ... user root`. */
async function interfaces(ns: Namespace): Promise<string[]> {
  const lines = (await ns.ip('-o', '-d', 'link')).split('\n');
  return lines
    .flatMap((line) => {
      const found = /^\d+: (\S+):.*\btun type (.*?persist on(?: user \S+)?(?: group \S+)?)/.exec(line);
      return found ? [`${found[1]} ${found[2]}`] : [];
    })
    .sort();
}

/** What a row of vde_tunctl lines prints, ends with, and leaves. */
async function tunctl(t: Owner, make: Make, lines: readonly string[]) {
  const ns = await namespace(t);
  const results = [];
  for (const line of lines) {
    const { code, stdout } = await ns.exec(command(make, 'vde_tunctl'), line === '' ? [] : line.split(' '));
    results.push({ line, code, stdout });
  }
  return { results, left: await interfaces(ns) };
}

test('vde_tunctl makes and removes the same interfaces as Debian, in the same words', async (t) => {
  if (!ready(t, '/usr/sbin/vde_tunctl')) return;
  leakCheck(t);
  const lines = [
    '',
    '-b',
    '-b -t tq0',
    '-t tq1',
    '-u root -t tq2',
    '-u 0 -b -t tq4',
    '-u nosuch-user -t tq5',
    '-n',
    '-n -t other0',
    '-t tuny',
    '-d tq0',
    '-b -d tq1',
    '-d nosuch99',
    '-n -d tuny',
    '-t lo',
    '-t tq2',
    '-x',
    '-t',
    'extra',
    '-t tq6 extra',
    '-f /nonexistent -t tq7',
    '-h',
  ];
  const [ours, theirs] = await Promise.all(MAKES.map((make) => tunctl(t, make, lines)));
  assert.deepEqual(ours, theirs);
  assert.equal(ours.left.length, 6, ours.left.join('\n'));
});

test('vde_tunctl gives an interface to a group, and says what it cannot do in one line', async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const ns = await namespace(t);
  const made = await ns.exec(bin('vde_tunctl'), ['-t', 'tg0', '-g', '0']);
  assert.equal(made.stdout, "Set 'tg0' persistent and owned by uid 0 gid 0\n");
  assert.match((await interfaces(ns)).join(), /^tg0 tap .*persist on user (root|0) group (root|0)$/);
  for (const [args, pattern] of [
    [['-t', 'sixteen-letters-'], /cannot be the name of an interface/],
    [['-t', 'lo'], /lo: Invalid argument \(there is an interface of that name/],
    [['-g', 'nosuch-group'], /neither the name of a group/],
    [['x'], /takes options only/],
  ] as const) {
    const { code, stdout, stderr } = await ns.exec(bin('vde_tunctl'), args);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, pattern);
    assert.match(stderr, /^vde_tunctl: [^\n]+\n$/);
  }
});

async function ping(ns: Namespace, to: string): Promise<void> {
  const { code, stdout, stderr } = await ns.exec('ping', ['-q', '-c', '3', '-i', '0.05', '-W', '20', to]);
  assert.equal(code, 0, stdout + stderr);
}

for (const [server, client] of [
  ['ours', 'ours'],
  ['debian', 'ours'],
  ['ours', 'debian'],
] as const) {
  test(`vde_plug2tap (${client}) joins a tap to a switch (${server}); SIGTERM: status 0, no pid file`, async (t) => {
    if (!ready(t, '/usr/bin/vde_plug2tap', '/usr/bin/vde_switch', 'ping')) return;
    const dir = tmpDir(t);
    leakCheck(t);
    const sw = await startSwitch(t, server);
    const far = await namespace(t);
    await far.addTap('t0', { address: '10.0.0.1/24' });
    far.start(t, bin('vde_plug'), [`vde://${sw.dir}`, 'tap://t0']);
    const near = await namespace(t);
    await near.addTap('t0', { address: '10.0.0.2/24' });
    const pidfile = join(dir, 'pid');
    const plug = near.start(t, command(client, 'vde_plug2tap'), ['-sock', sw.dir, '-p', '7', '-P', pidfile, 't0']);
    await waitForEndpoints(sw, 2);
    await waitForFile(pidfile);
    await Promise.all([far.running('t0'), near.running('t0')]);
    await ping(near, '10.0.0.1');
    sw.process.stdin.write('port/print 7\n');
    await sw.process.waitFor('Port 0007');
    process.kill(Number(readFileSync(pidfile, 'utf8')), 'SIGTERM');
    assert.deepEqual(await plug.exited, { code: 0, signal: null });
    assert.equal(existsSync(pidfile), false);
    await waitForEndpoints(sw, 1);
  });
}

test('vde_plug2tap -s -: a stream on the standard streams, as at the far end of a dpipe', async (t) => {
  if (!ready(t, '/usr/bin/vde_plug2tap', 'ping')) return;
  leakCheck(t);
  const sw = await startSwitch(t, 'ours');
  const far = await namespace(t);
  await far.addTap('t0', { address: '10.0.0.1/24' });
  far.start(t, bin('vde_plug'), [`vde://${sw.dir}`, 'tap://t0']);
  const near = await namespace(t);
  await near.addTap('t0', { address: '10.0.0.2/24' });
  near.start(t, bin('dpipe'), [bin('vde_plug'), sw.dir, '=', bin('vde_plug2tap'), '-s', '-', 't0']);
  await waitForEndpoints(sw, 2);
  await Promise.all([far.running('t0'), near.running('t0')]);
  await ping(near, '10.0.0.1');
});

test('vde_pcapplug joins an interface to a switch, at once and both ways', async (t) => {
  if (!ready(t, 'ping')) return;
  leakCheck(t);
  const sw = await startSwitch(t, 'ours');
  const far = await namespace(t);
  await far.addTap('t0', { address: '10.0.0.1/24' });
  far.start(t, bin('vde_plug'), [`vde://${sw.dir}`, 'tap://t0']);
  // The host is behind the other end of a pair: what is injected into an interface is not seen by its own host.
  const near = await namespace(t);
  await near.ip('link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'host');
  await near.ip('link', 'set', 'wire', 'up');
  await near.configure('host', { address: '10.0.0.2/24' });
  const plug = near.start(t, bin('vde_pcapplug'), ['-s', sw.dir, 'wire']);
  await waitForEndpoints(sw, 2);
  await Promise.all([far.running('t0'), near.running('wire', 'host')]);
  await ping(near, '10.0.0.1');
  plug.kill();
  assert.deepEqual(await plug.exited, { code: 0, signal: null });
});

test('what cannot be joined: one line, the status of C', async (t) => {
  if (!ready(t, '/usr/bin/vde_plug2tap', '/usr/bin/vde_pcapplug', '/usr/bin/vde_switch')) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'debian');
  const ns = await namespace(t);
  for (const name of ['vde_plug2tap', 'vde_pcapplug']) {
    for (const args of [
      ['-h'],
      ['-x'],
      ['-s', dir],
      ['-p', '0', '-s', dir, 'x0'],
      ['-p', 'x', '-s', dir, 'x0'],
      ['-s', `${dir}/nosuch`, 'x0'],
      [`--sock=${dir}/nosuch`, 'x0'],
      ['-s', dir, name === 'vde_plug2tap' ? 'lo' : 'nosuch0'],
      ['-s', dir, '-P', '/nonexistent/pid', 'x0'],
      ['-d', '-s', dir, name === 'vde_plug2tap' ? 'lo' : 'nosuch0'],
    ]) {
      const results = await Promise.all(MAKES.map((make) => ns.exec(command(make, name), args)));
      const [ours, theirs] = results.map(({ code }) => code);
      // C's daemon has reported success before it tries.
      assert.equal(ours, args[0] === '-d' ? 1 : theirs, `${name} ${args.join(' ')}`);
      if (args[0] !== '-h') assert.match(results[0].stderr, new RegExp(`^${name}: [^\\n]+\\n$`));
    }
  }
});

/**
 * A stand-in for QEMU: it shows its arguments and echoes the frames that come by its first descriptor, or ends as soon as
 * whoever has started it sleeps: Debian's vdeq would miss an end that comes before, and wait for ever.
 */
function standIn(t: Owner, version: string): string {
  const path = join(tmpDir(t), 'qemu');
  writeFileSync(
    path,
    `#!/bin/sh\n[ "$1" = -h ] && { echo "QEMU emulator ${version}"; exit 0; }
for word; do printf '[%s]' "$word"; done; echo
[ -n "$ECHO" ] && exec socat FD:3 EXEC:cat
until grep -q '^State:.S' "/proc/$PPID/status"; do :; done\nexit 7\n`,
  );
  chmodSync(path, 0o755);
  return path;
}

test('vdeq gives an old QEMU the arguments that Debian does, and ends with its status', async (t) => {
  if (!requirePeer(t, '/usr/bin/vdeq', '/usr/bin/vde_switch')) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'debian');
  for (const [version, ...args] of [
    ['version 2.5.0', '-m', '64', '-net', 'nic', '-net', `vde,sock=${dir}`, '-hda', 'x'],
    ['version 2.5.0', '-net', `vde,vlan=3,sock=${dir},port=4`],
    ['version 2.5.0', '--mod', '777', '-net', `vde,sock=${dir}`],
    ['version 2.5.0', '-sock', dir, '-hda', 'x'],
    ['of old', '-sock', dir, '-hda', 'x'],
  ]) {
    const program = standIn(t, version);
    const ours = await run(command('ours', 'vdeq'), [program, ...args]);
    const theirs = await run(command('debian', 'vdeq'), [program, ...args]);
    // Debian's says what it reads beside it.
    assert.equal(ours.stdout, theirs.stdout.replace(/^arg .*\n/gm, ''), args.join(' '));
    assert.deepEqual([ours.code, theirs.code], [7, 7]);
  }
});

test('vdeq carries frames between a QEMU of today and a switch, by any name', async (t) => {
  if (!requirePeer(t, 'socat')) return;
  leakCheck(t);
  const sw = await startSwitch(t, 'ours');
  const station = await openEnd(t, sw.dir);
  const program = standIn(t, 'version 7.2.0');
  const link = join(tmpDir(t), 'vdeqemu');
  symlinkSync(bin('vdeqemu'), link);
  for (const [file, args, env] of [
    [bin('vdeq'), [program], {}],
    [link, [], { PATH: `${program.slice(0, -5)}:${process.env.PATH}` }],
  ] as const) {
    const vdeq = start(t, file, [...args, '-net', `vde,sock=${sw.dir}`], { env: { ECHO: '1', ...env } });
    await vdeq.waitFor('[-net][socket,fd=3]');
    await waitForEndpoints(sw, 2);
    station.send(frame({ tag: `${file} hello`.slice(-20), source: 9 }));
    await station.receive(`${file} hello`.slice(-20));
    vdeq.kill();
    assert.deepEqual(await vdeq.exited, { code: 0, signal: null });
    await waitForEndpoints(sw, 1);
  }
});

test('vdeqemu starts the QEMU of this machine where there is none called qemu', async (t) => {
  if (which('qemu') !== undefined) return t.skip('there is a qemu');
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const program = standIn(t, 'version 7.2.0');
  renameSync(program, `${program}-system-${machine()}`);
  const { code, stdout } = await run(bin('vdeqemu'), ['-hda', 'x', '-net', 'nic', '-net', `vde,sock=${dir}`], {
    env: { PATH: `${dirname(program)}:${process.env.PATH}` },
  });
  assert.deepEqual([code, stdout], [7, '[-hda][x][-net][nic][-net][socket,fd=3]\n']);
});

test('vdeq: no program, no switch, no such parameter', async (t) => {
  leakCheck(t);
  const program = standIn(t, 'version 7.2.0');
  const { dir } = await startSwitch(t, 'ours');
  assert.equal((await run(bin('vdeq'))).code, 0);
  for (const [args, code, pattern] of [
    [['/nonexistent/qemu', '-net', `vde,sock=${dir}`], 127, /No such file or directory \(the program cannot be run\)/],
    [[`${program}/below`, '-net', `vde,sock=${dir}`], 127, /Not a directory \(the program cannot be run\)/],
    [['q'.repeat(300), '-version'], 127, /File name too long \(the program cannot be run\)/],
    [['', '-net', `vde,sock=${dir}`], 127, /No such file or directory \(the program cannot be run\)/],
    [[program, '-net', `vde,sock=${dir}/nosuch`], 1, /is a switch running there/],
    [[program, '-net', 'vde,bogus=1'], 255, /unknown parameter in argument bogus=1/],
  ] as const) {
    const result = await run(bin('vdeq'), args);
    assert.deepEqual([result.code, result.stdout], [code, '']);
    assert.match(result.stderr, pattern);
    assert.doesNotMatch(result.stderr, /^ +at /m);
  }
});
