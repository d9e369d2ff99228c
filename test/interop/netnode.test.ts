/** Switches and hubs that a `vde_plug` of either make runs, and clients of either make. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { command, FrameStream, frame, MAKES, type Make, openEnd, tagOf } from '../support/network.js';
import { requirePeer, requireRoot } from '../support/peers.js';
import { adopt, run, type StartOptions, start, waitForExit } from '../support/proc.js';
import { waitForFile, waitForGone, waitForSocket, waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const DEBIAN = ['/usr/bin/vde_plug', '/usr/bin/vdens'];

/** A node of that make, its station being the standard streams. */
async function startNode(t: Owner, make: Make, locator: string, dir: string): Promise<FrameStream> {
  const stream = new FrameStream(start(t, command(make, 'vde_plug'), [locator]));
  await waitForSocket(join(dir, 'ctl'));
  return stream;
}

/** Data sockets that a node has for its clients: ours are called by port, C's `fdN`. */
function sockets(dir: string): string[] {
  return readdirSync(dir).filter((name) => /^(\d{3,}\.\d+|fd\d+)$/.test(name));
}

async function startClient(t: Owner, make: Make, dir: string, options: StartOptions = {}): Promise<FrameStream> {
  const before = sockets(dir).length;
  const stream = new FrameStream(start(t, command(make, 'vde_plug'), [`vde://${dir}`], options));
  await waitUntil(join(dir, 'ctl'), 'client', () => sockets(dir).length > before);
  return stream;
}

/** Asserts who gets a frame of the tag, everybody but `from` being asked; a later frame shows that no more come. */
async function assertReaches(all: FrameStream[], from: number, tag: string, destination: number, reached: number[]) {
  const source = from + 1;
  all[from].send(frame({ tag, source, destination }), frame({ tag: `after ${tag}`, source }));
  await Promise.all(all.map((one, i) => i === from || one.receive(`after ${tag}`)));
  const exact = [...all.keys()].filter((i) => all[i].received.some((one) => tagOf(one) === tag));
  assert.deepEqual(exact, reached, tag);
}

for (const [node, client, other] of [
  ['ours', 'debian', 'debian'],
  ['ours', 'ours', 'debian'],
  ['debian', 'ours', 'debian'],
  ['debian', 'ours', 'ours'],
] as const) {
  for (const scheme of ['switch', 'hub'] as const) {
    test(`${scheme}: run by ${node}, with clients of ${client} and ${other}`, async (t) => {
      if (!requirePeer(t, ...DEBIAN)) return;
      leakCheck(t);
      const dir = join(tmpDir(t), 'n');
      const owner = await startNode(t, node, `${scheme}://${dir}`, dir);
      const all = [owner, await startClient(t, client, dir), await startClient(t, other, dir)];
      for (const from of all.keys()) await assertReaches(all, from, `from ${from}`, 99, others(all, from));
      const hub = scheme === 'hub';
      await assertReaches(all, 0, 'to the second', 2, hub ? [1, 2] : [1]);
      await assertReaches(all, 2, 'to the owner', 1, hub ? [0, 1] : [0]);
      await assertReaches(all, 1, 'to itself', 2, hub ? [0, 2] : []);
      for (const size of [1514, 9234]) {
        const sent = frame({ tag: `size ${size}`, size, source: 2 });
        all[1].send(sent);
        assert.deepEqual(await all[2].receive(`size ${size}`), sent);
      }
      // A client that leaves is forgotten; when the node goes, its clients do.
      all[2].process.kill('SIGTERM');
      await all[2].process.exited;
      await waitUntil(join(dir, 'ctl'), 'leave', () => sockets(dir).length === 1);
      owner.process.kill('SIGTERM');
      await owner.process.exited;
      assert.deepEqual(await all[1].process.exited, { code: 0, signal: null });
      assert.equal(existsSync(dir), false);
    });
  }
}

function others(all: FrameStream[], from: number): number[] {
  return [...all.keys()].filter((i) => i !== from);
}

