/**
 * Two network namespaces and what joins them: C's vdens and switch, ours, a mix, and the kernel's own bridge. TCP and UDP
 * by iperf3, round trips by ping, all as whoever runs it: no root is needed.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attempt, Child, congestionControls, median, progress, startSwitch, tcpOptions, within } from './support.js';

export const OURS = fileURLToPath(new URL('../bin/vdens', import.meta.url));
export const DEBIAN = '/usr/bin/vdens';
const SERVER = '10.99.0.1';
const CLIENT = '10.99.0.2';

/** Two hosts on one network; each runs a shell command. */
export interface Lab {
  /** Starts a command at host 1 or 2. */
  run(host: 1 | 2, command: string): Child;
  stop(): Promise<void>;
}

type LabMaker = () => Promise<Lab>;

/** `vdens LOCATOR sh -c ...` at both ends. */
export function vdensLab(first: string, second: string, locator: string, cleanUp: () => Promise<void>): Lab {
  const children: Child[] = [];
  return {
    run(host, command) {
      const address = host === 1 ? SERVER : CLIENT;
      const script = `ip addr add ${address}/24 dev vde0; ip link set vde0 up; ${command}`;
      const child = new Child(host === 1 ? first : second, [locator, 'sh', '-c', script]);
      children.push(child);
      return child;
    },
    async stop() {
      for (const child of children) await child.stop();
      await cleanUp();
    },
  };
}

const onSwitch =
  (side: 'C' | 'ours', first: string, second: string): LabMaker =>
  async () => {
    const { child, locator } = await startSwitch(side);
    return vdensLab(first, second, `vde://${locator}`, () => child.stop());
  };

/** Both ends name the same place, which one of them makes. */
const onPath =
  (scheme: 'ptp', vdens: string): LabMaker =>
  async () => {
    const parent = mkdtempSync(join(tmpdir(), 'vb-'));
    return vdensLab(vdens, vdens, `${scheme}://${join(parent, 'p')}`, async () =>
      rmSync(parent, { recursive: true, force: true }),
    );
  };

/** One end serves a switch from its own process, the other connects to it. */
const onNode =
  (vdens: string): LabMaker =>
  async () => {
    const parent = mkdtempSync(join(tmpdir(), 'vb-'));
    const directory = join(parent, 's');
    const lab = vdensLab(vdens, vdens, '', async () => rmSync(parent, { recursive: true, force: true }));
    const serving = vdensLab(vdens, vdens, `switch://${directory}`, async () => {});
    const joining = vdensLab(vdens, vdens, `vde://${directory}`, async () => {});
    return {
      run: (host, command) => (host === 1 ? serving : joining).run(host, command),
      async stop() {
        await joining.stop();
        await serving.stop();
        await lab.stop();
      },
    };
  };

/** veth pairs into a bridge of the kernel, all in one user namespace. */
const onBridge: LabMaker = async () => {
  const script = `
    exec 3<&0 # a shell's background jobs lose descriptor 0
    ip link add br0 type bridge; ip link set br0 up; ip link set lo up
    for i in 1 2; do
      unshare --net sh -c 'read line <&3' > /dev/null & pid=$!
      until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
      ip link add v$i type veth peer name e$i; ip link set v$i master br0 up; ip link set e$i netns $pid
      nsenter --net --target $pid sh -c "ip link set lo up; ip addr add 10.99.0.$i/24 dev e$i; ip link set e$i up"
      echo "host$i=$pid"
    done
    echo made; read line; kill $(jobs -p)`;
  const holder = new Child('unshare', ['--user', '--map-root-user', '--net', 'sh', '-c', script]);
  await holder.says('made');
  const pids = [1, 2].map((i) => new RegExp(`host${i}=(\\d+)`).exec(holder.output)?.[1] as string);
  const children: Child[] = [];
  return {
    run(host, command) {
      const child = new Child('nsenter', [
        '--user',
        '--net',
        '--preserve-credentials',
        '--target',
        pids[host - 1],
        'sh',
        '-c',
        command,
      ]);
      children.push(child);
      return child;
    },
    async stop() {
      for (const child of children) await child.stop();
      holder.tell('end');
      await holder.stop();
    },
  };
};

const LABS = {
  kernel: onBridge,
  'C switch': onSwitch('C', DEBIAN, DEBIAN),
  'our switch': onSwitch('ours', OURS, OURS),
  'our switch, one C vdens': onSwitch('ours', OURS, DEBIAN),
  'C ptp': onPath('ptp', DEBIAN),
  'our ptp': onPath('ptp', OURS),
  'C switch://': onNode(DEBIAN),
  'our switch://': onNode(OURS),
} satisfies Record<string, LabMaker>;
type LabName = keyof typeof LABS;

