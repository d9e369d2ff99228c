import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { writePidfile } from '../../src/cli/pidfile.js';
import { getpgrp } from '../../src/sys/process.js';
import { root } from '../support/bin.js';
import { start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

/** The pid of a process that has ended. */
function deadPid(): number {
  return spawnSync('true').pid;
}

test('holds the decimal pid and a newline, readable by all, until removed', (t) => {
  const path = join(tmpDir(t), 'pid');
  const umask = process.umask(0o077);
  const pidfile = writePidfile(path);
  process.umask(umask);
  assert.equal(readFileSync(path, 'latin1'), `${process.pid}\n`);
  assert.equal(statSync(path).mode & 0o777, 0o644);
  pidfile.remove();
  assert.ok(!existsSync(path));
  pidfile.remove();
});

test('a relative path counts from the directory at the time of the call', (t) => {
  const [dir, before] = [tmpDir(t), process.cwd()];
  process.chdir(dir);
  try {
    const pidfile = writePidfile('pid');
    process.chdir('/');
    assert.equal(pidfile.path, join(dir, 'pid'));
    pidfile.remove();
    assert.ok(!existsSync(join(dir, 'pid')));
  } finally {
    process.chdir(before);
  }
});

test('the file of a live process is refused and left alone', (t) => {
  const path = join(tmpDir(t), 'pid');
  const other = start(t, 'sleep', ['100']);
  writeFileSync(path, `${other.pid}\n`);
  assert.throws(() => writePidfile(path), {
    code: 'EEXIST',
    message: `${path}: is held by live process ${other.pid} (stop that process or name another pid file)`,
  });
  assert.equal(readFileSync(path, 'latin1'), `${other.pid}\n`);
});

test('a process that has ended and was not waited for is no live one', async (t) => {
  const path = join(tmpDir(t), 'pid');
  // Ends only once the shell, which might wait for it, has become a cat, which does not.
  const child = '(while grep -sqx sh /proc/$$/comm; do :; done)';
  const parent = start(t, 'sh', ['-c', `${child} & echo $!; exec cat`]);
  const [, pid] = await parent.waitFor(/(\d+)\n/);
  while (!readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')) await immediate();
  writeFileSync(path, `${pid}\n`);
  writePidfile(path).remove();
  assert.ok(!existsSync(path));
});

test('a live process group is refused, our own is not', (t) => {
  const path = join(tmpDir(t), 'pgrp');
  const leader = start(t, 'sleep', ['100']);
  writeFileSync(path, `-${leader.pid}\n`);
  assert.throws(() => writePidfile(path, -getpgrp()), { message: new RegExp(`live process group ${leader.pid} `) });
  writeFileSync(path, `-${getpgrp()}\n`);
  writePidfile(path, -getpgrp()).remove();
  assert.ok(!existsSync(path));
});

for (const [what, content] of [
  ['a dead process', () => `${deadPid()}\n`],
  ['this process from an earlier life', () => `${process.pid}\n`],
  ['nothing', () => ''],
  ['garbage', () => 'hello\n'],
  ['no number of a process', () => '99999999999\n'],
  ['all processes', () => '-1\n'],
] as const)
  test(`a file that names ${what} is replaced`, (t) => {
    const path = join(tmpDir(t), 'pid');
    writeFileSync(path, content());
    writePidfile(path);
    assert.equal(readFileSync(path, 'latin1'), `${process.pid}\n`);
  });

test('what is no pid file is never replaced', (t) => {
  const dir = tmpDir(t);
  const document = join(dir, 'document');
  writeFileSync(document, 'some text of a user, given by mistake\n');
  assert.throws(() => writePidfile(document), { code: 'EEXIST', message: /not a pid file/ });
  assert.match(readFileSync(document, 'latin1'), /^some text/);
  mkdirSync(join(dir, 'directory'));
  assert.throws(() => writePidfile(join(dir, 'directory')), { code: 'EEXIST' });
  spawnSync('mkfifo', [join(dir, 'fifo')]);
  assert.throws(() => writePidfile(join(dir, 'fifo')), { code: 'EEXIST' });
  symlinkSync(join(dir, 'nowhere'), join(dir, 'link'));
  assert.throws(() => writePidfile(join(dir, 'link')), { code: 'EEXIST', message: /symbolic link/ });
  assert.throws(() => writePidfile(join(dir, 'missing', 'pid')), { code: 'ENOENT' });
});

test('remove leaves the file of a successor', (t) => {
  const path = join(tmpDir(t), 'pid');
  const pidfile = writePidfile(path);
  rmSync(path);
  writeFileSync(path, '1\n');
  pidfile.remove();
  assert.equal(readFileSync(path, 'latin1'), '1\n');
});

test('of several programs that find the same stale file at once one wins', async (t) => {
  const dir = tmpDir(t);
  const program = `
    import { writePidfile } from ${JSON.stringify(join(root, 'src/cli/pidfile.ts'))};
    import { createInterface } from 'node:readline';
    console.log('waiting');
    for await (const path of createInterface({ input: process.stdin })) {
      try { writePidfile(path); console.log('won ' + path); } catch (error) { console.log(error.code + ' ' + path); }
    }`;
  const contenders = [1, 2, 3].map(() =>
    start(t, process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { cwd: root }),
  );
  await Promise.all(contenders.map((one) => one.waitFor('waiting')));
  const rounds = Array.from({ length: 60 }, (_, i) => join(dir, `pid${i}`));
  for (const path of rounds) writeFileSync(path, `${deadPid()}\n`);
  // None may end, and thereby leave its files to the others, before all are done.
  for (const one of contenders) one.stdin.write(`${rounds.join('\n')}\n`);
  await Promise.all(contenders.map((one) => one.waitFor(`${rounds[rounds.length - 1]}\n`)));
  for (const path of rounds) {
    const winners = contenders.filter((one) => one.stdout.includes(`won ${path}\n`));
    assert.equal(winners.length, 1, path);
    assert.equal(readFileSync(path, 'latin1'), `${winners[0].pid}\n`);
  }
});
