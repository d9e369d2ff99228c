/** The broker of vxvdex networks, in a network namespace of its own: vxvdex.test.ts runs it there. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import { openPlug } from '../../src/plug/registry.js';
import { decodeAnswer, encodeMemberRequest, MESSAGE_MAX, type Refusal } from '../../src/plug/vxvdex-protocol.js';
import { Collector, frame, sendAll } from '../plug/frames.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { eventually } from '../support/network.js';
import { tmpDir } from '../support/tmp.js';
import { policyOf, startBroker } from './brokered.js';
import { lingering, RawMember, REQUEST } from './raw-member.js';

const timeout = 60_000;

/** Root's number, as whom all of this runs: its network is 239.0.0.0 and 0. */
const OWN = 0;

/** Sends from one until the other has heard it: before, the group may not have been joined. */
async function greet(from: Parameters<typeof sendAll>[0], to: Collector, number: number): Promise<void> {
  const hello = frame(60, number);
  hello.fill(0xff, 0, 6);
  const heard = () => to.frames.some((one) => one.equals(hello));
  await eventually(`${number} is heard`, async () => {
    sendAll(from, [hello]);
    return heard();
  });
}

test('members of two brokers and of vxvde://, whoever came first, are one network', { timeout }, async (t) => {
  leakCheck(t);
  const [one, two] = [startBroker(t), startBroker(t)];
  const administrator = await openPlug('vxvde:///grp=0');
  cleanup(t, () => administrator.close());
  const plugs = [await one.open(), await one.open('/grp=0'), await two.open(), administrator];
  const arrived = plugs.map((plug) => new Collector(plug));
  for (const [i, plug] of plugs.entries()) {
    for (const [k, to] of arrived.entries()) if (k !== i) await greet(plug, to, 100 + i);
  }
  assert.equal(one.broker.memberCount, 2);
  assert.deepEqual([...one.broker.networks.keys()], [OWN]);
});

test('over IPv6 too, if the broker is; one who wants the other family is told', { timeout }, async (t) => {
  leakCheck(t);
  const six = startBroker(t, { family: 6, interfaceName: 'v0' });
  const administrator = await openPlug('vxvde:///v6/grp=0/if=v0');
  cleanup(t, () => administrator.close());
  const member = await six.open('/v6');
  await greet(member, new Collector(administrator), 1);
  await assert.rejects(six.open('/v4'), { code: 'EAFNOSUPPORT', message: /are over IPv6, not IPv4$/ });
});

test('members of different networks do not hear each other', { timeout }, async (t) => {
  leakCheck(t);
  const { broker, open } = startBroker(t, { networks: 'network a 5 users=0\nnetwork b 6 users=0' });
  const [a1, a2, b1, b2] = [await open('/net=a'), await open('/net=a'), await open('/net=b'), await open('/grp=6')];
  const [atA, atB] = [new Collector(a2), new Collector(b2)];
  await greet(a1, atA, 1);
  await greet(b1, atB, 2);
  await greet(a1, atA, 3);
  const numbers = (one: Collector) => new Set(one.frames.map((bytes) => bytes.readUInt32BE(14)));
  assert.deepEqual([numbers(atA), numbers(atB)], [new Set([1, 3]), new Set([2])]);
  assert.deepEqual([...broker.networks.keys()].sort(), [5, 6]);
});

test('the way out is there as long as there are members', { timeout }, async (t) => {
  leakCheck(t);
  const { broker, open } = startBroker(t);
  const groups = () => execFileSync('ip', ['maddress', 'show', 'dev', 'v0'], { encoding: 'utf8' });
  assert.doesNotMatch(groups(), /239\.0\.0\.0/);
  const [a, b] = [await open(), await open()];
  assert.match(groups(), /239\.0\.0\.0/);
  a.close();
  await eventually('one has left', async () => broker.memberCount === 1);
  assert.match(groups(), /239\.0\.0\.0/);
  b.close();
  await eventually('the other has left', async () => broker.memberCount === 0);
  assert.doesNotMatch(groups(), /239\.0\.0\.0/);
  assert.equal(broker.networks.size, 0);
});

