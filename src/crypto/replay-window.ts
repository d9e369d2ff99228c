/**
 * Which sequence numbers of a session have been seen: a bitmap that slides over the newest ones (RFC 4303 section 3.4.3;
 * as a ring of words, RFC 6479). Frames may overtake one another by up to `REPLAY_WINDOW`; older ones are refused.
 */

/** How far behind the newest number another may come. */
export const REPLAY_WINDOW = 2048;

const WORD = 32;
/** One word more than the window needs: the one that the newest number lies in is not full yet. */
const WORDS = REPLAY_WINDOW / WORD + 1;

/** See the head of this file. Numbers are from 0 to 2^53 - 1. */
export class ReplayWindow {
  #newest = -1;
  readonly #words = new Uint32Array(WORDS);

  /** Whether a number is new: neither seen nor too old. */
  isNew(sequence: number): boolean {
    if (sequence > this.#newest) return true;
    if (sequence <= this.#newest - REPLAY_WINDOW) return false;
    return (this.#words[Math.floor(sequence / WORD) % WORDS] & (1 << (sequence % WORD))) === 0;
  }

  /** Remembers a number that `isNew` and whose frame has proved authentic. */
  add(sequence: number): void {
    const word = Math.floor(sequence / WORD);
    if (sequence > this.#newest) {
      const from = Math.floor(Math.max(this.#newest, 0) / WORD);
      // Words that the window slides into still hold what was seen a ring ago.
      for (let i = Math.max(from + 1, word - WORDS + 1); i <= word; i++) this.#words[i % WORDS] = 0;
      this.#newest = sequence;
    }
    this.#words[word % WORDS] |= 1 << (sequence % WORD);
  }
}
