/** The rows of the matrix as tests, one for each cell. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { leakCheck } from '../support/leaks.js';
import { fillCell } from './cell.js';
import { PAIRS, ROWS, type Row } from './cells.js';
import { KINDS } from './probes.js';

/** Declares the tests of all rows of a kind. */
export function testRows(kind: Row['kind']): void {
  for (const row of ROWS) {
    if (row.kind !== kind) continue;
    for (const pair of PAIRS) {
      if (row.c === 'none' && pair !== 'ours-ours') continue;
      const lost = row.lost?.[pair] ?? {};
      const passing = KINDS.filter((one) => !(one in lost)).join(', ');
      test(`${row.scheme}, ${pair}: ${passing} pass both ways`, async (t) => {
        leakCheck(t);
        const outcome = await fillCell(t, row, pair);
        if (outcome.result !== 'skipped') assert.deepEqual(outcome.lost, lost);
      });
    }
  }
}
