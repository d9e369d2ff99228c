/** Ports kept for a user or a group: who gets them is decided by what the kernel says of the client, ours and Debian's. */

import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { managedSwitch, type RawConsole } from '../console/raw-console.js';
import { command, MAKES, type Make } from '../support/network.js';
import { requirePeer, requireRoot } from '../support/peers.js';
import { start } from '../support/proc.js';

const NOBODY = 65534;
const OTHER = 65533;
const GROUP = 65500;

interface Who {
  uid: number;
  groups?: number[];
}

async function setUp(t: TestContext): Promise<{ session: RawConsole; dir: string; said: () => string } | undefined> {
  if (!requireRoot(t) || !requirePeer(t, 'setpriv', command('debian', 'vde_plug'))) return undefined;
  const { console: session, dir, process } = await managedSwitch(t, 'ours', ['-m', '666', '-n', '4']);
  chmodSync(join(dir, '..'), 0o755);
  return { session, dir, said: () => process.stderr };
}

/** Has a client of that user ask for a port; whether it was seated there. It stays until the test ends, or is let go. */
async function ask(
  t: TestContext,
  session: RawConsole,
  dir: string,
  make: Make,
  who: Who,
  port?: number | string,
): Promise<string> {
  const groups = who.groups?.length ? `--groups=${who.groups.join(',')}` : '--clear-groups';
  const user = [`--reuid=${who.uid}`, `--regid=${who.uid}`, groups];
  const place = port === undefined ? dir : `${dir}[${port}]`;
  const plug = start(t, 'setpriv', [...user, command(make, 'vde_plug'), `vde://${place}`]);
  const gone = plug.exited.then(() => 'refused');
  for (;;) {
    const lines = await session.data('port/print');
    const seat = lines.findIndex((line) => line.includes(`pid=${plug.pid}`));
    if (seat >= 0) {
      const port = lines.slice(0, seat).findLast((line) => line.startsWith('Port')) as string;
      plug.kill();
      await plug.exited;
      while ((await session.data('port/print')).some((line) => line.includes(`pid=${plug.pid}`)));
      return `port ${Number(port.slice(5, 9))}`;
    }
    const end = await Promise.race([gone, new Promise<undefined>((done) => setTimeout(() => done(undefined), 20))]);
    if (end !== undefined) return end;
  }
}

for (const make of MAKES) {
  test(`a port kept for a user or a group is for root, that user and the group's members (${make} clients)`, async (t) => {
    const setting = await setUp(t);
    if (!setting) return;
    const { session, dir, said } = setting;
    const place = (who: Who, port?: number | string) => ask(t, session, dir, make, who, port);
    for (const line of ['port/create 2', 'port/create 3', `port/setuser 2 ${NOBODY}`, `port/setgroup 3 ${GROUP}`]) {
      assert.equal(await session.ask(line), '1000 Success\n');
    }
    assert.equal(await place({ uid: NOBODY }, 2), 'port 2');
    assert.equal(await place({ uid: 0 }, 2), 'port 2');
    assert.equal(await place({ uid: OTHER }, 2), 'refused');
    assert.match(said(), /client refused \(pid \d+, uid 65533\): port 2: kept for another user or group/);
    assert.equal(await place({ uid: OTHER, groups: [GROUP] }, 3), 'port 3');
    assert.equal(await place({ uid: OTHER, groups: [GROUP + 1] }, 3), 'refused');
    assert.equal(await place({ uid: GROUP }, 3), 'port 3');
    // Free for all who do not ask for a number, but kept for one.
    for (const line of ['port/allocatable 2 1', 'port/create 1']) await session.ask(line);
    assert.equal(await place({ uid: NOBODY }), 'port 2');
    assert.equal(await place({ uid: OTHER }), 'port 4');
    for (const line of ['port/setuser 2 ANY', 'port/setgroup 3 NONE']) await session.ask(line);
    assert.equal(await place({ uid: OTHER }, 2), 'port 2');
    assert.equal(await place({ uid: OTHER }, 3), 'port 3');
  });

  test(`a port group is for those who may open its socket (${make} clients)`, async (t) => {
    const setting = await setUp(t);
    if (!setting) return;
    const { session, dir, said } = setting;
    const place = (who: Who, port?: number | string) => ask(t, session, dir, make, who, port);
    assert.equal(await session.ask(`port/group lab 1-2 660 ${GROUP}`), '1000 Success\n');
    assert.equal(await session.ask('port/setuser 2 root'), '1000 Success\n');
    assert.equal(await place({ uid: OTHER, groups: [GROUP] }, 'lab'), 'port 1');
    assert.equal(await place({ uid: 0 }, 'lab'), 'port 1');
    // C's plug asks for any other port when it may not have the one that it was told to.
    assert.equal(await place({ uid: OTHER }, 'lab'), make === 'ours' ? 'refused' : 'port 3');
    assert.equal(await place({ uid: OTHER, groups: [GROUP] }), 'port 3');
    assert.equal(await place({ uid: OTHER, groups: [GROUP] }, 1), 'refused');
    assert.match(said(), /client refused \(pid \d+, uid 65533\): port 1: of port group lab/);
    await session.ask('port/ungroup lab');
    assert.equal(await place({ uid: OTHER }, 1), 'port 1');
  });
}
