/**
 * Turns: work of the consoles, done in small pieces between which the switch forwards. Whoever has work takes a turn; all
 * together they get one slice of time per round of Node's loop.
 *
 * While frames flow there is a pause behind each slice. Without it few frames would find the switch idle; and, worse, a
 * process that never sleeps is one that the kernel makes wait for others, for milliseconds, when there are more of them
 * than CPUs.
 */

import { loop } from '../sys/loop.js';

/** A piece of work; true if there is more, due at once. */
export type Work = () => boolean;

/** A slice, in ms: how much later a frame may be forwarded because of the consoles. */
const SLICE_MS = 0.1;
/** The pause behind a slice while frames flow, in ms: the shortest that Node's timers can make. */
const PAUSE_MS = 1;

const waiting: Work[] = [];
let scheduled = false;
/** `Loop.frameEvents` after the last slice. */
let seen = 0;

/** Has `work` called as often as it says that there is more, in turn with the work of others. */
export function takeTurns(work: Work): void {
  waiting.push(work);
  if (scheduled) return;
  scheduled = true;
  nextRound();
}

function round(): void {
  const end = performance.now() + SLICE_MS;
  do {
    const work = waiting.shift();
    if (work === undefined) break;
    if (work()) waiting.push(work);
  } while (performance.now() < end);
  scheduled = waiting.length > 0;
  if (!scheduled) return;
  const { frameEvents } = loop();
  if (frameEvents === seen) nextRound();
  else setTimeout(nextRound, PAUSE_MS);
  seen = frameEvents;
}

/** Behind the phase of Node's loop that looks for frames: a timer that is overdue would come before it. */
function nextRound(): void {
  setImmediate(round);
}
