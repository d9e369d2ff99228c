/**
 * TCP from namespace to namespace through tunnels over UDP, by iperf3: C's vdens at both ends, ours, and one of each; on
 * one machine, whose loopback takes 64 kB at a time, and on two simulated hosts with an Ethernet of MTU 1500 between them.
 * All of it in one user namespace, as whoever runs it.
 */

import { fileURLToPath } from 'node:url';
import { attempt, Child, median, progress, tcpOptions, within } from './support.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const OURS = [`${root}bin/vdens`];
const DEBIAN = ['/usr/bin/vdens'];
/** Ours without a word to the peer of being ours: every datagram is as C's. */
const PLAIN = [process.execPath, '--import', 'tsx', `${root}bench/peers/plain-vdens.ts`];
const SERVER = '10.99.0.1';
const CLIENT = '10.99.0.2';

type Place = 'one machine' | 'two hosts';
type Pairing = 'C' | 'plain' | 'ours' | 'to C' | 'from C';

/** Who serves and who sends. */
const ENDS: Record<Pairing, readonly [string[], string[]]> = {
  C: [DEBIAN, DEBIAN],
  plain: [PLAIN, PLAIN],
  ours: [OURS, OURS],
  'to C': [DEBIAN, OURS],
  'from C': [OURS, DEBIAN],
};

interface Row {
  name: string;
  place: Place;
  args: string;
  pairings: readonly Pairing[];
  /** Locators of the server's and the client's end. */
  locators(pairing: Pairing): [string, string];
}

function udpRow(place: Place, name: string, args = ''): Row {
  const [a, b] = place === 'one machine' ? ['127.0.0.1', '127.0.0.1'] : ['10.1.0.1', '10.1.0.2'];
  return {
    name: `udp, ${place}${name}`,
    place,
    args,
    pairings: ['C', 'plain', 'ours', 'to C', 'from C'],
    locators(pairing) {
      const scheme = pairing === 'plain' ? 'plainudp' : 'udp';
      return [`${scheme}://${a}:4001->${b}:4002`, `${scheme}://${b}:4002->${a}:4001`];
    },
  };
}

function vxvdeRow(place: Place): Row {
  return {
    name: `vxvde, ${place}`,
    place,
    args: '',
    pairings: ['C', 'plain', 'ours', 'to C', 'from C'],
    locators(pairing) {
      const locator = `${pairing === 'plain' ? 'plainvxvde' : 'vxvde'}://234.0.0.1`;
      return [locator, locator];
    },
  };
}

const ROWS: readonly Row[] = [
  udpRow('one machine', ''),
  udpRow('one machine', ', 4 streams', '-P 4'),
  udpRow('two hosts', ''),
  vxvdeRow('one machine'),
  vxvdeRow('two hosts'),
];

/** Two hosts, the second in a network namespace of its own; multicast has a route at both. */
async function hosts(place: Place): Promise<{ holder: Child; pids: [string, string] }> {
  const script = `
    exec 3<&0 # a shell's background jobs lose descriptor 0
    ip link set lo up; ip link set lo multicast on
    unshare --net sh -c 'ip link set lo up; read line <&3' > /dev/null & pid=$!
    until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
    ip link add v1 type veth peer name v2; ip link set v2 netns $pid
    ip addr add 10.1.0.1/24 dev v1; ip link set v1 up
    nsenter --net --target $pid sh -c 'ip addr add 10.1.0.2/24 dev v2; ip link set v2 up; ip route add 224.0.0.0/4 dev v2'
    ip route add 224.0.0.0/4 dev "$1"
    echo "host1=$$ host2=$pid made"; read line; kill $pid`;
  const multicast = place === 'one machine' ? 'lo' : 'v1';
  const holder = new Child('unshare', ['--user', '--map-root-user', '--net', 'sh', '-c', script, 'sh', multicast]);
  await holder.says('made');
  const [, first, second] = /host1=(\d+) host2=(\d+)/.exec(holder.output) as RegExpExecArray;
  return { holder, pids: place === 'one machine' ? [first, first] : [first, second] };
}

