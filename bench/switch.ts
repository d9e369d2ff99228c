/**
 * The switch against the C one: two clients of Debian's libvdeplug at saturation, and one frame in flight.
 *
 * CPU per frame is the switch's user and system time over the frames that arrived. Runs of the two switches alternate.
 */

import {
  attempt,
  type Child,
  cpuTime,
  median,
  progress,
  residentMemory,
  SIDES,
  type Side,
  startClient,
  startSwitch,
  within,
} from './support.js';

interface Row {
  name: string;
  kind: 'flood' | 'ping';
  /** Bytes of a frame. */
  size: number;
  ports: number;
  /** Station addresses behind the two clients together. */
  addresses: number;
}

const flood = (size: number, ports: number, addresses: number): Row => ({
  name: `flood, ${size} B, ${ports} ports, ${addresses} addresses`,
  kind: 'flood',
  size,
  ports,
  addresses,
});

const ROWS: readonly Row[] = [
  flood(64, 2, 2),
  flood(512, 2, 2),
  flood(1500, 2, 2),
  { name: 'one frame in flight, 64 B', kind: 'ping', size: 64, ports: 2, addresses: 2 },
  flood(64, 16, 2),
  flood(64, 128, 2),
  flood(64, 512, 2),
  flood(64, 2, 10),
  flood(64, 2, 100_000),
  flood(64, 512, 100_000),
];

/** What one run of one switch gave. */
interface Sample {
  /** Delivered frames per second. */
  rate: number;
  /** Share of the frames sent that did not arrive. */
  loss: number;
  /** µs of the switch's CPU per delivered frame. */
  cpu: number;
  /** Round trips, in µs. */
  p50: number;
  p99: number;
  /** MiB. */
  memory: number;
}

export type SwitchResult = { row: Row; samples: Record<Side, Sample> };

async function run(side: Side, row: Row, seconds: number): Promise<Sample> {
  const args = ['-n', String(row.ports + 2)];
  // With its default of 128 buckets the C table would be one long list.
  if (row.addresses > 1000 && side === 'C') args.push('--hashsize', '131072');
  const { child: target, locator } = await startSwitch(side, args);
  const started: Child[] = [target];
  const client = (mode: string, work: object) => {
    const child = startClient(mode, locator, work);
    started.push(child);
    return child;
  };
  try {
    if (row.ports > 2) await client('crowd', { ports: row.ports - 2 }).says('ready');
    const each = row.addresses / 2;
    const work = { size: row.size, seconds, sources: each, destinations: each };
    const answering = client(row.kind === 'flood' ? 'receive' : 'echo', { ...work, self: 2, peer: 1 });
    const asking = client(row.kind === 'flood' ? 'send' : 'ping', { ...work, self: 1, peer: 2 });
    for (const step of ['ready', 'hello']) {
      await Promise.all([answering.says(step), asking.says(step)]);
      answering.tell('go');
      if (step === 'hello') await answering.says('announced');
      asking.tell('go');
    }
    await asking.says('announced');
    const before = cpuTime(target.pid);
    asking.tell('go');
    const [given, taken] = await Promise.all([asking.result(), answering.result()]);
    const cpu = cpuTime(target.pid) - before;
    const memory = residentMemory(target.pid);
    if (row.kind === 'ping') {
      return {
        rate: (2 * given.trips) / seconds,
        loss: 0,
        cpu: cpu / (2 * given.trips),
        p50: given.p50,
        p99: given.p99,
        memory,
      };
    }
    const { received } = taken;
    return {
      rate: received / given.seconds,
      loss: 1 - received / given.sent,
      cpu: cpu / received,
      p50: 0,
      p99: 0,
      memory,
    };
  } finally {
    for (const child of started.reverse()) await child.stop();
  }
}

