/** The plugins `dump`, `pdump` and `iplog` as Debian's switch has them: the same lines, the same answers and messages. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { type ManagedSwitch, managedSwitch } from '../console/raw-console.js';
import { debian } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import { eventually } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { run } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, station } from '../switch/memory-plug.js';
import { type RawClient, seated } from '../switch/raw-client.js';

const PLUGINS = '/usr/lib/vde2/plugins';

interface Side extends ManagedSwitch {
  /** Its working directory. */
  cwd: string;
  clients: RawClient[];
}

type Both = Side[];

async function sides(t: TestContext): Promise<Both | undefined> {
  if (!requirePeer(t, debian('vde_switch'))) return undefined;
  leakCheck(t);
  return Promise.all(
    (['debian', 'ours'] as const).map(async (make) => {
      const cwd = tmpDir(t);
      const ports = make === 'debian' ? '9' : '8';
      return { ...(await managedSwitch(t, make, ['-n', ports], { cwd })), cwd, clients: [] };
    }),
  );
}

function normal(text: string, { cwd }: Side): string {
  return text.replaceAll(cwd, 'DIR');
}

/** Gives both the same lines, `DIR` being the directory of each. */
async function compare(both: Both, lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    const [theirs, ours] = await Promise.all(
      both.map(async (side) => normal(await side.console.ask(line.replaceAll('DIR', side.cwd)), side)),
    );
    assert.equal(ours, theirs, `answer to ${line}`);
  }
}

async function join3(t: TestContext, both: Both): Promise<void> {
  for (const side of both) for (let i = 0; i < 3; i++) side.clients.push(await seated(t, side.dir));
}

/** Sends a frame on both sides, and waits until `to` has it. */
async function pass(both: Both, from: number, to: number, bytes: Uint8Array): Promise<void> {
  for (const { clients } of both) {
    clients[from].send(bytes);
    await clients[to].frames(1);
  }
}

/** The debugging messages that each has got, once both have `count`. */
async function messages(both: Both, count: number): Promise<string[]> {
  const of = (side: Side) => [...side.console.text.matchAll(/^(?:vde\$ )?(3\d{3} .*)\n/gm)].map(([, line]) => line);
  await eventually('all messages', async () => both.every((side) => of(side).length >= count));
  const [theirs, ours] = both.map(of);
  assert.deepEqual(ours, theirs);
  for (const { console } of both) await console.take(() => true, 'messages');
  return ours;
}

test('plugins are loaded and unloaded by the names and paths that scripts use', async (t) => {
  const both = await sides(t);
  if (!both) return;
  await compare(both, [
    ...['plugin/list', 'plugin/add', 'plugin/add nosuch', 'plugin/add /usr/lib/libnosuch.so', 'plugin/del dump'],
    ...['dump', 'dump.so', `${PLUGINS}/dump`, `${PLUGINS}/dump.so`].flatMap((name) => [
      ...(name === 'dump.so'
        ? []
        : [`plugin/add ${name}`, 'plugin/add dump', 'plugin/list', 'help dump', 'plugin/del dum']),
      ...['plugin/list', 'debug/list dump', 'dump/active 1'],
    ]),
    ...['plugin/add iplog', 'plugin/add pdump', 'plugin/add dump', 'plugin/list', 'plugin/list p', 'plugin/list x'],
    ...['debug/list', 'help iplog', 'help pdump', 'help dump', 'debug/add pdump', 'debug/list pdump', 'debug/del'],
    ...['plugin/del x', 'plugin/del i', 'plugin/del p', 'plugin/del', 'plugin/list', 'debug/list', 'plugin/del'],
  ]);
});

