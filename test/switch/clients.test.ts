/** Many clients, dying clients, slow clients: what they may cost the switch, and the others. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin, root } from '../support/bin.js';
import { cpuTime, fdCount, rssKb } from '../support/leaks.js';
import { eventually } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { type Running, start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, station } from './memory-plug.js';
import { rawClient, seated } from './raw-client.js';
import { serve } from './served.js';

const limit = { timeout: 150_000 };
const FIXTURE = join(root, 'test/switch/fixtures/clients.ts');
const NODE = [process.execPath, '--import', 'tsx', FIXTURE] as const;

/** One command on the console of a switch, and the lines of its answer. */
async function ask(vde: Running, command: string): Promise<string> {
  vde.stdin.write(`${command}\n`);
  const [, answer] = await vde.expect(/([\s\S]*?)1000 Success/, { stream: 'stdout' });
  return answer;
}

async function portsOf(vde: Running): Promise<number> {
  return (await ask(vde, 'port/print')).match(/^Port /gm)?.length ?? 0;
}

async function switchAt(vde: Running): Promise<Running> {
  await ask(vde, 'showinfo');
  return vde;
}

/** Waits until the switch has noticed that all clients are gone. */
async function emptied(vde: Running): Promise<void> {
  while ((await portsOf(vde)) > 0) await new Promise((done) => setImmediate(done));
}

/** Resolves when a switch needs the CPU for less than a third of the time: once it has done what there was to do. */
async function idles(vde: Running): Promise<void> {
  await eventually('the switch is idle', async () => {
    const before = cpuTime(vde.pid);
    await new Promise((done) => setTimeout(done, 300));
    return cpuTime(vde.pid) - before < 100_000;
  });
}

test('300 clients that come at once all get their port, and hear each other', limit, async (t) => {
  const dir = join(tmpDir(t), 'sw');
  const vde = await switchAt(start(t, bin('vde_switch'), ['-s', dir, '-n', '300']));
  const clients = Array.from({ length: 300 }, () => rawClient(t, dir));
  assert.ok((await Promise.all(clients.map((client) => client.attach()))).every((got) => got));
  assert.equal(new Set(clients.map(({ answerPath }) => answerPath)).size, 300);
  assert.equal(await portsOf(vde), 300);
  const one = frame(BROADCAST, station(1));
  clients[150].send(one);
  const heard = await Promise.all(clients.filter((_, i) => i !== 150).map((client) => client.frames(1)));
  assert.ok(heard.every(([got]) => got.equals(one)));
  assert.equal(await rawClient(t, dir).attach(), false, 'there is no port 301');
});

test('a thousand clients that are killed leave no port, descriptor, file or memory behind', limit, async (t) => {
  const dir = join(tmpDir(t), 'sw');
  const vde = await switchAt(start(t, bin('vde_switch'), ['-s', dir, '-n', '200']));
  const batch = async (count: number, silent = false) => {
    const [node, ...args] = NODE;
    const clients = start(t, node, [...args, JSON.stringify({ dir, count, silent })]);
    await clients.waitFor(silent ? 'attached 0' : `attached ${count} refused 0`);
    if (!silent) assert.equal(await portsOf(vde), count);
    clients.kill('SIGKILL');
    await clients.exited;
    await emptied(vde);
  };
  await batch(100);
  const before = { fds: fdCount(vde.pid), memory: rssKb(vde.pid) };
  for (let round = 0; round < 9; round++) await batch(100);
  await batch(100, true);
  assert.equal(await ask(vde, 'port/print').then((text) => text.includes('Port')), false);
  await eventually('descriptors are given back', async () => fdCount(vde.pid) === before.fds);
  // Sockets of the killed clients stay, as with any switch; of the switch's own none does.
  const left = readdirSync(dir).filter((name) => !name.startsWith('.'));
  assert.deepEqual(left, ['ctl']);
  const grown = rssKb(vde.pid) - before.memory;
  assert.ok(grown < 30_000, `${grown} KiB more after 900 clients`);
  await seated(t, dir, 1);
});

