/**
 * The same spanning tree frames and commands into Debian's switch and into ours: what each sends and prints must be the
 * same. Hellos come by each switch's own clock, so those are left out; a script is played before a root could age.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { type Bpdu, BpduFlag, BpduType, bridgeIdentifier, parseBpdu, writeBpdu } from '../../src/frame/bpdu.js';
import type { Owner } from '../support/cleanup.js';
import { command, MAKES, type Make } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { type Running, start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';
import { station } from '../switch/memory-plug.js';
import { type RawClient, seated } from '../switch/raw-client.js';

const PORTS = 4;
const OWN = '00:ff:00:00:00:50';
const PRIORITY = 0x8000;
const SECOND = 256;

type Step = { port: number; message: Partial<Bpdu>; tagged?: boolean } | { command: string } | { leave: number };

interface Played {
  vde: Running;
  clients: (RawClient | undefined)[];
}

async function begin(t: Owner, make: Make): Promise<Played> {
  const dir = join(tmpDir(t), 'sw');
  const args = ['-s', dir, '-F', '-n', '8', '--macaddr', OWN, '--priority', String(PRIORITY)];
  const vde = start(t, command(make, 'vde_switch'), args);
  await ask(vde, 'showinfo');
  const clients: (RawClient | undefined)[] = [];
  for (let port = 1; port <= PORTS; port++) clients.push(await seated(t, dir, port));
  return { vde, clients };
}

async function ask(vde: Running, line: string): Promise<string> {
  vde.stdin.write(`${line}\n`);
  const [text] = await vde.expect(/(?<=^|\$ )1\d{3} \w[^\n]*\n/m, { stream: 'stdout' });
  return text;
}

/**
 * The data block of an answer. A C switch's prompts go to its standard input, where nobody reads them, and some 270 stop
 * it: hence the length of the scripts.
 */
async function show(vde: Running, line: string): Promise<string> {
  vde.stdin.write(`${line}\n`);
  const [, block] = await vde.expect(/0000 DATA END WITH '.'\n([\s\S]*?)\n?\.\n1000 Success/, { stream: 'stdout' });
  return block;
}

function bpdu(message: Partial<Bpdu>): Bpdu {
  const root = bridgeIdentifier(0x1000, station(1));
  const times = { messageAge: 0, maxAge: 40 * SECOND, helloTime: 4 * SECOND, forwardDelay: 0 };
  return { type: BpduType.rapid, flags: 0x7c, root, cost: 0, bridge: root, port: 0x8001, ...times, ...message };
}

/** Frames as text, but for hellos and the age of what they say. */
function seen(frames: Buffer[], vlans: boolean): string[] {
  return frames.flatMap((frame) => {
    const message = parseBpdu(frame);
    if (message === undefined) return [frame.toString('hex')];
    if (message.flags & BpduFlag.agreement) return [];
    if (frame.length > 53 && !vlans) return [];
    const tag = frame.length > 53 ? ` tag ${frame.readUInt16BE(14)}` : '';
    return [
      `${message.flags.toString(16)} root ${message.root.toString(16)} cost ${message.cost} bridge ${message.bridge.toString(16)} port ${message.port.toString(16)}${tag}`,
    ];
  });
}

async function play({ vde, clients }: Played, steps: Step[]): Promise<string[][]> {
  const results: string[][] = [];
  for (const client of clients) client?.take();
  for (const step of steps) {
    const result: string[] = [];
    // C says that the topology has changed also in VLANs that a leaving port was not in.
    let vlans = true;
    if ('command' in step) result.push(await ask(vde, step.command));
    else if ('leave' in step) {
      clients[step.leave - 1]?.close();
      vlans = false;
      clients[step.leave - 1] = undefined;
      const gone = `Port ${String(step.leave).padStart(4, '0')} `;
      while ((await show(vde, 'port/print')).includes(gone)) await pause(50);
    } else {
      clients[step.port - 1]?.send(writeBpdu(bpdu(step.message), station(9), step.tagged ? 5 : undefined));
    }
    // What was sent before a command is worked off before a later one is answered.
    await show(vde, 'ds/showinfo');
    result.push((await show(vde, 'fstp/print')).replace(/age \d+/g, 'age N'), await show(vde, 'vlan/print'));
    for (const [index, client] of clients.entries())
      result.push(`port ${index + 1}:`, ...seen(client?.take() ?? [], vlans));
    results.push(result);
  }
  return results;
}

/** Seconds after which a root that is not heard of is lost. */
const ROOT_LOST = 12;

/** Plays the steps to both, anew if it took so long that time may have made a difference. */
async function playBoth(t: Owner, steps: Step[]): Promise<string[][][]> {
  for (let tries = 0; tries < 5; tries++) {
    const begun = Date.now();
    const results = await Promise.all(MAKES.map(async (make) => play(await begin(t, make), steps)));
    if (Date.now() - begun < (ROOT_LOST - 2) * 1000) return results;
  }
  throw new Error(`the steps take longer than ${ROOT_LOST - 2} s`);
}