export interface Row {
  name: string;
  kind: 'tcp' | 'udp' | 'ping';
  /** Arguments of the iperf3 client. */
  args: string;
  labs: readonly LabName[];
}

const SWITCHES = ['C switch', 'our switch'] as const;
const tcp = (name: string, args: string, labs: readonly LabName[] = SWITCHES): Row => ({
  name,
  kind: 'tcp',
  args,
  labs,
});
const udp = (name: string, args: string): Row => ({ name, kind: 'udp', args: `-u -b 0 ${args}`, labs: SWITCHES });

const ROWS: readonly Row[] = [
  tcp('TCP, through a switch', '', ['kernel', 'C switch', 'our switch', 'our switch, one C vdens']),
  tcp('TCP, ptp', '', ['C ptp', 'our ptp']),
  tcp('TCP, switch://', '', ['C switch://', 'our switch://']),
  tcp('TCP, reverse', '-R', ['C switch', 'our switch', 'our switch, one C vdens']),
  tcp('TCP, 4 streams', '-P 4'),
  tcp('TCP, 4 streams, reverse', '-P 4 -R'),
  tcp('TCP, 16 streams', '-P 16'),
  tcp('TCP, 16 streams, reverse', '-P 16 -R'),
  ...(congestionControls.includes('bbr') ? [tcp('TCP with BBR', '-C bbr', ['kernel', 'C switch', 'our switch'])] : []),
  udp('UDP, 64 B', '-l 64'),
  udp('UDP, 1400 B', '-l 1400'),
  { name: 'ping', kind: 'ping', args: '', labs: SWITCHES },
];

/** What a run gave: Mbit/s and share lost, or µs. */
export interface Sample {
  rate: number;
  loss: number;
}

export interface NamespaceResult {
  row: string;
  kind: Row['kind'];
  samples: Partial<Record<LabName, Sample>>;
}

export async function measure(lab: Lab, row: Pick<Row, 'kind' | 'args'>, seconds: number): Promise<Sample> {
  const limit = Math.ceil(seconds) + 15;
  if (row.kind === 'ping') {
    lab.run(1, 'echo up; read line');
    const count = Math.round(seconds * 200);
    const out = await lab
      .run(
        2,
        `until ping -c 1 -W 1 ${SERVER} > /dev/null; do :; done; timeout ${limit} ping -c ${count} -i 0.005 ${SERVER}`,
      )
      .ended();
    const times = [...out.matchAll(/time=([\d.]+)/g)].map((match) => Number(match[1]) * 1000);
    return { rate: median(times), loss: 1 - times.length / count };
  }
  const server = lab.run(1, `timeout ${limit} iperf3 -s -1 --forceflush`);
  await server.says('listening');
  const wait = `until ping -c 1 -W 1 ${SERVER} > /dev/null; do :; done`;
  const congestion = row.kind === 'tcp' && !row.args.includes('-C ') ? tcpOptions : '';
  const client = `iperf3 -J -c ${SERVER} -t ${seconds} ${congestion} ${row.args}`;
  const out = await lab.run(2, `${wait}; timeout ${limit} ${client}`).ended();
  const { end } = JSON.parse(out.slice(out.indexOf('{')));
  if (row.kind === 'tcp') return { rate: end.sum_received.bits_per_second / 1e6, loss: 0 };
  const { packets, lost_packets: lost, bits_per_second: bits } = end.sum;
  return { rate: (bits / 1e6) * (1 - lost / packets), loss: lost / packets };
}

/** Runs all rows `rounds` times, the labs of a row in turn. */
export async function benchNamespaces(rounds: number, seconds: number, only?: RegExp): Promise<NamespaceResult[]> {
  const rows = ROWS.filter((row) => only === undefined || only.test(row.name));
  const samples = new Map<Row, Partial<Record<LabName, Sample[]>>>(rows.map((row) => [row, {}]));
  for (let round = 1; round <= rounds; round++) {
    for (const row of rows) {
      for (const name of row.labs) {
        progress(`round ${round} of ${rounds}: ${row.name}: ${name}`);
        const sample = await attempt(`${row.name}: ${name}`, async () => {
          const lab = await LABS[name]();
          try {
            return await within(seconds + 20, measure(lab, row, seconds));
          } finally {
            await lab.stop();
          }
        });
        const list = samples.get(row) as Partial<Record<LabName, Sample[]>>;
        list[name] = [...(list[name] ?? []), sample];
      }
    }
  }
  return rows.map((row) => ({
    row: row.name,
    kind: row.kind,
    samples: Object.fromEntries(
      Object.entries(samples.get(row) ?? {}).map(([name, list]) => [
        name,
        { rate: median(list.map((s) => s.rate)), loss: median(list.map((s) => s.loss)) },
      ]),
    ),
  }));
}

