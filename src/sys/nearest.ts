/** The "did you mean" of error messages: which of the valid names a mistyped one is closest to. */

/** Longer names are not compared: they are no typing mistakes, and the distance costs the product of the lengths. */
const MAX_LENGTH = 64;
/** Most edits of a typing mistake. */
const MAX_EDITS = 2;

/**
 * The candidate that `name` was probably meant to be: at most 2 edits away (insert, delete, replace, swap neighbours;
 * letter case does not count) and sharing something with it. The first of equally near ones.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  if (name.length > MAX_LENGTH) return undefined;
  let nearest: string | undefined;
  let least = MAX_EDITS + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) > MAX_EDITS) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < least && distance < Math.max(name.length, candidate.length)) {
      nearest = candidate;
      least = distance;
    }
  }
  return nearest;
}

/** Insertions, deletions, substitutions and swaps of neighbours between two words (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(above[j] + 1, row[j - 1] + 1, replaced);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    [before, above] = [above, row];
  }
  return above[b.length];
}