test('dump says what passes, octet by octet', async (t) => {
  const both = await sides(t);
  if (!both) return;
  await compare(both, ['plugin/add dump', 'debug/add dump', 'vlan/create 5']);
  await join3(t, both);
  await compare(both, ['vlan/addport 5 1', 'port/setvlan 2 5']);
  await pass(both, 0, 2, frame(BROADCAST, station(1)));
  await compare(both, ['dump/active', 'dump/active 1', 'dump/active 1', 'dump/active x', 'dump/active -1']);
  await pass(both, 0, 2, frame(BROADCAST, station(1)));
  await pass(both, 0, 1, frame(BROADCAST, station(1), { tci: 5 }));
  await pass(both, 2, 0, frame(station(1), station(3)));
  await pass(both, 1, 0, frame(BROADCAST, station(2)));
  for (const { clients } of both) {
    clients[0].send(Buffer.alloc(10));
    clients[0].send(frame(BROADCAST, station(1), { tci: 7 }));
    clients[0].send(frame(station(1), station(5)));
  }
  await pass(both, 0, 2, frame(BROADCAST, station(1), { payload: Buffer.alloc(1486, 0xa5) }));
  const seen = await messages(both, 12);
  assert.equal(seen.length, 12);
  assert.match(seen[0], /^3101 dump\/packetin Pkt: Port 0001 len=0021 ff ff .* 64 $/);
  await compare(both, ['port/sethub 1']);
  await pass(both, 0, 1, frame(station(9), station(1), { tci: 7 }));
  // In a hub, who is sent it first is nobody's business.
  for (const { clients } of both) await clients[2].frames(1);
  await messages(both, 15);
  await compare(both, ['dump/active 0', 'debug/list dump', 'plugin/del dump', 'plugin/add dump', 'debug/list dump']);
  await pass(both, 0, 1, frame(BROADCAST, station(1)));
  await compare(both, ['plugin/list']);
  await messages(both, 15);
});

test('pdump writes the same frames to the same files', async (t) => {
  const both = await sides(t);
  if (!both) return;
  await join3(t, both);
  for (const { cwd } of both) writeFileSync(join(cwd, 'old.cap'), 'not a capture');
  await compare(both, [
    ...['plugin/add pdump', 'debug/add pdump', 'pdump/filename', 'pdump/active', 'pdump/active 0', 'pdump/buffered 0'],
    ...['pdump/active 1', 'pdump/active 1', 'pdump/buffered', 'pdump/buffered x', 'pdump/buffered 0'],
  ]);
  await pass(both, 0, 2, frame(BROADCAST, station(1)));
  await compare(both, ['pdump/filename DIR/b.cap', 'pdump/filename']);
  await pass(both, 0, 2, frame(BROADCAST, station(2)));
  await compare(both, ['pdump/active 0', 'pdump/active 1']);
  await pass(both, 0, 2, frame(BROADCAST, station(3)));
  await compare(both, ['pdump/filename old.cap', 'pdump/buffered 1']);
  await pass(both, 0, 2, frame(BROADCAST, station(4)));
  await compare(both, ['pdump/active 0', 'pdump/active 0', 'plugin/del pdump', 'plugin/add pdump', 'pdump/filename']);
  /** Without times; nor is the snapshot length compared, which is too small in C's. */
  const content = (side: Side, name: string) => {
    const bytes = readFileSync(join(side.cwd, name));
    bytes.writeUInt32LE(0, 16);
    for (let at = 24; at < bytes.length; at += 16 + bytes.readUInt32LE(at + 8)) bytes.fill(0, at, at + 8);
    return bytes.toString('hex');
  };
  for (const name of ['vde_dump.cap', 'b.cap', 'old.cap']) {
    assert.equal(content(both[1], name), content(both[0], name), name);
    if (!requirePeer(t, 'tcpdump')) continue;
    const { stdout } = await run('tcpdump', ['-n', '-e', '-r', join(both[1].cwd, name)]);
    assert.equal(stdout.match(/^\d\d:/gm)?.length, name === 'b.cap' ? 6 : 3);
  }
});

/** An IPv4 header from an address. */
function ipv4(...source: number[]): Buffer {
  return Buffer.concat([Buffer.from('450000140000000040110000', 'hex'), Buffer.from([...source, 10, 9, 9, 9])]);
}

