/**
 * dpipe as its users see it, and beside Debian's: same chains, same data, same pipes.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { bin, debian } from '../support/bin.js';
import { requirePeer } from '../support/peers.js';
import { adopt, type Running, run, start, waitForExit, waitForSleep } from '../support/proc.js';
import { waitForFile, waitForGone } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const dpipe = bin('dpipe');
const SYNTAX = { code: 1, signal: null, stdout: '' };
/** Keeps Debian's dpipe from leading a session, which it cannot bear. */
const underShell = (command: string, args: string[]) => ['-c', '"$@"; exit $?', 'sh', command, ...args];

/** Nobody ever writes to it: opening it for reading waits, with no further program or descriptor. */
const gate = join(tmpDir({ after }), 'gate');
spawnSync('mkfifo', [gate]);

/** A stage that writes its pid to DIR/NAME and waits for its end. */
const waiting = (dir: string, name: string, before = '') => [
  'sh',
  '-c',
  `${before} echo $$ > ${dir}/${name}.new; mv ${dir}/${name}.new ${dir}/${name}; read line < ${gate}`,
];

/** The pids of waiting stages, once all are there. */
async function pids(t: TestContext, dir: string, names: string[]): Promise<number[]> {
  await Promise.all(names.map((name) => waitForFile(join(dir, name))));
  const all = names.map((name) => Number(readFileSync(join(dir, name), 'latin1')));
  for (const pid of all) adopt(t, pid);
  return all;
}

/** The chain with each one-letter word replaced by a waiting stage of that name. */
const waitingChain = (chain: string, dir: string) =>
  chain.split(' ').flatMap((word) => (/^\w$/.test(word) ? waiting(dir, word) : [word]));
const names = (chain: string) => chain.split(' ').filter((word) => /^\w$/.test(word));

/** Who writes to whom, as `a1>b0`, found by the inodes of the pipes on descriptors 0, 1, 3 and 4. */
function wiring(processes: Map<string, number>): string {
  const ends = new Map<string, { from?: string; to?: string }>();
  for (const [name, pid] of processes) {
    for (const fd of [0, 1, 3, 4].filter((number) => existsSync(`/proc/${pid}/fd/${number}`))) {
      const pipe = readlinkSync(`/proc/${pid}/fd/${fd}`);
      const writes = /^flags:\s+\d*1$/m.test(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'));
      ends.set(pipe, { ...ends.get(pipe), [writes ? 'from' : 'to']: `${name}${fd}` });
    }
  }
  return [...ends.values()]
    .map(({ from, to }) => `${from}>${to}`)
    .sort()
    .join(' ');
}

const CHAINS = [
  'a = b',
  'a = b = c',
  'a = b = c = d',
  'a =} b }= c',
  'a ={ b {= c',
  'a =} b }={ c {= d = e',
  'a ={ b {=} c }= d',
  'a =} b =} c }= d',
  'a =} b ={ c {= d',
  'a = b =} c }= d',
];
const TABLE: Record<string, string> = {
  'a = b': 'a1>b0 b1>a0',
  'a = b = c': 'a1>b0 b1>a0 b4>c0 c1>b3',
  'a =} b }= c': 'a1>b0 b1>c0 c1>a0',
  'a ={ b {= c': 'a1>c0 b1>a0 c1>b0',
  'a =} b }={ c {= d = e': 'a1>b0 b1>d0 c1>a0 d1>c0 d4>e0 e1>d3',
};

for (const chain of CHAINS)
  test(`wires ${chain} as the table says and Debian's does, and leaks nothing`, async (t) => {
    if (!requirePeer(t, debian('dpipe'))) return;
    const [ourDir, theirDir, all] = [tmpDir(t), tmpDir(t), names(chain)];
    const ours = start(t, dpipe, waitingChain(chain, ourDir));
    start(t, 'sh', underShell(debian('dpipe'), waitingChain(chain, theirDir)));
    const [ourPids, theirPids] = [await pids(t, ourDir, all), await pids(t, theirDir, all)];
    const pipes = wiring(new Map(all.map((name, i) => [name, ourPids[i]])));
    assert.equal(pipes, wiring(new Map(all.map((name, i) => [name, theirPids[i]]))));
    if (TABLE[chain]) assert.equal(pipes, TABLE[chain]);
    for (const [i, name] of all.entries()) {
      const expected = ['0', '1', '2', ...(pipes.includes(`${name}4>`) ? ['3', '4'] : [])];
      assert.deepEqual(descriptors(ourPids[i]), expected, name);
    }
    // The last stage may be there before dpipe has closed its own copies of that stage's pipes.
    await waitForSleep(ours.pid);
    const held = readdirSync(`/proc/${ours.pid}/fd`).map((fd) => link(ours.pid, `fd/${fd}`));
    for (const pid of ourPids) for (const fd of ['0', '1']) assert.ok(!held.includes(link(pid, `fd/${fd}`)));
  });

const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`);

function link(pid: number, what: string): string {
  try {
    return readlinkSync(`/proc/${pid}/${what}`);
  } catch {
    return '';
  }
}

/** A stage that says `text`, and stores what it hears in DIR/NAME. */
const end = (name: string, text: string) => ['sh', '-c', `${text}; exec >&-; cat > ${name}`];
const both = 'exec 5<&0; cat <&5 >&4 & exec 4>&- 5<&-; cat <&3; wait';
for (const [what, stages] of [
  ['two ends', [...end('a', 'seq 1 50000'), '=', ...end('b', 'echo from b')]],
  ['a stage with two sides', [...end('a', 'seq 1 50000'), '=', 'sh', '-c', both, '=', ...end('c', 'echo from c')]],
  ['a stage to the right', [...end('a', 'seq 1 50000'), '=}', 'tr', '1', 'x', '}=', ...end('c', 'echo 11')]],
  ['a stage to the left', [...end('a', 'echo 11'), '={', 'tr', '1', 'x', '{=', ...end('c', 'seq 1 50000')]],
  ['both', [...end('a', 'echo 11'), '=}', 'tr', '1', 'x', '}={', 'tr', '1', 'y', '{=', ...end('d', 'echo 111')]],
  ['environment', ['sh', '-c', 'cat > a', '=', 'sh', '-c', 'env | grep ^ALTERNATE | sort']],
] as [string, string[]][])
  test(`carries the same data as Debian's: ${what}`, async (t) => {
    if (!requirePeer(t, debian('dpipe'))) return;
    const [ours, theirs] = [tmpDir(t), tmpDir(t)];
    assert.equal((await run(dpipe, stages, { cwd: ours })).code, 0);
    assert.equal((await run('sh', underShell(debian('dpipe'), stages), { cwd: theirs })).code, 0);
    const files = (dir: string) =>
      Object.fromEntries(readdirSync(dir).map((file) => [file, readFileSync(join(dir, file), 'latin1')]));
    assert.deepEqual(files(ours), files(theirs));
    assert.ok(Object.values(files(ours)).join('').length > 3);
  });

