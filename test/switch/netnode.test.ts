import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { registerNodeSchemes } from '../../src/console/schemes.js';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { VdeError } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { AF_UNIX, bindUnix, SOCK_DGRAM, SOCK_STREAM, socket } from '../../src/sys/socket.js';
import { complianceSuite } from '../plug/compliance.js';
import { Collector, sendAll } from '../plug/frames.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, station } from './memory-plug.js';

loop();
registerNodeSchemes();

for (const node of ['switch', 'hub', 'multi', 'bonding']) {
  complianceSuite({
    name: `${node}, a client and its owner`,
    openPair: async (t) => {
      const dir = join(tmpDir(t), 'n');
      const b = await openPlug(`${node}://${dir}`);
      return { a: await openPlug(`vde://${dir}`), b, lose: () => b.close() };
    },
    supports: { backlog: false, counted: false, runtsCounted: false },
  });
}

async function open(t: TestContext, locator: string, options = {}): Promise<Plug> {
  const plug = await openPlug(locator, options);
  cleanup(t, () => plug.close());
  return plug;
}

/** An owner and clients, and what has arrived at each. */
async function network(t: TestContext, locator: string, dir: string, clients: number): Promise<[Plug[], Collector[]]> {
  const plugs = [await open(t, locator)];
  for (let i = 0; i < clients; i++) plugs.push(await open(t, `vde://${dir}`));
  return [plugs, plugs.map((plug) => new Collector(plug))];
}

/** Resolves when everybody but the sender has this broadcast: what was sent before it has arrived or never will. */
async function settle(plugs: Plug[], at: Collector[], from: number): Promise<void> {
  const end = frame(BROADCAST, station(90 + from), { payload: `end ${Math.random()}` });
  sendAll(plugs[from], [end]);
  await Promise.all(
    at.map((one, i) => i === from || one.until(() => one.frames.some((got) => got.equals(end)), 'the end')),
  );
}

const named = (at: Collector[], payload: string): boolean[] =>
  at.map(({ frames }) => frames.some((one) => one.includes(payload)));

test('a switch sends a known address to its station alone, in each VLAN by itself, and passes tags on', async (t) => {
  leakCheck(t);
  const dir = join(tmpDir(t), 'n');
  const [plugs, at] = await network(t, `switch://${dir}`, dir, 3);
  sendAll(plugs[1], [frame(BROADCAST, station(1)), frame(BROADCAST, station(1), { tci: 0x6005 })]);
  await settle(plugs, at, 1);
  assert.deepEqual(at[0].frames[1], frame(BROADCAST, station(1), { tci: 0x6005 }));
  sendAll(plugs[0], [
    frame(station(1), station(7), { payload: 'known' }),
    frame(station(1), station(7), { payload: 'tagged', tci: 5 }),
    frame(station(1), station(7), { payload: 'other VLAN', tci: 1029 }),
  ]);
  await settle(plugs, at, 0);
  assert.deepEqual(named(at, 'known'), [false, true, false, false]);
  assert.deepEqual(named(at, 'tagged'), [false, true, false, false]);
  assert.deepEqual(named(at, 'other VLAN'), [false, true, true, true]);
  // The address moves: the next frame goes where it was last seen.
  sendAll(plugs[3], [frame(BROADCAST, station(1))]);
  await settle(plugs, at, 3);
  sendAll(plugs[2], [frame(station(1), station(2), { payload: 'moved' })]);
  await settle(plugs, at, 2);
  assert.deepEqual(named(at, 'moved'), [false, false, false, true]);
});

test('a hub, and a switch without a table, send everything to everybody', async (t) => {
  leakCheck(t);
  for (const form of ['hub://%', 'switch://%[hashsize=0]', 'hub://%[hashsize=16/hashseed=3/expiretime=5]']) {
    const dir = join(tmpDir(t), 'n');
    const [plugs, at] = await network(t, form.replace('%', dir), dir, 2);
    sendAll(plugs[1], [frame(BROADCAST, station(1))]);
    await settle(plugs, at, 1);
    sendAll(plugs[0], [frame(station(1), station(7), { payload: 'known', tci: 9 })]);
    await settle(plugs, at, 0);
    assert.deepEqual(named(at, 'known'), [false, true, true]);
    for (const plug of plugs) plug.close();
  }
});

