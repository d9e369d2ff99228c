/**
 * The same frames into Debian's switch and into ours: what each client receives must be the same bytes in the same
 * order, and what the consoles then show must be the same lines.
 *
 * After each burst its sender broadcasts a marker. Frames of one sender stay in order, so whoever has the marker has all
 * that the burst brought it.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import fc from 'fast-check';
import { bin, debian } from '../support/bin.js';
import { requirePeer } from '../support/peers.js';
import { type Running, start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';
import { BROADCAST, frame, station } from '../switch/memory-plug.js';
import { type RawClient, seated } from '../switch/raw-client.js';

const limit = { timeout: 60_000 };
/** Where the clients sit: two wherever there is room, the others where they ask to be, two of them at one port. */
const SEATS = [undefined, undefined, 4, 6, 6];
const PORTS = [1, 2, 4, 6, 6];

interface Network {
  vde: Running;
  clients: RawClient[];
}

interface Step {
  from: number;
  frames: Buffer[];
}

async function network(t: TestContext, program: string, args: string[], seats = SEATS): Promise<Network> {
  const dir = join(tmpDir(t), 'sw');
  const vde = start(t, program, ['-s', dir, '-n', '8', ...args]);
  await ask(vde, 'showinfo');
  const clients: RawClient[] = [];
  for (const seat of seats) clients.push(await seated(t, dir, seat));
  return { vde, clients };
}

/** A command on the console, and the lines of its data block. */
async function ask(vde: Running, command: string): Promise<string[]> {
  vde.stdin.write(`${command}\n`);
  const [, block] = await vde.expect(/0000 DATA END WITH '.'\n([\s\S]*?)\.\n1000 Success/, { stream: 'stdout' });
  return block.split('\n').filter((line) => line !== '');
}

/** Plays steps and returns, for each, what each client received. */
async function play({ clients }: Network, steps: Step[]): Promise<string[][][]> {
  const seen: string[][][] = [];
  for (const [number, { from, frames }] of steps.entries()) {
    const marker = frame(BROADCAST, station(0xee00 + from), { payload: `marker ${number}` });
    for (const one of [...frames, marker]) assert.ok(clients[from].send(one));
    seen.push(
      await Promise.all(
        clients.map(async (client, index) => {
          if (PORTS[index] === PORTS[from]) return client.take().map((bytes) => bytes.toString('hex'));
          const got: Buffer[] = [];
          while (!got.at(-1)?.equals(marker)) got.push(...(await client.frames(1)));
          return got.map((bytes) => bytes.toString('hex'));
        }),
      ),
    );
  }
  return seen;
}

// Each client has two stations behind it; some addresses nobody has.
const someone = fc.integer({ min: 0, max: 11 }).map(station);
const destination = fc.oneof(
  { weight: 8, arbitrary: someone },
  { weight: 1, arbitrary: fc.constant(BROADCAST) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('0180c2000000', '01005e000001', '333300000001').map((hex) => Buffer.from(hex, 'hex')),
  },
);
const tci = fc.constantFrom(...[undefined, undefined, undefined], 0, 0xe000, 0x1000, 1, 5, 0x6005, 4094, 4095);
const traffic = fc
  .record({
    from: fc.nat(SEATS.length - 1),
    frames: fc.array(
      fc.record({
        to: destination,
        behind: fc.nat(1),
        tci,
        type: fc.constantFrom(0x0800, 0x88b5, 0x88a8, 0x8100, 0x0027),
        payload: fc.oneof(
          fc.uint8Array({ minLength: 4, maxLength: 60 }),
          fc.constantFrom(46, 100, 1496, 1500).map((size) => new Uint8Array(size).fill(0x5a)),
        ),
        cut: fc.option(fc.nat(13), { freq: 15 }),
      }),
      { minLength: 1, maxLength: 6 },
    ),
  })
  .map(({ from, frames }) => ({
    from,
    frames: frames.map(({ to, behind, tci, type, payload, cut }) => {
      const whole = frame(to, station(2 * from + behind), { tci, type, payload });
      return cut === null || cut === 0 ? whole : whole.subarray(0, cut);
    }),
  }));

/** A station that is heard at one port and, before the time for that has passed, at another. */
const MOVE: Step[] = [
  { from: 0, frames: [frame(BROADCAST, station(50))] },
  { from: 2, frames: [frame(BROADCAST, station(50))] },
  { from: 1, frames: [frame(station(50), station(2))] },
];

