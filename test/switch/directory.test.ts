import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { ControlDirectory } from '../../src/switch/directory.js';
import { AF_UNIX, bindUnix, SOCK_DGRAM, SOCK_STREAM, socket } from '../../src/sys/socket.js';
import { bin, debian } from '../support/bin.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { eventually } from '../support/network.js';
import { requirePeer, requireRoot } from '../support/peers.js';
import { type Running, run, start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, station } from './memory-plug.js';
import { seated } from './raw-client.js';

const limit = { timeout: 150_000 };

function open(t: TestContext, path: string, options = {}): ControlDirectory {
  const directory = ControlDirectory.open(path, options);
  cleanup(t, () => directory.close());
  return directory;
}

/** Mode, owner and kind of everything in a directory, and of itself. */
function inventory(dir: string): string[] {
  return ['.', ...readdirSync(dir).sort()].map((name) => {
    const { mode, uid, gid, ino } = lstatSync(join(dir, name));
    return `${name} ${mode.toString(8)} ${uid} ${gid} ${ino}`;
  });
}

/** A socket file that nobody has open any more. */
function deadSocket(path: string, type: number): void {
  const one = socket(AF_UNIX, type, path);
  bindUnix(one, path);
  one.close();
}

function liveSocket(t: TestContext, path: string, type: number): void {
  const one = socket(AF_UNIX, type, path);
  cleanup(t, () => one.close());
  bindUnix(one, path);
}

/** Waits until a switch serves: its console answers when all is set up, while a dead one's `ctl` tells nothing. */
async function answers(child: Running): Promise<void> {
  child.stdin.write('showinfo\n');
  await child.waitFor('1000 Success', { stream: 'stdout' });
}

async function started(t: TestContext, program: string, dir: string, args: string[] = []): Promise<Running> {
  const child = start(t, program, ['-s', dir, ...args]);
  await answers(child);
  return child;
}

test('a directory is made, listened in, and gone at the end', limit, (t) => {
  const path = join(tmpDir(t), 'sw');
  leakCheck(t, join(path, '..'));
  const directory = open(t, path);
  assert.equal(directory.path, path);
  assert.ok(lstatSync(join(path, 'ctl')).isSocket());
  directory.close();
  directory.close();
  assert.equal(existsSync(path), false);
});

test('clients are told a name without symbolic links', limit, (t) => {
  const top = tmpDir(t);
  mkdirSync(join(top, 'real'));
  symlinkSync('real', join(top, 'link'));
  assert.equal(open(t, join(top, 'link', 'sw')).dataPath(7, 12), join(top, 'real', 'sw', '007.12'));
});

