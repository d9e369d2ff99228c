/** Sets of ports as people write them: `1-4,9`, `all`. */

import { consoleError } from './command-table.js';

/** The ports of a list, undefined for `all`. @throws VdeError EINVAL if it is no list, or a number exceeds `max`. */
export function parsePortList(text: string, max: number): Set<number> | undefined {
  if (text === 'all') return undefined;
  const set = new Set<number>();
  for (const item of text.split(',')) {
    const match = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(item);
    if (match === null) throw consoleError('EINVAL');
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    if (last < first || last > max) throw consoleError('EINVAL');
    for (let number = first; number <= last; number++) set.add(number);
  }
  return set;
}

/** The shortest list of a set. */
export function formatPortList(set: ReadonlySet<number> | undefined): string {
  if (set === undefined) return 'all';
  const items: string[] = [];
  for (const first of [...set].sort((a, b) => a - b)) {
    if (set.has(first - 1)) continue;
    let last = first;
    while (set.has(last + 1)) last++;
    items.push(first === last ? String(first) : `${first}-${last}`);
  }
  return items.join(',');
}
