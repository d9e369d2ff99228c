/**
 * `npm run bench`: pairs us with C in one run and prints tables and ratios.
 *
 *   npm run bench -- [switch] [namespaces] [agno] [tunnels] [console] [--rounds N] [--seconds N] [--only REGEXP] [--json]
 */

import { parseArgs } from 'node:util';
import { agnoTable, agnoTargets, benchAgno } from './agno.js';
import { benchConsole, consoleTable, consoleTargets } from './console.js';
import { benchNamespaces, benchStart, namespaceTable, namespaceTargets } from './namespaces.js';
import { machine, markdown, stopAll } from './support.js';
import { benchSwitch, switchTable, switchTargets } from './switch.js';
import { benchTunnels, tunnelTable, tunnelTargets } from './tunnels.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const SUITES = ['switch', 'namespaces', 'agno', 'tunnels', 'console'];
const suites = positionals.length > 0 ? positionals : SUITES;
const unknown = suites.find((suite) => !SUITES.includes(suite));
if (unknown !== undefined) {
  console.error(`bench: ${unknown}: no such benchmark (there are ${SUITES.join(', ')})`);
  process.exit(1);
}

/** A benchmark's outcome, as a table for people and as it is for programs. */
interface Outcome {
  table: string[][];
  results: unknown;
  targets: { target: string; measured: string; met: boolean }[];
}

const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const only = values.only === undefined ? undefined : new RegExp(values.only);

const run: Record<string, () => Promise<Outcome>> = {
  async switch() {
    const results = await benchSwitch(rounds, seconds, only);
    return { results, table: switchTable(results), targets: switchTargets(results) };
  },
  async agno() {
    const results = await benchAgno(rounds, seconds, only);
    return { results, table: agnoTable(results), targets: agnoTargets(results) };
  },
  async namespaces() {
    const results = await benchNamespaces(rounds, seconds, only);
    const start = only === undefined || only.test('vdens true') ? await benchStart(rounds * 4) : undefined;
    return { results: { results, start }, table: namespaceTable(results), targets: namespaceTargets(results, start) };
  },
  async tunnels() {
    const results = await benchTunnels(rounds, seconds, only);
    return { results, table: tunnelTable(results), targets: tunnelTargets(results) };
  },
  async console() {
    const results = await benchConsole(rounds, seconds, only);
    return { results, table: consoleTable(results), targets: consoleTargets(results) };
  },
};

try {
  for (const suite of suites) {
    const { table, results, targets } = await run[suite]();
    if (values.json) {
      console.log(JSON.stringify({ suite, machine: machine(), rounds, seconds, results, targets }, null, 2));
      continue;
    }
    console.log(`\n## ${suite}\n\n${machine()}; medians of ${rounds} interleaved runs of ${seconds} s\n`);
    console.log(markdown(table));
    const verdicts = targets.map(({ target, measured, met }) => [target, measured, met ? 'yes' : 'no']);
    console.log(`\n${markdown([['target', 'measured', 'met'], ...verdicts])}`);
  }
} finally {
  await stopAll();
}
