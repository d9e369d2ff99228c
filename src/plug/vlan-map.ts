/**
 * What `vlan://` does with a frame, by its outermost tag: a table for each direction (reference: vlan plugin,
 * "Semantics").
 *
 * One VLAN is carried untagged to the client, and what is untagged on the network may be shown to it as another; a list
 * says which ids pass tagged, perhaps as others; a trunk passes all the rest. A tag with id 0 is no VLAN but a priority
 * (IEEE 802.1Q clause 6.9.1): such a frame goes where an untagged one would, and keeps it.
 */

import { VID_MAX } from '../frame/vlan.js';
import { locatorError, type Param } from './locator.js';

/** Do not pass the frame. */
export const DROP = -1;
/** Pass it as it is. */
export const KEEP = -2;
/** Pass it without its tag. */
export const STRIP = -3;

/** Added to an id: give the frame a tag with it. An id alone: put it into the tag that the frame has. */
export const INSERT = 0x1000;

/** What to do with a frame: one of the above. */
export type Action = number;

/** One direction. */
export interface Direction {
  untagged: Action;
  /** By the id of the tag. */
  tagged: Int16Array;
}

export interface VlanRules {
  /** Id on the network of what is untagged at the client: 0 for none, 4095 if untagged frames are not to pass. */
  untagged: number;
  /** Id at the client of what is untagged on the network; 0 for none. */
  untag: number;
  /** Ids at the client and on the network of what passes tagged. */
  tags: readonly (readonly [client: number, network: number])[];
  /** Whether all other ids pass too, but for 0, 1 and 4095. */
  trunk: boolean;
}

/** As the untagged VLAN: no untagged frame passes. */
export const NONE = VID_MAX;
const LEGAL_MIN = 2;
const LEGAL_MAX = VID_MAX - 1;

/** The table for one direction: `strip` loses its tag, what is untagged gets `insert`. */
function direction(
  strip: number,
  insert: number,
  map: readonly (readonly [from: number, to: number])[],
  trunk: boolean,
): Direction {
  const tagged = new Int16Array(VID_MAX + 1).fill(DROP);
  if (trunk) tagged.fill(KEEP, LEGAL_MIN, LEGAL_MAX + 1);
  for (const [from, to] of map) tagged[from] = from === to ? KEEP : to;
  if (strip !== 0 && strip !== NONE) tagged[strip] = STRIP;
  const passes = insert === 0 ? strip === 0 : insert !== NONE;
  if (!passes) return { untagged: DROP, tagged };
  tagged[0] = insert === 0 ? KEEP : insert;
  return { untagged: insert === 0 ? KEEP : INSERT + insert, tagged };
}

/** The tables for what the client sends and for what the network does. */
export function vlanTables({ untagged, untag, tags, trunk }: VlanRules): { outward: Direction; inward: Direction } {
  const back = tags.map(([client, network]) => [network, client] as const);
  return {
    outward: direction(untag, untagged, tags, trunk),
    inward: direction(untagged, untag, back, trunk),
  };
}

/**
 * Reads a list of ids: items between `.` or `:`, each `ID` or `CLIENT-NETWORK`.
 * @param at where the parameter stands in `locator`.
 * @throws VdeError `EINVAL` for an item that is none, an id that cannot be a VLAN's, or one that is mapped twice.
 */
export function parseTags(text: string, [key, , at]: Param, locator: string): [client: number, network: number][] {
  const fail = (cause: string, remedy?: string) =>
    locatorError('EINVAL', locator, at, `parameter "${key}": ${cause}`, remedy);
  const seen = [new Set<number>(), new Set<number>()];
  return text.split(/[.:]/).map((item) => {
    const [, first, second = first] = /^(\d+|0[xX][0-9a-fA-F]+)(?:-(\d+|0[xX][0-9a-fA-F]+))?$/.exec(item) ?? [];
    if (first === undefined) throw fail(`"${item}" is no VLAN`, 'a list such as 10:11-12:12-11 is wanted');
    const ids: [number, number] = [Number(first), Number(second)];
    for (const [side, id] of ids.entries()) {
      if (id < LEGAL_MIN || id > LEGAL_MAX) throw fail(`VLAN ${id} is out of range`, `${LEGAL_MIN} to ${LEGAL_MAX}`);
      if (seen[side].has(id))
        throw fail(`VLAN ${id} is there twice ${side === 0 ? 'at the client' : 'on the network'}`);
      seen[side].add(id);
    }
    return ids;
  });
}