async function compare(t: Owner, steps: Step[]): Promise<void> {
  const [ours, theirs] = await playBoth(t, steps);
  for (const [index, step] of steps.entries()) {
    const shown = JSON.stringify(step, (_, value) => (typeof value === 'bigint' ? value.toString(16) : value));
    assert.deepEqual(ours[index], theirs[index], `step ${index}: ${shown}`);
  }
}

/** A neighbour's flags: hellos and answers by role, changes. */
const FLAGS = [0x7c, 0x3c, 0x74, 0x4a, 0x0a, 0x3d, 0x35];
const identifiers = [0x1000, 0x8000, 0x9000].flatMap((priority) =>
  [1, 2].map((mac) => bridgeIdentifier(priority, station(mac))),
);

const message = fc.record({
  flags: fc.constantFrom(...FLAGS),
  root: fc.constantFrom(...identifiers),
  cost: fc.constantFrom(0, 20_000_000, 40_000_000, 19_999_999),
  bridge: fc.constantFrom(...identifiers),
  port: fc.constantFrom(0x8001, 0x8002),
});
const port = fc.integer({ min: 1, max: PORTS });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ port, message }) },
  { weight: 2, arbitrary: fc.record({ port, message, tagged: fc.constant(true) }) },
  { weight: 1, arbitrary: port.map((n) => ({ command: `fstp/setedge 0 ${n} 1` })) },
  { weight: 1, arbitrary: port.map((n) => ({ command: `fstp/setedge 0 ${n} 0` })) },
  { weight: 1, arbitrary: port.map((n) => ({ command: `fstp/bonus 0 ${n} 5000000` })) },
  { weight: 1, arbitrary: port.map((n) => ({ command: `vlan/addport 5 ${n}` })) },
  { weight: 1, arbitrary: port.map((n) => ({ command: `vlan/delport 5 ${n}` })) },
  { weight: 1, arbitrary: port.map((leave) => ({ leave })) },
);

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`frames and commands at random, seed ${seed}`, async (t) => {
    if (!requirePeer(t, '/usr/bin/vde_switch')) return;
    const [steps] = fc.sample(fc.array(step, { minLength: 50, maxLength: 50 }), { seed, numRuns: 1 });
    await compare(t, [{ command: 'vlan/create 5' }, ...changes(steps)]);
  });
}

/** Without commands that make no difference: C lets a port leave and join anew then. */
function changes(steps: Step[]): Step[] {
  const members = new Set<string>();
  return steps.filter((one) => {
    const [, verb, port] = ('command' in one && /^vlan\/(add|del)port 5 (\d+)/.exec(one.command)) || [];
    if (verb === undefined) return true;
    if (verb === 'del') return members.delete(port);
    if (members.has(port)) return false;
    members.add(port);
    return true;
  });
}

test('commands with good and bad arguments are answered as by C', async (t) => {
  if (!requirePeer(t, '/usr/bin/vde_switch')) return;
  const switches = await Promise.all(MAKES.map((make) => begin(t, make)));
  for (const line of [
    'vlan/create 5',
    ...['', ' 0', ' 0 1', ' 0 1 x', ' 0 1 1', ' 0 2 7', ' 0 0x3 010', ' 0 1 0', ' 0 99 1', ' 0 -1 1', ' 7 1 1'].map(
      (rest) => `fstp/setedge${rest}`,
    ),
    ...[' 5 1 1', ' -1 1 1', ' 99999 1 1', ' 0 5 1', ' x y z'].map((rest) => `fstp/setedge${rest}`),
    ...['', ' 1', ' 0 1', ' 0 1 x', ' 0 1 100', ' 0 1 -5', ' 9 1 1', ' -1 1 1', ' 0 99 1', ' 0 -1 1', ' 0 6 1'].map(
      (rest) => `fstp/bonus${rest}`,
    ),
    ...[' x', ' 1', ' -1', ' 5000', ' 4093', '0', ' 0x5'].map((rest) => `fstp/print${rest}`),
    ...[' 0', ' 7', '', ' x', ' 1'].map((rest) => `fstp/setfstp${rest}`),
    ...['fstp', 'fstp/', 'fstp/nosuch'],
  ]) {
    const [ours, theirs] = await Promise.all(
      switches.map(async ({ vde }) => {
        const answer = await ask(vde, line);
        const shown = await show(vde, 'fstp/showinfo');
        return [answer, shown, (await show(vde, 'fstp/print')).replace(/age \d+/g, 'age N')];
      }),
    );
    assert.deepEqual(ours, theirs, line);
  }
});
