/** vdens: what the command finds inside, its status, and what is said when it cannot be. */

import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { startSwitch } from '../support/network.js';
import { run } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';
import { requireVdens, startVdens, vdens } from '../support/vdens.js';

const isRoot = process.geteuid?.() === 0;

test('the status is that of the command, 128 more than the signal that killed it, 127 or 126 if it cannot be run', async (t) => {
  if (!requireVdens(t)) return;
  leakCheck(t);
  const dir = tmpDir(t);
  const notExecutable = join(dir, 'file');
  writeFileSync(notExecutable, '');
  for (const [command, status, message] of [
    [['true'], 0, ''],
    [['sh', '-c', 'exit 7'], 7, ''],
    [['sh', '-c', 'kill -KILL $$'], 137, ''],
    [['sh', '-c', 'kill -TERM $$'], 143, ''],
    [['/nonexistent/program'], 127, /^vdens: \/nonexistent\/program: No such file or directory.*\n$/],
    [[notExecutable], 126, /^vdens: .*: Permission denied.*\n$/],
  ] as const) {
    for (const network of ['null://', 'no']) {
      const { code, stderr } = await vdens('ours', [network, ...command]);
      assert.equal(code, status, `${command}: ${stderr}`);
      if (message === '') assert.equal(stderr, '');
      else assert.match(stderr, message);
    }
  }
});

test('no, -, an empty word, nothing and -- stand for no network, -m without a locator too', async (t) => {
  if (!requireVdens(t)) return;
  const links = ['ip', '-o', 'link'];
  for (const args of [
    ['no', ...links],
    ['-', ...links],
    ['', ...links],
    ['--', ...links],
    ['-m', '--', ...links],
  ]) {
    const { code, stdout, stderr } = await vdens('ours', args);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^1: lo: [^\n]*\n$/, args.join(' '));
  }
  const { stdout } = await vdens('ours', [], { env: { SHELL: '/bin/echo' } });
  assert.equal(stdout, '\n');
});

test('without a command $SHELL runs; without that there is an error', async (t) => {
  if (!requireVdens(t)) return;
  const { stdout } = await vdens('ours', ['null://'], { env: { SHELL: '/bin/sh' }, input: 'echo $((6*7))\n' });
  assert.equal(stdout, '42\n');
  const none = await vdens('ours', ['null://'], { env: { SHELL: undefined } });
  assert.deepEqual(
    [none.code, none.stderr],
    [1, 'vdens: Error: $SHELL env variable not set (set it, or name a command)\n'],
  );
});

test('--multi makes an interface for each locator, in their order, with the prefix asked for', async (t) => {
  if (!requireVdens(t)) return;
  const args = ['-m', '-i', 'eth', 'null://', 'null://', 'null://', '--', 'ip', '-br', 'link'];
  const { stdout } = await vdens('ours', args);
  const names = stdout.split('\n').map((line) => line.split(' ')[0]);
  assert.deepEqual(names, ['lo', 'eth0', 'eth1', 'eth2', '']);
});

test('one locator that cannot be opened and the command is not run', async (t) => {
  if (!requireVdens(t)) return;
  leakCheck(t);
  const dir = tmpDir(t);
  const { dir: sw } = await startSwitch(t, 'ours');
  for (const bad of ['foo://', join(dir, 'none'), '=/nonexistent/program', "=sh -c 'x"]) {
    const witness = join(dir, 'ran');
    const { code, stdout, stderr } = await vdens('ours', ['-m', sw, bad, '--', 'sh', '-c', `echo ran; >${witness}`]);
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^vdens: [^\n]*\n$/);
  }
});

test('options that make no sense are refused in one line, before anything starts', async () => {
  for (const [args, reason] of [
    [['--iface', 'sixteen-bytes-xx', 'null://', 'true'], /cannot be the name of an interface/],
    [['--ip', '10.0.0.1', 'no', 'true'], /no interface left/],
    [['--hostname', '', 'no', 'true'], /cannot be the name of a host/],
    [['--name', 'a/b', 'no', 'true'], /cannot be a name/],
    [['--nonsense'], /unknown option/],
    [['--json'], /goes with --list/],
    [['--enter', 'x', '--up'], /no meaning with --enter/],
  ] as const) {
    const { code, stderr } = await vdens('ours', args);
    assert.equal(code, 1);
    assert.match(stderr, /^vdens: [^\n]*\n$/);
    assert.match(stderr, reason);
  }
  const help = await vdens('ours', ['-h']);
  assert.equal(help.code, 1);
  assert.match(help.stderr, /^Usage: vdens /);
});