test('one who may not is refused in a line, at both sides; then all is as before', { timeout }, async (t) => {
  leakCheck(t);
  const { broker, open, lines } = startBroker(t, { networks: 'network a 5 users=7' });
  for (const [parameters, code, message] of [
    ['/net=a', 'EACCES', /: root \(uid 0, gid 0\) may not join network a \(5\) \(ask the administrator for a place/],
    ['/grp=77777', 'EACCES', /: root \(uid 0, gid 0\) may not join network 77777 \(ask the administrator for a line/],
    ['/net=none', 'ENOENT', /: there is no network "none", and no group \(ask the administrator/],
  ] as const) {
    await assert.rejects(open(parameters), (error: Error & { code: string }) => {
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  }
  assert.match(lines[0], /^refused: root \(uid 0, gid 0\), pid \d+: may not join network a \(5\)$/);
  assert.equal(lines.length, 3);
  assert.equal(broker.memberCount, 0);
});

test('a network that cannot be reached is a refusal with the reason; another is served', { timeout }, async (t) => {
  leakCheck(t);
  execFileSync('ip', ['route', 'del', '224.0.0.0/4']);
  try {
    const { open } = startBroker(t);
    await assert.rejects(open(), { code: 'ENODEV', message: /239\.0\.0\.0: No such device \(.*ip route add/ });
    const named = startBroker(t, { interfaceName: 'v0' });
    await named.open();
  } finally {
    execFileSync('ip', ['route', 'add', '224.0.0.0/4', 'dev', 'v0']);
  }
});

test('so many memberships may a user have; when one ends there is room', { timeout }, async (t) => {
  leakCheck(t);
  const { broker, open } = startBroker(t, { membersOfUser: 3 });
  const all = [await open(), await open(), await open()];
  await assert.rejects(open(), { code: 'EDQUOT', message: /there are 3 memberships already \(end some, or ask/ });
  all[0].close();
  await eventually('there is room', async () => broker.memberCount === 2);
  await open();
});

test('a crowd that comes at once is let in', { timeout }, async (t) => {
  leakCheck(t);
  const { broker, open } = startBroker(t, { membersOfUser: 1000 });
  await Promise.all(Array.from({ length: 150 }, () => open()));
  assert.equal(broker.memberCount, 150);
});

test('other rules send away whom they do not admit', { timeout }, async (t) => {
  leakCheck(t);
  const { broker, open, lines } = startBroker(t, { networks: 'network a 5 users=0\nnetwork b 6 users=0' });
  const [a, b, own] = [await open('/net=a'), await open('/net=b'), await open()];
  const lost = [a, b, own].map(
    (plug) =>
      new Promise<string>((done) => {
        plug.onLost = (error) => done(error?.code ?? 'left');
      }),
  );
  broker.policy = policyOf('network a 5 users=7\nnetwork b 7 users=0');
  assert.deepEqual(await Promise.all(lost.slice(0, 2)), ['ECONNRESET', 'ECONNRESET']);
  assert.equal(broker.memberCount, 1);
  assert.ok(
    lines.some((line) => /sent away: may not join network a \(5\)$/.test(line)),
    lines.join('\n'),
  );
  assert.ok(
    lines.some((line) => /sent away: the network has another number$/.test(line)),
    lines.join('\n'),
  );
  await assert.rejects(open('/net=a'), { code: 'EACCES' });
});

test('a member who does not read costs herself frames, and nobody else', { timeout }, async (t) => {
  leakCheck(t);
  const { broker, open } = startBroker(t);
  const [speaker, stopped, listener] = [await open(), await open(), await open()];
  new Collector(stopped);
  stopped.receiving = false;
  const arrived = new Collector(listener);
  const burst = Array.from({ length: 32 }, (_, i) => frame(1400, i));
  for (const one of burst) one.fill(0xff, 0, 6);
  for (let sent = 0; sent < 4096; sent += burst.length) {
    sendAll(speaker, burst);
    await arrived.count(sent + burst.length);
  }
  const { ports } = [...broker.networks.values()][0].switch;
  const full = ports.map((port) => port?.drops.full ?? 0);
  assert.equal(full[3], 0);
  assert.ok(full[2] > 1000, `${full[2]} of 4096`);
});

test('an end point of the network that a member is in is not offered to the broker, who is in another', {
  timeout,
}, async (t) => {
  leakCheck(t);
  const { open } = startBroker(t);
  const other = await openPlug('vxvde:///port=5000');
  cleanup(t, () => other.close());
  const offer = other.adoptable?.();
  assert.equal(offer?.kind, 'vtep');
  const member = await open('', { offer });
  assert.equal(member.adopted, undefined);
});

test('a tap is served by the broker, and goes with its membership', { timeout }, async (t) => {
  if (!existsSync('/dev/net/tun')) return;
  leakCheck(t);
  const { broker, open } = startBroker(t);
  const tap = await openPlug('tap://x%d');
  cleanup(t, () => tap.close());
  const { interfaceName } = tap as unknown as { interfaceName: string };
  const member = await open('', { offer: tap.adoptable?.() });
  assert.equal(member.adopted, true);
  execFileSync('sh', ['-c', `echo 1 >/proc/sys/net/ipv6/conf/${interfaceName}/disable_ipv6`]);
  execFileSync('ip', ['link', 'set', interfaceName, 'up']);
  const other = await open();
  const arrived = new Collector(other);
  execFileSync('ip', ['address', 'add', '10.0.0.1/24', 'dev', interfaceName]);
  // Whoever asks for a neighbour sends a frame to all.
  execFileSync('sh', ['-c', 'ping -c 1 -W 1 10.0.0.2 >/dev/null || true']);
  await arrived.until(() => arrived.frames.some((one) => one.readUInt16BE(12) === 0x0806), 'an ARP request');
  const lost = new Promise<void>((done) => {
    member.onLost = () => done();
  });
  execFileSync('ip', ['link', 'delete', interfaceName]);
  await lost;
  assert.equal(broker.memberCount, 1);
});

test('members whose broker has gone are back when another takes its place', { timeout }, async (t) => {
  leakCheck(t);
  const first = startBroker(t);
  const notices: string[] = [];
  const plug = await openPlug(`restart://{vxvdex:///sock="${first.path}"}`, { onNotice: (line) => notices.push(line) });
  cleanup(t, () => plug.close());
  const arrived = new Collector(plug);
  first.broker.close();
  assert.equal(existsSync(first.path), false);
  const second = startBroker(t, { path: first.path });
  await eventually('the member is back', async () => second.broker.memberCount === 1);
  await greet(await second.open(), arrived, 1);
  assert.match(notices[0], /lost, it will be opened again \(.*the broker has closed the connection\)$/);
});

test('any bytes get an answer or the end, and nothing else happens', { timeout }, async (t) => {
  leakCheck(t);
  const { broker, path, open } = startBroker(t, { handshakeMs: 30_000 });
  const member = await open();
  const whole = encodeMemberRequest({ ...REQUEST, network: { kind: 'name', name: 'lab' } });
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: MESSAGE_MAX + 100 }),
    fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, value]) => {
      const copy = Buffer.from(whole);
      copy[at] = value;
      return copy;
    }),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (one) => {
      const raw = new RawMember(t, path);
      raw.send(one);
      const answer = await raw.receive();
      assert.ok(answer !== undefined && decodeAnswer(answer) !== undefined);
      raw.connection.close();
    }),
    { numRuns: 200 },
  );
  await eventually('only the member is left', async () => broker.memberCount === 1);
  assert.equal(member.drops.error, 0);
});

