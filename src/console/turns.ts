/**
 * Turns: work of the consoles, done in small pieces between which the switch forwards. Whoever has work takes a turn;
 * all together they get one slice of time per round of Node's loop.
 */

/** A piece of work; true if there is more, due at once. */
export type Work = () => boolean;

/** A slice, in ms: how much later a frame may be forwarded because of the consoles. */
const SLICE_MS = 0.1;

const waiting: Work[] = [];
let scheduled = false;

/** Has `work` called as often as it says that there is more, in turn with the work of others. */
export function takeTurns(work: Work): void {
  waiting.push(work);
  if (scheduled) return;
  scheduled = true;
  setImmediate(round);
}

function round(): void {
  const end = performance.now() + SLICE_MS;
  scheduled = false;
  do {
    const work = waiting.shift();
    if (work === undefined) return;
    if (work()) waiting.push(work);
  } while (performance.now() < end);
  if (waiting.length > 0) {
    scheduled = true;
    setImmediate(round);
  }
}
