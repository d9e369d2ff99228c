/**
 * The matrix: every scheme, with `vde_plug` of this project at both ends, and with Debian's at one of them.
 *
 * A row says how to lay the cable between two `vde_plug`s whose standard streams are the stations. The first make runs
 * what one side has to run (the switch, the node, the command); where C has no such plug, its end is another one that
 * can stand there. What a cell is known not to move is said with the reason, and counts as wrong when it passes.
 */

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SOCK_SEQPACKET, socketPair } from '../../src/sys/socket.js';
import { freePorts } from '../plug/udp-pair.js';
import type { Owner } from '../support/cleanup.js';
import { twoHosts } from '../support/hosts.js';
import { type Namespace, namespace } from '../support/namespace.js';
import { command, eventually, FrameStream, type Make, plugStream, startSwitch } from '../support/network.js';
import { requirePeer, requireRoot, requireTun, requireUserNamespaces, type Skippable } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { serialLine } from '../support/serial.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { privateStream, startVxvdexd } from '../support/vxvdexd.js';
import type { Kind } from './probes.js';

export const PAIRS = ['ours-ours', 'ours-C', 'C-ours'] as const;
export type Pair = (typeof PAIRS)[number];

type Makes = readonly [first: Make, second: Make];
type Ends = readonly [FrameStream, FrameStream];

export interface Row {
  scheme: string;
  /** Where rows of one kind are tested together. */
  kind: 'local' | 'tunnel' | 'wrapper' | 'interface';
  /** What stands at C's end if it is not the same scheme; `none` if nothing could. */
  c?: 'none' | string;
  /** What is known not to pass both ways, and why. */
  lost?: Partial<Record<Pair, Partial<Record<Kind, string>>>>;
  /** C's plugin that Debian has in a package of its own. */
  plugin?: string;
  /** False if something is missing here; the skip says what. */
  ready?(t: Skippable): boolean;
  open(t: Owner, makes: Makes): Promise<Ends>;
}

/** A `vde_plug` whose standard streams are a station. */
function end(t: Owner, make: Make, locator: string, within?: Namespace): FrameStream {
  const line = [command(make, 'vde_plug'), [locator]] as const;
  return new FrameStream(within ? within.start(t, ...line) : start(t, ...line));
}

const namespaces = (t: Skippable): boolean => requirePeer(t, 'ip', 'nsenter', 'unshare') && requireUserNamespaces(t);

const UNICAST = 'what C sends is lost, it learns no address';
const FROM_C = { IPv4: UNICAST, IPv6: UNICAST, '1500 B': UNICAST, '9000 B': UNICAST };
const TOO_LONG = { '9000 B': 'too long for C' } as const;

/** A node that the first end runs, and the second as its client. */
function node(scheme: string): Row {
  return {
    scheme,
    kind: 'local',
    async open(t, [first, second]) {
      const dir = join(tmpDir(t), 'n');
      const owner = end(t, first, `${scheme}://${dir}`);
      await waitForSocket(join(dir, 'ctl'));
      return [owner, end(t, second, `vde://${dir}`)];
    },
  };
}

/** Both ends on one switch of ours; `locator` says what an end opens there, with a key file in a directory at hand. */
function wrapper(
  row: Omit<Row, 'kind' | 'open'>,
  locator: (sw: string, make: Make, home: string, number: number) => string,
): Row {
  return {
    ...row,
    kind: 'wrapper',
    async open(t, [first, second]) {
      // A hub: a switch would mind the tags.
      const { dir } = await startSwitch(t, 'ours', ['-x']);
      const home = tmpDir(t);
      writeFileSync(join(home, 'key'), randomBytes(16).toString('hex'), { mode: 0o600 });
      return [end(t, first, locator(dir, first, home, 1)), end(t, second, locator(dir, second, home, 2))];
    },
  };
}

