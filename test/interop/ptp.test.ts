/** Point-to-point links between `vde_plug`s of either make, and with QEMU. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { probeUnix, SOCK_DGRAM, SOCK_STREAM } from '../../src/sys/socket.js';
import type { Owner } from '../support/cleanup.js';
import { guest, requireGuest } from '../support/guest.js';
import { leakCheck } from '../support/leaks.js';
import { type Namespace, namespace } from '../support/namespace.js';
import {
  command,
  eventually,
  FrameStream,
  frame,
  knock,
  MAKES,
  type Make,
  openEnd,
  PAIRS,
  startSwitch,
  waitForClients,
} from '../support/network.js';
import { requirePeer, requireRoot, requireTun } from '../support/peers.js';
import { type Running, run, start } from '../support/proc.js';
import { waitForGone, waitForSocket, waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const DEBIAN = ['/usr/bin/vde_plug', '/usr/bin/vde_switch'];
const SIZES = [14, 15, 60, 1514, 9000, 9234];

/** Starts an end with its standard streams as the other side; it takes the place whose file is `file`. */
async function startEnd(t: Owner, make: Make, path: string, file: string): Promise<FrameStream> {
  for (let tries = 0; ; tries++) {
    const stream = new FrameStream(start(t, command(make, 'vde_plug'), [`ptp://${path}`]));
    const gone = stream.process.exited.then(() => true);
    if (!(await Promise.race([gone, waitUntil(file, 'bound socket', () => isBound(file))]))) return stream;
    // A C end does not wait for the other to notice that its peer has gone.
    assert.ok(make === 'debian' && tries < 100, stream.process.output);
  }
}

/** Whether a process has bound a socket to that path: the file alone may be a dead one's. */
function isBound(path: string): boolean {
  return probeUnix(path, path.endsWith('/ctl') ? SOCK_STREAM : SOCK_DGRAM) === 'alive';
}

let serial = 0;

async function exchange(a: FrameStream, b: FrameStream): Promise<void> {
  await knock(a, b);
  await knock(b, a);
  const round = serial++;
  for (const [from, to, name] of [
    [a, b, 'there'],
    [b, a, 'back'],
  ] as const) {
    const frames = SIZES.map((size, i) => frame({ tag: `${name} ${round}/${i}/`, size }));
    from.send(...frames);
    await to.receive(`${name} ${round}/${SIZES.length - 1}/`);
    const got = to.received.slice(-SIZES.length);
    assert.deepEqual(got, frames);
  }
}

for (const [first, second] of PAIRS) {
  test(`ptp: ${first} comes first, ${second} second; either leaves and comes back`, async (t) => {
    if (!requirePeer(t, ...DEBIAN)) return;
    leakCheck(t);
    const path = join(tmpDir(t), 'link');
    let a = await startEnd(t, first, path, path);
    let b = await startEnd(t, second, path, `${path}+`);
    await exchange(a, b);
    b.process.kill('SIGTERM');
    await waitForGone(`${path}+`);
    b = await startEnd(t, second, path, `${path}+`);
    await exchange(a, b);
    a.process.kill('SIGTERM');
    await waitForGone(path);
    a = await startEnd(t, first, path, path);
    await exchange(b, a);
    for (const end of [a, b]) {
      assert.equal(end.process.running, true);
      end.process.kill('SIGTERM');
      await end.process.exited;
    }
    assert.deepEqual(readdirSync(dirname(path)), []);
  });

  test(`ptp: ${first} and ${second} are killed in turn, and both`, async (t) => {
    if (!requirePeer(t, ...DEBIAN)) return;
    leakCheck(t);
    const path = join(tmpDir(t), 'link');
    const [ours, theirs] = [first === 'ours', second === 'ours'];
    let a = await startEnd(t, first, path, path);
    let b = await startEnd(t, second, path, `${path}+`);
    await knock(b, a);
    await knock(a, b);
    const kill = async (end: FrameStream) => {
      end.process.kill('SIGKILL');
      await end.process.exited;
    };
    await kill(b);
    // A C end learns of it when it sends; of its own accord only ours does.
    if (!ours) await untilRefused(a);
    b = await startEnd(t, second, path, `${path}+`);
    await exchange(b, a);
    await kill(a);
    if (!theirs) await untilRefused(b);
    a = await startEnd(t, first, path, path);
    await exchange(a, b);
    await Promise.all([kill(a), kill(b)]);
    assert.deepEqual(readdirSync(dirname(path)).sort(), ['link', 'link+']);
    a = await startEnd(t, first, path, path);
    b = await startEnd(t, second, path, `${path}+`);
    await exchange(b, a);
  });
}

/** Makes a C end send, which tells it that nobody is there. */
async function untilRefused(end: FrameStream): Promise<void> {
  for (let i = 0; i < 3; i++) end.send(frame({ tag: 'lost' }));
  // Its answer is none: what it reads after that, it has read before.
  await new Promise((done) => end.process.stdin.write('', done));
}

for (const third of MAKES) {
  test(`ptp: a third end (${third}) is refused, whoever the two are`, async (t) => {
    if (!requirePeer(t, ...DEBIAN)) return;
    leakCheck(t);
    for (const [first, second] of PAIRS) {
      const path = join(tmpDir(t), 'link');
      const a = await startEnd(t, first, path, path);
      const b = await startEnd(t, second, path, `${path}+`);
      await exchange(b, a);
      const { code, stderr } = await run(command(third, 'vde_plug'), [`ptp://${path}`]);
      assert.equal(code, 1);
      assert.match(stderr, third === 'ours' ? /has a peer already/ : /Operation not permitted/);
      await exchange(a, b);
    }
  });
}

