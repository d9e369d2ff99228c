/** End points that clients give to a switch, and what else may come with a request: hostile, wrong, or too much. */

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { registerNodeSchemes } from '../../src/console/schemes.js';
import { adoptAll } from '../../src/plug/adoption.js';
import type { Adoptable } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { encodeRequest } from '../../src/plug/vde-protocol.js';
import { Vtep } from '../../src/plug/vtep.js';
import { encodeVtepSettings, type VtepSettings } from '../../src/plug/vtep-settings.js';
import { vxlanEnd } from '../../src/plug/vtep-sockets.js';
import { vxlanHeader } from '../../src/plug/vxlan-header.js';
import { sendWithDescriptors } from '../../src/sys/ancillary.js';
import { Descriptor, isOpen } from '../../src/sys/descriptor.js';
import { native } from '../../src/sys/ffi.js';
import { bindInet, connectInet, type InetAddress, localAddress, udpSocket } from '../../src/sys/inet.js';
import { loop } from '../../src/sys/loop.js';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SOCK_DGRAM,
  SOCK_STREAM,
  setOption,
  socket,
  takeError,
} from '../../src/sys/socket.js';
import { frame, sendAll } from '../plug/frames.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { eventually } from '../support/network.js';
import { tmpDir } from '../support/tmp.js';
import { type RawClient, rawClient, seated } from './raw-client.js';
import { activePorts, type Served, serve } from './served.js';

loop();
registerNodeSchemes();

const ANY = '0.0.0.0';
const GROUP = '239.0.0.1';
const EXTENSION = { maxFrame: 9000, offloads: false, adopt: true };
const IPPROTO_IP = 0;
const IP_RECVERR = 11;

const shutdown = native<(fd: number, how: number) => number>('int shutdown(int fd, int how)');

function bound(t: Owner, family: typeof AF_INET | typeof AF_INET6 = AF_INET, address = ANY): Descriptor {
  const udp = udpSocket(family, 'given');
  cleanup(t, () => udp.close());
  bindInet(udp, { address, port: 0 });
  return udp;
}

function portOf({ fd }: Descriptor): number {
  return (localAddress(fd) as InetAddress).port;
}

function settingsFor(port: number, more: Partial<VtepSettings> = {}): Uint8Array {
  const group = { address: GROUP, port, interfaceName: undefined };
  const settings = {
    vxvde: false,
    hello: true,
    vni: 1,
    hashsize: 16,
    expiretime: 100,
    family: AF_INET,
    group,
    from: '',
  };
  return encodeVtepSettings({ ...settings, ...more } as VtepSettings) as Uint8Array;
}

/** An end point whose group nobody joins: what it gets is sent to it alone. */
function vxlan(t: Owner): { plug: Vtep; udp: Descriptor; offer: Adoptable } {
  const udp = bound(t);
  const group = { address: GROUP, port: portOf(udp) };
  const options = { vni: 1, vxvde: false, hashsize: 16, expiretime: 100 };
  const plug = new Vtep(vxlanEnd(udp.duplicate(), { family: AF_INET, group, from: undefined }), 'vxlan://', options);
  cleanup(t, () => plug.close());
  return { plug, udp, offer: { kind: 'vtep', descriptor: udp, settings: settingsFor(group.port) } };
}

/** Asks a switch for a port as a client that gives descriptors; whether they are adopted. */
async function give(
  t: Owner,
  dir: string,
  descriptors: Descriptor[],
  settings: Uint8Array,
): Promise<[RawClient, boolean]> {
  const client = rawClient(t, dir);
  const request = encodeRequest(undefined, client.path, 'giver', EXTENSION, settings);
  assert.equal(sendWithDescriptors(client.stream, request, descriptors), request.length);
  const reply = await client.answer();
  assert.ok(reply && reply.length === 122, 'no answer to an end of ours');
  return [client, (reply.readUInt32LE(118) & 2) !== 0];
}

/** Sends a frame to an end point as a member on this machine, until it arrives at a client. */
async function reach(t: Owner, port: number, client: RawClient): Promise<void> {
  const peer = createSocket('udp4');
  cleanup(t, () => new Promise<void>((done) => peer.close(() => done())));
  peer.bind(0, '127.0.0.1');
  await once(peer, 'listening');
  const one = frame(60, 1);
  one.fill(0xff, 0, 6);
  peer.send(Buffer.concat([vxlanHeader(1), one]), port, '127.0.0.1');
  assert.deepEqual(await client.frames(1), [one]);
}

/** Whether a switch still serves two others. */
async function works(t: Owner, { dir }: Served): Promise<void> {
  const [a, b] = [await seated(t, dir), await seated(t, dir)];
  const one = frame(60, 7);
  one.fill(0xff, 0, 6);
  a.send(one);
  assert.deepEqual(await b.frames(1), [one]);
  a.close();
  b.close();
}