test('a directory that cannot be had is refused with the reason', limit, (t) => {
  const top = tmpDir(t);
  writeFileSync(join(top, 'file'), '');
  symlinkSync('nowhere', join(top, 'dangling'));
  const refused = (name: string, code: string, message: RegExp) =>
    assert.throws(() => ControlDirectory.open(join(top, name)), { name: 'VdeError', code, message });
  refused('no/such/parent', 'ENOENT', /parent: No such file or directory \(its parent directory must exist\)/);
  refused('file', 'ENOTDIR', /file: there is a file of that name/);
  refused('file/below', 'ENOTDIR', /Not a directory/);
  refused('dangling', 'ENOTDIR', /dangling: there is a file of that name/);
  refused('x'.repeat(100), 'ENAMETOOLONG', /socket path of \d+ bytes, the kernel allows 107 \(choose a shorter/);
  assert.deepEqual(readdirSync(top).sort(), ['dangling', 'file'], 'nothing is left of the attempts');
  assert.throws(() => ControlDirectory.open('/proc/nothing'), { name: 'VdeError', code: 'ENOENT' });
});

test('a user may not put a switch where it may not write, and is told so', limit, async (t) => {
  if (!requireRoot(t) || !requirePeer(t, 'setpriv')) return;
  const top = tmpDir(t);
  chmodSync(top, 0o755);
  for (const mode of [0o755, 0o700]) {
    const dir = join(top, mode.toString(8));
    mkdirSync(dir, { mode });
    const who = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--'];
    const { code, stderr } = await run('setpriv', [...who, bin('vde_switch'), '-s', dir]);
    assert.equal(code, 255);
    assert.match(stderr, new RegExp(`^vde_switch.*${dir}.*(Permission denied|Operation not permitted).*\\n$`));
  }
});

test('a file called ctl that is no socket stays where it is', limit, (t) => {
  const path = join(tmpDir(t), 'sw');
  mkdirSync(path);
  writeFileSync(join(path, 'ctl'), 'precious');
  assert.throws(() => ControlDirectory.open(path), { code: 'EEXIST', message: /ctl: a file that is no socket/ });
  assert.equal(readFileSync(join(path, 'ctl'), 'utf8'), 'precious');
});

test('what a dead switch left is cleaned away, what lives or is not of its kind is not', limit, (t) => {
  const path = join(tmpDir(t), 'sw');
  mkdirSync(path);
  deadSocket(join(path, 'ctl'), SOCK_STREAM);
  for (const name of ['001.7', '1234.99', '.04711-00000', '.1234567-00012']) deadSocket(join(path, name), SOCK_DGRAM);
  liveSocket(t, join(path, '.04712-00000'), SOCK_DGRAM);
  for (const name of ['mgmt', '1.7', '.4711-0']) deadSocket(join(path, name), SOCK_DGRAM);
  writeFileSync(join(path, '002.8'), 'a file');
  const kept = ['.04712-00000', '.4711-0', '002.8', '1.7', 'mgmt'];
  const directory = open(t, path);
  assert.deepEqual(readdirSync(path).sort(), [...kept, 'ctl'].sort());
  directory.close();
  assert.deepEqual(readdirSync(path).sort(), kept);
});

test('a directory in use is refused, and nothing in it is changed', limit, async (t) => {
  const dir = join(tmpDir(t), 'sw');
  await started(t, bin('vde_switch'), dir, ['-m', '600']);
  const [a, b] = [await seated(t, dir), await seated(t, dir)];
  const before = inventory(dir);
  const second = await run(bin('vde_switch'), ['-s', dir, '-m', '666', '-g', 'daemon', '--dirmode', '777']);
  assert.equal(second.code, 255);
  assert.match(second.stderr, /ctl: Address already in use \(a switch is running in .*\)\n$/);
  assert.deepEqual(inventory(dir), before);
  const one = frame(BROADCAST, station(1));
  a.send(one);
  assert.deepEqual(await b.frames(1), [one]);
});

test('a directory that a C switch uses is refused as well, and the other way round', limit, async (t) => {
  if (!requirePeer(t, debian('vde_switch'))) return;
  const top = tmpDir(t);
  await started(t, debian('vde_switch'), join(top, 'theirs'));
  assert.equal((await run(bin('vde_switch'), ['-s', join(top, 'theirs')])).code, 255);
  await started(t, bin('vde_switch'), join(top, 'ours'));
  assert.equal((await run(debian('vde_switch'), ['-s', join(top, 'ours')])).code, 255);
  await seated(t, join(top, 'ours'));
});

for (const ours of [true, false]) {
  test(`the directory of a killed ${ours ? 'switch of ours' : 'C switch'} is taken over`, limit, async (t) => {
    if (!ours && !requirePeer(t, debian('vde_switch'))) return;
    const dir = join(tmpDir(t), 'sw');
    const first = await started(t, ours ? bin('vde_switch') : debian('vde_switch'), dir);
    const client = await seated(t, dir);
    first.kill('SIGKILL');
    await first.exited;
    await client.dismissed();
    assert.ok(readdirSync(dir).some((name) => name.startsWith('001.')));
    const second = await started(t, bin('vde_switch'), dir);
    // The first one's socket of port 1 is gone; the client's, which lives, is not touched.
    assert.deepEqual(readdirSync(dir).sort(), [client.path.slice(dir.length + 1), 'ctl'].sort());
    await seated(t, dir);
    client.close();
    second.kill('SIGTERM');
    await second.exited;
    assert.equal(existsSync(join(dir, 'ctl')), false);
  });
}

test('of switches that start at once where a dead one was, one runs and the others say why not', limit, async (t) => {
  const dir = join(tmpDir(t), 'sw');
  for (let round = 0; round < 3; round++) {
    const dead = await started(t, bin('vde_switch'), dir);
    dead.kill('SIGKILL');
    await dead.exited;
    const rivals = [0, 1, 2, 3].map(() => start(t, bin('vde_switch'), ['-s', dir]));
    // All but one end of themselves.
    const ended: Running[] = [];
    await new Promise<void>((done) => {
      for (const one of rivals) {
        void one.exited.then(() => {
          ended.push(one);
          if (ended.length === rivals.length - 1) done();
        });
      }
    });
    for (const one of ended) {
      assert.equal((await one.exited).code, 255);
      assert.match(one.stderr, /Address already in use/);
    }
    const [winner] = rivals.filter((one) => !ended.includes(one));
    await answers(winner);
    const client = await seated(t, dir);
    client.close();
    winner.kill('SIGTERM');
    await winner.exited;
  }
});

test(
  'a switch that starts where another is just ending is refused or serves, and loses nothing to it',
  limit,
  async (t) => {
    const dir = join(tmpDir(t), 'sw');
    let current = await started(t, bin('vde_switch'), dir);
    let refused = 0;
    for (let round = 0; round < 8; round++) {
      // Node is up in some tens of milliseconds: the end is timed to fall anywhere in the start of the next.
      const next = start(t, bin('vde_switch'), ['-s', dir]);
      await new Promise((done) => setTimeout(done, round * 15));
      current.kill('SIGTERM');
      const serves = await answers(next).then(
        () => true,
        () => false,
      );
      await current.exited;
      if (!serves) {
        assert.match(next.stderr, /Address already in use/);
        refused++;
      }
      current = serves ? next : await started(t, bin('vde_switch'), dir);
      const client = await seated(t, dir);
      client.close();
    }
    assert.ok(refused < 8, 'not always refused');
  },
);

const PERMISSIONS: string[][] = [
  [],
  ['-m', '660'],
  ['-m', '666'],
  ['-m', '600'],
  ['-m', '644'],
  ['-m', '0'],
  ['--dirmode', '2750'],
  ['--dirmode', '700'],
  ['-m', '600', '--dirmode', '2770'],
  ['-m', '660', '-g', 'daemon'],
];

test('modes and owners of directory and sockets are those that a C switch sets', limit, async (t) => {
  if (!requireRoot(t) || !requirePeer(t, debian('vde_switch'))) return;
  for (const args of PERMISSIONS) {
    const [ours, theirs] = await Promise.all(
      [bin('vde_switch'), debian('vde_switch')].map(async (program) => {
        const dir = join(tmpDir(t), 'sw');
        const child = await started(t, program, dir, args);
        const client = await seated(t, dir);
        const seen = (): string =>
          [dir, join(dir, 'ctl'), client.answerPath]
            .map((path) => {
              const { mode, uid, gid } = lstatSync(path);
              return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
            })
            .join(', ');
        return { child, seen };
      }),
    );
    // A C switch sets the mode of a data socket some time after it has made it.
    await eventually(args.join(' '), async () => ours.seen() === theirs.seen()).catch(() => {});
    assert.equal(ours.seen(), theirs.seen(), args.join(' '));
    for (const { child } of [ours, theirs]) await child.end();
  }
});
