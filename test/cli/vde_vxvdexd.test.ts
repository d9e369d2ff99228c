import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { describe, it } from 'node:test';
import { bin } from '../support/bin.js';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { adopt, type Running, run, start, waitForExit } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

const COMMAND = bin('vde_vxvdexd');
const uid = process.geteuid?.() ?? 0;

function setUp(t: Owner): { dir: string; path: string; conf: string } {
  const dir = tmpDir(t);
  leakCheck(t);
  return { dir, path: join(dir, 'run', 'sock'), conf: join(dir, 'conf') };
}

async function broker(t: Owner, args: readonly string[]): Promise<Running> {
  const process = start(t, COMMAND, args);
  await process.waitFor('listening at ');
  return process;
}

/** What a member is told. */
async function ask(path: string, parameters: string): Promise<string> {
  const { code, stderr } = await run(bin('vde_plug'), [`vxvdex:///sock="${path}"${parameters}`, 'null://']);
  assert.equal(code, 1);
  assert.match(stderr, /^vde_plug: [^\n]*\n$/);
  return stderr;
}

const WRONG: [args: string[], message: RegExp][] = [
  [['switch'], /"switch": vde_vxvdexd takes options only/],
  [['--ttl', '0'], /--ttl: "0" is not a number from 1 to 255/],
  [['--limit', 'many'], /--limit: "many" is not a number from 1 to 1000/],
  [['--v4', '--v6'], /--v6: it cannot be together with --v4/],
  [['--if', 'none0'], /--if: there is no interface called "none0" \(ip link lists them\)/],
  [['--config', '/no/such/file'], /\/no\/such\/file: No such file or directory/],
  [['--sock', '/no/such/directory/at/all'], /No such file or directory \(the directory of the socket\)/],
  [['--sock', '/dev/null'], /\/dev\/null: a file that is no socket/],
];

describe('what is wrong on the command line is told in one line', { concurrency: 4 }, () => {
  for (const [args, message] of WRONG) {
    it(args.join(' '), async () => {
      const { code, stdout, stderr } = await run(COMMAND, args);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, message);
      assert.match(stderr, /^vde_vxvdexd: [^\n]*\n$/);
    });
  }
});

test('a file of networks that is wrong is refused with its line, before anything is made', async (t) => {
  const { path, conf } = setUp(t);
  writeFileSync(conf, '# networks\nnetwork lab 5000\n');
  for (const background of [[], ['--daemon']]) {
    const { code, stderr } = await run(COMMAND, ['--sock', path, '--config', conf, ...background]);
    assert.equal(code, 1);
    assert.equal(stderr, `vde_vxvdexd: ${conf}:2: nobody may join network lab (groups=..., users=...)\n`);
    assert.equal(existsSync(path), false);
  }
});

test('everybody may connect; SIGTERM ends it with 0, and removes what it made', async (t) => {
  const { dir, path } = setUp(t);
  const pidfile = join(dir, 'pid');
  const process = await broker(t, ['--sock', path, '--pidfile', pidfile]);
  assert.equal(statSync(path).mode & 0o777, 0o666);
  assert.equal(statSync(join(path, '..')).mode & 0o777, 0o755);
  assert.equal(readFileSync(pidfile, 'utf8'), `${process.pid}\n`);
  assert.match(await ask(path, '/grp=16777216'), /may not join network 16777216: above 16777215 there are none/);
  process.kill('SIGTERM');
  assert.deepEqual(await process.exited, { code: 0, signal: null });
  assert.deepEqual([existsSync(join(path, '..')), existsSync(pidfile)], [false, false]);
});

test('a second one at the same path is told; the place of one that was killed is taken', async (t) => {
  const { path } = setUp(t);
  const first = await broker(t, ['--sock', path]);
  const second = await run(COMMAND, ['--sock', path]);
  assert.equal(second.code, 1);
  assert.match(
    second.stderr,
    /Address already in use \(a vde_vxvdexd is running: stop it, or give this one another --sock\)/,
  );
  first.kill('SIGKILL');
  await first.exited;
  assert.equal(existsSync(path), true);
  const third = await broker(t, ['--sock', path]);
  assert.match(await ask(path, '/net=none'), /there is no network "none"/);
  third.kill('SIGTERM');
  await third.exited;
  assert.equal(existsSync(path), false);
});

test('SIGHUP has the file read again; one that is wrong changes nothing', async (t) => {
  const { path, conf } = setUp(t);
  writeFileSync(conf, `network lab 5000 users=${uid + 1}\n`);
  const process = await broker(t, ['--sock', path, '--config', conf]);
  assert.match(await ask(path, '/net=lab'), new RegExp(`may not join network lab \\(5000\\) \\(ask .* in ${conf}:`));
  writeFileSync(conf, `network labs 5000 users=${uid + 1}\n`);
  process.kill('SIGHUP');
  await process.waitFor(`${conf} read again`);
  assert.match(await ask(path, '/net=lab'), /there is no network "lab"/);
  assert.match(await ask(path, '/net=labs'), /may not join network labs \(5000\)/);
  writeFileSync(conf, 'network\n');
  process.kill('SIGHUP');
  await process.waitFor(/the rules stay as they were: [^\n]*conf:1: a network needs a name and a number/);
  assert.match(await ask(path, '/net=labs'), /may not join network labs \(5000\)/);
  process.kill('SIGTERM');
  assert.deepEqual(await process.exited, { code: 0, signal: null });
});

test('in the background: it answers when the caller goes on, and ends by its pid file', async (t) => {
  const { dir, path } = setUp(t);
  const pidfile = join(dir, 'pid');
  const { code, stdout, stderr } = await run(COMMAND, ['--daemon', '--sock', path, '--pidfile', pidfile]);
  assert.deepEqual([code, stdout], [0, ''], stderr);
  const pid = Number(readFileSync(pidfile, 'utf8'));
  adopt(t, pid);
  assert.match(await ask(path, '/net=none'), /there is no network "none"/);
  process.kill(pid, 'SIGTERM');
  await waitForExit(pid);
  assert.deepEqual([existsSync(path), existsSync(pidfile)], [false, false]);
});