async function measure(row: Row, pairing: Pairing, seconds: number): Promise<number> {
  const { holder, pids } = await hosts(row.place);
  const children: Child[] = [];
  const limit = Math.ceil(seconds) + 15;
  const run = (host: 0 | 1, command: string) => {
    const address = host === 0 ? SERVER : CLIENT;
    const script = `ip addr add ${address}/24 dev vde0; ip link set vde0 up; ${command}`;
    const enter = ['--user', '--net', '--preserve-credentials', '--target', pids[host]];
    const line = [...ENDS[pairing][host], row.locators(pairing)[host], 'sh', '-c', script];
    const child = new Child('nsenter', [...enter, ...line]);
    children.push(child);
    return child;
  };
  try {
    const server = run(0, `timeout ${limit} iperf3 -s -1 --forceflush`);
    await server.says('listening');
    const wait = `until ping -c 1 -W 1 ${SERVER} > /dev/null; do :; done`;
    const out = await run(
      1,
      `${wait}; timeout ${limit} iperf3 -J -c ${SERVER} -t ${seconds} ${tcpOptions} ${row.args}`,
    ).ended();
    return JSON.parse(out.slice(out.indexOf('{'))).end.sum_received.bits_per_second / 1e6;
  } finally {
    for (const child of children) await child.stop();
    holder.tell('end');
    await holder.stop();
  }
}

/** Medians of a row in Mbit/s. */
export interface TunnelResult {
  row: string;
  rates: Partial<Record<Pairing, number>>;
}

/** Runs all rows `rounds` times, the pairings of a row in turn. */
export async function benchTunnels(rounds: number, seconds: number, only?: RegExp): Promise<TunnelResult[]> {
  const rows = ROWS.filter((row) => only === undefined || only.test(row.name));
  const samples = new Map(rows.map((row) => [row, new Map<Pairing, number[]>()]));
  for (let round = 1; round <= rounds; round++) {
    for (const [row, of] of samples) {
      for (const pairing of row.pairings) {
        progress(`round ${round} of ${rounds}: ${row.name}: ${pairing}`);
        const rate = await attempt(`${row.name}: ${pairing}`, () =>
          within(seconds + 20, measure(row, pairing, seconds)),
        );
        of.set(pairing, [...(of.get(pairing) ?? []), rate]);
      }
    }
  }
  return rows.map((row) => ({
    row: row.name,
    rates: Object.fromEntries([...(samples.get(row) ?? [])].map(([pairing, list]) => [pairing, median(list)])),
  }));
}

/** The results as cells. */
export function tunnelTable(results: readonly TunnelResult[]): string[][] {
  const shown = (rate: number | undefined) => {
    if (rate === undefined) return '';
    return rate >= 1000 ? `${(rate / 1000).toFixed(1)} Gbit/s` : `${rate.toFixed(0)} Mbit/s`;
  };
  return [
    ['row', 'C', "ours, C's packets", '/ C', 'ours', '/ C', 'ours to C', '/ C', 'C to ours', '/ C'],
    ...results.map(({ row, rates }) => {
      const { C } = rates;
      const cells = (['plain', 'ours', 'to C', 'from C'] as const).flatMap((pairing) => {
        const rate = rates[pairing];
        return [shown(rate), rate !== undefined && C ? (rate / C).toFixed(2) : ''];
      });
      return [row, shown(C), ...cells];
    }),
  ];
}

/** The targets of the project, and what was measured. */
export function tunnelTargets(results: readonly TunnelResult[]): { target: string; measured: string; met: boolean }[] {
  return results.flatMap(({ row, rates }) => {
    const { C } = rates;
    if (C === undefined) return [];
    const targets: [Pairing, string, number][] = [
      ['plain', "ours, C's packets", 1.5],
      ['ours', 'ours', 5],
    ];
    return targets.flatMap(([pairing, text, limit]) => {
      const rate = rates[pairing];
      if (rate === undefined) return [];
      const ratio = rate / C;
      return [{ target: `${row}: ${text}, of C’s ≥ ${limit}×`, measured: `${ratio.toFixed(2)}×`, met: ratio >= limit }];
    });
  });
}