/** A wire of the host: interfaces v0 and v1 that take packets of 9000 bytes. */
async function wire(t: Owner): Promise<Namespace> {
  const ns = await namespace(t);
  await ns.ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
  for (const name of ['v0', 'v1']) await ns.configure(name, { mtu: 9000 });
  await ns.running('v0', 'v1');
  return ns;
}

/** A cloud of two members on two hosts; the route to the group leads out by `eth`. */
function cloud(scheme: string, lost?: Row['lost']): Row {
  return {
    scheme,
    kind: 'tunnel',
    lost,
    ready: namespaces,
    async open(t, makes) {
      const hosts = await twoHosts(t);
      const [a, b] = makes.map((make, i) => end(t, make, `${scheme}://`, hosts[i].net));
      return [a, b];
    },
  };
}

export const ROWS: readonly Row[] = [
  {
    scheme: 'vde',
    kind: 'local',
    // vde_switch of C cuts what is longer than 1518 bytes.
    lost: { 'C-ours': TOO_LONG },
    async open(t, [first, second]) {
      const { dir } = await startSwitch(t, first);
      return [await plugStream(t, first, dir), await plugStream(t, second, dir)];
    },
  },
  {
    scheme: 'ptp',
    kind: 'local',
    async open(t, [first, second]) {
      const path = join(tmpDir(t), 'p');
      const a = end(t, first, `ptp://${path}`);
      await waitForSocket(path);
      return [a, end(t, second, `ptp://${path}`)];
    },
  },
  node('hub'),
  node('switch'),
  node('multi'),
  node('bonding'),
  {
    scheme: 'seqpacket',
    kind: 'local',
    async open(t, makes) {
      const pair = socketPair(SOCK_SEQPACKET, 'pair');
      const [a, b] = makes.map((make, i) => {
        const stdio = ['pipe', 'pipe', 'pipe', pair[i].fd] as const;
        return new FrameStream(start(t, command(make, 'vde_plug'), ['seqpacket://3'], { stdio: [...stdio] }));
      });
      for (const one of pair) one.close();
      return [a, b];
    },
  },
  {
    scheme: 'qemu',
    kind: 'local',
    c: 'none',
    async open(t, [first, second]) {
      const path = join(tmpDir(t), 's');
      const a = end(t, first, `qemu://${path}[listen]`);
      await waitForSocket(path);
      return [a, end(t, second, `qemu://${path}`)];
    },
  },
  {
    scheme: 'cmd',
    kind: 'local',
    async open(t, [first, second]) {
      const { dir } = await startSwitch(t, 'ours');
      const a = end(t, first, `cmd://${command(second, 'vde_plug')} vde://${dir}`);
      return [a, await plugStream(t, second, dir)];
    },
  },
  {
    scheme: 'vdesl',
    kind: 'local',
    plugin: 'vdesl',
    ready: (t) => requirePeer(t, 'socat', 'stty'),
    async open(t, [first, second]) {
      const line = await serialLine(t);
      return [await lineEnd(t, first, line.a), await lineEnd(t, second, line.b)];
    },
  },
  {
    scheme: 'udp',
    kind: 'tunnel',
    async open(t, [first, second]) {
      const [here, there] = freePorts(2).map((port) => `127.0.0.1:${port}`);
      return [end(t, first, `udp://${here}->${there}`), end(t, second, `udp://${there}->${here}`)];
    },
  },
  cloud('vxvde'),
  // What C sends to one station is lost once it has heard of it: it learns no address (reference: vxlan).
  cloud('vxlan', { 'ours-C': FROM_C, 'C-ours': FROM_C }),
  {
    scheme: 'vxvdex',
    kind: 'tunnel',
    c: 'vxvde',
    ready: namespaces,
    async open(t, makes) {
      const hosts = await twoHosts(t);
      const ends = [];
      for (const [i, make] of makes.entries()) {
        // The network of root's group, which is also that of the member inside.
        if (make === 'debian') ends.push(end(t, make, 'vxvde:///grp=0', hosts[i].net));
        else ends.push(privateStream(t, hosts[i], undefined, (await startVxvdexd(t, hosts[i])).locator()));
      }
      return [ends[0], ends[1]];
    },
  },
  wrapper({ scheme: 'agno', plugin: 'agno' }, (sw, _, home) => `agno://${join(home, 'key')}{vde://${sw}}`),
  wrapper({ scheme: 'vlan', plugin: 'vlan' }, (sw) => `vlan://4{vde://${sw}}`),
  wrapper({ scheme: 'restart', c: 'vde' }, (sw, make) => (make === 'ours' ? `restart://{vde://${sw}}` : `vde://${sw}`)),
  wrapper({ scheme: 'capture', c: 'vde' }, (sw, make, home, number) =>
    make === 'ours' ? `capture://${join(home, `${number}.pcapng`)}{vde://${sw}}` : `vde://${sw}`,
  ),
  {
    scheme: 'tap',
    kind: 'interface',
    ready: (t) => namespaces(t) && requireTun(t),
    async open(t, makes) {
      const ns = await namespace(t);
      await ns.ip('link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0');
      await ns.configure('br0');
      const ends = [];
      for (const [i, make] of makes.entries()) {
        const tap = await ns.addTap(`t${i}`, { mtu: 9000 });
        await ns.ip('link', 'set', tap, 'master', 'br0');
        ends.push(end(t, make, `tap://${tap}`, ns));
      }
      return [ends[0], ends[1]];
    },
  },
  {
    scheme: 'packet',
    kind: 'interface',
    c: 'pcap',
    plugin: 'pcap',
    ready: namespaces,
    async open(t, makes) {
      const ns = await wire(t);
      const [a, b] = makes.map((make, i) => end(t, make, `${make === 'ours' ? 'packet' : 'pcap'}://v${i}`, ns));
      return [a, b];
    },
  },
  {
    scheme: 'pcap',
    kind: 'interface',
    plugin: 'pcap',
    ready: namespaces,
    async open(t, makes) {
      const ns = await wire(t);
      const [a, b] = makes.map((make, i) => end(t, make, `pcap://v${i}`, ns));
      return [a, b];
    },
  },
  {
    scheme: 'macvtap',
    kind: 'interface',
    c: 'none',
    ready: (t) => namespaces(t) && requireRoot(t) && hasMacvtap(t),
    async open(t, makes) {
      const ns = await wire(t);
      const ends = [];
      for (const [i, make] of makes.entries()) {
        // The device is named by the index, and /dev is shared with other namespaces.
        const index = String(40_000 + (process.pid % 10_000) * 2 + i);
        const add = [
          'link',
          'add',
          'link',
          `v${i}`,
          'name',
          `m${i}`,
          'index',
          index,
          'type',
          'macvtap',
          'mode',
          'bridge',
        ];
        await ns.ip(...add);
        // The kernel delivers only what is for the macvtap's own address.
        await ns.configure(`m${i}`, { mac: `02:00:00:00:00:0${i + 1}`, mtu: 9000 });
        ends.push(end(t, make, `macvtap://m${i}`, ns));
      }
      return [ends[0], ends[1]];
    },
  },
];

/** An end on a serial line; it is there once the line has its speed, which the pseudo terminal keeps. */
async function lineEnd(t: Owner, make: Make, path: string): Promise<FrameStream> {
  const stream = end(t, make, `vdesl://${path}[speed=4000000]`);
  await eventually(`${path} has its speed`, async () => {
    if (!stream.process.running) throw new Error(stream.process.output);
    return (await run('stty', ['-F', path, 'speed'])).stdout.trim() === '4000000';
  });
  return stream;
}

/** A kernel without macvtap is no fault of the machine's: Debian's cloud kernels have none. */
function hasMacvtap(t: Skippable): boolean {
  const { status } = spawnSync('unshare', ['--net', 'sh', '-c', MACVTAP]);
  if (status !== 0) t.skip('not in this kernel');
  return status === 0;
}

const MACVTAP = 'ip link add v0 type veth peer name v1 && ip link add link v0 name m0 type macvtap';