test('descriptors that nobody asked for are closed; what is said later is not read', { timeout }, async (t) => {
  leakCheck(t);
  const { broker, path, said } = startBroker(t);
  const before = execFileSync('ls', [`/proc/${process.pid}/fd`], { encoding: 'utf8' }).split('\n').length;
  const raw = new RawMember(t, path);
  raw.send(encodeMemberRequest(REQUEST), [raw.connection, raw.connection, raw.connection]);
  assert.equal((decodeAnswer((await raw.receive()) as Buffer) as Refusal).code, 'EPROTO');
  await said(/refused: .*more descriptors than one$/);
  // One that is nothing to serve: a member like others comes of it.
  const odd = new RawMember(t, path);
  odd.send(encodeMemberRequest({ ...REQUEST, adopt: true }), [raw.connection]);
  const answer = decodeAnswer((await odd.receive()) as Buffer);
  assert.ok(answer && 'adopted' in answer && !answer.adopted);
  odd.send(encodeMemberRequest({ ...REQUEST, network: { kind: 'group', group: 5 } }), [raw.connection]);
  for (let i = 0; i < 50; i++) odd.send(Buffer.alloc(100));
  await new Promise((done) => setImmediate(done));
  assert.equal(broker.memberCount, 1);
  odd.connection.close();
  raw.connection.close();
  await eventually('all have left', async () => broker.memberCount === 0);
  await eventually('no descriptor is left', async () => {
    return execFileSync('ls', [`/proc/${process.pid}/fd`], { encoding: 'utf8' }).split('\n').length <= before;
  });
});