test('exits with the status of the last command, or 128 + the signal that killed it', async () => {
  const status = async (...stages: string[]) => (await run(dpipe, stages)).code;
  assert.equal(await status('sh', '-c', 'exit 3', '=', 'sh', '-c', 'exit 4'), 4);
  assert.equal(await status('sh', '-c', 'exit 3', '=', 'true'), 0);
  assert.equal(await status('true', '=', 'sh', '-c', 'kill -9 $$'), 137);
});

test('a command that ends takes the others with it by end of file', async () => {
  const { code } = await run(dpipe, ['true', '=', 'cat', '=', 'cat', '=', 'cat']);
  assert.equal(code, 0);
});

test('passes an argument with = in front', async (t) => {
  const dir = tmpDir(t);
  await run(dpipe, ['sh', '-c', 'printf "%s\\n" "$@" > out', 'sh', '\\=', '\\=}x', '\\\\=', 'a=b', '=', 'true'], {
    cwd: dir,
  });
  assert.equal(readFileSync(join(dir, 'out'), 'latin1'), '=\n=}x\n\\=\na=b\n');
});

test('options are read in front of the first command only', async (t) => {
  const dir = tmpDir(t);
  await run(dpipe, ['sh', '-c', 'echo "$@" > out', 'sh', '-p', 'file', '--help', '=', 'true'], { cwd: dir });
  assert.equal(readFileSync(join(dir, 'out'), 'latin1'), '-p file --help\n');
});

test('-h prints the usage and leaves the caller alone', async () => {
  for (const option of ['-h', '--help']) {
    const { code, stdout, stderr } = await run('sh', ['-c', `${dpipe} ${option}; echo "still here, $?"`]);
    assert.equal(code, 0);
    assert.match(stdout, /^Usage: dpipe .*-p, --pidfile FILE .*\nstill here, 0\n$/s);
    assert.equal(stderr, '');
  }
});

