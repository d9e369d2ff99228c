import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { lockFile } from '../../src/sys/file.js';
import {
  close,
  closesOnExec,
  descendants,
  dup2,
  getpgrp,
  hasNoReader,
  kill,
  pipe,
  setCloseOnExec,
} from '../../src/sys/process.js';
import { root } from '../support/bin.js';
import { run, start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';

/** Runs a module text with everything of process.ts in scope, in a process of its own that leads no group. */
function isolated(text: string) {
  const program = `import * as sys from ${JSON.stringify(join(root, 'src/sys/process.ts'))};\n${text}`;
  return run(
    'sh',
    ['-c', '"$@"; exit $?', 'sh', process.execPath, '--import', 'tsx', '--input-type=module', '-e', program],
    { cwd: root },
  );
}

test('a pipe carries bytes and closes at exec', () => {
  const { read, write } = pipe();
  assert.ok(closesOnExec(read) && closesOnExec(write));
  writeSync(write, 'bytes');
  const buffer = Buffer.alloc(16);
  assert.equal(readSync(read, buffer), 5);
  close(write);
  assert.equal(readSync(read, buffer), 0);
  close(read);
  assert.throws(() => close(read), { code: 'EBADF', call: 'close' });
});

test('dup2 makes a descriptor that stays open at exec', () => {
  const { read, write } = pipe();
  const target = openSync('/dev/null', 'r');
  dup2(read, target);
  assert.ok(!closesOnExec(target));
  dup2(read, read);
  assert.ok(!closesOnExec(read));
  setCloseOnExec(read, true);
  assert.ok(closesOnExec(read));
  for (const fd of [read, write, target]) closeSync(fd);
  assert.throws(() => dup2(read, 0), { code: 'EBADF' });
});

test('execvp replaces the process: same pid, chosen descriptors, default signals', async () => {
  const { stdout, code } = await isolated(`
    import { openSync, writeSync } from 'node:fs';
    writeSync(1, process.pid + '\\n');
    process.env.SAID = 'by exec';
    const kept = openSync('/dev/null'), lost = openSync('/dev/null');
    const show = 'echo $$ $SAID; grep -E "Sig(Blk|Ign)" /proc/self/status; ls /proc/self/fd | grep -x -e "$1" -e "$2"; exit 5';
    sys.execvp('sh', ['sh', '-c', show, 'sh', String(kept), String(lost)], [kept]);`);
  const [before, after, blocked, ignored, ...fds] = stdout.trim().split('\n');
  assert.equal(after, `${before} by exec`);
  assert.equal(blocked, 'SigBlk:\t0000000000000000');
  assert.equal(ignored, 'SigIgn:\t0000000000000000');
  assert.equal(fds.length, 1);
  assert.equal(code, 5);
});

test('a failed execvp names the program and leaves the process as it was', async () => {
  const { stdout } = await isolated(`
    import { readFileSync } from 'node:fs';
    const state = () => readFileSync('/proc/self/status', 'latin1').match(/SigIgn.*/)[0] + sys.closesOnExec(2);
    const before = state();
    try { sys.execvp('/nonexistent/program', ['program']); } catch (error) { console.log(error.message, before === state()); }`);
  assert.equal(stdout, '/nonexistent/program: No such file or directory true\n');
});

test('process groups and sessions', async () => {
  const leads = 'const leads = () => sys.getpgrp() === process.pid;';
  const group = await isolated(`${leads}
    const out = [leads()];
    sys.setpgid(0, 0);
    out.push(leads());
    try { sys.setsid(); } catch (error) { out.push(error.code); }
    console.log(...out);`);
  assert.equal(group.stdout, 'false true EPERM\n');
  const session = await isolated(`${leads}
    console.log(leads(), sys.setsid() === process.pid, leads());
    try { sys.setpgid(0, 0); } catch (error) { console.log(error.code); }`);
  assert.equal(session.stdout, 'false true true\nEPERM\n');
});

test('tells whether a pipe has a reader', () => {
  const { read, write } = pipe();
  assert.ok(!hasNoReader(write));
  close(read);
  assert.ok(hasNoReader(write));
  close(write);
});

test('kill reaches a group, and asks with 0', async (t) => {
  const leader = start(t, 'sh', ['-c', 'sleep 100 & echo ready; wait']);
  await leader.waitFor('ready');
  kill(leader.pid, 0);
  kill(-leader.pid, 'SIGTERM');
  assert.equal((await leader.exited).signal, 'SIGTERM');
  const { pid } = spawnSync('true');
  assert.throws(() => kill(-pid, 0), { code: 'ESRCH', subject: `process group ${pid}` });
  assert.ok(getpgrp() > 0);
});

test('knows the descendants of a process, nearest first', async (t) => {
  const leader = start(t, 'sh', ['-c', 'sh -c "sleep 1000 & echo ready; wait; :" & wait']);
  await leader.waitFor('ready');
  const [child, grandchild, ...more] = descendants(leader.pid);
  assert.deepEqual(more, []);
  assert.deepEqual(descendants(child), [grandchild]);
  assert.match(readFileSync(`/proc/${grandchild}/status`, 'utf8'), new RegExp(`^PPid:\t${child}$`, 'm'));
  const { pid } = spawnSync('true');
  assert.deepEqual(descendants(pid), []);
});

test('a locked file is not locked twice', (t) => {
  const path = join(tmpDir(t), 'file');
  const [one, two] = [openSync(path, 'w'), openSync(path, 'w')];
  assert.ok(lockFile(one, 'one', false));
  assert.ok(!lockFile(two, 'two', false));
  closeSync(one);
  assert.ok(lockFile(two, 'two', false));
  closeSync(two);
});
