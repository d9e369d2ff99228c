/**
 * What the management console costs those who only want to forward, and how fast a large configuration and a spanning
 * tree come about.
 *
 * Round trips of one frame in flight, through a switch that knows 100 000 addresses, while another process has it print
 * its tables again and again. On a machine with few cores that process takes time from all others, whoever answers it:
 * so there is also a run where it asks a second switch, which has nothing to do with the frames. The same beside a flood:
 * there, on two cores, what the kernel lets whom wait for varies by more than the targets, so there is none for it.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type End, open, openConsole } from '../src/index.js';
import { attempt, Child, median, progress, SIDES, type Side, startClient, startSwitch, within } from './support.js';

const READER = fileURLToPath(new URL('peers/console.ts', import.meta.url));
const CABLE = fileURLToPath(new URL('../bin/vde_plug', import.meta.url));

const ADDRESSES = 100_000;
/** Ports of the switch that exist, and so are printed. */
const PORTS = 128;
const FRAME_SIZE = 64;

/** What is asked of a console, and of whose. */
interface Load {
  name: string;
  command?: string;
  elsewhere?: boolean;
  /** Whether two more clients send and receive as fast as they can. */
  flood?: boolean;
}

const BASELINE = 'no console';
const LOADS: readonly Load[] = [
  { name: BASELINE },
  { name: 'hash/print, of another switch', command: 'hash/print', elsewhere: true },
  { name: 'hash/print', command: 'hash/print' },
  { name: 'port/allprint', command: 'port/allprint' },
  { name: 'beside a flood: no console', flood: true },
  { name: 'beside a flood: hash/print, of another switch', command: 'hash/print', elsewhere: true, flood: true },
  { name: 'beside a flood: hash/print', command: 'hash/print', flood: true },
  { name: 'beside a flood: port/allprint', command: 'port/allprint', flood: true },
];

/** Round trips in µs; answers and Mbytes of them per second. */
interface Sample {
  p50: number;
  p99: number;
  answers: number;
  bytes: number;
}

/** Time before and behind the round trips that a flood takes longer, in s. */
const MARGIN = 3;

/**
 * A switch with a console, and pairs of clients that are attached to it and have sent from their first addresses: the
 * first pair has most of the addresses.
 */
async function attached(side: Side, modes: readonly string[], seconds: number, directory: string) {
  const mgmt = join(directory, 'm');
  // With its default of 128 buckets the C table would be one long list.
  const sized = side === 'C' ? ['--hashsize', '131072'] : [];
  const { child, locator } = await startSwitch(side, ['-n', String(PORTS + 1), '-M', mgmt, ...sized]);
  for (let port = 1; port <= PORTS; port++) child.tell(`port/create ${port}\nport/allocatable ${port} 1`);
  const clients = modes.map((mode, i) => {
    const addresses = i < 2 ? ADDRESSES / 2 : 1;
    const work = { size: FRAME_SIZE, sources: addresses, destinations: addresses, self: i + 1, peer: (i ^ 1) + 1 };
    return startClient(mode, locator, { ...work, seconds: i < 2 ? seconds : seconds + MARGIN });
  });
  await Promise.all(clients.map((client) => client.says('ready')));
  for (const client of clients) client.tell('go');
  await Promise.all(clients.map((client) => client.says('hello')));
  return { mgmt, children: [...clients, child], clients };
}

async function announce(clients: readonly Child[]): Promise<void> {
  for (const client of clients) client.tell('go');
  await Promise.all(clients.map((client) => client.says('announced')));
}