test('an end point that is offered is served by the switch; the port ends with the connection', async (t) => {
  const served = serve(t);
  const { udp, offer } = vxlan(t);
  const client = await seated(t, served.dir);
  const end = await openPlug(`vde://${served.dir}`, { offer });
  cleanup(t, () => end.close());
  assert.equal(end.adopted, true);
  await served.clients(2);
  assert.deepEqual(activePorts(served.sw), [1, 2]);
  await reach(t, portOf(udp), client);
  end.close();
  await served.clients(1);
  assert.deepEqual(activePorts(served.sw), [1]);
});

test('two sockets of a vxvde member, as a client gives them by hand', async (t) => {
  const served = serve(t);
  const all = bound(t, AF_INET, GROUP);
  const own = bound(t);
  const [, adopted] = await give(t, served.dir, [own, all], settingsFor(portOf(all), { vxvde: true }));
  assert.equal(adopted, true);
  const listener = await seated(t, served.dir);
  await reach(t, portOf(own), listener);
});

const WRONG: [what: string, given: (t: Owner) => [Descriptor[], Uint8Array]][] = [
  ['no descriptor', () => [[], settingsFor(4789)]],
  ['a socket at another port', (t) => [[bound(t)], settingsFor(4789)]],
  ['a socket that is not bound', (t) => [[closing(t, udpSocket(AF_INET, 'given'))], settingsFor(4789)]],
  ['a socket of IPv6', (t) => given(bound(t, AF_INET6, '::'))],
  [
    'a connected socket',
    (t) => {
      const udp = bound(t);
      connectInet(udp, { address: '127.0.0.1', port: 9 });
      return given(udp);
    },
  ],
  ['a socket of the machine', (t) => [[closing(t, socket(AF_UNIX, SOCK_DGRAM, 'given'))], settingsFor(4789)]],
  [
    'a TCP socket',
    (t) => {
      const tcp = closing(t, socket(AF_INET, SOCK_STREAM, 'given'));
      bindInet(tcp, { address: ANY, port: 0 });
      return given(tcp);
    },
  ],
  [
    'a datagram socket that is not of UDP',
    (t) => {
      const lite = closing(t, socket(AF_INET, SOCK_DGRAM, 'given', 136));
      bindInet(lite, { address: ANY, port: 0 });
      return given(lite);
    },
  ],
  ['a file', (t) => [[closing(t, new Descriptor(openSync('/dev/null', 'r'), 'given'))], settingsFor(4789)]],
  [
    'two sockets for one',
    (t) => {
      const udp = bound(t);
      return [[udp, bound(t)], settingsFor(portOf(udp))];
    },
  ],
  [
    'one socket for two',
    (t) => {
      const udp = bound(t, AF_INET, GROUP);
      return [[udp], settingsFor(portOf(udp), { vxvde: true })];
    },
  ],
  [
    'two sockets in the wrong order',
    (t) => {
      const [own, all] = [bound(t), bound(t, AF_INET, GROUP)];
      return [[all, own], settingsFor(portOf(all), { vxvde: true })];
    },
  ],
  [
    'more sockets than there are',
    (t) => {
      const udp = bound(t);
      return [[udp, bound(t), bound(t)], settingsFor(portOf(udp))];
    },
  ],
  ['two sockets and no settings', (t) => [[bound(t), bound(t)], new Uint8Array(0)]],
  [
    'settings of another version',
    (t) => {
      const udp = bound(t);
      return [[udp], settingsFor(portOf(udp)).fill(9, 0, 1)];
    },
  ],
  [
    'networks that are none',
    (t) => {
      const udp = bound(t);
      return [[udp], settingsFor(portOf(udp), { from: '10.0.0.0/99' })];
    },
  ],
  [
    'networks of another family',
    (t) => {
      const udp = bound(t);
      return [[udp], settingsFor(portOf(udp), { from: 'fd00::/8' })];
    },
  ],
];

function closing(t: Owner, descriptor: Descriptor): Descriptor {
  cleanup(t, () => descriptor.close());
  return descriptor;
}

function given(udp: Descriptor): [Descriptor[], Uint8Array] {
  return [[udp], settingsFor(portOf(udp))];
}

for (const [what, make] of WRONG) {
  test(`not adopted, and served by its data socket: ${what}`, async (t) => {
    const served = serve(t);
    const [descriptors, settings] = make(t);
    const [, adopted] = await give(t, served.dir, descriptors, settings);
    assert.equal(adopted, false);
    await works(t, served);
  });
}