/** What differs from run to run, or by numbers that are nobody's concern. */
function normal(lines: string[]): string[] {
  return lines.map((line) => line.replace(/endpoint ID \d+/, 'endpoint ID N').replace(/age \d+ secs/, 'age N secs'));
}

for (const [name, args, seeds] of [
  ['switch', [], [1, 2, 3, 4]],
  ['hub', ['-x'], [5, 6]],
] as const) {
  for (const seed of seeds) {
    test(`as a ${name} ours delivers what Debian's delivers, and shows the same (seed ${seed})`, limit, async (t) => {
      if (!requirePeer(t, debian('vde_switch'))) return;
      const steps = [...MOVE, ...fc.sample(traffic, { seed, numRuns: 120 })];
      const [theirs, ours] = [
        await network(t, debian('vde_switch'), [...args]),
        await network(t, bin('vde_switch'), [...args]),
      ];
      const expected = await play(theirs, steps);
      const got = await play(ours, steps);
      for (const [number, step] of steps.entries()) {
        const sent = step.frames.map((bytes) => bytes.toString('hex')).join('\n  ');
        assert.deepEqual(got[number], expected[number], `step ${number}: client ${step.from} sent\n  ${sent}`);
      }
      assert.deepEqual(normal(await ask(ours.vde, 'port/print')), normal(await ask(theirs.vde, 'port/print')));
      assert.deepEqual(normal(await ask(ours.vde, 'port/print 6')), normal(await ask(theirs.vde, 'port/print 6')));
      const [table, theirTable] = [await ask(ours.vde, 'hash/print'), await ask(theirs.vde, 'hash/print')];
      assert.deepEqual(normal(table).sort(), normal(theirTable).sort());
      // As many addresses as the frames had: a silent switch would agree with itself about nothing.
      assert.equal(table.length > 5, name === 'switch');
    });
  }
}

test(
  'when a client leaves its port stays, as with Debian; ours forgets its addresses, Debian all',
  limit,
  async (t) => {
    if (!requirePeer(t, debian('vde_switch'))) return;
    const shown = await Promise.all(
      [debian('vde_switch'), bin('vde_switch')].map(async (program) => {
        const net = await network(t, program, []);
        await play(net, MOVE);
        const before = await ask(net.vde, 'hash/print');
        assert.equal(before.length, 5);
        net.clients[0].close();
        let ports = await ask(net.vde, 'port/allprint');
        while (ports.filter((line) => line.includes('endpoint')).length === SEATS.length) {
          ports = await ask(net.vde, 'port/allprint');
        }
        const stay = normal(before.filter((line) => !line.includes('to port: 001')));
        const after = normal(await ask(net.vde, 'hash/print'));
        return { ports: normal(ports), active: normal(await ask(net.vde, 'port/print')), stay: stay.sort(), after };
      }),
    );
    const [theirs, ours] = shown;
    assert.deepEqual([ours.ports, ours.active], [theirs.ports, theirs.active]);
    assert.deepEqual(theirs.after, []);
    assert.deepEqual([ours.after.sort(), ours.stay.length], [ours.stay, 3]);
  },
);

test('a frame of more than 1518 bytes comes through whole, where Debian cuts it', limit, async (t) => {
  if (!requirePeer(t, debian('vde_switch'))) return;
  const large = frame(BROADCAST, station(1), { payload: Buffer.alloc(5000, 7) });
  for (const [program, size] of [
    [debian('vde_switch'), 1518],
    [bin('vde_switch'), large.length],
  ] as const) {
    const { clients } = await network(t, program, [], [1, 2]);
    clients[0].send(large);
    assert.deepEqual(await clients[1].frames(1), [large.subarray(0, size)]);
  }
});

test('a hub of ours sends to port 0 too, where Debian only listens to it', limit, async (t) => {
  if (!requirePeer(t, debian('vde_switch'))) return;
  const one = frame(BROADCAST, station(1));
  for (const [program, count] of [
    [debian('vde_switch'), 0],
    [bin('vde_switch'), 1],
  ] as const) {
    const { clients } = await network(t, program, ['-x'], [0, 1, 2]);
    const [zero, sender, other] = clients;
    sender.send(one);
    assert.deepEqual(await other.frames(1), [one]);
    assert.equal(zero.take().length, count);
    zero.send(one);
    assert.deepEqual(await other.frames(1), [one]);
    assert.deepEqual(await sender.frames(1), [one]);
  }
});
