/** vdens as an ordinary user, with no privilege at all: by root too, who becomes one for it. */

import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import test from 'node:test';
import { bin } from '../support/bin.js';
import { requirePeer, requireTun } from '../support/peers.js';
import { type RunResult, run } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

const NOBODY = 65534;
const isRoot = process.geteuid?.() === 0;

/** Runs a command as an ordinary user with a place of its own. */
async function asUser(t: test.TestContext, command: string, args: readonly string[]): Promise<RunResult> {
  const dir = tmpDir(t);
  chmodSync(dir, 0o777);
  const env = { XDG_RUNTIME_DIR: undefined, TMPDIR: dir, VDE_RESOLVADDR: undefined, VDE_RESOLVCONF: undefined };
  if (!isRoot) return run(command, args, { env, timeout: 60_000 });
  const become = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--', command];
  return run('setpriv', [...become, ...args], { env, timeout: 60_000 });
}

/** True if the ordinary user may do all that is needed. */
async function ready(t: test.TestContext): Promise<boolean> {
  if (!requireTun(t) || (isRoot && !requirePeer(t, 'setpriv'))) return false;
  const { code, stderr } = await asUser(t, 'unshare', [
    '--user',
    '--map-current-user',
    process.execPath,
    bin('vdens'),
    '--list',
  ]);
  if (code === 0) return true;
  t.skip(`needs user namespaces and a tree that others may read (${stderr.trim()})`);
  return false;
}

test('exactly the capabilities for the network, identity mapped to itself', async (t) => {
  if (!(await ready(t))) return;
  const uid = isRoot ? NOBODY : process.getuid?.();
  for (const [options, set] of [
    [[], '0000000000003c00'],
    [['-s'], '0000000000203c00'],
  ] as const) {
    const look = 'grep -E "^Cap(Inh|Prm|Eff|Amb)" /proc/self/status | cut -f2; id -u; tr -s " " </proc/self/uid_map';
    const { stdout, stderr } = await asUser(t, bin('vdens'), [...options, 'null://', 'sh', '-c', look]);
    assert.equal(stdout, `${`${set}\n`.repeat(4)}${uid}\n ${uid} ${uid} 1\n`, stderr);
  }
});

test('children keep them, and may do what administrators of networks do', async (t) => {
  if (!(await ready(t))) return;
  const work = [
    'ip link set lo up && ip addr add 10.0.0.1/24 dev vde0 && ip link set vde0 up',
    'ip tuntap add mode tap t9 && ip link add br0 type bridge && echo 1 >/proc/sys/net/ipv4/ip_forward',
    'ping -c 1 -W 20 127.0.0.1 >/dev/null && (socat -u OPEN:/dev/null TCP-LISTEN:80 & socat -u TCP:127.0.0.1:80,retry=200,interval=0.1 -; wait)',
  ];
  const { code, stdout, stderr } = await asUser(t, bin('vdens'), [
    'null://',
    'sh',
    '-ec',
    `${work.join('; ')}; echo done`,
  ]);
  assert.equal(stdout, 'done\n', stderr);
  assert.equal(code, 0);
});

test('what does not concern the network stays forbidden', async (t) => {
  if (!(await ready(t))) return;
  for (const command of ['mount -t tmpfs x /mnt', 'hostname other', 'ip netns add x']) {
    const { code } = await asUser(t, bin('vdens'), ['null://', 'sh', '-c', command]);
    assert.notEqual(code, 0, command);
  }
});

test('a namespace with a name is entered with the same rights', async (t) => {
  if (!(await ready(t))) return;
  const name = `t${process.pid}`;
  const inner = `${bin('vdens')} --enter ${name} grep Cap /proc/self/status`;
  const outer = `${bin('vdens')} --name ${name} null:// sleep 60 & P=$!
    until ${bin('vdens')} --list | grep -q ${name}; do kill -0 $P || exit 9; sleep 0.05; done
    ${inner}; kill $P; wait`;
  const { stdout, stderr } = await asUser(t, 'sh', ['-c', outer]);
  const direct = await asUser(t, bin('vdens'), ['null://', 'grep', 'Cap', '/proc/self/status']);
  assert.equal(stdout, direct.stdout, stderr);
});

test('from within one namespace another cannot be entered, and that is said', async (t) => {
  if (!(await ready(t))) return;
  const name = `u${process.pid}`;
  const script = `${bin('vdens')} --name ${name} null:// sleep 60 & P=$!
    until ${bin('vdens')} --list | grep -q ${name}; do kill -0 $P || exit 9; sleep 0.05; done
    ${bin('vdens')} no ${bin('vdens')} --enter ${name} true; S=$?; kill $P; wait; exit $S`;
  const { code, stderr } = await asUser(t, 'sh', ['-c', script]);
  assert.equal(code, 1);
  assert.match(stderr, /^vdens: --enter \S+: Permission denied \([^\n]*\)\n$/);
});
