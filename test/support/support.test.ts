import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { bin, debian, root } from './bin.js';
import { cleanup, type Owner } from './cleanup.js';
import { guest, requireGuest } from './guest.js';
import { cpuTime, fdCount, leakCheck, rssKb } from './leaks.js';
import { namespace } from './namespace.js';
import { need, requirePeer, requireRoot, requireTun, requireUserNamespaces, requireVdeplug } from './peers.js';
import { adopt, run, start, waitForExit } from './proc.js';
import { pty } from './pty.js';
import { waitForGone, waitForSocket } from './sockets.js';
import { tmpDir } from './tmp.js';

/** A stand-in for a test context, whose end the real test decides. */
class Inner implements Owner {
  readonly name = 'inner';
  readonly skips: (string | undefined)[] = [];
  readonly #hooks: (() => void | Promise<void>)[] = [];
  constructor(t: Owner) {
    t.after(() => this.end());
  }
  after(hook: () => void | Promise<void>): void {
    this.#hooks.push(hook);
  }
  skip(message?: string): void {
    this.skips.push(message);
  }
  async end(): Promise<void> {
    for (const hook of this.#hooks.splice(0)) await hook();
  }
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

function withEnv(t: Owner, values: Record<string, string | undefined>): void {
  for (const [name, value] of Object.entries(values)) {
    const before = process.env[name];
    const set = (to: string | undefined): void => {
      if (to === undefined) delete process.env[name];
      else process.env[name] = to;
    };
    set(value);
    cleanup(t, () => set(before));
  }
}

test('what was set up last is undone first, and a failure does not stop the rest', async (t) => {
  const inner = new Inner(t);
  const order: string[] = [];
  cleanup(inner, () => order.push('first'));
  cleanup(inner, () => {
    throw new Error('second failed');
  });
  cleanup(inner, () => order.push('third'));
  await assert.rejects(inner.end(), /second failed/);
  assert.deepEqual(order, ['third', 'first']);
});

test('a temporary directory is short and goes with its test', async (t) => {
  const inner = new Inner(t);
  const dir = tmpDir(inner);
  writeFileSync(join(dir, 'file'), '');
  assert.ok(Buffer.byteLength(join(dir, 'switch', 'ctl')) < 108);
  await inner.end();
  assert.equal(existsSync(dir), false);
});

test('a missing peer skips by name at home and fails in CI', (t) => {
  const inner = new Inner(t);
  withEnv(t, { VDE_REQUIRE_PEERS: undefined });
  assert.equal(requirePeer(inner, 'sh', 'no-such-command'), false);
  assert.equal(requireVdeplug(inner, 'nosuchplugin'), false);
  assert.equal(requirePeer(inner, 'sh'), true);
  assert.deepEqual(inner.skips, ['needs no-such-command', 'needs libvdeplug_nosuchplugin.so']);
  withEnv(t, { VDE_REQUIRE_PEERS: '1' });
  assert.throws(() => requirePeer(inner, 'no-such-command'), /"inner" needs no-such-command/);
  assert.throws(() => need(inner, false, 'the moon'), /needs the moon/);
});

test('a test for root is skipped in the pass of the ordinary user alone', (t) => {
  const inner = new Inner(t);
  withEnv(t, { VDE_REQUIRE_PEERS: '1', VDE_AS_USER: '1' });
  if (process.geteuid?.() === 0) {
    assert.equal(requireRoot(inner), true);
  } else {
    assert.equal(requireRoot(inner), false);
    assert.deepEqual(inner.skips, ['needs root']);
    withEnv(t, { VDE_AS_USER: undefined });
    assert.throws(() => requireRoot(inner), /needs root/);
  }
});

test('commands are found: ours in the tree, theirs in /usr', () => {
  assert.ok(existsSync(join(root, 'package.json')));
  assert.equal(bin('vde_switch'), join(root, 'bin', 'vde_switch'));
  assert.equal(debian('vde_switch'), '/usr/bin/vde_switch');
});

test('a run gives output, exit code and signal, and fails when late', async () => {
  assert.deepEqual(await run('sh', ['-c', 'cat; echo err >&2; exit 3'], { input: 'in' }), {
    code: 3,
    signal: null,
    stdout: 'in',
    stderr: 'err\n',
  });
  assert.equal((await run('sh', ['-c', 'kill -9 $$'])).signal, 'SIGKILL');
  await assert.rejects(run('sh', ['-c', 'echo begun; sleep 60'], { timeout: 3000 }), /not done in 3000 ms[\s\S]*begun/);
  await assert.rejects(run('no-such-command'), /ENOENT/);
});

test('a started process is awaited by its output and ends with the test, its children too', async (t) => {
  const inner = new Inner(t);
  const shell = start(inner, 'sh', ['-c', 'sleep 60 & echo child $!; read line; echo got $line; read line']);
  const [, child] = await shell.waitFor(/child (\d+)\n/);
  shell.stdin.write('hello\n');
  await shell.expect('got hello', { stream: 'stdout' });
  await assert.rejects(shell.expect('got', { timeout: 50, stream: 'stdout' }), /50 ms passed/);
  await inner.end();
  assert.equal(isAlive(shell.pid), false);
  await waitForExit(Number(child));
  assert.deepEqual(await shell.exited, { code: null, signal: 'SIGKILL' });
});

test('waiting for output that cannot come any more fails at once, with the output', async (t) => {
  const shell = start(t, 'sh', ['-c', 'echo last words; exit 4']);
  await assert.rejects(shell.waitFor('never'), /ended with 4 waiting for never; output:\nlast words/);
});

test('standard output is kept as bytes', async (t) => {
  const shell = start(t, 'sh', ['-c', "printf '\\377\\000\\001'"]);
  await shell.exited;
  assert.deepEqual([...shell.stdoutBytes], [255, 0, 1]);
});

test('a test process that is stopped takes its children with it', async (t) => {
  const script = `
    import { start } from ${JSON.stringify(join(root, 'test', 'support', 'proc.ts'))};
    console.log('child', start({ after() {} }, 'sleep', ['60']).pid);
    setInterval(() => {}, 1000);`;
  const stopped = start(t, process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { cwd: root });
  const [, child] = await stopped.waitFor(/child (\d+)\n/);
  stopped.kill('SIGTERM');
  assert.deepEqual(await stopped.exited, { code: 143, signal: null });
  await waitForExit(Number(child));
});

test('an adopted daemon ends with the test', async (t) => {
  const inner = new Inner(t);
  const { stdout } = await run('sh', ['-c', 'setsid sleep 60 >/dev/null 2>&1 </dev/null & echo $!']);
  const pid = Number(stdout);
  adopt(inner, pid);
  assert.equal(isAlive(pid), true);
  await inner.end();
  await waitForExit(pid);
});

test('a socket is awaited through directories yet to come, and its end too', async (t) => {
  const dir = join(tmpDir(t), 'switch');
  const path = join(dir, 'ctl');
  const ready = waitForSocket(path);
  mkdirSync(dir);
  const server = createServer().listen(path);
  await ready;
  const gone = waitForGone(path);
  server.close();
  await gone;
  assert.equal(existsSync(path), false);
});

test('a file that is no socket, or no file at all, is waited for in vain', async (t) => {
  const path = join(tmpDir(t), 'ctl');
  await assert.rejects(waitForSocket(path, { timeout: 50 }), /ctl: no socket after 50 ms/);
  writeFileSync(path, '');
  await assert.rejects(waitForSocket(path, { timeout: 50 }), /ctl: no socket/);
  await assert.rejects(waitForGone(path, { timeout: 50 }), /ctl: no absence/);
});

test('leaks of descriptors, children and files are reported', async (t) => {
  const dir = tmpDir(t);
  const inner = new Inner(t);
  const check = leakCheck(inner, dir, { settle: 50 });
  await check();

  const file = join(dir, 'left');
  const fd = openSync(file, 'w');
  await assert.rejects(check(), new RegExp(`left behind: descriptor ${fd} -> ${file}, file left`));
  closeSync(fd);
  unlinkSync(file);

  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  await assert.rejects(inner.end(), /left behind: child \d+ \(sleep 60\)/);
  child.kill();
  await once(child, 'exit');
  await check();
});

test('what a process holds and uses can be measured', async (t) => {
  const idle = start(t, 'cat');
  const busy = start(t, 'sh', ['-c', 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; exec cat']);
  await busy.waitFor('done');
  // What answers has opened all that it needs for its start, and closed it.
  idle.stdin.write('up\n');
  await idle.waitFor('up\n');
  assert.equal(fdCount(idle.pid), readdirSync(`/proc/${idle.pid}/fd`).length);
  assert.ok(rssKb(idle.pid) > 100 && rssKb(idle.pid) < 100_000);
  assert.ok(cpuTime(busy.pid) > 10_000, `${cpuTime(busy.pid)} µs for a busy loop`);
  assert.ok(cpuTime(idle.pid) < cpuTime(busy.pid));
  idle.stdin.end();
  await idle.exited;
  assert.throws(() => cpuTime(idle.pid), /has ended/);
});

test('a namespace has its own devices', async (t) => {
  if (!requirePeer(t, 'unshare', 'nsenter', 'ip', 'ping') || !requireUserNamespaces(t)) return;
  const inner = new Inner(t);
  const ns = await namespace(inner);
  assert.match(await ns.ip('-brief', 'link'), /^lo +UNKNOWN [^\n]*\n$/);
  assert.equal((await ns.exec('ping', ['-c', '1', '-W', '10', '127.0.0.1'])).code, 0);
  await assert.rejects(ns.ip('link', 'set', 'nosuch', 'up'), /nosuch/);
  await inner.end();
  assert.equal(isAlive(ns.pid), false);
});

for (const user of [false, true]) {
  test(`taps can be made in a namespace, ${user ? 'with a user namespace' : 'as root'}`, async (t) => {
    if (!requirePeer(t, 'ip') || !requireTun(t) || !requireUserNamespaces(t)) return;
    if (!user && !requireRoot(t)) return;
    const ns = await namespace(t, { user });
    await ns.addTap('t0', { address: '10.9.8.7/24', mac: '02:00:00:00:00:09', mtu: 1400 });
    const shown = await ns.ip('address', 'show', 't0');
    for (const part of ['10.9.8.7/24', '02:00:00:00:00:09', 'mtu 1400']) assert.ok(shown.includes(part), shown);
    const inside = ns.start(t, 'sh', ['-c', 'cat /proc/net/dev; echo end']);
    await inside.waitFor(/t0:[\s\S]*end/);
  });
}

test('standard input alone is a terminal, the outputs are pipes', async (t) => {
  if (!requirePeer(t, 'socat')) return;
  const script =
    'for fd in 0 1 2; do test -t $fd && echo $fd tty || echo $fd no; done; read l; echo "got $l"; echo e >&2';
  const { child, screen, type } = await pty(t, 'sh', ['-c', script]);
  await child.waitFor('0 tty\n1 no\n2 no\n', { stream: 'stdout' });
  type('abc\r');
  await child.waitFor('got abc', { stream: 'stdout' });
  await screen.waitFor('abc', { stream: 'stdout' });
  assert.deepEqual(await child.exited, { code: 0, signal: null });
  assert.equal(child.stderr, 'e\n');
});

test('all three can be the terminal; Ctrl-C and hang-up arrive', async (t) => {
  if (!requirePeer(t, 'socat')) return;
  const on: ('stdin' | 'stdout' | 'stderr')[] = ['stdin', 'stdout', 'stderr'];
  // Short sleeps: a signal that comes between a shell's look at its traps and its next command is seen after that command.
  const script = "trap 'echo interrupted' INT; test -t 1 && echo ready; while :; do sleep 0.1; done";
  const { child, screen, type, hangUp } = await pty(t, 'sh', ['-c', script], { on });
  await screen.waitFor('ready');
  type('\x03');
  await screen.waitFor('interrupted');
  await hangUp();
  assert.equal((await child.exited).signal, 'SIGHUP');
});

test('a guest boots, with NICs and modules, and answers', async (t) => {
  if (!requireGuest(t)) return;
  const inner = new Inner(t);
  const vm = await guest(inner, {
    netdevs: ['user,id=n0,restrict=on'],
    modules: ['8021q'],
    script: 'ip link add link eth0 name eth0.7 type vlan id 7',
  });
  assert.match(await vm.run('uname -r'), /-cloud-amd64$/);
  assert.equal(await vm.run('cat /sys/class/net/eth0/address'), '52:54:00:00:00:01');
  assert.match(await vm.run('cat /proc/net/vlan/eth0.7'), /VID: 7/);
  const [first, second] = await Promise.all([vm.run('echo one; echo two'), vm.run('cat; echo three')]);
  assert.deepEqual([first, second], ['one\ntwo', 'three']);
  await assert.rejects(vm.run('echo oops; false'), /exit 1 in the guest\noops/);
  await vm.powerOff();
  assert.deepEqual(await vm.qemu.exited, { code: 0, signal: null });
  await inner.end();
});
