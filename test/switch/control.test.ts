import assert from 'node:assert/strict';
import { chmodSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { ControlServer } from '../../src/switch/control.js';
import { ControlDirectory } from '../../src/switch/directory.js';
import { Switch } from '../../src/switch/switch.js';
import { AF_UNIX, bindUnix, SOCK_DGRAM, SOCK_STREAM, shutdownWrite, socket } from '../../src/sys/socket.js';
import { root } from '../support/bin.js';
import { cleanup } from '../support/cleanup.js';
import { requirePeer, requireRoot } from '../support/peers.js';
import { start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, station } from './memory-plug.js';
import { portType, type RawClient, rawClient, request, seated } from './raw-client.js';
import { activePorts, serve } from './served.js';

const limit = { timeout: 60_000 };
const FIXTURE = join(root, 'test/switch/fixtures/clients.ts');

/** Asserts that two clients reach each other. */
async function connected(one: RawClient, other: RawClient): Promise<void> {
  const ping = frame(BROADCAST, station(1));
  one.send(ping);
  assert.deepEqual(await other.frames(1), [ping]);
}

test('a client gets the address of its port in 110 bytes, and frames flow', limit, async (t) => {
  const { dir, sw } = serve(t);
  const [a, b] = [await seated(t, dir), await seated(t, dir, 7)];
  assert.match(a.answerPath, new RegExp(`^${dir}/001\\.\\d+$`));
  assert.match(b.answerPath, new RegExp(`^${dir}/007\\.\\d+$`));
  assert.deepEqual(activePorts(sw), [1, 7]);
  await connected(a, b);
  await connected(b, a);
  const endpoint = sw.ports[1]?.endpoints[0];
  assert.deepEqual([endpoint?.description, endpoint?.module], ['raw', 'unix prog']);
  assert.equal(sw.ports[1]?.currentUser, process.geteuid?.());
});

const wrong: [string, Buffer, RegExp][] = [
  ['with a wrong magic', request({ magic: 0xfeedfacd }), /wrong magic/],
  ['in the other byte order', request({ magic: 0xcefaedfe }), /wrong magic/],
  ['of an unknown version', request({ version: 9 }), /unknown protocol version 9/],
  ['of an unknown type', request({ type: 5 }), /unknown request type 5/],
  ['without a data socket', request(), /names no data socket/],
  ['of more than 256 bytes', request({ text: 'x'.repeat(135) }), /request of 257 bytes, at most 256/],
  ['that is a flood', Buffer.alloc(5000, 0xfe), /request|magic/],
];
for (const [what, bytes, reason] of wrong) {
  test(`a request ${what} is refused, and the log says why and who`, limit, async (t) => {
    const { dir, sw, lines, said } = serve(t);
    const client = rawClient(t, dir);
    client.write(bytes);
    assert.equal(await client.answer(), undefined);
    const line = await said(reason);
    assert.ok(line.includes(`(pid ${process.pid}, uid ${process.getuid?.()})`), line);
    assert.equal(lines.length, 1);
    assert.deepEqual(activePorts(sw), []);
  });
}

test('a request that ends too early is refused', limit, async (t) => {
  const { dir, said } = serve(t);
  const client = rawClient(t, dir);
  client.write(request({ path: client.path }).subarray(0, 121));
  shutdownWrite(client.stream);
  assert.equal(await client.answer(), undefined);
  await said(/request of 121 bytes, at least 122 expected/);
});

test('a request may come in pieces', limit, async (t) => {
  const { dir, sw, clients } = serve(t);
  const client = rawClient(t, dir);
  const bytes = request({ path: client.path, type: portType(3), text: 'in pieces' });
  await clients(1);
  for (const piece of [bytes.subarray(0, 3), bytes.subarray(3, 60), bytes.subarray(60)]) {
    assert.ok(client.quiet);
    client.write(piece);
    await new Promise((done) => setImmediate(done));
  }
  assert.ok(await client.answer());
  assert.deepEqual(activePorts(sw), [3]);
});

test('a client that says nothing, or half of it, is sent away when its time is over', limit, async (t) => {
  const { dir, server, said } = serve(t, { handshakeMs: 250 });
  const [silent, slow] = [rawClient(t, dir), rawClient(t, dir)];
  slow.write(request().subarray(0, 50));
  await Promise.all([silent.dismissed(), slow.dismissed()]);
  await said(/no request within 0.25 s/);
  await said(/request of 50 bytes.* within 0.25 s/);
  assert.equal(server.clientCount, 0);
  const client = await seated(t, dir);
  await new Promise((done) => setTimeout(done, 400));
  assert.ok(client.quiet, 'who has a port may be silent for as long as it likes');
});

test('what an attached client says on the control stream is ignored, another request too', limit, async (t) => {
  const { dir, sw, lines } = serve(t);
  const [a, b] = [await seated(t, dir), await seated(t, dir)];
  a.write(request({ path: a.path, type: portType(9) }));
  a.write(Buffer.alloc(300, 0x41));
  await connected(a, b);
  await connected(b, a);
  assert.ok(a.quiet);
  assert.deepEqual([activePorts(sw), lines], [[1, 2], []]);
});

test('a client may vanish at any step and leaves nothing behind', limit, async (t) => {
  const { dir, sw, server, clients } = serve(t);
  const steps: ((client: RawClient) => unknown)[] = [
    () => {},
    (client) => client.write(request().subarray(0, 40)),
    (client) => client.write(request({ path: client.path })),
    (client) => {
      client.write(request({ path: client.path }));
      return client.answer();
    },
    (client) => client.attach(),
    async (client) => {
      await client.attach();
      client.send(frame(BROADCAST, station(1)));
    },
  ];
  for (const step of steps) {
    for (const waited of [false, true]) {
      const client = rawClient(t, dir);
      if (waited) await clients(1);
      await step(client);
      client.close();
      // One more makes sure that the switch has seen the first.
      const next = await seated(t, dir);
      next.close();
      await clients(0);
      assert.deepEqual(activePorts(sw), []);
      assert.deepEqual(readdirSync(dir), ['ctl']);
    }
  }
  assert.equal(server.clientCount, 0);
});

test('an end of the data socket alone frees the port as soon as a frame shows it', limit, async (t) => {
  const { dir, sw } = serve(t);
  const [a, b] = [await seated(t, dir), await seated(t, dir)];
  b.data.close();
  a.send(frame(BROADCAST, station(1)));
  await b.dismissed();
  assert.deepEqual(activePorts(sw), [1]);
});

test('an empty datagram is a farewell of the C library, not a frame', limit, async (t) => {
  const { dir, sw } = serve(t);
  const [a, b] = [await seated(t, dir), await seated(t, dir)];
  a.send(Buffer.alloc(0));
  await connected(a, b);
  assert.equal(sw.ports[1]?.input.frames, 1);
});

test('what is no socket of the client cannot be named', limit, async (t) => {
  const { dir, sw, said } = serve(t);
  const inner = tmpDir(t);
  const client = rawClient(t, dir);
  const stream = socket(AF_UNIX, SOCK_STREAM, 'stream');
  cleanup(t, () => stream.close());
  bindUnix(stream, `${inner}/stream`);
  writeFileSync(`${inner}/file`, '');
  symlinkSync(client.path, `${inner}/link`);
  const cases: [string, RegExp][] = [
    [`${inner}/file`, /file: not a socket/],
    [`${inner}/link`, /link: not a socket/],
    [inner, /not a socket/],
    [`${inner}/stream`, /stream: Protocol wrong type for socket/],
    [`${inner}/absent`, /absent: No such file or directory/],
    ['relative/socket', /relative.socket: No such file or directory/],
    [`${inner}/file/below`, /below: Not a directory/],
    ['/'.padEnd(108, 'x'), /x: (No such file|File name too long)/],
    [`\n${inner}`, /\\x0a.*No such file/],
    ['\0nobody', /@nobody: Connection refused/],
  ];
  for (const [path, reason] of cases) {
    const one = rawClient(t, dir);
    assert.equal(await one.attach({ path }), false, path);
    await said(reason);
  }
  assert.deepEqual(activePorts(sw), []);
});

test('an abstract data socket works with its full padded name, and belongs to nobody', limit, async (t) => {
  const { dir, sw } = serve(t);
  const client = rawClient(t, dir);
  const data = socket(AF_UNIX, SOCK_DGRAM, 'abstract');
  cleanup(t, () => data.close());
  const name = `\0vde-test-${process.pid}`;
  bindUnix(data, name);
  client.write(request({ path: name }));
  assert.ok(await client.answer());
  assert.equal(sw.ports[1]?.currentUser, -1);
});

test('ports: 0 and 1 to N may be had, others not', limit, async (t) => {
  const { dir, sw, said } = serve(t, { ports: 3 });
  await seated(t, dir, 3);
  assert.equal(await rawClient(t, dir).attach({ type: portType(4) }), false);
  await said(/port 4: no such port, this switch has 0 to 3/);
  assert.equal(await rawClient(t, dir).attach({ type: portType(0x7fffff) }), false);
  assert.ok(await rawClient(t, dir).attach({ type: portType(-5) }));
  assert.ok(await rawClient(t, dir).attach({ type: 1 | portType(2) }));
  assert.deepEqual(activePorts(sw), [0, 3]);
  assert.equal(sw.ports[0]?.endpoints.length, 2);
  await seated(t, dir);
  await seated(t, dir);
  assert.equal(await rawClient(t, dir).attach(), false);
  await said(/no free port among its 3/);
});

test('several clients of one user share a port; the last one frees it', limit, async (t) => {
  const { dir, sw, clients } = serve(t);
  const [a, b, other] = [await seated(t, dir, 2), await seated(t, dir, 2), await seated(t, dir)];
  assert.equal(sw.ports[2]?.endpoints.length, 2);
  await connected(other, a);
  assert.equal((await b.frames(1)).length, 1);
  a.close();
  await clients(2);
  await connected(other, b);
  b.close();
  await clients(1);
  assert.deepEqual(activePorts(sw), [1]);
});

test('another user may attach with a socket of its own, but not with that of somebody else', limit, async (t) => {
  if (!requireRoot(t) || !requirePeer(t, 'setpriv')) return;
  const dir = join(tmpDir(t), 'sw');
  const directory = ControlDirectory.open(dir, { mode: 0o666, directoryMode: 0o777 });
  const sw = new Switch({ now: () => 0, random: Math.random });
  const lines: string[] = [];
  const server = new ControlServer(sw, directory, (line) => lines.push(line));
  cleanup(t, () => {
    server.close();
    sw.close();
    directory.close();
  });
  chmodSync(join(dir, '..'), 0o755);
  // A service of root's that writes down what it is sent, as /dev/log is one: everybody may write to it.
  const log = socket(AF_UNIX, SOCK_DGRAM, 'log');
  cleanup(t, () => log.close());
  bindUnix(log, join(dir, '..', 'log'));
  chmodSync(join(dir, '..', 'log'), 0o666);
  const as = (uid: number, task: object) => {
    const who = ['--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--'];
    const node = [process.execPath, '--import', import.meta.resolve('tsx'), FIXTURE];
    return start(t, 'setpriv', [...who, ...node, JSON.stringify({ dir, ...task })]);
  };
  const own = as(65534, { type: portType(5) });
  await own.waitFor('attached 1 refused 0');
  assert.equal(sw.ports[5]?.currentUser, 65534);
  const foreign = as(65534, { path: join(dir, '..', 'log') });
  await foreign.waitFor('attached 0 refused 1');
  assert.match(lines.join('\n'), /uid 65534\): .*log: socket of uid 0, not of the client, whose uid is 65534/);
  const late = as(1234, { type: portType(5) });
  await late.waitFor('attached 0 refused 1');
  assert.match(lines.join('\n'), /port 5: held by uid 65534/);
  assert.equal(await rawClient(t, dir).attach({ type: portType(5) }), false, 'not even root');
  own.stdin.end();
  await own.exited;
  assert.ok(await rawClient(t, dir).attach({ type: portType(5) }));
});
