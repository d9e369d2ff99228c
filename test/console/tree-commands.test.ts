/** The `fstp` and `rstp` menus: what they show, what they refuse, and what those who debug see. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { fstpCommands } from '../../src/console/fstp-commands.js';
import { rstpCommands, treeConfiguration } from '../../src/console/rstp-commands.js';
import { BpduType, bridgeIdentifier, writeBpdu } from '../../src/frame/bpdu.js';
import { addPort } from '../../src/switch/port-management.js';
import { station, virtualSwitch } from '../switch/memory-plug.js';
import { answer, data, forwardingCommands } from './tables.js';

const NEIGHBOUR = bridgeIdentifier(0x1000, station(1));

function claim(port = 0x8001): Uint8Array {
  const times = { messageAge: 0, maxAge: 0x1400, helloTime: 0x200, forwardDelay: 0xf00 };
  const who = { root: NEIGHBOUR, bridge: NEIGHBOUR, cost: 0, port };
  return writeBpdu({ type: BpduType.rapid, flags: 0x7c, ...who, ...times }, station(1));
}

function fixture(hub = false) {
  const virtual = virtualSwitch({ mac: station(0x50), ports: 8, hub });
  const table = [...fstpCommands(virtual.sw), ...forwardingCommands(virtual.sw), ...rstpCommands(virtual.sw)];
  return { ...virtual, table };
}

test('fstp/print shows roots, roles, ages and bonuses as C does', () => {
  const { sw, table, clock, seat } = fixture();
  data(table, 'fstp/setfstp 1');
  const plugs = [seat(1), seat(2), seat(3)];
  data(table, 'vlan/create 5');
  data(table, 'vlan/addport 5 3');
  answer(table, 'fstp/setedge 0 3 1');
  answer(table, 'fstp/bonus 0 2 5000000');
  plugs[0].receive(claim());
  plugs[1].receive(claim(0x8002));
  clock.now = 3;
  assert.deepEqual(data(table, 'fstp/print'), [
    'FST DATA VLAN 0000  ',
    ' ++ root 10:00:02:00:00:00:00:01',
    ' ++ designated 10:00:02:00:00:00:00:01',
    ' ++ rootport 0002 cost 15000000 age 3 bonusport 0002 bonuscost 5000000',
    ' -- Port 0001 tagged=0 portcost=20000000 role=Alternate/Backup',
    ' -- Port 0002 tagged=0 portcost=20000000 role=Root',
    ' -- Port 0003 tagged=0 portcost=20000000 role=Edge',
    'FST DATA VLAN 0005 ROOTSWITCH ',
    ' ++ root 80:00:02:00:00:00:00:50',
    ' ++ designated ff:ff:ff:ff:ff:ff:ff:ff',
    ' ++ rootport 0000 cost 0 age 3 bonusport 0000 bonuscost 0',
    ' -- Port 0003 tagged=1 portcost=20000000 role=Unknown',
  ]);
  assert.match(data(table, 'vlan/print 0').join(), /Port 0001 tagged=0 active=1 status=Discarding/);
  data(table, 'fstp/setfstp 0');
  assert.equal(data(table, 'fstp/print 0')[0], 'FST DATA VLAN 0000 ROOTSWITCH FSTP IS DISABLED');
  assert.deepEqual(data(table, 'fstp/showinfo'), ['MAC 02:00:00:00:00:50 Priority 32768 (0x8000)', 'FSTP=false']);
  assert.equal(sw.tree.mode, 'off');
});

test('in hub mode neither tree can be turned on, and that is said', () => {
  const { table } = fixture(true);
  for (const protocol of ['fstp', 'rstp']) {
    const lines = answer(table, `${protocol}/set${protocol} 1`);
    assert.deepEqual(lines.slice(1), [`Can't use ${protocol} in hub mode`, '.', '1022 Invalid argument']);
    assert.equal(answer(table, `${protocol}/set${protocol} 0`).at(-1), '1000 Success');
  }
});

test('one tree at a time: turning one on ends the other, turning the other off changes nothing', () => {
  const { sw, table } = fixture();
  data(table, 'fstp/setfstp 1');
  data(table, 'rstp/setrstp 1');
  assert.equal(sw.tree.mode, 'rstp');
  data(table, 'fstp/setfstp 0');
  assert.equal(sw.tree.mode, 'rstp');
  assert.equal(data(table, 'fstp/showinfo')[1], 'FSTP=false');
  data(table, 'rstp/setrstp 0');
  assert.equal(sw.tree.mode, 'off');
});

test('rstp/showinfo and rstp/print say who is root and what each port does', () => {
  const { table, clock, seat } = fixture();
  data(table, 'rstp/setrstp 1');
  const plug = seat(1);
  seat(2);
  clock.now = 7;
  plug.receive(claim());
  assert.deepEqual(data(table, 'rstp/showinfo'), [
    'RSTP=true',
    'bridge 80:00:02:00:00:00:00:50 priority 32768 hello 2 maxage 20 forwarddelay 15',
    'root 10:00:02:00:00:00:00:01 cost 20000 rootport 0001 hello 2 maxage 20 forwarddelay 15',
    'topology changes 1 last 0 secs ago',
  ]);
  const own = '80:00:02:00:00:00:00:50';
  assert.deepEqual(data(table, 'rstp/print'), [
    ' -- Port 0001 role=Root status=Forwarding cost=20000 priority=128 edge=0 p2p=1 protocol=rstp designated=10:00:02:00:00:00:00:01',
    ` -- Port 0002 role=Designated status=Discarding cost=20000 priority=128 edge=0 p2p=1 protocol=rstp designated=${own}`,
  ]);
  assert.equal(data(table, 'rstp/print 2').length, 1);
});

test('rstp settings: what fits is taken, all else refused, and nothing has changed then', () => {
  const { sw, table } = fixture();
  addPort(sw, 1);
  const before = [...treeConfiguration(sw)];
  for (const line of [
    'setpriority',
    'setpriority -1',
    'setpriority 65536',
    'setpriority x',
    'settimes 2 20',
    'settimes 0 20 15',
    'settimes 2 41 30',
    'settimes 2 20 10',
    'settimes 10 20 15',
    'setedge 1',
    'setedge 1 2',
    'setedge 9 1',
    'setp2p 1 yes',
    'setcost 1 0',
    'setcost 1 200000001',
    'setportprio 1 100',
    'setportprio 1 256',
    'mcheck',
    'print 99',
  ]) {
    assert.equal(answer(table, `rstp/${line}`).at(-1), '1022 Invalid argument', line);
  }
  for (const line of ['setedge 2 1', 'setp2p 2 1', 'setcost 2 5', 'setportprio 2 0', 'mcheck 2', 'print 2']) {
    assert.equal(answer(table, `rstp/${line}`).at(-1), '1006 No such device or address', line);
  }
  assert.deepEqual([...treeConfiguration(sw)], before);
  const set = ['rstp/setpriority 4096', 'rstp/settimes 1 6 4'];
  const port = ['rstp/setedge 1 1', 'rstp/setp2p 1 0', 'rstp/setcost 1 200', 'rstp/setportprio 1 16'];
  const fstp = ['fstp/setedge 0 1 1', 'fstp/bonus 0 1 7'];
  const all = [...set, ...port, ...fstp, 'rstp/setrstp 1'];
  for (const line of all) assert.equal(answer(table, line).at(-1), '1000 Success', line);
  assert.deepEqual([...treeConfiguration(sw)], all);
  for (const line of ['rstp/setedge 1 auto', 'rstp/setp2p 1 auto']) answer(table, line);
  assert.equal([...treeConfiguration(sw)].length, all.length - 2);
});

test('those who debug see bridges come and go, states and roots, as of a C switch', () => {
  const { sw, table, seat } = fixture();
  const said: string[] = [];
  for (const category of sw.debug.list) {
    if (category.path.startsWith('fstp'))
      category.listen(({ path, tag }, text) => said.push(`3${tag.toString(8).padStart(3, '0')} ${path} ${text}`));
  }
  data(table, 'fstp/setfstp 1');
  const plug = seat(1);
  plug.receive(claim());
  plug.lose();
  data(table, 'vlan/create 300');
  seat(2);
  data(table, 'vlan/addport 300 2');
  answer(table, 'fstp/setedge 300 2 1');
  assert.deepEqual(said, [
    '3041 fstp/+ Port 0001 VLAN 00:00',
    '3045 fstp/root Port 0001 VLAN 00:00 -> 10:00:02:00:00:00:00:01',
    '3044 fstp/status Port 0001 VLAN 00:00 learning+forwarding',
    '3042 fstp/- Port 0001 VLAN 00:00',
    '3045 fstp/root Port 0000 VLAN 00:00 -> 80:00:02:00:00:00:00:50',
    '3044 fstp/status Port 0002 VLAN 01:2c learning+forwarding',
  ]);
});

test('what is said of a port that was removed is forgotten', () => {
  const { sw, table } = fixture();
  addPort(sw, 1);
  for (const line of ['fstp/setedge 0 1 1', 'rstp/setcost 1 7', 'port/remove 1']) answer(table, line);
  addPort(sw, 1);
  assert.deepEqual([...treeConfiguration(sw)], ['rstp/setpriority 32768', 'rstp/settimes 2 20 15']);
});
