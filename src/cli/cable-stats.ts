/**
 * What has passed on a cable: frames and bytes that came from each end, and what each has dropped. Said on standard error
 * at the end, and in between if a period is given. A super-frame counts as one frame.
 */

import { writeSync } from 'node:fs';
import type { Burst } from '../frame/burst.js';
import { type Plug, totalDrops } from '../plug/plug.js';

export interface StatsOptions {
  /** Time between two reports; undefined for none but the last. */
  seconds: number | undefined;
  json: boolean;
}

type End = Pick<Plug, 'name' | 'drops'>;

/** See the head of this file. */
export class CableStats {
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #began = performance.now();
  /** By the order of the ends. */
  readonly #frames = [0, 0];
  readonly #bytes = [0, 0];
  #closed = false;

  constructor(
    private readonly ends: readonly [End, End],
    private readonly options: StatsOptions,
    private readonly write: (text: string) => void = (text) => writeSync(2, text),
  ) {
    const { seconds } = options;
    if (seconds !== undefined) this.#timer = setInterval(() => this.#report(), seconds * 1000).unref();
  }

  /** Counts a burst from one of the ends. */
  look({ count, length }: Burst, from: End): void {
    const end = from === this.ends[0] ? 0 : 1;
    let bytes = 0;
    for (let slot = 0; slot < count; slot++) bytes += length[slot];
    this.#frames[end] += count;
    this.#bytes[end] += bytes;
  }

  #report(): void {
    if (this.options.json) this.#reportJson();
    else this.write(`vde_plug: ${this.ends.map((_, i) => this.#phrase(i)).join('; ')}\n`);
  }

  #phrase(i: number): string {
    const { name, drops } = this.ends[i];
    return `from ${name} ${this.#frames[i]} frames, ${this.#bytes[i]} bytes, ${totalDrops(drops)} dropped there`;
  }

  #reportJson(): void {
    const seconds = Math.round(performance.now() - this.#began) / 1000;
    const ends = this.ends.map(({ name, drops }, i) => {
      return { name, frames: this.#frames[i], bytes: this.#bytes[i], drops: { ...drops } };
    });
    this.write(`${JSON.stringify({ seconds, ends })}\n`);
  }

  #table(): string {
    const rows = this.ends.map(({ name, drops }, i) => [
      name,
      ...[this.#frames[i], this.#bytes[i], ...Object.values(drops)].map(String),
    ]);
    const lines = [
      ['END', 'FRAMES', 'BYTES', ...Object.keys(this.ends[0].drops).map((one) => one.toUpperCase())],
      ...rows,
    ];
    const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
    const cell = (text: string, column: number) =>
      column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column]);
    return lines.map((line) => `${line.map(cell).join('  ')}\n`).join('');
  }

  /** The last word. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    if (this.options.json) this.#reportJson();
    else this.write(this.#table());
  }
}