async function roundTrips(side: Side, { command, elsewhere, flood }: Load, seconds: number): Promise<Sample> {
  const parent = mkdtempSync(join(tmpdir(), 'vb-'));
  const started: Child[] = [];
  try {
    const modes = flood ? ['ping', 'echo', 'send', 'receive'] : ['ping', 'echo'];
    const forwarding = await attached(side, modes, seconds, mkdtempSync(join(parent, 'f')));
    started.push(...forwarding.children);
    let { mgmt } = forwarding;
    if (elsewhere) {
      const other = await attached(side, ['ping', 'ping'], seconds, mkdtempSync(join(parent, 'o')));
      started.push(...other.children);
      await announce(other.clients);
      mgmt = other.mgmt;
    }
    let reader: Child | undefined;
    if (command !== undefined) {
      reader = new Child(process.execPath, ['--import', 'tsx', READER, mgmt, command]);
      started.push(reader);
      await reader.says('ready');
    }
    const [asking, answering, ...flooding] = forwarding.clients;
    await announce(flooding.slice(0, 1));
    await announce([asking, answering]);
    await announce(flooding.slice(1));
    flooding[0]?.tell('go');
    const begin = performance.now();
    asking.tell('go');
    const { trips, p50, p99 } = await asking.result();
    if (trips === 0) throw new Error('no frame came back');
    const elapsed = (performance.now() - begin) / 1000;
    reader?.endInput();
    const { answers, bytes } = (await reader?.result()) ?? { answers: 0, bytes: 0 };
    return { p50, p99, answers: answers / elapsed, bytes: bytes / elapsed / 1e6 };
  } finally {
    for (const child of started) await child.stop();
    rmSync(parent, { recursive: true, force: true });
  }
}

const VLANS = 4094;
const TRUNKS = 512;

/** Seconds that a console takes to load a script that makes all VLANs there are on 512 trunks. */
async function manyVlans(): Promise<number> {
  const parent = mkdtempSync(join(tmpdir(), 'vb-'));
  const path = join(parent, 'm');
  const { child } = await startSwitch('ours', ['-n', String(TRUNKS), '-M', path]);
  try {
    const script = join(parent, 'script');
    const lines: string[] = [];
    for (let port = 1; port <= TRUNKS; port++) lines.push(`port/create ${port}`, `port/trunk ${port} all`);
    for (let vlan = 1; vlan <= VLANS; vlan++) lines.push(`vlan/create ${vlan}`);
    writeFileSync(script, `${lines.join('\n')}\n`);
    const client = await openConsole(path);
    const begin = performance.now();
    await client.command(`load ${script}`);
    const seconds = (performance.now() - begin) / 1000;
    const { data } = await client.command(`vlan/allprint ${VLANS}`);
    client.close();
    if (data.length !== TRUNKS + 1) throw new Error(`VLAN ${VLANS} has ${data.length - 1} ports, not ${TRUNKS}`);
    return seconds;
  } finally {
    await child.stop();
    rmSync(parent, { recursive: true, force: true });
  }
}

const RING = 8;
/** How often a station says something, in ms. */
const EVERY_MS = 2;
/** A frame whose bytes 14 to 17 number it. */
const FRAME = Buffer.from(`ffffffffffff020000000001${'88b5'}`.padEnd(120, '0'), 'hex');

/**
 * Milliseconds without a way from a switch to its neighbour in a ring of switches, each a process, once the cable
 * between the two is cut: the longest way round that there is.
 */
async function cutRing(): Promise<number> {
  const started: Child[] = [];
  const ends: End[] = [];
  let timer: NodeJS.Timeout | undefined;
  try {
    const locators: string[] = [];
    for (let i = 0; i < RING; i++) {
      const mac = `02:00:00:00:01:0${i}`;
      const { child, locator } = await startSwitch('ours', ['--rstp', '--macaddr', mac]);
      started.push(child);
      locators.push(locator);
    }
    const cables = locators.map(
      (locator, i) => new Child(CABLE, [`vde://${locator}`, `vde://${locators[(i + 1) % RING]}`]),
    );
    started.push(...cables);
    // The switch of the lowest address is root; the ring is opened opposite to it.
    ends.push(await open(`vde://${locators[0]}`), await open(`vde://${locators[1]}`));
    const [asking, hearing] = ends;
    let said = 0;
    let heard = -1;
    let wake: (() => void) | undefined;
    hearing.on('frame', (frame) => {
      if (frame.length < 18 || frame.readUInt16BE(12) !== 0x88b5) return;
      heard = frame.readUInt32BE(14);
      wake?.();
    });
    timer = setInterval(() => {
      FRAME.writeUInt32BE(said++, 14);
      asking.send(FRAME);
    }, EVERY_MS);
    /** Settles when a frame has come that was said after this call. */
    const through = async () => {
      const from = said;
      while (heard < from) {
        await new Promise<void>((done) => {
          wake = done;
        });
      }
    };
    await settled(started.slice(0, RING));
    await through();
    const begin = performance.now();
    await cables[0].stop();
    await through();
    return performance.now() - begin;
  } finally {
    clearInterval(timer);
    for (const end of ends) end.close();
    for (const child of started.reverse()) await child.stop();
  }
}