/** Runs all rows, both switches in turn, `rounds` times. */
export async function benchSwitch(rounds: number, seconds: number, only?: RegExp): Promise<SwitchResult[]> {
  const rows = ROWS.filter((row) => only === undefined || only.test(row.name));
  const samples = new Map<Row, Record<Side, Sample[]>>(rows.map((row) => [row, { C: [], ours: [] }]));
  for (let round = 1; round <= rounds; round++) {
    for (const row of rows) {
      for (const side of SIDES) {
        progress(`round ${round} of ${rounds}: ${row.name}: ${side}`);
        const sample = await attempt(`${row.name}: ${side}`, () => within(seconds + 60, run(side, row, seconds)));
        samples.get(row)?.[side].push(sample);
      }
    }
  }
  return rows.map((row) => {
    const of = (side: Side): Sample => {
      const list = samples.get(row)?.[side] ?? [];
      const keys = Object.keys(list[0]) as (keyof Sample)[];
      return Object.fromEntries(
        keys.map((key) => [key, median(list.map((sample) => sample[key]))]),
      ) as unknown as Sample;
    };
    return { row, samples: { C: of('C'), ours: of('ours') } };
  });
}

const HEAD = [
  'row',
  'frames/s C',
  'ours',
  'ratio',
  'loss C',
  'ours',
  'CPU/frame C',
  'ours',
  'ratio',
  'p50 C',
  'ours',
  'ratio',
  'p99 C',
  'ours',
  'MiB C',
  'ours',
];

/** The results as cells. */
export function switchTable(results: readonly SwitchResult[]): string[][] {
  const thousands = (n: number) => `${Math.round(n / 1000)}k`;
  const percent = (n: number) => `${(100 * n).toFixed(2)} %`;
  const us = (n: number) => `${n.toFixed(2)} µs`;
  return [
    HEAD,
    ...results.map(({ row, samples: { C, ours } }) => {
      const ping = row.kind === 'ping';
      return [
        row.name,
        thousands(C.rate),
        thousands(ours.rate),
        (ours.rate / C.rate).toFixed(2),
        ping ? '' : percent(C.loss),
        ping ? '' : percent(ours.loss),
        us(C.cpu),
        us(ours.cpu),
        (ours.cpu / C.cpu).toFixed(2),
        ping ? us(C.p50) : '',
        ping ? us(ours.p50) : '',
        ping ? (ours.p50 / C.p50).toFixed(2) : '',
        ping ? us(C.p99) : '',
        ping ? us(ours.p99) : '',
        C.memory.toFixed(0),
        ours.memory.toFixed(0),
      ];
    }),
  ];
}

/** The targets of the project, and what was measured. */
export function switchTargets(results: readonly SwitchResult[]): { target: string; measured: string; met: boolean }[] {
  const find = (name: string) => results.find(({ row }) => row.name === name)?.samples;
  const targets: { target: string; measured: string; met: boolean }[] = [];
  const add = (target: string, value: number | undefined, limit: number, atMost: boolean, unit = '×') => {
    if (value === undefined || Number.isNaN(value)) return;
    const met = atMost ? value <= limit : value >= limit;
    targets.push({
      target: `${target} ${atMost ? '≤' : '≥'} ${limit}${unit}`,
      measured: `${value.toFixed(2)}${unit}`,
      met,
    });
  };
  const small = find(ROWS[0].name);
  const big = find(ROWS[9].name);
  const trip = find(ROWS[3].name);
  if (small) {
    add('switch CPU per delivered 64 B frame, of C’s,', small.ours.cpu / small.C.cpu, 0.6, true);
    add('frames/s, of C’s,', small.ours.rate / small.C.rate, 1, false);
    add('loss where C drops', 100 * small.ours.loss, 0, true, ' %');
  }
  if (trip) add('round trip p50, of C’s,', trip.ours.p50 / trip.C.p50, 1.05, true);
  if (big && small)
    add('cost per frame at 512 ports and 100 000 addresses, of that at 2,', big.ours.cpu / small.ours.cpu, 1.15, true);
  if (big) add('memory there', big.ours.memory, 120, true, ' MiB');
  return targets;
}