test('whatever settings come with a socket, nothing is thrown, and what is not served stays open (fuzz)', (t) => {
  const { udp, offer } = vxlan(t);
  const valid = offer.settings as Uint8Array;
  const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255));
  const damaged = fc.array(change, { maxLength: 4 }).map((changes) => {
    const bytes = Uint8Array.from(valid);
    for (const [at, octet] of changes) bytes[at] = octet;
    return bytes;
  });
  const served = { yes: 0, no: 0 };
  fc.assert(
    fc.property(
      fc.oneof(damaged, fc.uint8Array({ maxLength: 120 })),
      fc.integer({ min: 0, max: 3 }),
      (bytes, count) => {
        const given = Array.from({ length: count }, () => udp.duplicate());
        const plug = adoptAll(given, bytes, 'any');
        served[plug ? 'yes' : 'no']++;
        if (plug === undefined) for (const one of given) assert.ok(isOpen(one.fd));
        plug?.close();
        for (const one of given) one.close();
      },
    ),
    { numRuns: 1000 },
  );
  assert.ok(served.yes > 0 && served.no > 0, `${served.yes} served, ${served.no} not`);
});

test('a request with a long description has no room for settings: the client serves its end itself', async (t) => {
  const served = serve(t);
  const { offer } = vxlan(t);
  for (const [length, adopted] of [
    [40, true],
    [110, undefined],
  ] as const) {
    const end = await openPlug(`vde://${served.dir}`, { description: 'x'.repeat(length), offer });
    cleanup(t, () => end.close());
    assert.equal(end.adopted, adopted);
    await served.clients(1);
    const [{ description = '' }] = served.sw.ports.flatMap((port) => port?.endpoints ?? []);
    assert.match(description, new RegExp(`^x{${length}} user=`));
    end.close();
    await served.clients(0);
  }
});

test('with more stations than a switch remembers for others, or too long a list, nothing is offered', (t) => {
  const { udp } = vxlan(t);
  const group = { address: '224.0.0.1', port: portOf(udp), interfaceName: 'lo' };
  for (const [hashsize, offered] of [
    [1 << 14, true],
    [1 << 15, false],
  ] as const) {
    const sockets = vxlanEnd(udp.duplicate(), { family: AF_INET, group, from: undefined });
    const plug = new Vtep(sockets, 'vxlan://', { vni: 1, vxvde: false, hashsize, expiretime: 100 });
    cleanup(t, () => plug.close());
    assert.equal(plug.adoptable() !== undefined, offered);
  }
});

for (const how of [0, 2]) {
  test(`a socket that its giver shuts down (${how}) costs its own port alone`, async (t) => {
    const served = serve(t);
    const { udp, offer } = vxlan(t);
    const [client, adopted] = await give(t, served.dir, [udp], offer.settings as Uint8Array);
    assert.equal(adopted, true);
    assert.deepEqual(activePorts(served.sw), [1]);
    shutdown(udp.fd, how);
    await client.dismissed();
    assert.deepEqual(activePorts(served.sw), []);
    await works(t, served);
  });
}

test('errors that its giver has the kernel keep are not reported for ever', async (t) => {
  const served = serve(t);
  const { udp, offer } = vxlan(t);
  const [, adopted] = await give(t, served.dir, [udp], offer.settings as Uint8Array);
  assert.equal(adopted, true);
  assert.ok(setOption(udp, IPPROTO_IP, IP_RECVERR, 1));
  // Nobody is there: the network says so, once for each datagram.
  const nobody = createSocket('udp4').bind(0, '127.0.0.1');
  await once(nobody, 'listening');
  const { port } = nobody.address();
  await new Promise<void>((done) => nobody.close(() => done()));
  const sender = new Vtep(
    vxlanEnd(udp.duplicate(), { family: AF_INET, group: { address: '127.0.0.1', port }, from: undefined }),
    'sender',
    { vni: 1, vxvde: false, hashsize: 0, expiretime: 1 },
  );
  cleanup(t, () => sender.close());
  sendAll(sender, [frame(60, 1), frame(60, 2)]);
  await eventually('this process is idle', async () => {
    const before = process.cpuUsage();
    await new Promise((done) => setTimeout(done, 400));
    const { user, system } = process.cpuUsage(before);
    return user + system < 250_000;
  });
  assert.equal(takeError(udp), 0);
  await works(t, served);
});

test('a switch that the process runs itself serves an end point that is offered', async (t) => {
  leakCheck(t);
  const { udp, offer } = vxlan(t);
  const dir = join(tmpDir(t), 'own');
  const node = await openPlug(`switch://${dir}`, { offer });
  cleanup(t, () => node.close());
  assert.equal(node.adopted, true);
  await reach(t, portOf(udp), await seated(t, dir));
});
