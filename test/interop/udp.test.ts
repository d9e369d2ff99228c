/** `udp://` of either make at either end: frames, restarts, and sockets that a switch serves. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { boundSocket, RawEnd, udpLocators } from '../plug/udp-pair.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
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
  waitForEndpoints,
} from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { type Running, run, start, waitForSleep } from '../support/proc.js';

const DEBIAN = ['/usr/bin/vde_plug', '/usr/bin/vde_switch'];
const SIZES = [14, 15, 60, 1514, 9000, 9234];

/** Whether somebody has a UDP port of this machine. */
function isBound(port: number): boolean {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['udp', 'udp6'].some((table) =>
    readFileSync(`/proc/net/${table}`, 'utf8')
      .split('\n')
      .some((line) => line.trim().split(/\s+/)[1]?.endsWith(hex)),
  );
}

async function startEnd(t: Owner, make: Make, locator: string, port: number): Promise<FrameStream> {
  const stream = new FrameStream(start(t, command(make, 'vde_plug'), [locator]));
  await eventually(`port ${port} is bound`, async () => isBound(port));
  return stream;
}

let serial = 0;

async function exchange(a: FrameStream, b: FrameStream): Promise<void> {
  await knock(a, b);
  await knock(b, a);
  for (const [from, to] of [
    [a, b],
    [b, a],
  ]) {
    const round = serial++;
    const frames = SIZES.map((size, i) => frame({ tag: `${round}/${i}/`, size }));
    for (const [i, one] of frames.entries()) {
      from.send(one);
      // A C end loses step where the length of a record is read in halves. The shortest frames have no room for a tag.
      if (one.length >= 30) assert.deepEqual(await to.receive(`${round}/${i}/`), one);
      else await eventually('a short frame', async () => to.received.some((got) => got.equals(one)));
    }
  }
}

for (const [first, second] of PAIRS) {
  test(`udp: ${first} and ${second} exchange frames; each leaves, is killed and comes back`, async (t) => {
    if (!requirePeer(t, ...DEBIAN)) return;
    leakCheck(t);
    const [left, right, p, q] = udpLocators();
    let a = await startEnd(t, first, left, p);
    let b = await startEnd(t, second, right, q);
    await exchange(a, b);
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      b.process.kill(signal);
      await b.process.exited;
      // Into the void: the network answers each with an error.
      for (let i = 0; i < 3; i++) a.send(frame({ tag: 'lost' }));
      b = await startEnd(t, second, right, q);
      await exchange(a, b);
      a.process.kill(signal);
      await a.process.exited;
      for (let i = 0; i < 3; i++) b.send(frame({ tag: 'lost' }));
      a = await startEnd(t, first, left, p);
      await exchange(a, b);
    }
  });
}

test('udp: an end whose peer is not there does not spin', async (t) => {
  leakCheck(t);
  const [left, , p, q] = udpLocators();
  const end = await startEnd(t, 'ours', left, p);
  const ticks = () => {
    const fields = readFileSync(`/proc/${end.process.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  // It has done with its start when it has sent a frame, and sleeps again, as it has nothing else to do.
  const { socket } = boundSocket(t, '127.0.0.1', q);
  const raw = new RawEnd(socket);
  end.send(frame({ tag: 'taken' }));
  await eventually('a frame', async () => raw.receive() !== undefined);
  socket.close();
  end.send(frame({ tag: 'refused' }));
  await new Promise((done) => setTimeout(done, 300));
  await waitForSleep(end.process.pid);
  const before = ticks();
  await new Promise((done) => setTimeout(done, 500));
  assert.ok(ticks() - before < 25, `${ticks() - before} of 50 hundredths of a second`);
  assert.equal(end.process.running, true);
});

test('udp: our mistakes are Debian’s, with a reason', async (t) => {
  if (!requirePeer(t, ...DEBIAN)) return;
  for (const body of ['1234', '1234->x', '1234->127.0.0.1', '::1:0->127.0.0.1:9', '0->:9', '0->:::nothing']) {
    for (const make of MAKES) {
      const { code, stderr } = await run(command(make, 'vde_plug'), [`udp://${body}`]);
      assert.equal(code, 1, `${make}: ${body}`);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
      if (make === 'ours') assert.match(stderr, /^vde_plug: udp:\/\/.+: .+/);
    }
  }
});

/** A switch with a `udp://` cable into it, and the stream at the other end of that. */
async function cabled(
  t: TestContext,
  make: Make,
  far: Make,
): Promise<{ cable: Running; peer: FrameStream; dir: string }> {
  const sw = await startSwitch(t, make);
  const [left, right, p, q] = udpLocators();
  const cable = start(t, command('ours', 'vde_plug'), [left, `vde://${sw.dir}`]);
  await eventually('the cable is there', async () => isBound(p));
  await waitForEndpoints(sw, 1);
  return { cable, peer: await startEnd(t, far, right, q), dir: sw.dir };
}

test('udp: our switch serves the socket itself: the cable’s process may sleep', async (t) => {
  if (!requirePeer(t, ...DEBIAN)) return;
  leakCheck(t);
  for (const far of MAKES) {
    const { cable, peer, dir } = await cabled(t, 'ours', far);
    const station = await openEnd(t, dir);
    cable.kill('SIGSTOP');
    cleanup(t, () => cable.kill('SIGCONT'));
    // Before it has sent, a C end tells nobody where it is: ours is told in its locator.
    const tag = `asleep ${serial++}/`;
    station.send(frame({ tag, source: 9 }));
    await peer.receive(tag);
    peer.send(frame({ tag: `${tag}back`, source: 8 }));
    await station.receive(`${tag}back`);
    cable.kill('SIGCONT');
    cable.kill('SIGTERM');
    assert.deepEqual(await cable.exited, { code: 0, signal: null });
  }
});

test('udp: a C switch does not, and the frames pass all the same', async (t) => {
  if (!requirePeer(t, ...DEBIAN)) return;
  leakCheck(t);
  const { peer, dir } = await cabled(t, 'debian', 'ours');
  const station = await openEnd(t, dir);
  station.send(frame({ tag: 'there', source: 9 }));
  await peer.receive('there');
  peer.send(frame({ tag: 'back', source: 8 }));
  await station.receive('back');
});
