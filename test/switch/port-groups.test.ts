/** Ports that are had by way of a socket of their own: which names, which ports, what stays behind. */

import assert from 'node:assert/strict';
import { chmodSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { open } from '../../src/index.js';
import { isGroupName } from '../../src/switch/port-groups.js';
import { addPort, removePort } from '../../src/switch/port-management.js';
import { SwitchService } from '../../src/switch/service.js';
import { loop } from '../../src/sys/loop.js';
import { AF_UNIX, bindUnix, SOCK_STREAM, socket } from '../../src/sys/socket.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';
import { activePorts } from './served.js';

loop();

function service(t: TestContext, dir = join(tmpDir(t), 'sw')): { one: SwitchService; dir: string } {
  const one = new SwitchService(dir, { ports: 8, mode: 0o640 });
  cleanup(t, () => one.close());
  return { one, dir };
}

async function seat(t: TestContext, locator: string): Promise<void> {
  const end = await open(locator);
  cleanup(t, () => end.close());
}

test('clients of a group get its free ports, others get none of them', async (t) => {
  leakCheck(t);
  const { one, dir } = service(t);
  one.portGroups.set('lab', new Set([1, 5]));
  await seat(t, dir);
  await seat(t, `${dir}[lab]`);
  await seat(t, `vde://${dir}[portgroup=lab]`);
  assert.deepEqual(activePorts(one.switch), [1, 2, 5]);
  await assert.rejects(open(`${dir}[lab]`), /the switch refused the connection/);
  // By number it is root's alone.
  const byNumber = open(`${dir}[5]`).then((end) => end.close());
  if (process.geteuid?.() === 0) await byNumber;
  else await assert.rejects(byNumber, /the switch refused/);
  assert.throws(() => removePort(one.switch, 5), { code: 'EADDRINUSE' });
});

test('a group may be changed and ended; who is seated stays', async (t) => {
  leakCheck(t);
  const { one, dir } = service(t);
  const { portGroups } = one;
  addPort(one.switch, 3);
  portGroups.set('lab', new Set([3]));
  await seat(t, `${dir}[lab]`);
  portGroups.set('lab', new Set([4]), 0o666);
  assert.equal(statSync(join(dir, 'lab')).mode & 0o777, 0o666);
  await seat(t, `${dir}[lab]`);
  assert.deepEqual(activePorts(one.switch), [3, 4]);
  assert.deepEqual([...portGroups.ports('lab')], [4]);
  portGroups.remove('lab');
  assert.deepEqual(activePorts(one.switch), [3, 4]);
  assert.deepEqual(portGroups.list, []);
  await assert.rejects(open(`${dir}[lab]`), /the switch has no port group lab/);
  assert.throws(() => portGroups.remove('lab'), { code: 'ENOENT' });
});

test('what cannot be is refused, and nothing has changed', (t) => {
  const { one, dir } = service(t);
  const { portGroups } = one;
  portGroups.set('lab', new Set([1, 2]));
  writeFileSync(join(dir, 'notes'), 'mine');
  const cases: [name: string, ports: number[], code: string][] = [
    ['lab', [], 'EINVAL'],
    ['lab', [0], 'EINVAL'],
    ['lab', [3, 9], 'EINVAL'],
    ['other', [2, 3], 'EADDRINUSE'],
    ['ctl', [3], 'EADDRINUSE'],
    ['notes', [3], 'EEXIST'],
    ['../up', [3], 'EINVAL'],
    ['x'.repeat(33), [3], 'EINVAL'],
  ];
  for (const [name, ports, code] of cases) {
    assert.throws(() => portGroups.set(name, new Set(ports)), { code }, name);
  }
  assert.deepEqual([...portGroups.ports('lab')], [1, 2]);
  assert.equal(portGroups.list.length, 1);
  assert.equal(one.switch.ports[3], undefined);
  assert.deepEqual(readdirSync(dir).sort(), ['ctl', 'lab', 'notes']);
});

test('names are those that a C client can give', () => {
  for (const good of ['lab', 'Lab-2_b.c', 'x', 'portal', 'groups']) assert.ok(isGroupName(good), good);
  for (const bad of ['', '7', '7a', '.x', '-x', 'a/b', 'a b', 'fd7', 'p', 'port', 'gr', 'mode', 'é', 'a\n']) {
    assert.ok(!isGroupName(bad), bad);
  }
});

test('sockets have the permissions of the switch’s own, and go with it, also after it was killed', (t) => {
  leakCheck(t);
  const { one, dir } = service(t);
  one.portGroups.set('lab', new Set([1]));
  assert.equal(statSync(join(dir, 'lab')).mode & 0o777, 0o640);
  const dead = (name: string, mode: number): void => {
    const listener = socket(AF_UNIX, SOCK_STREAM, name);
    bindUnix(listener, join(dir, name));
    listener.close();
    chmodSync(join(dir, name), mode);
  };
  // What a killed switch leaves: sockets that nobody listens at, with its mark. Others are not its.
  dead('again', 0o1600);
  dead('old', statSync(join(dir, 'lab')).mode);
  dead('mgmt', 0o600);
  one.portGroups.set('again', new Set([2]));
  one.close();
  assert.deepEqual(readdirSync(dir), ['mgmt']);
});