test('ptp: a cable from a switch waits for the other end, and outlives it', async (t) => {
  if (!requirePeer(t, ...DEBIAN)) return;
  leakCheck(t);
  const { dir } = await startSwitch(t, 'ours');
  const path = join(tmpDir(t), 'link');
  const cable = start(t, command('ours', 'vde_plug'), [`vde://${dir}`, `ptp://${path}`]);
  await Promise.all([waitForClients(dir, 1), waitForSocket(path)]);
  const station = await openEnd(t, dir);
  for (const make of ['debian', 'ours', 'debian'] as const) {
    const end = await startEnd(t, make, path, `${path}+`);
    const tag = `through ${serial++}`;
    end.send(frame({ tag }));
    await station.receive(tag);
    station.send(frame({ tag: `${tag} and back` }));
    await end.receive(`${tag} and back`);
    end.process.kill('SIGKILL');
    await end.process.exited;
  }
  assert.equal(cable.running, true);
  cable.kill('SIGTERM');
  assert.deepEqual(await cable.exited, { code: 0, signal: null });
  assert.equal(existsSync(path), false);
});

test('ptp: another user may join only if the mode says so', async (t) => {
  if (!requireRoot(t) || !requirePeer(t, 'setpriv')) return;
  leakCheck(t);
  const dir = tmpDir(t);
  await run('chmod', ['777', dir]);
  const as = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath];
  const path = join(dir, 'link');
  const a = await startEnd(t, 'ours', path, path);
  const refused = await run('setpriv', [...as, command('ours', 'vde_plug'), `ptp://${path}`]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /Permission denied/);
  a.process.kill('SIGTERM');
  await a.process.exited;
  const open = new FrameStream(start(t, command('ours', 'vde_plug'), ['-m', '0666', `ptp://${path}`]));
  await waitForSocket(path);
  const other = new FrameStream(start(t, 'setpriv', [...as, command('ours', 'vde_plug'), `ptp://${path}`]));
  await waitForSocket(`${path}+`);
  await exchange(other, open);
});

test('ptp: QEMU joins us in either order, by our socket pair or by our switch', async (t) => {
  if (!requireGuest(t)) return;
  leakCheck(t);
  const dir = tmpDir(t);
  const first = await openEnd(t, `ptp://${join(dir, 'a')}`);
  const node = await openEnd(t, `switch://${join(dir, 'n')}`);
  await guest(t, {
    netdevs: [
      `vde,id=n0,sock=ptp://${join(dir, 'a')}`,
      `vde,id=n1,sock=ptp://${join(dir, 'b')}`,
      `vde,id=n2,sock=vde://${join(dir, 'n')}`,
    ],
    script: 'for i in 0 1 2; do ip addr add 10.0.$i.1/24 dev eth$i; ip link set eth$i up; done',
  });
  const second = await openEnd(t, `ptp://${join(dir, 'b')}`);
  for (const [i, end] of [first, second, node].entries()) {
    // Who has 10.0.i.1? (RFC 826)
    const request = Buffer.from(
      `ffffffffffff020000000009080600010800060400010200000000090a00${`0${i}`}09000000000000` + `0a00${`0${i}`}01`,
      'hex',
    );
    end.send(Buffer.concat([request, Buffer.alloc(18)]));
    await waitUntil(dir, `an answer from eth${i}`, () =>
      end.received.some((one) => one.readUInt16BE(12) === 0x0806 && one.readUInt16BE(20) === 2),
    );
  }
});

/** A namespace with a tap in it that a `vde_plug` of ours, also inside, joins to a locator. */
async function tapEnd(t: Owner, locator: string, address: string): Promise<{ net: Namespace; plug(): Running }> {
  const net = await namespace(t);
  await net.addTap('t0', { address });
  return { net, plug: () => net.start(t, command('ours', 'vde_plug'), ['tap://t0', locator]) };
}

for (const [name, first, second] of [
  ['ptp', 'ptp://%', 'ptp://%'],
  ['switch', 'switch://%', 'vde://%'],
] as const) {
  test(`${name}: two taps meet, also after either process has been killed`, async (t) => {
    if (!requireRoot(t) || !requireTun(t) || !requirePeer(t, 'ping')) return;
    leakCheck(t);
    const path = join(tmpDir(t), 'n');
    const left = await tapEnd(t, first.replace('%', path), '10.0.0.1/24');
    const right = await tapEnd(t, second.replace('%', path), '10.0.0.2/24');
    // Before both ends are there nobody knows of the other's address, and ping gives up after some seconds.
    const ping = () =>
      eventually('an answer', async () => (await left.net.exec('ping', ['-c1', '-W2', '10.0.0.2'])).code === 0);
    const up = (file: string) => waitUntil(file, 'bound socket', () => isBound(file));
    const files = name === 'ptp' ? [path, `${path}+`] : [join(path, 'ctl')];
    let a = left.plug();
    await up(files[0]);
    let b = right.plug();
    await ping();
    b.kill('SIGKILL');
    await b.exited;
    b = right.plug();
    await ping();
    a.kill('SIGKILL');
    await a.exited;
    a = left.plug();
    await up(files[0]);
    if (name === 'switch') {
      await b.exited;
      b = right.plug();
    }
    await ping();
    for (const one of [a, b]) {
      one.kill('SIGTERM');
      await one.exited;
    }
    assert.deepEqual(readdirSync(dirname(path)), []);
  });
}
