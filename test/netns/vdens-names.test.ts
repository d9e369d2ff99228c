/** vdens --name, --enter, --list. */

import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { root } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { adopt, waitForExit } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';
import { requireVdens, startVdens, vdens } from '../support/vdens.js';

const LIVE = ['sh', '-c', 'echo "pid $$"; readlink /proc/self/ns/net; exec sleep 60'];

test('a name is listed, entered with the same identity and rights, and gone with its command', async (t) => {
  if (!requireVdens(t)) return;
  leakCheck(t);
  const env = { XDG_RUNTIME_DIR: tmpDir(t) };
  const first = startVdens(t, 'ours', ['--name', 'lab.1', '-H', 'inside', '-R', '9.9.9.9', 'null://', ...LIVE], {
    env,
  });
  const [, pid, net] = await first.waitFor(/^pid (\d+)\n(net:.*)\n/);
  const json = await vdens('ours', ['--list', '--json'], { env });
  const [entry, ...others] = JSON.parse(json.stdout);
  assert.deepEqual([entry.name, entry.pid, entry.net, others], ['lab.1', Number(pid), net, []]);
  assert.deepEqual(entry.interfaces, [{ name: 'vde0', locator: 'null://' }]);
  assert.match((await vdens('ours', ['--list'], { env })).stdout, /^lab\.1\t\d+\tvde0=null:\/\/\tsh -c/);

  const look =
    'readlink /proc/self/ns/net; grep Cap /proc/self/status; id -u; uname -n; cat /etc/resolv.conf; ip link set vde0 up';
  const entered = await vdens('ours', ['--enter', 'lab.1', 'sh', '-c', `${look}; exit 3`], { env });
  assert.equal(entered.stderr, '');
  assert.equal(entered.code, 3);
  const direct = await vdens('ours', ['null://', 'grep', 'Cap', '/proc/self/status']);
  assert.equal(entered.stdout, `${net}\n${direct.stdout}${process.getuid?.()}\ninside\nnameserver 9.9.9.9\n`);

  const second = await vdens('ours', ['--name', 'lab.1', 'null://', 'true'], { env });
  assert.equal(second.code, 1);
  assert.match(second.stderr, /^vdens: --name: there is a namespace called lab\.1 already, process \d+ [^\n]*\n$/);
  first.kill('SIGTERM');
  await first.exited;
  assert.deepEqual(readdirSync(join(env.XDG_RUNTIME_DIR, 'vdens')), []);
  const gone = await vdens('ours', ['--enter', 'lab.1', 'true'], { env });
  assert.deepEqual(
    [gone.code, gone.stderr.split(' (')[0]],
    [1, 'vdens: --enter lab.1: there is no namespace of that name'],
  );
});

test('statuses and signals of an entered command are its own', async (t) => {
  if (!requireVdens(t)) return;
  const env = { XDG_RUNTIME_DIR: tmpDir(t) };
  const first = startVdens(t, 'ours', ['--name', 'a', 'null://', ...LIVE], { env });
  await first.waitFor('net:');
  const status = async (...command: string[]) => (await vdens('ours', ['--enter', 'a', ...command], { env })).code;
  assert.equal(await status('sh', '-c', 'kill -KILL $$'), 137);
  assert.equal(await status('/nonexistent/program'), 127);
  const trapped = startVdens(
    t,
    'ours',
    ['--enter', 'a', 'sh', '-c', 'trap "exit 5" TERM; echo up; while :; do sleep 0.05; done'],
    { env },
  );
  await trapped.waitFor('up\n');
  trapped.kill('SIGTERM');
  assert.deepEqual(await trapped.exited, { code: 5, signal: null });
  const killed = startVdens(t, 'ours', ['--enter', 'a', 'sh', '-c', 'echo $$; exec sleep 60'], { env });
  const [, pid] = await killed.waitFor(/^(\d+)\n/);
  adopt(t, Number(pid));
  killed.kill('SIGKILL');
  await waitForExit(Number(pid));
});

test('what a killed vdens left is no obstacle, nor are files that are none of ours', async (t) => {
  if (!requireVdens(t)) return;
  const env = { XDG_RUNTIME_DIR: tmpDir(t) };
  const first = startVdens(t, 'ours', ['--name', 'a', 'null://', ...LIVE], { env });
  const [, pid] = await first.waitFor(/^pid (\d+)\nnet:/);
  adopt(t, Number(pid));
  first.kill('SIGKILL');
  await waitForExit(Number(pid));
  const file = join(env.XDG_RUNTIME_DIR, 'vdens', 'a');
  assert.ok(existsSync(file));
  // A later process of the same number is not taken for it.
  writeFileSync(file, readFileSync(file, 'utf8').replace(`"pid":${pid}`, `"pid":${process.pid}`));
  writeFileSync(join(env.XDG_RUNTIME_DIR, 'vdens', 'b'), 'no JSON');
  assert.equal((await vdens('ours', ['--list'], { env })).stdout, '');
  assert.deepEqual(readdirSync(join(env.XDG_RUNTIME_DIR, 'vdens')), []);
  assert.equal((await vdens('ours', ['--name', 'a', 'null://', 'true'], { env })).code, 0);
});

test('a directory of names that others may write is refused', async (t) => {
  const env = { XDG_RUNTIME_DIR: tmpDir(t) };
  mkdirSync(join(env.XDG_RUNTIME_DIR, 'vdens'));
  chmodSync(join(env.XDG_RUNTIME_DIR, 'vdens'), 0o777);
  const { code, stderr } = await vdens('ours', ['--list'], { env });
  assert.equal(code, 1);
  assert.match(stderr, /^vdens: .*: not a directory of yours alone/);
});

/** Options of Node's that make it believe that its C library lacks a function. */
function lacking(t: Owner, name: string): string {
  const file = join(tmpDir(t), 'preload.cjs');
  const source = `
    const koffi = require(${JSON.stringify(join(root, 'node_modules/koffi'))});
    const load = koffi.load;
    koffi.load = (path) => {
      const library = load(path);
      const func = (prototype) => {
        if (prototype.includes(' ${name}(')) throw new Error('no ${name}');
        return library.func(prototype);
      };
      return { func };
    };`;
  writeFileSync(file, source);
  return `--require ${file}`;
}

test('--enter says in one line that a C library without makecontext, such as musl, will not do', async (t) => {
  if (!requireVdens(t)) return;
  const env = { XDG_RUNTIME_DIR: tmpDir(t) };
  const first = startVdens(t, 'ours', ['--name', 'a', 'null://', ...LIVE], { env });
  await first.waitFor('net:');
  const { code, stdout, stderr } = await vdens('ours', ['--enter', 'a', 'true'], {
    env: { ...env, NODE_OPTIONS: lacking(t, 'makecontext') },
  });
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(
    stderr,
    /^vdens: --enter a: [^\n]*no makecontext\(3\)[^\n]* \(use a Node\.js built for glibc[^\n]*\)\n$/,
  );
  assert.equal((await vdens('ours', ['--enter', 'a', 'true'], { env })).code, 0);
});