test('one who gives what takes long to close makes nobody wait', { timeout }, async (t) => {
  leakCheck(t, undefined, { settle: 30_000 });
  const { path, open } = startBroker(t);
  const [a, b] = [await open(), await open()];
  const arrived = new Collector(b);
  const traps = [await lingering(t), await lingering(t), await lingering(t)];
  const begin = performance.now();
  const answers: string[] = [];
  for (const { descriptor } of traps) {
    const raw = new RawMember(t, path);
    raw.send(encodeMemberRequest({ ...REQUEST, adopt: true }), [descriptor]);
    // The broker's is the last.
    descriptor.close();
    const answer = decodeAnswer((await raw.receive()) as Buffer);
    answers.push(answer && 'code' in answer ? answer.code : 'admitted');
    await greet(a, arrived, answers.length);
  }
  // It does not go on for ever.
  assert.deepEqual(answers, ['admitted', 'admitted', 'EDQUOT']);
  await assert.rejects(open(), { code: 'EDQUOT', message: /descriptors of yours that cannot be closed/ });
  assert.ok(performance.now() - begin < 30_000);
  for (const { end } of traps) end();
});

test('those who connect and say nothing are few of a user, for a while, and in nobody’s way', {
  timeout,
}, async (t) => {
  leakCheck(t);
  const { path, lines } = startBroker(t, { handshakeMs: 2000 });
  const silent = Array.from({ length: 64 }, () => new RawMember(t, path));
  const more = Array.from({ length: 40 }, () => new RawMember(t, path));
  for (const raw of more) {
    const answer = decodeAnswer((await raw.receive()) as Buffer) as Refusal;
    assert.deepEqual(
      [answer.code, answer.cause],
      ['EDQUOT', 'there are connections that have not asked for a network already'],
    );
  }
  for (const raw of silent) {
    const answer = decodeAnswer((await raw.receive()) as Buffer) as Refusal;
    assert.deepEqual([answer.code, answer.cause], ['ETIMEDOUT', 'no request within 2 s']);
  }
  // The log does not grow with every one of them.
  assert.ok(lines.length < 90, lines.join('\n'));
  assert.match(lines[0], /^refused: /);
});

test('two brokers at one path: the second is told; a dead one’s place is taken; a file is left alone', (t) => {
  leakCheck(t);
  const dir = tmpDir(t);
  const path = join(dir, 'run', 'sock');
  const first = startBroker(t, { path });
  assert.throws(() => startBroker(t, { path }), { code: 'EADDRINUSE', message: /a vde_vxvdexd is running: stop it/ });
  first.broker.close();
  assert.equal(existsSync(join(dir, 'run')), false);
  assert.throws(() => startBroker(t, { path: dir }), { code: 'EEXIST' });
  assert.throws(() => startBroker(t, { path: join(dir, 'a/b/c') }), { code: 'ENOENT' });
});
