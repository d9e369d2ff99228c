/**
 * Two network namespaces joined by encrypted ends, over the same kind of direct cable (`ptp://`): C's vdens with C's
 * plugin, ours in the same format, and ours in the authenticated ones. TCP and UDP by iperf3.
 */

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEBIAN, measure, OURS, type Sample, vdensLab } from './namespaces.js';
import { attempt, median, progress, within } from './support.js';

const LABS = {
  C: { command: DEBIAN, parameters: '' },
  ours: { command: OURS, parameters: '' },
  gcm: { command: OURS, parameters: '[auth=gcm]' },
  chacha: { command: OURS, parameters: '[auth=chacha]' },
};
type LabName = keyof typeof LABS;
const NAMES = Object.keys(LABS) as LabName[];

const ROWS = [
  { name: 'TCP', kind: 'tcp', args: '' },
  { name: 'TCP, 4 streams', kind: 'tcp', args: '-P 4' },
  { name: 'UDP, 64 B', kind: 'udp', args: '-u -b 0 -l 64' },
  { name: 'UDP, 1400 B', kind: 'udp', args: '-u -b 0 -l 1400' },
] as const;

export interface AgnoResult {
  row: string;
  kind: 'tcp' | 'udp';
  samples: Record<LabName, Sample>;
}

async function sample(name: LabName, row: (typeof ROWS)[number], seconds: number): Promise<Sample> {
  const parent = mkdtempSync(join(tmpdir(), 'vb-'));
  const key = join(parent, 'key');
  writeFileSync(key, randomBytes(16).toString('hex'), { mode: 0o600 });
  const { command, parameters } = LABS[name];
  const locator = `agno://${key}${parameters}{ptp://${join(parent, 'p')}}`;
  const lab = vdensLab(command, command, locator, async () => rmSync(parent, { recursive: true, force: true }));
  try {
    return await within(seconds + 20, measure(lab, row, seconds));
  } finally {
    await lab.stop();
  }
}

/** Runs all rows `rounds` times, the ends of a row in turn. */
export async function benchAgno(rounds: number, seconds: number, only?: RegExp): Promise<AgnoResult[]> {
  const results: AgnoResult[] = [];
  for (const row of ROWS.filter(({ name }) => only === undefined || only.test(name))) {
    const samples = Object.fromEntries(NAMES.map((name) => [name, [] as Sample[]])) as Record<LabName, Sample[]>;
    for (let round = 1; round <= rounds; round++) {
      for (const name of NAMES) {
        progress(`round ${round} of ${rounds}: ${row.name}: ${name}`);
        samples[name].push(await attempt(`${row.name}: ${name}`, () => sample(name, row, seconds)));
      }
    }
    const medians = NAMES.map((name) => [
      name,
      { rate: median(samples[name].map(({ rate }) => rate)), loss: median(samples[name].map(({ loss }) => loss)) },
    ]);
    results.push({ row: row.name, kind: row.kind, samples: Object.fromEntries(medians) });
  }
  return results;
}

/** The results as cells. */
export function agnoTable(results: readonly AgnoResult[]): string[][] {
  const cell = (kind: AgnoResult['kind'], { rate, loss }: Sample): string =>
    `${rate.toFixed(0)} Mbit/s${kind === 'udp' ? `, ${(100 * loss).toFixed(1)} % lost` : ''}`;
  return [
    ['agno over ptp', 'C', 'ours', 'ours / C', 'auth=gcm', 'gcm / C', 'auth=chacha', 'chacha / C'],
    ...results.map(({ row, kind, samples }) => {
      const ratio = (name: LabName): string => (samples[name].rate / samples.C.rate).toFixed(2);
      const ours = NAMES.slice(1).flatMap((name) => [cell(kind, samples[name]), ratio(name)]);
      return [row, cell(kind, samples.C), ...ours];
    }),
  ];
}

/** The target of the project, and what was measured. */
export function agnoTargets(results: readonly AgnoResult[]): { target: string; measured: string; met: boolean }[] {
  return results.map(({ row, samples }) => {
    const ratio = samples.ours.rate / samples.C.rate;
    return { target: `agno, ${row}, of C’s, ≥ 1×`, measured: `${ratio.toFixed(2)}×`, met: ratio >= 1 };
  });
}