test('an address is forgotten after the expiry time', async (t) => {
  const dir = join(tmpDir(t), 'n');
  const [plugs, at] = await network(t, `switch://${dir}[expiretime=3]`, dir, 2);
  const send = (payload: string) => sendAll(plugs[0], [frame(station(1), station(7), { payload })]);
  // On a machine that is held up just then, the time may be over before the address is asked for.
  for (let learned = 0, round = 0; learned === 0 || performance.now() - learned > 2900; round++) {
    learned = performance.now();
    sendAll(plugs[1], [frame(BROADCAST, station(1))]);
    await settle(plugs, at, 1);
    send(`known ${round}`);
    await settle(plugs, at, 0);
    if (performance.now() - learned < 2900) assert.deepEqual(named(at, `known ${round}`), [false, true, false]);
  }
  const poll = setInterval(send, 100, 'again');
  cleanup(t, () => clearInterval(poll));
  await at[2].until(() => named(at, 'again')[2], 'a flooded frame');
});

test('whatever port is asked for, each client has one of its own', async (t) => {
  leakCheck(t);
  const dir = join(tmpDir(t), 'n');
  const owner = await open(t, `switch://${dir}`);
  const plugs = [owner];
  for (const port of ['[7]', '[7]', '[0]', '[0]', '[100000]']) plugs.push(await open(t, `vde://${dir}${port}`));
  const at = plugs.map((plug) => new Collector(plug));
  for (const from of plugs.keys()) await settle(plugs, at, from);
});

test('permissions are as asked for, in the locator or by the opener', async (t) => {
  const root = tmpDir(t);
  const gid = process.getegid?.() ?? 0;
  const modes = async (params: string, options = {}): Promise<string[]> => {
    const dir = join(root, 'n');
    const plug = await openPlug(`hub://${dir}${params}`, options);
    const found = [dir, join(dir, 'ctl')].map((path) => (statSync(path).mode & 0o7777).toString(8));
    assert.equal(statSync(dir).gid, gid);
    plug.close();
    assert.equal(existsSync(dir), false);
    return found;
  };
  assert.deepEqual(await modes(''), ['2700', '600']);
  assert.deepEqual(await modes('[mode=0777]'), ['2777', '666']);
  assert.deepEqual(await modes('[mode=660]'), ['2770', '660']);
  assert.deepEqual(await modes('[dirmode=0755]'), ['755', '600']);
  assert.deepEqual(await modes(`[mode=0660/dirmode=0750/grp=${gid}]`), ['750', '660']);
  assert.deepEqual(await modes('', { mode: 0o660, group: gid }), ['2770', '660']);
  assert.deepEqual(await modes('[mode=0600]', { mode: 0o666 }), ['2700', '600']);
});

test('what cannot be is refused by name, and leaves nothing behind', async (t) => {
  leakCheck(t);
  const dir = join(tmpDir(t), 'n');
  const refusal = async (locator: string): Promise<VdeError> => {
    const error = await openPlug(locator).then(
      (plug) => plug.close(),
      (reason) => reason,
    );
    assert.ok(error instanceof VdeError, `${locator} was opened`);
    return error;
  };
  assert.match((await refusal(`switch://${dir}[colour=red]`)).message, /unknown parameter "colour"/);
  assert.match((await refusal(`switch://${dir}[expiretime=soon]`)).message, /"expiretime"/);
  assert.match((await refusal(`switch://${dir}[grp=no-such-group]`)).message, /no group called no-such-group/);
  assert.equal((await refusal(`switch://${dir}/none/n`)).code, 'ENOENT');
  assert.equal((await refusal(`switch:///tmp/${'x'.repeat(100)}`)).code, 'ENAMETOOLONG');
  assert.equal(existsSync(dir), false);
  writeFileSync(dir, '');
  assert.equal((await refusal(`hub://${dir}`)).code, 'ENOTDIR');
});

test('the directory of a killed node, ours or of C, is taken over; that of a live one is not', async (t) => {
  leakCheck(t);
  const dir = join(tmpDir(t), 'n');
  mkdirSync(dir);
  for (const [name, type] of [
    ['ctl', SOCK_STREAM],
    ['fd5', SOCK_DGRAM],
    ['001.7', SOCK_DGRAM],
  ] as const) {
    const dead = socket(AF_UNIX, type, name);
    bindUnix(dead, join(dir, name));
    dead.close();
  }
  const live = await open(t, `switch://${dir}`);
  assert.deepEqual(readdirSync(dir), ['ctl']);
  await assert.rejects(openPlug(`hub://${dir}`), /a switch is running in/);
  assert.ok(existsSync(join(dir, 'ctl')));
  live.close();
  assert.equal(existsSync(dir), false);
});

test('an owner that does not read holds up nobody', async (t) => {
  const dir = join(tmpDir(t), 'n');
  const [plugs, at] = await network(t, `hub://${dir}`, dir, 2);
  plugs[0].receiving = false;
  const many = Array.from({ length: 640 }, () => frame(BROADCAST, station(1), { payload: Buffer.alloc(1400) }));
  for (let round = 1; round <= 20; round++) {
    sendAll(plugs[1], many);
    await at[2].count(round * many.length);
  }
  assert.equal(at[0].frames.length, 0);
});