test('iplog knows who uses which address, and writes it down', async (t) => {
  const both = await sides(t);
  if (!both) return;
  for (const { cwd } of both) writeFileSync(join(cwd, 'log'), 'before\n');
  const ranges = [
    '10.0.0.0/8',
    '10.1.2.3/8',
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '172.16.0.0/12 x',
    '1.2.3/8',
    '1/8',
  ];
  ranges.push('0.0.0.0/0', '10.256.0.1/32', '2.2.2.2.2/8', '5.5.5.5 /8', '012.1.1.1/7', '0x0d.1.1.1/6', 'x', '', '/8');
  ranges.push(
    'fd00::1/16',
    'fd01:2::/129',
    'FD02::/24',
    '::/0',
    '::ffff:1.2.3.4/120',
    'fd00::g/10',
    '1:2/16',
    '::1',
    '::2/-5',
  );
  await compare(both, [
    ...['plugin/add iplog', 'iplog/showinfo', ...ranges.map((range) => `iplog/ipadd ${range}`), 'iplog/list'],
    ...['0.0.0.0/0', '0.0.0.0/0', '::/0', 'fd00::/17', 'x', ''].map((range) => `iplog/ipdel ${range}`),
    ...['iplog/list', 'iplog/setgcint', 'iplog/setgcint -1', 'iplog/setexpire x', 'iplog/showinfo'],
    ...['iplog/setexpire 360', 'iplog/setgcint 1', 'iplog/logfile /nonexistent/f', 'iplog/showinfo'],
    ...['iplog/logfile log', 'iplog/showinfo', 'debug/add iplog'],
    ...[
      'iplist',
      'ipport',
      'ipport x',
      'ipport 99',
      'ipuser',
      'ipuser root',
      'ipuser nosuch',
      'ipsearch',
      'ipsearch x',
    ].map((command) => `iplog/${command}`),
  ]);
  await join3(t, both);
  const packet = (mac: number, ...source: number[]) =>
    frame(BROADCAST, station(mac), { type: 0x800, payload: ipv4(...source) });
  const ipv6 = Buffer.concat([Buffer.from('6000000000003b40fd02', 'hex'), Buffer.alloc(29, 0), Buffer.from([1])]);
  await pass(both, 0, 1, packet(1, 10, 1, 2, 3));
  await pass(both, 0, 1, packet(1, 10, 1, 2, 3));
  await pass(both, 0, 1, packet(2, 10, 1, 2, 3));
  await pass(both, 0, 1, packet(1, 192, 168, 0, 1));
  await pass(both, 0, 1, frame(BROADCAST, station(1), { type: 0x86dd, payload: ipv6 }));
  await pass(both, 1, 0, packet(7, 10, 1, 2, 3));
  const seen = await messages(both, 4);
  assert.equal(seen.length, 4);
  assert.match(seen[3], /^3301 iplog\/newip ipv4 10\.1\.2\.3 mac=02:00:00:00:00:07 port=2 vlan=0 user=\S+ "raw"$/);
  const [user] = /user=(\S+)/.exec(seen[3])?.slice(1) ?? [];
  const uid = String(process.geteuid?.());
  await compare(both, [
    ...['iplog/iplist', 'iplog/ipport 1', 'iplog/ipport 2x', 'iplog/ipport 0x1', `iplog/ipuser ${user}`],
    ...[`iplog/ipuser ${uid}`, 'iplog/ipuser 4321', 'iplog/ipsearch 10.1.2.3', 'iplog/ipsearch fd02::1'],
    ...['iplog/ipsearch 10.1.2.9', 'iplog/ipdel 10.0.0.0/8', 'iplog/iplist'],
  ]);
  const [theirs, ours] = both.map(({ cwd }) =>
    readFileSync(join(cwd, 'log'), 'utf8').replace(/\d\d:\d\d:\d\d/g, 'TIME'),
  );
  assert.equal(ours, theirs);
  assert.equal(ours.split('\n').length, 6);
  // Who leaves takes his addresses with him; who is silent loses them after a while.
  for (const { clients } of both) clients[1].close();
  await eventually('the address has gone', async () =>
    (await Promise.all(both.map(({ console }) => console.data('iplog/ipport 2')))).every(({ length }) => length === 0),
  );
  await compare(both, ['iplog/iplist', 'iplog/setexpire 1']);
  await eventually('the others have gone', async () =>
    (await Promise.all(both.map(({ console }) => console.data('iplog/iplist')))).every(({ length }) => length === 0),
  );
});