/** Median time from start to exit of `vdens LOCATOR true`, in ms, C's and ours. */
export async function benchStart(rounds: number): Promise<{ C: number; ours: number }> {
  const times: Record<'C' | 'ours', number[]> = { C: [], ours: [] };
  const { child, locator } = await startSwitch('ours');
  try {
    for (let round = 0; round < rounds; round++) {
      for (const side of ['C', 'ours'] as const) {
        progress(`vdens true: ${side}`);
        const begin = performance.now();
        await new Child(side === 'C' ? DEBIAN : OURS, [`vde://${locator}`, 'true']).ended();
        times[side].push(performance.now() - begin);
      }
    }
  } finally {
    await child.stop();
  }
  return { C: median(times.C), ours: median(times.ours) };
}

/** The results as cells. */
export function namespaceTable(results: readonly NamespaceResult[]): string[][] {
  const value = (kind: Row['kind'], sample: Sample | undefined) => {
    if (sample === undefined) return '';
    if (kind === 'ping') return `${sample.rate.toFixed(0)} µs`;
    const rate = sample.rate >= 1000 ? `${(sample.rate / 1000).toFixed(1)} Gbit/s` : `${sample.rate.toFixed(0)} Mbit/s`;
    return kind === 'udp' ? `${rate}, ${(100 * sample.loss).toFixed(1)} % lost` : rate;
  };
  return [
    ['row', 'kernel', 'C', 'ours', 'ours / C', 'ours, one end C', 'mixed / C'],
    ...results.map(({ row, kind, samples }) => {
      const C = samples['C switch'] ?? samples['C ptp'] ?? samples['C switch://'];
      const ours = samples['our switch'] ?? samples['our ptp'] ?? samples['our switch://'];
      const mixed = samples['our switch, one C vdens'];
      const ratio = (sample: Sample | undefined) => (sample && C ? (sample.rate / C.rate).toFixed(2) : '');
      return [
        row,
        value(kind, samples.kernel),
        value(kind, C),
        value(kind, ours),
        ratio(ours),
        value(kind, mixed),
        ratio(mixed),
      ];
    }),
  ];
}

/** The targets of the project, and what was measured. */
export function namespaceTargets(
  results: readonly NamespaceResult[],
  start: { C: number; ours: number } | undefined,
): { target: string; measured: string; met: boolean }[] {
  const targets: { target: string; measured: string; met: boolean }[] = [];
  const add = (target: string, value: number, limit: number, atMost = false, unit = '×') =>
    targets.push({
      target: `${target} ${atMost ? '≤' : '≥'} ${limit}${unit}`,
      measured: `${value.toFixed(2)}${unit}`,
      met: atMost ? value <= limit : value >= limit,
    });
  const ratio = (row: string, a: LabName, b: LabName): number | undefined => {
    const samples = results.find((result) => result.row === row)?.samples;
    const [x, y] = [samples?.[a], samples?.[b]];
    return x && y ? x.rate / y.rate : undefined;
  };
  const compare = (text: string, row: string, a: LabName, b: LabName, limit: number, atMost = false) => {
    const value = ratio(row, a, b);
    if (value !== undefined) add(text, value, limit, atMost);
  };
  compare('vdens – switch – vdens, of C’s,', ROWS[0].name, 'our switch', 'C switch', 20);
  compare('vdens – switch – vdens, of the kernel’s bridge,', ROWS[0].name, 'our switch', 'kernel', 0.95);
  compare('vdens – ptp – vdens, of C’s,', 'TCP, ptp', 'our ptp', 'C ptp', 10);
  compare('vdens – switch:// – vdens, of C’s,', 'TCP, switch://', 'our switch://', 'C switch://', 10);
  compare('our vdens – our switch – C vdens, of all C,', ROWS[0].name, 'our switch, one C vdens', 'C switch', 1.2);
  for (const { row, kind, samples } of results.slice(3)) {
    if (kind === 'ping') continue;
    compare(`${row}, of C’s,`, row, 'our switch', 'C switch', 1.2);
    const [C, ours] = [samples['C switch'], samples['our switch']];
    if (kind === 'udp' && C && ours) add(`${row}, share lost, less C’s,`, 100 * (ours.loss - C.loss), 0, true, ' %');
  }
  compare('ping p50, of C’s,', 'ping', 'our switch', 'C switch', 1, true);
  if (start) add('vdens true, start to exit,', start.ours, 250, true, ' ms');
  return targets;
}
