/**
 * `npm run bench`: pairs us with C in one run and prints tables and ratios.
 *
 *   npm run bench -- [--rounds N] [--seconds N] [--only REGEXP] [--json]
 */

import { parseArgs } from 'node:util';
import { machine, markdown, stopAll } from './support.js';
import { benchSwitch, switchTable, switchTargets } from './switch.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

try {
  const only = values.only === undefined ? undefined : new RegExp(values.only);
  const results = await benchSwitch(Number(values.rounds), Number(values.seconds), only);
  const targets = switchTargets(results);
  if (values.json) {
    console.log(JSON.stringify({ machine: machine(), results, targets }, null, 2));
  } else {
    console.log(`\n${machine()}; medians of ${values.rounds} interleaved runs of ${values.seconds} s\n`);
    console.log(markdown(switchTable(results)));
    console.log(`\n${markdown([['target', 'measured', 'met'], ...targets.map((t) => [t.target, t.measured, t.met ? 'yes' : 'NO'])])}`);
  }
} finally {
  await stopAll();
}
