/** What goes wrong with the C tools in use, and must not with ours: each is a way that they fail, tried on us. */

import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { cleanup } from '../support/cleanup.js';
import { cpuTime, leakCheck } from '../support/leaks.js';
import {
  clients,
  command,
  eventually,
  FrameStream,
  frame,
  greet,
  MAKES,
  openEnd,
  startSwitch,
  waitForClients,
} from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { start } from '../support/proc.js';
import { waitForFile, waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const DEBIAN = ['/usr/bin/vde_switch', '/usr/bin/vde_plug'];
const PLUG = command('ours', 'vde_plug');

test('an end does not change the modes of what is the switch’s, whatever mode it has itself', async (t) => {
  if (!requirePeer(t, ...DEBIAN)) return;
  leakCheck(t);
  for (const make of MAKES) {
    const { dir } = await startSwitch(t, make, ['-m', '0600']);
    const modes = (): string[] =>
      ['.', 'ctl', ...clients(dir)].map((name) => (statSync(join(dir, name)).mode & 0o7777).toString(8));
    const before = modes();
    start(t, PLUG, ['-m', '0777', `vde://${dir}`]);
    await waitForClients(dir, 1);
    assert.deepEqual(modes().slice(0, 2), before);
    assert.deepEqual(modes(), [...before, '600']);
  }
});

test('a command on a cable gets its three streams and no descriptor of the cable', async (t) => {
  if (!requirePeer(t, ...DEBIAN, 'sh')) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const home = tmpDir(t);
  const script = join(home, 'look');
  writeFileSync(script, `#!/bin/sh\nls /proc/$$/fd >"$OUT.new"; mv "$OUT.new" "$OUT"; cat >/dev/null\n`);
  chmodSync(script, 0o700);
  writeFileSync(join(home, 'key'), '1'.repeat(32), { mode: 0o600 });
  let serial = 0;
  /** What the script has open when it is started so. */
  const held = async (file: string, args: string[]): Promise<string> => {
    const out = join(home, `fds${serial++}`);
    const process = start(t, file, args, { env: { OUT: out } });
    await waitForFile(out);
    process.stdin.end();
    process.kill();
    await process.exited;
    return readFileSync(out, 'utf8');
  };
  // What these tests were started with is handed on.
  const given = await held(script, []);
  const network = `capture://${home}/pcapng{agno://${home}/key{vlan://4{vde://${dir}}}}`;
  for (const line of [
    [network, `cmd://${script}`],
    [network, '=', script],
    [`hub://${home}/n`, `cmd://${script}`],
    ['udp://0->127.0.0.1:9', '=', script],
    [`ptp://${home}/p`, '=', script],
  ]) {
    assert.equal(await held(PLUG, line), given, line.join(' '));
  }
});

for (const make of MAKES) {
  test(`a switch (${make}) that is stopped keeps nobody else of the same process waiting`, async (t) => {
    if (!requirePeer(t, ...DEBIAN)) return;
    leakCheck(t);
    const sw = await startSwitch(t, make);
    const hub = join(tmpDir(t), 'n');
    const cable = start(t, PLUG, [`hub://${hub}`, `vde://${sw.dir}`]);
    await waitForSocket(join(hub, 'ctl'));
    await waitForClients(sw.dir, 1);
    const [a, b] = [await openEnd(t, hub), await openEnd(t, hub)];
    await greet(a, b);
    sw.process.kill('SIGSTOP');
    cleanup(t, () => sw.process.kill('SIGCONT'));
    // More than any socket of a stopped switch takes, each of them heard at the other end of the hub.
    for (let i = 0; i < 400; i++) {
      a.send(frame({ tag: `row ${i}/`, size: 1400 }));
      await b.receive(`row ${i}/`);
    }
    assert.ok(cable.running);
    sw.process.kill('SIGCONT');
    const far = await openEnd(t, sw.dir);
    // What waits for the switch may still fill the queue toward it.
    await eventually('frames pass again', async () => {
      a.send(frame({ tag: 'again' }));
      return far.received.some((one) => one.includes('again'));
    });
  });
}

test('clients that connect to a node and leave without a word, or with nonsense, cost it nothing afterwards', async (t) => {
  leakCheck(t);
  for (const scheme of ['hub', 'switch', 'multi', 'bonding']) {
    const dir = join(tmpDir(t), 'n');
    const node = start(t, PLUG, [`${scheme}://${dir}`]);
    const owner = new FrameStream(node);
    await waitForSocket(join(dir, 'ctl'));
    const served = async (tag: string): Promise<void> => {
      const client = await openEnd(t, dir);
      client.send(frame({ tag }));
      await owner.receive(tag);
      await client.end.close();
    };
    const descriptors = (): number => readdirSync(`/proc/${node.pid}/fd`).length;
    await served('first');
    await eventually('the client has left', async () => clients(dir).length === 0);
    const idle = descriptors();
    for (const words of ['', 'x', '\0'.repeat(200), '\xff'.repeat(1000)]) {
      await new Promise<void>((done) => {
        const socket = createConnection(join(dir, 'ctl'), () => socket.end(Buffer.from(words, 'latin1')));
        socket.on('error', () => {});
        socket.on('close', () => done());
        socket.resume();
      });
    }
    await served('last');
    await eventually('descriptors are given back', async () => descriptors() <= idle);
    const before = cpuTime(node.pid);
    await new Promise((done) => setTimeout(done, 200));
    assert.ok(cpuTime(node.pid) - before < 100_000, `${scheme}: busy with nothing`);
  }
});

test('frames that are longer than what stands behind takes are dropped, not cut, and what follows arrives', async (t) => {
  if (!requirePeer(t, ...DEBIAN)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const theirs = new FrameStream(start(t, command('debian', 'vde_plug'), [`vde://${dir}`]));
  await waitForClients(dir, 1);
  const [near, far] = [await openEnd(t, dir), await openEnd(t, dir)];
  await greet(near, far);
  for (const size of [9235, 9300, 20_000, 65_000]) {
    near.send(frame({ tag: `long ${size}`, size }), frame({ tag: `after ${size}` }));
    await theirs.receive(`after ${size}`);
    assert.equal((await far.receive(`long ${size}`)).length, size);
  }
  assert.deepEqual(
    theirs.received.filter((one) => one.includes('long')),
    [],
  );
});