for (const [args, message] of [
  ['', 'arguments: at least two commands joined by = are needed (see dpipe -h)'],
  ['cat =', '=: no command after it'],
  ['cat =} cat', '=}: not closed by }='],
  ['--pidfle x cat = cat', '--pidfle: unknown option (did you mean --pidfile?)'],
  ['-d cat =', '=: no command after it'],
])
  test(`dpipe ${args}: one line and status 1`, async () => {
    assert.deepEqual(await run(dpipe, args.split(' ').filter(Boolean)), { ...SYNTAX, stderr: `dpipe: ${message}\n` });
  });

for (const options of [[], ['-d'], ['-n'], ['-d', '-n']])
  test(`${['dpipe', ...options].join(' ')}: a command that cannot be executed ends the others, status 127`, async (t) => {
    const dir = tmpDir(t);
    const files = ['-p', join(dir, 'pid'), '-P', join(dir, 'pgrp')];
    writeFileSync(join(dir, 'plain'), 'text');
    for (const [program, why] of [
      ['/nonexistent/program', 'No such file or directory'],
      ['nonexistent-program', 'No such file or directory'],
      [join(dir, 'plain'), 'Permission denied'],
    ]) {
      const result = await run(dpipe, [...options, ...files, 'sleep', '100', '=', program, 'x']);
      assert.deepEqual(result, { code: 127, signal: null, stdout: '', stderr: `dpipe: ${program}: ${why}\n` });
    }
    assert.deepEqual(readdirSync(dir), ['plain']);
  });

async function waitingPair(t: TestContext, before = ''): Promise<{ child: Running; stages: number[]; dir: string }> {
  const dir = tmpDir(t);
  const files = ['-p', join(dir, 'pid'), '-P', join(dir, 'pgrp')];
  const child = start(t, dpipe, [...files, ...waiting(dir, 'a', before), '=', ...waiting(dir, 'b')]);
  return { child, dir, stages: await pids(t, dir, ['a', 'b']) };
}

for (const [signal, code, by] of [
  ['SIGTERM', 0, null],
  ['SIGINT', null, 'SIGINT'],
  ['SIGHUP', null, 'SIGHUP'],
] as const)
  test(`${signal} ends all commands, then dpipe`, async (t) => {
    const { child, stages, dir } = await waitingPair(t);
    child.kill(signal);
    assert.deepEqual(await child.exited, { code, signal: by });
    for (const pid of stages) assert.ok(!existsSync(`/proc/${pid}`), 'a command outlived dpipe');
    assert.deepEqual(readdirSync(dir).sort(), ['a', 'b']);
  });

test('SIGTERM kills a command that ignores it, after two seconds', async (t) => {
  const { child, stages } = await waitingPair(t, 'trap "" TERM;');
  const begin = Date.now();
  child.kill('SIGTERM');
  assert.deepEqual(await child.exited, { code: 0, signal: null });
  assert.ok(Date.now() - begin >= 1900);
  for (const pid of stages) assert.ok(!existsSync(`/proc/${pid}`));
});

test('signals reach the commands only, not other members of the group', async (t) => {
  const dir = tmpDir(t);
  // Started as a group leader with a bystander in its group, as an interactive shell does for `dpipe ... | bystander`.
  const script = `sleep 100 & echo bystander $!; exec "$@"`;
  const child = start(t, 'sh', ['-c', script, 'sh', dpipe, ...waiting(dir, 'a'), '=', ...waiting(dir, 'b')]);
  const bystander = Number((await child.waitFor(/bystander (\d+)\n/))[1]);
  adopt(t, bystander);
  await pids(t, dir, ['a', 'b']);
  child.kill('SIGTERM');
  await once(child.child, 'exit');
  assert.ok(existsSync(`/proc/${bystander}`));
});

test('-p and -P hold the process and its group while it runs', async (t) => {
  const { child, stages, dir } = await waitingPair(t);
  assert.equal(readFileSync(join(dir, 'pid'), 'latin1'), `${child.pid}\n`);
  assert.equal(readFileSync(join(dir, 'pgrp'), 'latin1'), `-${child.pid}\n`);
  for (const pid of stages) assert.equal(pgrpOf(pid), child.pid);
  process.kill(-child.pid, 'SIGTERM');
  assert.equal((await child.exited).code, 0);
  assert.deepEqual(readdirSync(dir).sort(), ['a', 'b']);
});

