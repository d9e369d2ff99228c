/** One cell of the matrix: lays the cable, sends every frame both ways, and says which arrived as they were sent. */

import type { Owner } from '../support/cleanup.js';
import { type FrameStream, frame, type Make } from '../support/network.js';
import { requirePeer, requireVdeplug, type Skippable } from '../support/peers.js';
import type { Pair, Row } from './cells.js';
import { KINDS, type Kind, probes } from './probes.js';

export interface Outcome {
  scheme: string;
  pair: Pair;
  /** `different`: something is lost that should pass, or passes that is known to be lost. */
  result: 'ok' | 'not in C' | 'skipped' | 'different';
  /** What passed both ways. */
  moved: Kind[];
  /** What did not, with the reason if it is known. */
  lost: Partial<Record<Kind, string>>;
  /** Why it was skipped, or what stands at C's end. */
  note?: string;
}

const MAKES: Record<Pair, readonly [Make, Make]> = {
  'ours-ours': ['ours', 'ours'],
  'ours-C': ['ours', 'debian'],
  'C-ours': ['debian', 'ours'],
};

const DEBIAN = ['/usr/bin/vde_plug', '/usr/bin/vde_switch'];

/** Milliseconds for a frame that should arrive. */
const WAIT = 30_000;

/** Fills one cell. @throws Error if no frame passes at all. */
export async function fillCell(t: Owner & Skippable, row: Row, pair: Pair): Promise<Outcome> {
  const outcome: Outcome = { scheme: row.scheme, pair, result: 'ok', moved: [], lost: {} };
  const withC = pair !== 'ours-ours';
  if (withC && row.c === 'none') return { ...outcome, result: 'not in C' };
  let note = withC && row.c !== undefined ? `${row.c}:// at C's end` : undefined;
  const noted: Skippable = {
    name: t.name,
    skip: (message) => {
      note = message;
      t.skip(message);
    },
  };
  const { plugin } = row;
  const hasC = () => requirePeer(noted, ...DEBIAN) && (plugin === undefined || requireVdeplug(noted, plugin));
  if ((withC && !hasC()) || row.ready?.(noted) === false) return { ...outcome, result: 'skipped', note };
  const [a, b] = await row.open(t, MAKES[pair]);
  await greet(a, b, 1);
  await greet(b, a, 2);
  const known = row.lost?.[pair] ?? {};
  const there = await converse(a, b, 1, known);
  const back = await converse(b, a, 2, known);
  for (const kind of KINDS) {
    if (there.has(kind) && back.has(kind)) outcome.moved.push(kind);
    else outcome.lost[kind] = known[kind] ?? 'lost';
  }
  const asKnown = KINDS.every((kind) => kind in known === kind in outcome.lost);
  return { ...outcome, result: asKnown ? 'ok' : 'different', note };
}

let serial = 0;

/** Says hello until it is heard: before both ends are there, frames are lost. */
async function greet(from: FrameStream, to: FrameStream, source: number): Promise<void> {
  const tag = `hello ${serial++}/`;
  const say = () => from.send(frame({ tag, source }));
  const timer = setInterval(say, 100);
  try {
    say();
    await Promise.race([to.receive(tag, WAIT), ended(from), ended(to)]);
  } finally {
    clearInterval(timer);
  }
}

async function ended({ process }: FrameStream): Promise<never> {
  const { code, signal } = await process.exited;
  throw new Error(`vde_plug has ended with ${signal ?? code}: ${process.stderr.trim()}`);
}

/** Sends the frames one after the other; returns what has arrived. */
async function converse(
  from: FrameStream,
  to: FrameStream,
  source: 1 | 2,
  known: Partial<Record<Kind, string>>,
): Promise<Set<Kind>> {
  const arrived = new Set<Kind>();
  for (const { kind, frame: probe } of probes(source)) {
    const has = (): boolean => to.received.some((one) => one.equals(probe));
    from.send(probe);
    // A word to all comes after a frame that is lost.
    if (kind in known) await greet(from, to, source);
    else await Promise.race([heard(to, has), ended(to)]);
    if (has()) arrived.add(kind);
  }
  return arrived;
}

/** Resolves when it holds, or the time is up. */
function heard({ process }: FrameStream, has: () => boolean): Promise<void> {
  return new Promise((done) => {
    const settle = (): void => {
      clearTimeout(timer);
      process.child.stdout?.off('data', look);
      done();
    };
    const look = (): void => {
      if (has()) settle();
    };
    const timer = setTimeout(settle, WAIT);
    process.child.stdout?.on('data', look);
    look();
  });
}
