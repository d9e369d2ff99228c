/** What reads the consoles' answers, against what writes them: ours here, Debian's too where it is installed. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { parseReply } from '../../src/console/parse-reply.js';
import { debian } from '../support/bin.js';
import { eventually, MAKES } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { BROADCAST, frame, station } from '../switch/memory-plug.js';
import { seated } from '../switch/raw-client.js';
import { managedSwitch } from './raw-console.js';

for (const make of MAKES) {
  test(`the answers of a switch (${make}) are read as values`, async (t) => {
    if (make === 'debian' && !requirePeer(t, debian('vde_switch'))) return;
    const { console: session, dir, path, process } = await managedSwitch(t, make);
    const value = async (line: string) => parseReply(line, await session.data(line));
    const client = await seated(t, dir);
    const other = await seated(t, dir, 5);
    client.send(frame(BROADCAST, station(1), { payload: 'x'.repeat(46) }));
    await other.frames(1);
    const [{ age, ...known }] = (await value('hash/print')) as { age: number }[];
    assert.deepEqual(known, { bucket: 43, mac: '02:00:00:00:00:01', vlan: 0, port: 1 });
    assert.ok(age >= 0 && age < 100);
    for (const line of [
      'vlan/create 7',
      'port/create 3',
      'vlan/addport 7 3',
      'port/setuser 3 root',
      'port/setgroup 3 77777',
    ]) {
      await session.ask(line);
    }
    await session.ask('port/setvlan 5 4095');
    const user = { currentUser: (await session.data('port/print 1'))[1].split(' ')[3] };
    const idle = { frames: 0, bytes: 0 };
    const [first, second, third] = (await value('port/allprint')) as Record<string, unknown>[];
    assert.deepEqual(
      { ...first, endpoints: [] },
      {
        ...{ port: 1, untaggedVlan: 0, active: true, allocatable: true, ...user, user: null, group: null },
        ...{ input: { frames: 1, bytes: 60 }, output: idle, endpoints: [] },
      },
    );
    const [endpoint] = first.endpoints as { id: number }[];
    assert.deepEqual(endpoint, { id: endpoint.id, module: 'unix prog', description: 'raw' });
    assert.ok(endpoint.id > 2);
    assert.deepEqual(second, {
      ...{
        port: 3,
        untaggedVlan: 0,
        active: false,
        allocatable: false,
        currentUser: null,
        user: 'root',
        group: '77777',
      },
      ...{ input: idle, output: idle, endpoints: [] },
    });
    assert.equal(third.untaggedVlan, null);
    assert.deepEqual(await value('vlan/allprint'), [
      {
        vlan: 0,
        ports: [
          { port: 1, tagged: false, active: true, status: 'Forwarding' },
          { port: 3, tagged: false, active: false, status: 'Learning' },
        ],
      },
      { vlan: 7, ports: [{ port: 3, tagged: true, active: false, status: 'Learning' }] },
    ]);
    assert.deepEqual(await value('hash/showinfo'), { hashSize: 128, gcInterval: 2, gcExpire: 100, minPersistence: 3 });
    assert.deepEqual(await value('port/showinfo'), { numports: 32, hub: false, counters: true });
    assert.deepEqual(await value('ds/showinfo'), { ctlDir: dir, stdMode: '0600' });
    const info = (await value('showinfo')) as Record<string, unknown>;
    assert.deepEqual(await value('fstp/showinfo'), { mac: info.mac, priority: 0x8000, fstp: false });
    await session.ask('fstp/bonus 7 3 40');
    const [tree, { bonusPort, bonusCost }] = (await value('fstp/print')) as Record<string, unknown>[];
    assert.deepEqual([bonusPort, bonusCost], [3, 40]);
    const { age: stamp, designated, ports, ...rest } = tree;
    assert.ok(typeof stamp === 'number' && typeof designated === 'string');
    assert.deepEqual(rest, {
      ...{ vlan: 0, rootSwitch: true, enabled: false, root: `80:00:${info.mac}` },
      ...{ rootPort: null, cost: 0, bonusPort: null, bonusCost: 0 },
    });
    const [{ cost, ...member }] = ports as Record<string, unknown>[];
    assert.ok(Number(cost) > 0);
    assert.deepEqual(member, { port: 1, tagged: false, role: 'Designated' });
    assert.deepEqual([info.pid, info.management], [process.pid, { path, mode: '600' }]);
    assert.match(String(info.mac), /^00:ff(:[\da-f]{2}){4}$/);
    await session.ask('debug/add hash/-');
    const categories = (await value('debug/list')) as Record<string, unknown>[];
    assert.deepEqual(categories[1], { category: 'hash/-', tag: 0o12, on: true, help: 'hash: discarded element' });
    const help = (await value('help')) as Record<string, unknown>[];
    assert.ok(help.length > 30);
    assert.deepEqual(
      help.find(({ command }) => command === 'port/setvlan'),
      { command: 'port/setvlan', syntax: 'N VLAN', help: 'set port VLAN (untagged)' },
    );
    assert.deepEqual(
      help.find(({ command }) => command === 'vlan/create'),
      { command: 'vlan/create', syntax: 'N', help: 'create the VLAN with tag N' },
    );
  });
}

test("our own commands' answers are read too, and others are left as lines", async (t) => {
  const { console: session, dir } = await managedSwitch(t);
  const value = async (line: string) => parseReply(line, await session.data(line));
  for (const line of ['port/create 2', 'port/create 4', 'port/trunk 4 1-9', 'port/settpid 2 88a8'])
    await session.ask(line);
  assert.deepEqual(await value('port/createauto'), { port: 1 });
  assert.deepEqual(await value('port/modes'), [
    { port: 1, mode: 'hybrid', untaggedVlan: 0 },
    { port: 2, mode: 'hybrid', untaggedVlan: 0, tpid: '88a8' },
    { port: 4, mode: 'trunk', untaggedVlan: null, allowed: '1-9' },
  ]);
  assert.deepEqual(await value('port/drops 2'), [
    {
      port: 2,
      input: { malformed: 0, vlan: 0, blocked: 0, hairpin: 0, oversize: 0, runt: 0 },
      output: { full: 0, oversize: 0, runt: 0, error: 0 },
    },
  ]);
  const configuration = (await value('showconfig')) as unknown[];
  assert.deepEqual(configuration[0], { command: 'port/setnumports', argument: '32' });
  assert.ok(configuration.some((one) => isDeepStrictEqual(one, { command: 'port/trunk', argument: '4 1-9' })));
  const identifier = `80:00:${((await value('showinfo')) as { mac: string }).mac}`;
  const times = { hello: 2, maxAge: 20, forwardDelay: 15 };
  assert.deepEqual(await value('rstp/showinfo'), {
    rstp: false,
    bridge: { identifier, priority: 0x8000, ...times },
    root: { identifier, cost: 0, rootPort: null, ...times },
    topologyChanges: 0,
    lastChange: null,
  });
  const client = await seated(t, dir);
  for (const size of [13, 66_000]) client.send(Buffer.alloc(size));
  // Of a client's frames those that are none were not on their way out.
  const output = { full: 0, oversize: 0, runt: 0, error: 0 };
  const input = { malformed: 0, vlan: 0, blocked: 0, hairpin: 0, oversize: 1, runt: 1 };
  await eventually('both are counted', async () => {
    const [{ input }] = (await value('port/drops 3')) as [{ input: Record<string, number> }];
    return input.oversize + input.runt === 2;
  });
  assert.deepEqual(await value('port/drops 3'), [{ port: 3, input, output }]);
  await session.ask('rstp/setrstp 1');
  await session.ask('rstp/setedge 3 1');
  assert.deepEqual(await value('rstp/print'), [
    {
      ...{ port: 3, role: 'Designated', status: 'Forwarding', cost: 20_000, priority: 128 },
      ...{ edge: true, pointToPoint: true, protocol: 'rstp', designated: identifier },
    },
  ]);
  assert.deepEqual(parseReply('nosuch', ['a', 'b']), ['a', 'b']);
  for (const command of ['port/print', 'hash/print', 'vlan/print', 'debug/list', 'fstp/print', 'rstp/print']) {
    assert.deepEqual(parseReply(command, ['something else', '', ' -- Port']), [], command);
  }
  assert.deepEqual(parseReply('showinfo', ['something else']), ['something else']);
});

test('what the plugins iplog and pdump know is read as values', async (t) => {
  const { console: session, dir } = await managedSwitch(t);
  const value = async (line: string) => parseReply(line, await session.data(line));
  const file = join(dir, '..', 'a file');
  for (const line of ['plugin/add iplog', 'plugin/add pdump', 'iplog/ipadd 10.0.0.0/8', 'iplog/ipadd fd00::/8']) {
    await session.ask(line);
  }
  assert.deepEqual(await value('iplog/list'), [
    { version: 4, range: '10.0.0.0/8' },
    { version: 6, range: 'fd00::/8' },
  ]);
  const showinfo = async () => ((await value('iplog/showinfo')) as { log: unknown }).log;
  await session.ask('iplog/setgcint 7');
  await session.ask('iplog/setexpire 70');
  await session.ask('iplog/logfile');
  assert.deepEqual(await value('iplog/showinfo'), { log: null, gcInterval: 7, gcExpire: 70 });
  await session.ask(`iplog/logfile ${file}`);
  assert.equal(await showinfo(), file);
  await session.ask('iplog/logfile -');
  assert.equal(await showinfo(), 'syslog');
  assert.deepEqual(await value(`pdump/filename ${file}.cap`), { file: `${file}.cap` });
  const client = await seated(t, dir);
  const packet = Buffer.from('450000140000000040110000' + '0a010203' + '0a010204', 'hex');
  client.send(frame(BROADCAST, station(1), { type: 0x800, payload: packet }));
  let list: { user: unknown }[] = [];
  await eventually('the address is known', async () => {
    list = (await value('iplog/iplist')) as typeof list;
    return list.length > 0;
  });
  const [{ user, ...rest }] = list;
  assert.deepEqual(rest, { version: 4, address: '10.1.2.3', port: 1 });
  assert.equal(user, (await session.data('iplog/iplist'))[0].split('user=')[1]);
  for (const line of ['iplog/ipport 1', 'iplog/ipsearch 10.1.2.3']) {
    assert.equal(((await value(line)) as unknown[]).length, 1, line);
  }
  assert.deepEqual(await value('iplog/ipport 2'), []);
});