test('without descriptors newcomers are told so, the others go on, and a free one is used', limit, async (t) => {
  if (!requirePeer(t, 'prlimit')) return;
  const dir = join(tmpDir(t), 'sw');
  const vde = await switchAt(start(t, 'prlimit', ['--nofile=64:64', bin('vde_switch'), '-s', dir]));
  const clients = [await seated(t, dir), await seated(t, dir)];
  for (;;) {
    const client = rawClient(t, dir);
    if (!(await client.attach())) break;
    clients.push(client);
    assert.ok(clients.length < 32, 'the limit of descriptors comes before that of ports');
  }
  await vde.waitFor(/client refused.*Too many open files/, { stream: 'stderr' });
  for (let n = 0; n < 20; n++) assert.equal(await rawClient(t, dir).attach(), false);
  assert.equal(await portsOf(vde), clients.length);
  const one = frame(BROADCAST, station(1));
  clients[0].send(one);
  assert.deepEqual(await clients[1].frames(1), [one]);
  await idles(vde);
  clients.pop()?.close();
  while (!(await rawClient(t, dir).attach())) await new Promise((done) => setImmediate(done));
});

test('with its limit taken away under it a switch waits rather than spins, and comes back', limit, async (t) => {
  if (!requirePeer(t, 'prlimit')) return;
  const dir = join(tmpDir(t), 'sw');
  const vde = await switchAt(start(t, bin('vde_switch'), ['-s', dir]));
  const [a, b] = [await seated(t, dir), await seated(t, dir)];
  const set = (value: string) =>
    start(t, 'prlimit', ['--pid', String(vde.pid), `--nofile=${value}`]).exited.then(({ code }) =>
      assert.equal(code, 0),
    );
  await set('5:1024');
  const waiting = rawClient(t, dir);
  await idles(vde);
  const one = frame(BROADCAST, station(1));
  a.send(one);
  assert.deepEqual(await b.frames(1), [one]);
  await set('1024:1024');
  // The first that waited may have been turned away; who comes later is served.
  waiting.close();
  while (!(await rawClient(t, dir).attach())) await new Promise((done) => setImmediate(done));
});

test('a client that does not read costs only its own frames, and these are counted', limit, async (t) => {
  const { dir, sw } = serve(t);
  const [sender, reader, stopped] = [await seated(t, dir), await seated(t, dir), await seated(t, dir)];
  const port = sw.ports[3];
  assert.ok(port);
  const numbered = (n: number) => frame(BROADCAST, station(1), { payload: String(n).padStart(200, '.') });
  let total = 0;
  while (port.drops.full < 500) {
    const some = Array.from({ length: 50 }, (_, i) => numbered(total + i));
    total += 50;
    for (const one of some) assert.ok(sender.send(one), 'the sender is not held up');
    assert.deepEqual(await reader.frames(50), some, 'the reader gets everything');
  }
  const { full } = port.drops;
  assert.equal(sw.ports[2]?.drops.full, 0);
  // What waited arrives in order and without a hole; then new frames come through again.
  const got = await stopped.frames(total - full);
  assert.deepEqual(got.slice(-1), [numbered(total - full - 1)]);
  assert.ok(got.every((bytes, n) => bytes.equals(numbered(n))));
  sender.send(numbered(total));
  assert.deepEqual(await stopped.frames(1), [numbered(total)]);
  assert.equal(port.drops.full, full);
});

test('a stopped client that leaves gives back what waited for it', limit, async (t) => {
  const { dir, sw, clients } = serve(t);
  const [sender, reader] = [await seated(t, dir), await seated(t, dir)];
  const one = frame(BROADCAST, station(1), { payload: Buffer.alloc(1400) });
  for (let round = 0; round < 3; round++) {
    const stopped = await seated(t, dir, 3);
    const before = sw.ports[3]?.drops.full ?? 0;
    while ((sw.ports[3]?.drops.full ?? 0) === before) {
      for (let n = 0; n < 50; n++) sender.send(one);
      await reader.frames(50);
    }
    stopped.close();
    await clients(2);
  }
  sender.send(one);
  assert.deepEqual(await reader.frames(1), [one]);
});
