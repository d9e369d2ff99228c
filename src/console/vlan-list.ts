/** Sets of VLANs as people write them: `1-100,200`, `all`, `none`. */

import { VLAN_MAX } from '../switch/vlan-management.js';
import { consoleError } from './command-table.js';

/** 1 for each VLAN of a list, by number. @throws VdeError EINVAL if it is no list, or names a VLAN outside 1 to 4094. */
export function parseVlanList(text: string): Uint8Array {
  const set = new Uint8Array(VLAN_MAX + 1);
  if (text === 'none') return set;
  if (text === 'all') return set.fill(1, 1);
  for (const item of text.split(',')) {
    const match = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(item);
    if (match === null) throw consoleError('EINVAL');
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    if (first < 1 || last < first || last > VLAN_MAX) throw consoleError('EINVAL');
    set.fill(1, first, last + 1);
  }
  return set;
}

/** The shortest list of a set. */
export function formatVlanList(set: Uint8Array): string {
  const items: string[] = [];
  for (let first = 1; first <= VLAN_MAX; first++) {
    if (!set[first]) continue;
    let last = first;
    while (last < VLAN_MAX && set[last + 1]) last++;
    items.push(first === last ? String(first) : `${first}-${last}`);
    first = last;
  }
  if (items.length === 0) return 'none';
  return items[0] === `1-${VLAN_MAX}` ? 'all' : items.join(',');
}
