/** The table of `vde top`: rates from two looks at a switch's counters, and how they are drawn. Pure: no terminal. */

import type { ShownCounters, ShownDrops, ShownPort } from '../console/parse-ports.js';

/** One port as the console shows it, at one time. */
export interface PortSample {
  port: number;
  active: boolean;
  /** VLAN of untagged frames; null if there is none. */
  vlan: number | null;
  /** What its endpoints say that they are. */
  description: string;
  in: ShownCounters;
  out: ShownCounters;
  /** Frames dropped at the port; undefined where the switch does not tell. */
  drops: number | undefined;
}

/** A port with its rates, per second. */
export interface PortRates extends PortSample {
  inBits: number;
  inFrames: number;
  outBits: number;
  outFrames: number;
  dropRate: number | undefined;
  /** Bits both ways, oldest first. */
  history: number[];
}

const HISTORY = 60;
const BARS = '▁▂▃▄▅▆▇█';

/** Frames that somebody may miss: not those that a spanning tree or their own port keeps back. */
function dropped({ input, output }: ShownDrops): number {
  const out = Object.values(output).reduce((sum, one) => sum + one, 0);
  return out + (input.malformed ?? 0) + (input.vlan ?? 0);
}

/** Samples from what the console shows of ports and, where it has such a command, of drops. */
export function samples(ports: readonly ShownPort[], drops: readonly ShownDrops[] = []): PortSample[] {
  const dropsOf = new Map(drops.map((one) => [one.port, dropped(one)]));
  const none = { frames: 0, bytes: 0 };
  return ports.map(({ port, active, untaggedVlan, endpoints, input = none, output = none }) => ({
    port,
    active,
    vlan: untaggedVlan,
    description: endpoints.map(({ description }) => description).join(', '),
    in: input,
    out: output,
    drops: dropsOf.get(port),
  }));
}

type Past = Map<number, { time: number; sample: PortSample; history: number[] }>;

/** Remembers what ports counted before. */
export class RateMeter {
  #before: Past = new Map();

  /** Rates since the last call. A port that is new, or whose counters went back, begins at 0. @param time in seconds. */
  update(time: number, ports: readonly PortSample[]): PortRates[] {
    const next: Past = new Map();
    const rates = ports.map((sample) => {
      const before = this.#before.get(sample.port);
      const seconds = before ? time - before.time : 0;
      const rate = (now: number, then: number | undefined): number =>
        then === undefined || seconds <= 0 || now < then ? 0 : (now - then) / seconds;
      const was = before?.sample;
      const inBits = 8 * rate(sample.in.bytes, was?.in.bytes);
      const outBits = 8 * rate(sample.out.bytes, was?.out.bytes);
      const history = [...(before?.history ?? []), ...(before ? [inBits + outBits] : [])].slice(-HISTORY);
      next.set(sample.port, { time, sample, history });
      return {
        ...sample,
        inBits,
        outBits,
        inFrames: rate(sample.in.frames, was?.in.frames),
        outFrames: rate(sample.out.frames, was?.out.frames),
        dropRate: sample.drops === undefined ? undefined : rate(sample.drops, was?.drops),
        history,
      };
    });
    this.#before = next;
    return rates;
  }
}

/** A number with three digits and a decimal prefix: `1.23M`. */
export function scaled(value: number): string {
  const prefixes = ['', 'k', 'M', 'G', 'T', 'P'];
  let n = value;
  let i = 0;
  while (n >= 999.5 && i < prefixes.length - 1) {
    n /= 1000;
    i++;
  }
  const digits = n >= 99.5 || (i === 0 && Number.isInteger(n)) ? 0 : n >= 9.95 ? 1 : 2;
  return `${n.toFixed(digits)}${prefixes[i]}`;
}

/** The last `width` values as bars, the highest of all being the full height. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const highest = Math.max(...shown, 0);
  const bars = shown.map((value) =>
    highest === 0 || value <= 0 ? BARS[0] : BARS[Math.min(7, Math.ceil((value / highest) * 8) - 1)],
  );
  return bars.join('').padStart(width);
}

/** Width of the sparklines, and of the terminal that has room for wide ones. */
const SPARKS = 8;
const WIDE_SPARKS = 24;
const WIDE = 110;

/**
 * The table's lines, each at most `width` characters, at most `height` of them.
 * @param title what stands above.
 */
export function drawTable(rates: readonly PortRates[], title: string, width: number, height: number): string[] {
  const sparks = width >= WIDE ? WIDE_SPARKS : SPARKS;
  const drops = rates.some((one) => one.drops !== undefined);
  const cell = (text: string, size: number) => text.padStart(size);
  const head = [
    'PORT',
    cell('VLAN', 4),
    cell('IN bit/s', 8),
    cell('frame/s', 7),
    cell('OUT bit/s', 9),
    cell('frame/s', 7),
    ...(drops ? [cell('drops', 6)] : []),
    ''.padStart(sparks),
    'ENDPOINTS',
  ].join(' ');
  const rows = rates.map((one) =>
    [
      cell(String(one.port), 4),
      cell(one.vlan === null ? '-' : String(one.vlan), 4),
      cell(scaled(one.inBits), 8),
      cell(scaled(one.inFrames), 7),
      cell(scaled(one.outBits), 9),
      cell(scaled(one.outFrames), 7),
      ...(drops ? [cell(one.drops === undefined ? '-' : scaled(one.drops), 6)] : []),
      sparkline(one.history, sparks),
      one.active ? one.description : '(inactive)',
    ].join(' '),
  );
  const room = Math.max(0, height - 2);
  const shown =
    rows.length > room ? [...rows.slice(0, Math.max(0, room - 1)), `... ${rows.length} ports in all`] : rows;
  return [title, head, ...shown].map((line) => [...line].slice(0, width).join('')).slice(0, height);
}