/** Waits until exactly one port of the ring discards, and all others forward. */
async function settled(switches: readonly Child[]): Promise<void> {
  for (;;) {
    let discarding = 0;
    let forwarding = 0;
    for (const one of switches) {
      const before = one.output.length;
      one.tell('rstp/print');
      while (!/1000 Success/.test(one.output.slice(before))) await new Promise((done) => setTimeout(done, 5));
      const text = one.output.slice(before);
      discarding += text.split('status=Discarding').length - 1;
      forwarding += text.split('status=Forwarding').length - 1;
    }
    // Two ports for each cable, and those of the two stations.
    if (discarding === 1 && forwarding === 2 * RING + 1) return;
  }
}

export interface ConsoleResult {
  /** By side, then by load. */
  trips: Record<Side, Record<string, Sample>>;
  /** Seconds. */
  vlans?: number;
  /** Milliseconds, each of a ring. */
  cuts: number[];
}

/** Runs all of it `rounds` times, both switches and all loads in turn. */
export async function benchConsole(rounds: number, seconds: number, only?: RegExp): Promise<ConsoleResult> {
  const wanted = (name: string) => only === undefined || only.test(name);
  const samples = new Map<string, Sample[]>();
  const vlans: number[] = [];
  const cuts: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const load of LOADS) {
      if (!wanted('round trips')) continue;
      for (const side of SIDES) {
        const name = `${side}: ${load.name}`;
        progress(`round ${round} of ${rounds}: ${name}`);
        const sample = await attempt(name, () => within(seconds + 60, roundTrips(side, load, seconds)));
        samples.set(name, [...(samples.get(name) ?? []), sample]);
      }
    }
    if (wanted('VLANs')) vlans.push(await attempt('VLANs', () => within(60, manyVlans())));
    if (wanted('ring')) cuts.push(await attempt('ring', () => within(90, cutRing())));
  }
  const of = (name: string): Sample => {
    const list = samples.get(name) ?? [];
    const keys = Object.keys(list[0]) as (keyof Sample)[];
    return Object.fromEntries(keys.map((key) => [key, median(list.map((one) => one[key]))])) as unknown as Sample;
  };
  const sides = SIDES.map((side) => [
    side,
    samples.size === 0 ? {} : Object.fromEntries(LOADS.map(({ name }) => [name, of(`${side}: ${name}`)])),
  ]);
  return { trips: Object.fromEntries(sides), vlans: vlans.length > 0 ? median(vlans) : undefined, cuts };
}

/** The results as cells. */
export function consoleTable({ trips }: ConsoleResult): string[][] {
  const us = (n: number) => `${n.toFixed(0)} µs`;
  const head = ['round trip, one frame in flight', 'p50 C', 'ours', 'p99 C', 'ours', 'MB/s read, C', 'ours'];
  const rows = Object.keys(trips.C).map((name) => {
    const { C, ours } = { C: trips.C[name], ours: trips.ours[name] };
    const rate = (n: number) => (n > 0 ? n.toFixed(1) : '');
    return [name, us(C.p50), us(ours.p50), us(C.p99), us(ours.p99), rate(C.bytes), rate(ours.bytes)];
  });
  return [head, ...rows];
}

/** The targets of the project, and what was measured. */
export function consoleTargets({ trips, vlans, cuts }: ConsoleResult): {
  target: string;
  measured: string;
  met: boolean;
}[] {
  const targets: { target: string; measured: string; met: boolean }[] = [];
  const add = (target: string, value: number, limit: number, unit: string, digits = 0) =>
    targets.push({
      target: `${target} < ${limit} ${unit}`,
      measured: `${value.toFixed(digits)} ${unit}`,
      met: value < limit,
    });
  const base = trips.ours[BASELINE]?.p99;
  for (const { name, command, elsewhere, flood } of LOADS) {
    if (command === undefined || elsewhere || flood || base === undefined) continue;
    add(`${name}: p99 of the round trip more by`, trips.ours[name].p99 - base, 1000, 'µs');
  }
  if (vlans !== undefined) add(`${VLANS} VLANs on ${TRUNKS} trunks set up in`, vlans, 2, 's', 2);
  if (cuts.length > 0) {
    add(`a ring of ${RING} switches, one way again after a cut: median`, median(cuts), 1000, 'ms');
    add('the longest', Math.max(...cuts), 1000, 'ms');
  }
  return targets;
}