test('resolv.conf: addresses, a file, the environment; addresses win, and nothing changes outside', async (t) => {
  if (!requireVdens(t)) return;
  const file = join(tmpDir(t), 'resolv');
  writeFileSync(file, 'nameserver 192.0.2.1\n');
  const see = async (args: string[], env = {}) =>
    (await vdens('ours', [...args, 'no', 'cat', '/etc/resolv.conf'], { env })).stdout;
  const outside = (await run('cat', ['/etc/resolv.conf'])).stdout;
  assert.equal(await see([]), outside);
  assert.equal(await see(['-R', '9.9.9.9,2620:fe::fe']), 'nameserver 9.9.9.9\nnameserver 2620:fe::fe\n');
  assert.equal(await see(['-r', file]), 'nameserver 192.0.2.1\n');
  assert.equal(await see(['-R', '9.9.9.9', '-r', file]), 'nameserver 9.9.9.9\n');
  assert.equal(await see(['-R', '']), '');
  assert.equal(await see([], { VDE_RESOLVCONF: file }), 'nameserver 192.0.2.1\n');
  assert.equal(await see(['-R', '1.1.1.1'], { VDE_RESOLVADDR: '9.9.9.9' }), 'nameserver 1.1.1.1\n');
  assert.equal((await run('cat', ['/etc/resolv.conf'])).stdout, outside);
  const missing = await vdens('ours', ['-r', `${file}.none`, 'no', 'true']);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^vdens: --resolvconf .*: No such file or directory\n$/);
});

test('resolv.conf is there inside even if /etc has none, or a link to nothing', async (t) => {
  if (!requireVdens(t)) return;
  // An /etc of our own, one namespace further out.
  for (const prepare of ['', 'ln -s /run/nothing/here /mnt/etc/resolv.conf &&']) {
    const script = `mount -t tmpfs x /mnt && mkdir /mnt/etc && cp /etc/passwd /mnt/etc && mkdir /mnt/etc/dir && ${prepare} mount --bind /mnt/etc /etc && exec "$@"`;
    const inner = [
      bin('vdens'),
      '-R',
      '9.9.9.9',
      'no',
      'sh',
      '-c',
      'cat /etc/resolv.conf; ls /etc; head -c 4 /etc/passwd',
    ];
    const { stdout, stderr } = await run(bin('vdens'), ['-s', 'no', 'sh', '-c', script, 'sh', ...inner], {
      env: { VDE_RESOLVADDR: undefined, VDE_RESOLVCONF: undefined, TMPDIR: '/tmp' },
    });
    assert.equal(stdout, 'nameserver 9.9.9.9\ndir\npasswd\nresolv.conf\nroot', stderr);
  }
});

test('--hostname is seen inside only', async (t) => {
  if (!requireVdens(t)) return;
  const before = (await run('uname', ['-n'])).stdout;
  assert.equal((await vdens('ours', ['-H', 'inside.example', 'no', 'uname', '-n'])).stdout, 'inside.example\n');
  assert.equal((await run('uname', ['-n'])).stdout, before);
});

test('--sysadm allows mounting, and nothing else does', async (t) => {
  if (!requireVdens(t)) return;
  const mount = ['no', 'mount', '-t', 'tmpfs', 'x', '/mnt'];
  assert.equal((await vdens('ours', ['-s', ...mount])).code, 0);
  // Root has all capabilities in its own user namespace, but no mount namespace there.
  assert.notEqual((await vdens('ours', mount)).code, 0);
});

test('-c and -u change nothing', async (t) => {
  if (!requireVdens(t)) return;
  for (const option of ['-c', '-u', '--clone', '--unshare']) {
    assert.equal((await vdens('ours', [option, 'null://', 'sh', '-c', 'exit 3'])).code, 3);
  }
});

