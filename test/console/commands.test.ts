/** What our commands do beyond C's, and where they do not fail as C's do. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import { consoleError } from '../../src/console/command-table.js';
import { parseReply } from '../../src/console/parse-reply.js';
import type { PluginLoader } from '../../src/console/plugins.js';
import { runStartScript } from '../../src/console/script.js';
import { switchConsole } from '../../src/console/switch-commands.js';
import { formatVlanList, parseVlanList } from '../../src/console/vlan-list.js';
import { SwitchService } from '../../src/switch/service.js';
import { loop } from '../../src/sys/loop.js';
import { groupName } from '../../src/sys/users.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, portOf, station, virtualSwitch } from '../switch/memory-plug.js';
import { answer, data, forwardingCommands } from './tables.js';

function service(t: Owner, loader?: PluginLoader) {
  loop();
  const one = new SwitchService(join(tmpDir(t), 'sw'), { ports: 8 });
  cleanup(t, () => one.close());
  const target = {
    version: '0',
    service: one,
    mac: new Uint8Array(6),
    hashSize: 128,
    management: undefined,
    shutdown: () => {},
  };
  const { table, plugins } = switchConsole(target, loader);
  return { service: one, table, plugins };
}

function refused(table: ReturnType<typeof forwardingCommands>, code: string, ...lines: string[]): void {
  for (const line of lines) assert.equal(answer(table, line).at(-1)?.slice(0, 4), code, line);
}

test('VLAN 0 stays, also when it is empty; VLAN 4094 can be made; 0 can be printed', () => {
  const { sw, seat } = virtualSwitch();
  const table = forwardingCommands(sw);
  refused(table, '1098', 'vlan/remove 0', 'vlan/remove');
  for (const line of ['vlan/create 4094', 'port/create 3', 'vlan/addport 4094 3']) data(table, line);
  refused(table, '1022', 'vlan/create 0', 'vlan/create 4095', 'vlan/addport 4095 3');
  assert.deepEqual(data(table, 'vlan/allprint 0'), ['VLAN 0000', ' -- Port 0003 tagged=0 active=0 status=Learning']);
  seat();
  assert.equal(portOf(sw, 1).active, true);
});

test('vlan/print shows members also in hub mode', () => {
  const { sw, seat } = virtualSwitch({ hub: true });
  seat();
  assert.deepEqual(data(forwardingCommands(sw), 'vlan/print'), [
    'VLAN 0000',
    ' -- Port 0001 tagged=0 active=1 status=Forwarding',
  ]);
});

test('numbers that would end a C switch are refused or shown', () => {
  const { sw } = virtualSwitch();
  const table = forwardingCommands(sw);
  data(table, 'port/create 1');
  refused(
    table,
    '1022',
    'port/setnumports 2147483646',
    'port/setnumports 4097',
    'port/setnumports 99999999999999999999',
  );
  refused(table, '1022', 'vlan/create 4294967301', 'port/print 4294967297', 'port/setuser 1 4294967295');
  for (const id of ['100000', '4294967294']) {
    data(table, `port/setuser 1 ${id}`);
    data(table, `port/setgroup 1 ${id}`);
    assert.match(data(table, 'port/allprint 1')[1], new RegExp(`User: ${id} - Group: ${id}\\)$`));
  }
});

test('an access port is in one VLAN and takes no tags', () => {
  const { sw, seat } = virtualSwitch();
  const table = forwardingCommands(sw);
  const [access, other, trunk] = [seat(1), seat(2), seat(3)];
  for (const line of ['vlan/create 5', 'vlan/addport 5 1', 'port/access 1 5', 'port/setvlan 2 5', 'port/trunk 3 all'])
    data(table, line);
  refused(table, '1022', 'vlan/addport 0 1', 'port/access 1', 'port/access 1 4096', 'port/access 99 5');
  refused(table, '1006', 'port/access 1 6', 'port/access 9 5');
  access.receive(frame(BROADCAST, station(1)));
  assert.deepEqual(other.take(), [frame(BROADCAST, station(1))]);
  assert.deepEqual(trunk.take(), [frame(BROADCAST, station(1), { tci: 5 })]);
  access.receive(frame(BROADCAST, station(1), { tci: 5 }));
  assert.deepEqual([other.take(), trunk.take(), portOf(sw, 1).inputDrops.vlan], [[], [], 1]);
  data(table, 'port/hybrid 1');
  access.receive(frame(BROADCAST, station(1), { tci: 5 }));
  assert.deepEqual(other.take(), [frame(BROADCAST, station(1))]);
  assert.deepEqual(data(table, 'port/modes'), [
    'Port 0001 mode=hybrid untagged_vlan=0005',
    'Port 0002 mode=hybrid untagged_vlan=0005',
    'Port 0003 mode=trunk untagged_vlan=4095 allowed=all',
  ]);
});

test('frames that arrive without a tag get the priority of their port in the tag that they leave with', () => {
  const { sw, seat } = virtualSwitch();
  const table = forwardingCommands(sw);
  const [guest, trunk, provider] = [seat(1), seat(2), seat(3)];
  for (const line of [
    'vlan/create 5',
    'port/access 1 5',
    'port/trunk 2 all',
    'port/trunk 3 all',
    'port/settpid 3 88a8',
  ])
    data(table, line);
  refused(table, '1022', 'port/setpcp', 'port/setpcp 1', 'port/setpcp 1 8', 'port/setpcp 1 -1', 'port/setpcp 99 1');
  refused(table, '1006', 'port/setpcp 9 1');
  data(table, 'port/setpcp 1 6');
  guest.receive(frame(BROADCAST, station(1)));
  const tags = [trunk, provider].map((plug) => plug.take()[0].subarray(12, 16).toString('hex'));
  assert.deepEqual(tags, ['8100c005', '88a8c005']);
  // A tag that is there stays as it is.
  data(table, 'port/setpcp 2 1');
  const tagged = frame(BROADCAST, station(2), { tci: 0x4005 });
  trunk.receive(tagged);
  assert.equal(provider.take()[0].subarray(12, 16).toString('hex'), `88a8${tagged.subarray(14, 16).toString('hex')}`);
  assert.deepEqual(parseReply('port/modes', data(table, 'port/modes 1')), [
    { port: 1, mode: 'access', untaggedVlan: 5, priority: 6 },
  ]);
});

for (const hub of [false, true]) {
  test(`isolated ports reach those that are not, and each other not ${hub ? 'in hub mode either' : 'at all'}`, () => {
    const { sw, seat } = virtualSwitch({ hub });
    const table = forwardingCommands(sw);
    const [one, two, uplink] = [seat(1), seat(2), seat(3)];
    refused(table, '1022', 'port/isolate', 'port/isolate 1', 'port/isolate 1 2', 'port/isolate 99 1');
    refused(table, '1006', 'port/isolate 9 1');
    two.receive(frame(BROADCAST, station(2)));
    for (const plug of [one, uplink]) plug.take();
    for (const line of ['port/isolate 1 1', 'port/isolate 2 1']) data(table, line);
    one.receive(frame(BROADCAST, station(1)), frame(station(2), station(1)));
    assert.deepEqual(two.take(), []);
    assert.deepEqual(uplink.take()[0], frame(BROADCAST, station(1)));
    assert.equal(portOf(sw, 1).inputDrops.blocked, hub ? 0 : 1);
    uplink.receive(frame(BROADCAST, station(3)));
    for (const plug of [one, two]) assert.deepEqual(plug.take(), [frame(BROADCAST, station(3))]);
    assert.deepEqual(data(table, 'port/modes 1'), ['Port 0001 mode=hybrid untagged_vlan=0000 isolated']);
    assert.deepEqual(parseReply('port/modes', data(table, 'port/modes 1')), [
      { port: 1, mode: 'hybrid', untaggedVlan: 0, isolated: true },
    ]);
    data(table, 'port/isolate 2 0');
    one.receive(frame(BROADCAST, station(1)));
    assert.equal(two.take().length, 1);
  });
}

test('a transparent switch passes all tags on as they are, and learns addresses for each VLAN', () => {
  const { sw, seat } = virtualSwitch();
  const table = forwardingCommands(sw);
  const [one, two, three] = [seat(1), seat(2), seat(3)];
  const tagged = (tci: number, to: Buffer = BROADCAST, from: Buffer = station(1)) => frame(to, from, { tci });
  one.receive(tagged(7));
  refused(table, '1022', 'vlan/transparent', 'vlan/transparent 2', 'vlan/transparent x');
  assert.deepEqual([two.take(), portOf(sw, 1).inputDrops.vlan], [[], 1]);
  data(table, 'vlan/transparent 1');
  one.receive(tagged(7));
  one.receive(tagged(0x6fff));
  for (const plug of [two, three]) assert.deepEqual(plug.take(), [tagged(7), tagged(0x6fff)]);
  two.receive(tagged(7, station(1), station(2)));
  two.receive(tagged(8, station(1), station(2)));
  assert.deepEqual(one.take(), [tagged(7, station(1), station(2)), tagged(8, station(1), station(2))]);
  assert.deepEqual(three.take(), [tagged(8, station(1), station(2))]);
  data(table, 'vlan/transparent 0');
  one.receive(tagged(7));
  assert.deepEqual(two.take(), []);
});

test('a trunk carries the VLANs that it allows, also those made later, and its native one without a tag', () => {
  const { sw, seat } = virtualSwitch();
  const table = forwardingCommands(sw);
  const [trunk, five, seven] = [seat(1), seat(2), seat(3)];
  data(table, 'vlan/create 5');
  refused(table, '1006', 'port/trunk 1 5-6,9 7');
  for (const line of ['vlan/create 7', 'port/trunk 1 5-6,9 7', 'vlan/create 6', 'vlan/create 8']) data(table, line);
  for (const line of ['port/setvlan 2 5', 'port/setvlan 3 7']) data(table, line);
  assert.deepEqual(
    data(table, 'vlan/print').filter((line) => line.startsWith('VLAN') || line.includes('Port 0001')),
    [
      'VLAN 0000',
      'VLAN 0005',
      ' -- Port 0001 tagged=1 active=1 status=Forwarding',
      'VLAN 0006',
      ' -- Port 0001 tagged=1 active=1 status=Forwarding',
      'VLAN 0007',
      ' -- Port 0001 tagged=0 active=1 status=Forwarding',
      'VLAN 0008',
    ],
  );
  trunk.receive(
    frame(BROADCAST, station(1), { tci: 5 }),
    frame(BROADCAST, station(1)),
    frame(BROADCAST, station(1), { tci: 8 }),
  );
  assert.deepEqual([five.take(), seven.take()], [[frame(BROADCAST, station(1))], [frame(BROADCAST, station(1))]]);
  data(table, 'vlan/remove 6');
  refused(table, '1098', 'vlan/remove 5', 'vlan/remove 7');
  refused(
    table,
    '1022',
    ...['', '1', '1 x', '1 4095', '1 0', '1 5-', '1 6-5', '1 5,,6', '1 5 7 8', '1 5 x', 'x 5', '99 5'].map(
      (rest) => `port/trunk ${rest}`,
    ),
  );
});

test('a tunnel port is in one VLAN whatever the tags; service tags are what a port is told to use', () => {
  const { sw, seat } = virtualSwitch();
  const table = forwardingCommands(sw);
  const [tunnel, trunk] = [seat(1), seat(2)];
  for (const line of ['vlan/create 5', 'port/tunnel 1 5', 'port/trunk 2 all', 'port/settpid 2 88a8']) data(table, line);
  refused(table, '1022', 'vlan/addport 0 1', 'port/tunnel 1', 'port/tunnel', 'port/tunnel x 5', 'port/tunnel 1 x');
  refused(table, '1022', 'port/tunnel 1 4096', 'port/tunnel 1 -1', 'port/tunnel 99 5', 'port/tunnel -1 5');
  refused(table, '1006', 'port/tunnel 1 6', 'port/tunnel 9 5');
  for (const tpid of ['', '9100', '88a', '88a88', '34984', '0x', '0x0x8100', '88a8 8100', 'x']) {
    refused(table, '1022', `port/settpid 2 ${tpid}`);
  }
  refused(table, '1022', 'port/settpid', 'port/settpid x 8100', 'port/settpid 99 8100', 'port/settpid -1 88a8');
  refused(table, '1006', 'port/settpid 9 8100');
  assert.deepEqual(data(table, 'port/modes'), [
    'Port 0001 mode=tunnel untagged_vlan=0005',
    'Port 0002 mode=trunk untagged_vlan=4095 tpid=88a8 allowed=all',
  ]);
  const inner = frame(BROADCAST, station(1), { tci: 7 });
  tunnel.receive(inner);
  const outer = Buffer.concat([inner.subarray(0, 12), Buffer.from('88a80005', 'hex'), inner.subarray(12)]);
  assert.deepEqual(trunk.take(), [outer]);
  trunk.receive(outer);
  assert.deepEqual(tunnel.take(), [inner]);
  for (const tpid of ['0x8100', '88A8', '8100']) data(table, `port/settpid 2 ${tpid}`);
  data(table, 'port/hybrid 1');
  tunnel.receive(frame(BROADCAST, station(1)));
  assert.deepEqual(trunk.take(), [frame(BROADCAST, station(1), { tci: 5 })]);
  assert.deepEqual(data(table, 'port/modes 2'), ['Port 0002 mode=trunk untagged_vlan=4095 allowed=all']);
});

test('four thousand VLANs on five hundred ports are set up by as many commands as there are of both', () => {
  const { sw } = virtualSwitch({ ports: 512 });
  const table = forwardingCommands(sw);
  for (let id = 1; id <= 4094; id++) data(table, `vlan/create ${id}`);
  for (let n = 1; n <= 512; n++) for (const line of [`port/create ${n}`, `port/trunk ${n} all`]) data(table, line);
  const lines = data(table, 'vlan/allprint 4094');
  assert.equal(lines.length, 513);
});

test('lists of VLANs are written as short as they can be, and read back', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 4094 }))),
      (vlans) => {
        const set = new Uint8Array(4095);
        for (const vlan of vlans) set[vlan] = 1;
        assert.deepEqual(parseVlanList(formatVlanList(set)), set);
      },
    ),
  );
  assert.equal(formatVlanList(parseVlanList('7,1-3,2-5,9')), '1-5,7,9');
  assert.equal(formatVlanList(parseVlanList('all')), 'all');
  assert.throws(() => parseVlanList('4095'));
});

test('what showconfig prints makes another switch the same', (t) => {
  const [first, second] = [service(t), service(t)];
  const lines = [
    ...[
      'vlan/transparent 1',
      'port/setnumports 12',
      'vlan/create 5',
      'vlan/create 4094',
      'hash/setexpire 50',
      'hash/setsize 256',
    ],
    ...['port/create 2', 'port/setvlan 2 5', 'vlan/addport 4094 2', 'vlan/addport 0 2', 'port/setuser 2 root'],
    ...[
      'port/create 3',
      'port/access 3 5',
      'port/allocatable 3 1',
      'port/create 4',
      'port/trunk 4 2-9 5',
      'port/setgroup 4 77',
    ],
    ...['port/create 5', 'port/tunnel 5 4094', 'port/create 6', 'port/settpid 6 88a8', 'port/trunk 6 5,4094'],
    ...[
      'port/create 9',
      'port/setvlan 9 4095',
      'port/group lab 9,11 640',
      'port/isolate 3 1',
      'port/setpcp 3 7',
      'port/sethub 1',
    ],
  ];
  for (const line of lines) assert.equal(answer(first.table(), line).at(-1), '1000 Success', line);
  const path = join(tmpDir(t), 'script');
  writeFileSync(path, `${data(first.table(), 'showconfig').join('\n')}\n`);
  assert.deepEqual(runStartScript(second.table, path), []);
  for (const line of [
    'showconfig',
    'port/allprint',
    'vlan/allprint',
    'port/modes',
    'port/groups',
    'port/showinfo',
    'hash/showinfo',
  ]) {
    assert.deepEqual(data(second.table(), line), data(first.table(), line), line);
  }
});

test('port groups are made, shown, changed and ended', (t) => {
  const { service: one, table } = service(t);
  const run = (line: string): string => answer(table(), line).at(-1)?.slice(0, 4) as string;
  assert.deepEqual(data(table(), 'port/groups'), []);
  // Nobody but root may give the socket to a group that is not one's own.
  const gid = process.getegid?.() ?? 0;
  const group = groupName(gid) ?? String(gid);
  for (const line of ['port/group lab 1-3,5 0660', 'port/group zoo 7', `port/group zoo 8 0666 ${group}`]) {
    assert.equal(run(line), '1000', line);
  }
  const lines = data(table(), 'port/groups');
  assert.deepEqual(lines, ['Group lab ports=1-3,5 mode=0660 group=NONE', `Group zoo ports=8 mode=0666 group=${group}`]);
  assert.deepEqual(parseReply('port/groups', lines), [
    { name: 'lab', ports: '1-3,5', mode: '0660', group: null },
    { name: 'zoo', ports: '8', mode: '0666', group },
  ]);
  for (const line of ['port/group', 'port/group lab', 'port/group lab all', 'port/group lab 1 9', 'port/group 7 1']) {
    assert.equal(run(line), '1022', line);
  }
  for (const line of ['port/group lab 1 660 no-such-group', 'port/group lab 1 660 0 0', 'port/group lab 99']) {
    assert.equal(run(line), '1022', line);
  }
  assert.deepEqual(['port/group lab 8', 'port/group ctl 4', 'port/remove 1', 'port/ungroup no'].map(run), [
    ...['1098', '1098', '1098', '1002'],
  ]);
  assert.deepEqual(data(table(), 'port/groups'), lines);
  assert.equal(run('port/ungroup lab'), '1000');
  assert.equal(run('port/remove 1'), '1000');
  assert.deepEqual(
    one.portGroups.list.map(({ name }) => name),
    ['zoo'],
  );
});

test('port/drops tells why frames were dropped', () => {
  const { sw, seat } = virtualSwitch();
  const plug = seat(1);
  plug.receive(frame(BROADCAST, station(1), { tci: 9 }), Buffer.alloc(10), frame(station(1), station(1)));
  assert.deepEqual(data(forwardingCommands(sw), 'port/drops 1'), [
    'Port 0001',
    ' IN:  malformed 1 vlan 1 blocked 0 hairpin 1 oversize 0 runt 0',
    ' OUT: full 0 oversize 0 runt 0 error 0',
  ]);
});

test('a plugin brings commands of its own and takes them away again', (t) => {
  const closed: string[] = [];
  const { table, plugins } = service(t, (name) => {
    if (!name.startsWith('good')) throw consoleError('ENOENT');
    const commands = [
      {
        name: 'good/morning',
        syntax: '',
        help: 'greet',
        data: true,
        run: (_: string, out: string[]) => void out.push('hello'),
      },
    ];
    return { name: 'good', help: 'a plugin', commands, close: () => closed.push(name) };
  });
  refused([...table()], '1002', 'plugin/add bad', 'plugin/list', 'plugin/del good');
  refused([...table()], '1022', 'plugin/add');
  refused([...table()], '1038', 'good/morning');
  assert.deepEqual(answer(table(), 'plugin/add good'), ['1000 Success']);
  refused([...table()], '1017', 'plugin/add good2');
  assert.deepEqual(closed, ['good2']);
  assert.deepEqual(data(table(), 'plugin/list go').slice(2), ['good                   a plugin']);
  assert.deepEqual(data(table(), 'good/morning'), ['hello']);
  assert.equal(answer(table(), 'plugin/del g').at(-1), '1000 Success');
  refused([...table()], '1038', 'good/morning');
  answer(table(), 'plugin/add good');
  plugins.close();
  assert.deepEqual(closed, ['good2', 'good', 'good']);
});
