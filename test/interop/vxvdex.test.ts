/**
 * vxvdex on two simulated hosts: members in network namespaces of their own, members of either make outside, brokers and
 * members that are killed.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import test, { type TestContext } from 'node:test';
import { bin } from '../support/bin.js';
import { twoHosts } from '../support/hosts.js';
import { leakCheck } from '../support/leaks.js';
import { command, eventually, FrameStream, frame, MAKES } from '../support/network.js';
import { requirePeer, requireUserNamespaces } from '../support/peers.js';
import { introduce, privateStream, startPrivate, startVxvdexd, type User } from '../support/vxvdexd.js';

const alice: User = { uid: 2001, gid: 3001 };
const carol: User = { uid: 2003, gid: 3002 };

function ready(t: TestContext, ...peers: string[]): boolean {
  return requirePeer(t, 'ip', 'nsenter', 'unshare', ...peers) && requireUserNamespaces(t);
}

const timeout = 120_000;

test('an administrator joins with vxvde:///grp=GID, ours and C’s', { timeout }, async (t) => {
  if (!ready(t, '/usr/bin/vde_plug')) return;
  leakCheck(t);
  const [near, far] = await twoHosts(t);
  const isRoot = process.geteuid?.() === 0;
  const user = isRoot ? alice : undefined;
  const gid = user?.gid ?? 0;
  const broker = await startVxvdexd(t, near);
  const member = privateStream(t, near, user, broker.locator());
  for (const make of MAKES) {
    for (const host of [near, far]) {
      const plug = host.net.start(t, command(make, 'vde_plug'), [`vxvde:///grp=${gid}`]);
      const outside = new FrameStream(plug);
      await introduce(outside, 1, member);
      await introduce(member, 2, outside);
      // What is said to one goes straight to it.
      member.send(frame({ tag: `to ${make}`, source: 2, destination: 1, size: 1514 }));
      await outside.receive(`to ${make}`);
      plug.kill('SIGTERM');
      await plug.exited;
    }
  }
});

test('from her own namespace a user reaches neither the group nor the host', { timeout }, async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const [near] = await twoHosts(t);
  const user = process.geteuid?.() === 0 ? carol : undefined;
  await startVxvdexd(t, near);
  const direct = startPrivate(t, near, user, bin('vde_plug'), ['vxvde:///grp=3001', 'null://']);
  const { code } = await direct.exited;
  assert.equal(code, 1);
  assert.match(direct.stderr, /239\.0\.11\.185: No such device/);
  // Not with an interface of her own either: it leads nowhere.
  const script = `ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up &&
    ip address add ${near.v4}/24 dev v0 && ip route add 224.0.0.0/4 dev v0 && echo up &&
    exec ${bin('vde_plug')} vxvde:///grp=3001/if=v0`;
  const args = ['--user', '--map-root-user', '--net', 'sh', '-c', script];
  const sniffer = startPrivate(t, near, user, 'unshare', args);
  await sniffer.waitFor('up\n');
  const stream = new FrameStream(sniffer);
  const victims = [0, 1].map(() => new FrameStream(near.net.start(t, bin('vde_plug'), ['vxvde:///grp=3001'])));
  const talk = setInterval(() => stream.send(frame({ tag: 'forged', source: 9 })), 20);
  try {
    await introduce(victims[0], 1, victims[1]);
    await introduce(victims[1], 2, victims[0]);
    await introduce(victims[0], 1, victims[1]);
  } finally {
    clearInterval(talk);
  }
  assert.ok(!victims.some(({ received }) => received.some((bytes) => bytes.includes('forged'))));
  assert.ok(!sniffer.stdoutBytes.includes('here is'));
});

test('members and brokers that are killed leave nothing; who restarts is back', { timeout }, async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const [near] = await twoHosts(t);
  const user = process.geteuid?.() === 0 ? alice : undefined;
  const broker = await startVxvdexd(t, near);
  const stays = privateStream(t, near, user, `restart://{${broker.locator()}}`);
  const killed = privateStream(t, near, user, broker.locator());
  await introduce(stays, 1, killed);
  await introduce(killed, 2, stays);
  await killed.process.end();
  await broker.process.waitFor(/left network/);

  const witness = privateStream(t, near, user, broker.locator());
  await introduce(witness, 3, stays);
  broker.process.kill('SIGKILL');
  await broker.process.exited;
  const { code } = await witness.process.exited;
  assert.equal(code, 0);
  assert.equal(existsSync(broker.path), true, 'nobody could remove it');
  await eventually('no socket is left, not of those who stay either', async () => {
    const { stdout } = await near.net.exec('cat', ['/proc/net/udp']);
    return stdout.trim().split('\n').length === 1;
  });

  const next = await startVxvdexd(t, near, { path: broker.path });
  const newcomer = privateStream(t, near, user, next.locator());
  await introduce(newcomer, 4, stays);
  await introduce(stays, 1, newcomer);
  next.process.kill('SIGTERM');
  await next.process.exited;
  assert.equal(existsSync(broker.path), false);
});

test('a member that is stopped costs nobody else anything', { timeout }, async (t) => {
  if (!ready(t)) return;
  leakCheck(t);
  const [near] = await twoHosts(t);
  const user = process.geteuid?.() === 0 ? alice : undefined;
  const broker = await startVxvdexd(t, near);
  const [speaker, listener, stopped] = [0, 1, 2].map(() => privateStream(t, near, user, broker.locator()));
  await introduce(speaker, 1, listener);
  await introduce(speaker, 1, stopped);
  stopped.process.kill('SIGSTOP');
  for (let round = 0; round < 40; round++) {
    const burst = Array.from({ length: 50 }, (_, i) => frame({ tag: `${round}:${i}`, size: 1514, source: 1 }));
    speaker.send(...burst);
    await listener.receive(`${round}:49`);
  }
  stopped.process.kill('SIGCONT');
  await introduce(speaker, 1, stopped);
});