test('--ip, --mac, --mtu and --up configure the interfaces; what ip refuses is one line', async (t) => {
  if (!requireVdens(t)) return;
  const args = [
    '--ip',
    '10.0.0.1,gw=10.0.0.254',
    '--ip',
    'vde0=fc00::1',
    '--mac',
    '02:00:00:00:00:07',
    '--mtu',
    '1400',
  ];
  const show = 'ip -br addr; ip -o link show vde0; ip route; ip -6 route show default';
  const { stdout } = await vdens('ours', [...args, 'null://', 'sh', '-c', show]);
  assert.match(stdout, /^lo +UNKNOWN +127\.0\.0\.1\/8/);
  assert.match(stdout, /^vde0 +UNKNOWN +10\.0\.0\.1\/24 fc00::1\/64/m);
  assert.match(stdout, /mtu 1400 .* 02:00:00:00:00:07 /);
  assert.match(stdout, /^default via 10\.0\.0\.254 dev vde0/m);
  const up = await vdens('ours', ['--up', 'null://', 'ip', '-br', 'link']);
  assert.match(up.stdout, /^lo +UNKNOWN .*\nvde0 +UNKNOWN /);
  const bad = await vdens('ours', ['--ip', '10.0.0.1,gw=192.0.2.1', 'null://', 'true']);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /^vdens: ip route add [^\n]*: Nexthop has invalid gateway\.?\n$/);
});

test('two of them talk over our switch, TCP included', async (t) => {
  if (!requireVdens(t)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const server = startVdens(t, 'ours', [
    '--ip',
    '10.0.0.1',
    dir,
    'sh',
    '-c',
    'echo up; exec socat -t 20 TCP-LISTEN:99 EXEC:cat',
  ]);
  await server.waitFor('up\n');
  const client =
    'ping -c 1 -W 20 10.0.0.1 >/dev/null && echo hello | socat -t 20 - TCP:10.0.0.1:99,retry=200,interval=0.1';
  const { stdout, stderr } = await vdens('ours', ['--ip', '10.0.0.2', dir, 'sh', '-c', client]);
  assert.equal(stdout, 'hello\n', stderr);
  assert.deepEqual(await server.exited, { code: 0, signal: null });
});

test('vdens runs within vdens', async (t) => {
  if (!requireVdens(t)) return;
  const inner = [bin('vdens'), 'null://', 'ip', '-br', 'link'];
  const { code, stdout } = await vdens('ours', ['-i', 'outer', 'null://', ...inner]);
  assert.equal(code, 0);
  assert.match(stdout, /vde0/);
  assert.doesNotMatch(stdout, /outer/);
});

test('=COMMAND is a network too, its words split as those of cmd', async (t) => {
  if (!requireVdens(t)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const server = startVdens(t, 'ours', ['--ip', '10.0.0.1', dir, 'sh', '-c', 'echo up; exec sleep 60']);
  await server.waitFor('up\n');
  const locator = `=env 'A=b c' ${bin('vde_plug')} ${dir}`;
  const { code, stdout } = await vdens('ours', [
    '--ip',
    '10.0.0.2',
    locator,
    'ping',
    '-c',
    '1',
    '-W',
    '20',
    '10.0.0.1',
  ]);
  assert.equal(code, 0, stdout);
  const gone = startVdens(t, 'ours', ["=sh -c 'exit 3'", 'cat']);
  const line = "vdens: vde0: =sh -c 'exit 3': the command has ended with status 3; waiting for it to come back\n";
  await gone.waitFor('\n', { stream: 'stderr' });
  gone.stdin.end();
  assert.deepEqual(await gone.exited, { code: 0, signal: null });
  // It may have come back for long enough to be said.
  assert.ok(gone.stderr.startsWith(line), gone.stderr);
});

test('without unshare, or with a user namespace forbidden, the remedy is named', async (t) => {
  if (!requireVdens(t)) return;
  const dir = tmpDir(t);
  const path = (text: string) => {
    writeFileSync(join(dir, 'unshare'), `#!/bin/sh\n${text}\n`);
    chmodSync(join(dir, 'unshare'), 0o755);
    return { PATH: `${dir}:${process.env.PATH}` };
  };
  const refused = await vdens('ours', ['no', 'true'], {
    env: path('echo "unshare: unshare failed: Operation not permitted" >&2; exit 1'),
  });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^vdens: namespace: unshare failed: Operation not permitted[^\n]*\([^\n]*\)\n$/);
  const missing = await run(process.execPath, [bin('vdens'), 'no', 'true'], { env: { PATH: join(dir, 'none') } });
  assert.deepEqual(
    [missing.code, missing.stderr],
    [1, 'vdens: namespace: there is no command unshare (install util-linux)\n'],
  );
});

test('without /dev/net/tun the remedy is named', async (t) => {
  if (!requireVdens(t) || !isRoot) return;
  const script = 'mount -t tmpfs x /dev/net && exec "$@"';
  const { code, stderr } = await run('unshare', ['--mount', 'sh', '-c', script, 'sh', bin('vdens'), 'null://', 'true']);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^vdens: interface vde0: No such file or directory \(this system has no \/dev\/net\/tun[^\n]*\)\n$/,
  );
});