test('makes a group of its own if it does not lead one', async (t) => {
  const dir = tmpDir(t);
  const shell = start(
    t,
    'sh',
    underShell(dpipe, ['-p', join(dir, 'pid'), ...waiting(dir, 'a'), '=', ...waiting(dir, 'b')]),
  );
  const stages = await pids(t, dir, ['a', 'b']);
  const pid = Number(readFileSync(join(dir, 'pid'), 'latin1'));
  assert.notEqual(pid, shell.pid);
  for (const one of [pid, ...stages]) assert.equal(pgrpOf(one), pid);
  process.kill(pid, 'SIGTERM');
  assert.equal((await shell.exited).code, 0);
});

function pgrpOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ')[2]);
}

test("another's pid file is refused and left alone, and nothing is started", async (t) => {
  const dir = tmpDir(t);
  const [pidfile, other] = [join(dir, 'pid'), start(t, 'sleep', ['100'])];
  writeFileSync(pidfile, `${other.pid}\n`);
  for (const options of [[], ['-d'], ['-n']]) {
    const { code, stderr } = await run(dpipe, [...options, '-p', pidfile, 'touch', join(dir, 'made'), '=', 'true']);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^dpipe: ${pidfile}: is held by live process ${other.pid} .*\\n$`));
  }
  assert.deepEqual(readdirSync(dir), ['pid']);
});

test('-d returns when all commands run, with nothing of the caller left to them', async (t) => {
  const dir = tmpDir(t);
  const stages = [...waiting(dir, 'a'), '=', ...waiting(dir, 'b'), '=', ...waiting(dir, 'c')];
  assert.deepEqual(await run(dpipe, ['-d', '-p', 'pid', '-P', 'pgrp', ...stages], { cwd: dir }), {
    code: 0,
    signal: null,
    stdout: '',
    stderr: '',
  });
  const pid = Number(readFileSync(join(dir, 'pid'), 'latin1'));
  adopt(t, pid);
  assert.equal(readFileSync(join(dir, 'pgrp'), 'latin1'), `-${pid}\n`);
  const all = await pids(t, dir, ['a', 'b', 'c']);
  for (const one of [pid, ...all]) {
    assert.equal(link(one, 'cwd'), '/');
    assert.equal(link(one, 'fd/2'), '/dev/null');
    assert.equal(pgrpOf(one), pid);
  }
  assert.deepEqual(descriptors(all[1]), ['0', '1', '2', '3', '4']);
  assert.doesNotMatch(readFileSync(`/proc/${all[0]}/environ`, 'latin1'), /VDE_DAEMON/);
  process.kill(pid, 'SIGTERM');
  await waitForExit(pid);
  for (const one of all) await waitForExit(one);
  assert.deepEqual(readdirSync(dir).sort(), ['a', 'b', 'c']);
});

for (const [option, cleans] of [
  ['-n', true],
  ['-N', false],
] as const)
  test(`${option}: the last command is the process that was started`, async (t) => {
    const dir = tmpDir(t);
    const show = 'grep -E "Sig(Blk|Ign)" /proc/self/status > status;';
    const stages = [
      ...waiting(dir, 'a', show),
      '=',
      ...waiting(dir, 'b'),
      '=',
      ...waiting(dir, 'c', `${show} echo >&2 shown;`),
    ];
    const child = start(t, dpipe, [option, '-p', 'pid', '-P', 'pgrp', ...stages], { cwd: dir });
    await child.waitFor('shown');
    const [a, b, c] = await pids(t, dir, ['a', 'b', 'c']);
    assert.equal(c, child.pid);
    assert.equal(readFileSync(join(dir, 'pid'), 'latin1'), `${c}\n`);
    assert.equal(readFileSync(join(dir, 'pgrp'), 'latin1'), `-${c}\n`);
    assert.equal(readFileSync(join(dir, 'status'), 'latin1'), 'SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n');
    assert.equal(
      wiring(
        new Map([
          ['a', a],
          ['b', b],
          ['c', c],
        ]),
      ),
      'a1>b0 b1>a0 b4>c0 c1>b3',
    );
    assert.deepEqual(descriptors(c), ['0', '1', '2']);
    process.kill(Number(readFileSync(join(dir, 'pgrp'), 'latin1')), 'SIGTERM');
    assert.equal((await child.exited).signal, 'SIGTERM');
    if (cleans) for (const file of ['pid', 'pgrp']) await waitForGone(join(dir, file));
    else assert.ok(existsSync(join(dir, 'pid')) && existsSync(join(dir, 'pgrp')));
  });

test('works as a session leader, as containers and service managers start it', async () => {
  const { code, stderr } = await run('setsid', ['--wait', dpipe, 'true', '=', 'sh', '-c', 'exit 6']);
  assert.deepEqual([code, stderr], [6, '']);
});
