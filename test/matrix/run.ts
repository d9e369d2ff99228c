/**
 * `npm run matrix`: fills the matrix and prints it as a table.
 *
 *   npm run matrix -- [--json] [SCHEME...]
 *
 * Needs no root: interfaces are made in namespaces of one's own. Ends with status 1 if a cell is not as it should be.
 */

import { parseArgs } from 'node:util';
import type { Owner } from '../support/cleanup.js';
import type { Skippable } from '../support/peers.js';
import { fillCell, type Outcome } from './cell.js';
import { PAIRS, type Pair, ROWS, type Row } from './cells.js';

/** Stands in for the context of a test. */
class Cell implements Owner, Skippable {
  readonly #hooks: (() => void | Promise<void>)[] = [];

  constructor(readonly name: string) {}

  after(hook: () => void | Promise<void>): void {
    this.#hooks.push(hook);
  }

  skip(): void {}

  async end(): Promise<void> {
    for (const hook of this.#hooks.splice(0)) await hook();
  }
}

async function fill(row: Row, pair: Pair): Promise<Outcome & { error?: string }> {
  const cell = new Cell(`${row.scheme}, ${pair}`);
  try {
    return await fillCell(cell, row, pair);
  } catch (error) {
    return { scheme: row.scheme, pair, result: 'different', moved: [], lost: {}, error: (error as Error).message };
  } finally {
    await cell.end();
  }
}

function shown({ result, note, lost, moved, error }: Outcome & { error?: string }): string {
  if (result === 'not in C') return result;
  if (result === 'skipped') return note ?? result;
  if (error !== undefined) return `FAILED: ${error.split('\n')[0]}`;
  const reasons = [...new Set(Object.values(lost))];
  const exceptions = reasons.map((reason) => {
    const kinds = Object.entries(lost).filter(([, one]) => one === reason);
    return `not ${kinds.map(([kind]) => kind).join(', ')}: ${reason}`;
  });
  const notes = [...exceptions, ...(note === undefined ? [] : [note])];
  const word = result === 'ok' ? 'ok' : `WRONG: ${moved.join(', ') || 'nothing'} passed`;
  return notes.length === 0 ? word : `${word} (${notes.join('; ')})`;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false } },
});
const unknown = positionals.find((name) => !ROWS.some(({ scheme }) => scheme === name));
if (unknown !== undefined) {
  console.error(`matrix: ${unknown}: no such scheme (there are ${ROWS.map(({ scheme }) => scheme).join(', ')})`);
  process.exit(1);
}
const rows = ROWS.filter(({ scheme }) => positionals.length === 0 || positionals.includes(scheme));
const outcomes: Outcome[] = [];
if (!values.json) {
  console.log(`| scheme | ${PAIRS.join(' | ')} |`);
  console.log(`|---|${PAIRS.map(() => '---|').join('')}`);
}
for (const row of rows) {
  const cells: string[] = [];
  for (const pair of PAIRS) {
    const outcome = await fill(row, pair);
    outcomes.push(outcome);
    cells.push(shown(outcome));
  }
  if (!values.json) console.log(`| ${row.scheme} | ${cells.join(' | ')} |`);
}
if (values.json) console.log(JSON.stringify(outcomes, null, 2));
process.exit(outcomes.some(({ result }) => result === 'different') ? 1 : 0);
