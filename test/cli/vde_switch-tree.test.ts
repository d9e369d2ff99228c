/** `vde_switch` with a spanning tree: the options, and two cables between two switches. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { bin } from '../support/bin.js';
import { leakCheck } from '../support/leaks.js';
import {
  eventually,
  frame,
  openEnd,
  type SwitchProcess,
  startSwitch,
  tagOf,
  waitForClients,
} from '../support/network.js';
import { run, start } from '../support/proc.js';

async function show({ process }: SwitchProcess, line: string): Promise<string> {
  process.stdin.write(`${line}\n`);
  const [, block] = await process.expect(/0000 DATA END WITH '.'\n([\s\S]*?)\n?\.\n1000 Success/, { stream: 'stdout' });
  return block;
}

test('the options turn a tree on and set its priority; a hub has none', async (t) => {
  const mac = ['--macaddr', '00:ff:00:00:00:07'];
  const shown = async (...args: string[]) => show(await startSwitch(t, 'ours', [...args, ...mac]), 'fstp/showinfo');
  const line = (priority: string, on: boolean) => `MAC 00:ff:00:00:00:07 Priority ${priority}\nFSTP=${on}`;
  assert.equal(await shown('-F', '--priority', '0x9000'), line('36864 (0x9000)', true));
  assert.equal(await shown('-fstp', '-priority', '010'), line('8 (0x8)', true));
  assert.equal(await shown('-F', '-x'), line('32768 (0x8000)', false));
  assert.equal(await shown('-x', '-F'), line('32768 (0x8000)', false));
  const rstp = await startSwitch(t, 'ours', ['--rstp', '--priority', '4096', ...mac]);
  assert.match(await show(rstp, 'rstp/showinfo'), /^RSTP=true\nbridge 10:00:00:ff:00:00:00:07 priority 4096 hello 2 /);
});

test('what cannot be is refused', async () => {
  for (const [args, message] of [
    [['--rstp', '--hub'], /--rstp: it cannot be together with --hub/],
    [['--rstp', '-F'], /--rstp: it cannot be together with --fstp/],
    [['--priority', '65536'], /--priority: "65536" is not a number from 0 to 65535/],
    [['--priority', 'low'], /--priority: "low" is not a number/],
  ] as const) {
    const { code, stderr } = await run(bin('vde_switch'), ['-s', '/nonexistent/sw', ...args]);
    assert.equal(code, 1);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1);
  }
});

test('--rstp: two switches joined twice pass each frame once, and by the other cable when one is cut', async (t) => {
  leakCheck(t);
  const switches = [await startSwitch(t, 'ours', ['--rstp']), await startSwitch(t, 'ours', ['--rstp'])];
  const [a, b] = [await openEnd(t, switches[0].dir), await openEnd(t, switches[1].dir)];
  const locators = switches.map(({ dir }) => `vde://${dir}`);
  const cables = [start(t, bin('vde_plug'), locators), start(t, bin('vde_plug'), locators)];
  for (const { dir } of switches) await waitForClients(dir, 3);
  const alternates = async () => {
    const tables = await Promise.all(switches.map((one) => show(one, 'rstp/print')));
    return tables.join('').split('role=Alternate').length - 1;
  };
  const once = async (round: string) => {
    // A station's port waits for three seconds for a bridge to show itself.
    let tries = 0;
    await eventually('a frame', async () => {
      const tag = `${round} try ${tries++} `;
      a.send(frame({ tag }));
      return b.receive(tag, 200).then(
        () => true,
        () => false,
      );
    });
    for (let i = 0; i < 5; i++) a.send(frame({ tag: `${round} once ${i}` }));
    await b.receive(`${round} once 4`);
    assert.equal(b.received.map(tagOf).filter((tag) => tag.startsWith(`${round} once`)).length, 5);
  };
  await eventually('one cable too many', async () => (await alternates()) === 1);
  await once('two');
  for (const cable of cables) {
    await cable.end();
    await eventually('the other cable alone', async () => (await alternates()) === 0);
    if (cable === cables[0]) await once('one');
  }
});