test('a switch stands alone beside null://, in the background too, and is taken over after a kill', async (t) => {
  if (!requirePeer(t, ...DEBIAN)) return;
  leakCheck(t);
  const root = tmpDir(t);
  const dir = join(root, 'n');
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const pidfile = join(root, signal);
    const { code, stderr } = await run(command('ours', 'vde_plug'), [
      '-d',
      '-p',
      pidfile,
      'null://',
      `switch://${dir}`,
    ]);
    assert.equal(code, 0, stderr);
    await waitForFile(pidfile);
    const pid = Number(readFileSync(pidfile, 'utf8'));
    adopt(t, pid);
    const [a, b] = [await startClient(t, 'debian', dir), await startClient(t, 'debian', dir)];
    a.send(frame({ tag: signal }));
    await b.receive(signal);
    const second = await run(command('ours', 'vde_plug'), ['null://', `hub://${dir}`]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /a switch is running in/);
    process.kill(pid, signal);
    await waitForExit(pid);
    assert.deepEqual(await Promise.all([a.process.exited, b.process.exited]), [
      { code: 0, signal: null },
      { code: 0, signal: null },
    ]);
    assert.equal(existsSync(dir), signal === 'SIGKILL');
  }
  await waitForGone(dir);
});

test("the directory that a killed C node leaves is taken over; C's -m has a meaning, and the locator the last word", async (t) => {
  if (!requirePeer(t, ...DEBIAN)) return;
  leakCheck(t);
  const dir = join(tmpDir(t), 'n');
  const c = await startNode(t, 'debian', `switch://${dir}`, dir);
  const client = await startClient(t, 'debian', dir);
  c.process.kill('SIGKILL');
  await Promise.all([c.process.exited, client.process.exited]);
  assert.ok(sockets(dir).length > 0);
  const node = new FrameStream(start(t, command('ours', 'vde_plug'), ['-m', '0666', `switch://${dir}[mode=0660]`]));
  // The dead one's files are still there when it begins.
  await waitUntil(join(dir, 'ctl'), 'directory cleared', () => sockets(dir).length === 0);
  await waitForSocket(join(dir, 'ctl'));
  assert.deepEqual(readdirSync(dir), ['ctl']);
  const again = await startClient(t, 'debian', dir);
  again.send(frame({ tag: 'hello' }));
  await node.receive('hello');
});

test('clients of ours and of C get a port also if they ask for one by number', async (t) => {
  if (!requirePeer(t, ...DEBIAN)) return;
  leakCheck(t);
  const dir = join(tmpDir(t), 'n');
  const owner = await startNode(t, 'ours', `switch://${dir}`, dir);
  for (const make of MAKES) {
    for (const port of ['[0]', '[3]', '[3]']) {
      const client = new FrameStream(start(t, command(make, 'vde_plug'), [`vde://${dir}${port}`]));
      const tag = `${make}${port}`;
      client.send(frame({ tag }));
      await owner.receive(tag);
    }
  }
});

test('another user may connect if the mode says so', async (t) => {
  if (!requireRoot(t) || !requirePeer(t, 'setpriv', ...DEBIAN)) return;
  leakCheck(t);
  const root = tmpDir(t);
  await run('chmod', ['755', root]);
  const dir = join(root, 'n');
  const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const closed = await startNode(t, 'ours', `switch://${dir}`, dir);
  const refused = await run('setpriv', [...nobody, command('debian', 'vde_plug'), dir]);
  assert.match(refused.stderr, /Permission denied/);
  closed.process.kill('SIGTERM');
  await closed.process.exited;
  const node = await startNode(t, 'ours', `switch://${dir}[mode=0666]`, dir);
  const client = new FrameStream(start(t, 'setpriv', [...nobody, command('debian', 'vde_plug'), dir]));
  client.send(frame({ tag: 'hello' }));
  await node.receive('hello');
  node.send(frame({ tag: 'welcome' }));
  await client.receive('welcome');
});

test('an end of the library is the owner: 64 kB frames pass to a client of ours', async (t) => {
  leakCheck(t);
  const dir = join(tmpDir(t), 'n');
  const owner = await openEnd(t, `switch://${dir}`);
  const client = await openEnd(t, dir);
  const size = owner.end.maxFrame;
  assert.equal(size, client.end.maxFrame);
  owner.send(frame({ tag: 'large', size }));
  assert.deepEqual(await client.receive('large'), frame({ tag: 'large', size }));
  const closed = new Promise((done) => client.end.on('close', done));
  owner.end.close();
  await closed;
});
