/**
 * How two ends of ours find out over UDP that both of them are, so that super-frames may pass whole between them.
 *
 * A *request* carries a challenge, fresh and random each time. The *answer* repeats it and names the answerer's tag: a
 * random address of its own, with which whoever knows it begins the datagrams that are no plain frames. So a tag is
 * known to those alone who were answered, which a forged source address is not; an answer counts only for a challenge
 * that is open, which a recorded one's is not; and a tag is no station's address (group and local bit are set), so that
 * no frame can be mistaken for what begins with it. Plain frames are understood at all times.
 *
 * Both are shorter than an Ethernet header, as nothing else is that means anything: ends of C drop them. They are sent
 * only while there are super-frames to send, ever more seldom if nobody answers. What has been learned holds for a
 * second: a peer that is replaced by one of C loses no more than the super-frames of that time.
 *
 *     octet 0   kind: 0xd1 request, 0xd2 answer (of this version)
 *     1 to 6    challenge
 *     7 to 12   request: zero; answer: tag
 *
 * One octet alone keeps what stands between two ends (a NAT, a firewall) from forgetting them; it means nothing else.
 */

export const TAG_SIZE = 6;
export const HELLO_SIZE = 1 + 2 * TAG_SIZE;

export const KEEP_ALIVE = Uint8Array.of(0xd3);

const REQUEST = 0xd1;
const ANSWER = 0xd2;
const CHALLENGE_AT = 1;
const TAG_AT = 7;

/** While answers come: how often one is asked for, and how long what it said holds, from the request on; in ms. */
const REQUEST_MS = 200;
export const VALID_MS = 1000;
/** Longest wait between two requests to a peer that does not answer, in ms. */
export const PATIENCE_MS = 10_000;
/** Challenges that are open at a time: those of `VALID_MS`, and one more. */
const OPEN_MAX = 6;

/** Fills bytes from a source of random numbers that nobody can guess. */
export type Random = (bytes: Uint8Array) => unknown;

/** A fresh tag for one end. */
export function makeTag(random: Random): Uint8Array {
  const tag = new Uint8Array(TAG_SIZE);
  random(tag);
  tag[0] |= 0x03;
  return tag;
}

/** Whether `length` bytes are a request or an answer by their looks. */
export function isHello(bytes: Uint8Array, at: number, length: number): boolean {
  return length === HELLO_SIZE && (bytes[at] === REQUEST || bytes[at] === ANSWER);
}

/** Whether `length` bytes are `KEEP_ALIVE`. */
export function isKeepAlive(bytes: Uint8Array, at: number, length: number): boolean {
  return length === KEEP_ALIVE.length && bytes[at] === KEEP_ALIVE[0];
}

/** What one end knows of one peer. Times are in ms of any clock that does not go back. */
export class TunnelHello {
  /** Tag of the peer; meaningful while `usable`. */
  readonly peerTag = new Uint8Array(TAG_SIZE);
  readonly #challenges = new Uint8Array(OPEN_MAX * TAG_SIZE);
  readonly #sentAt = new Float64Array(OPEN_MAX).fill(Number.NEGATIVE_INFINITY);
  #next = 0;
  readonly #request = new Uint8Array(HELLO_SIZE);
  readonly #answer = new Uint8Array(HELLO_SIZE);
  /** When the newest request that was answered had been sent. */
  #answered = Number.NEGATIVE_INFINITY;
  #asked = Number.NEGATIVE_INFINITY;
  #due = Number.NEGATIVE_INFINITY;
  #wait = REQUEST_MS;

  /** @param tag this end's own, see `makeTag`. */
  constructor(
    tag: Uint8Array,
    private readonly random: Random,
  ) {
    this.#request[0] = REQUEST;
    this.#answer[0] = ANSWER;
    this.#answer.set(tag, TAG_AT);
  }

  /** Whether the peer takes what begins with its tag. */
  usable(now: number): boolean {
    return now - this.#answered < VALID_MS;
  }

  /**
   * To be called when there is a super-frame to send.
   * @returns a request to be sent before it, good until the next call; undefined if none is due.
   */
  request(now: number): Uint8Array | undefined {
    if (now < this.#due) return undefined;
    const usable = this.usable(now);
    this.#wait = usable ? REQUEST_MS : Math.min(this.#wait * 2, PATIENCE_MS);
    this.#asked = now;
    this.#due = now + this.#wait;
    const at = this.#next * TAG_SIZE;
    const challenge = this.#challenges.subarray(at, at + TAG_SIZE);
    this.random(challenge);
    this.#sentAt[this.#next] = now;
    this.#next = (this.#next + 1) % OPEN_MAX;
    this.#request.set(challenge, CHALLENGE_AT);
    return this.#request;
  }

  /**
   * Takes in a datagram of the peer's for which `isHello` holds.
   * @returns the answer to be sent to it, good until the next call, if it was a request.
   */
  receive(bytes: Uint8Array, at: number, now: number): Uint8Array | undefined {
    if (bytes[at] === REQUEST) {
      for (let i = TAG_AT; i < HELLO_SIZE; i++) if (bytes[at + i] !== 0) return undefined;
      for (let i = CHALLENGE_AT; i < TAG_AT; i++) this.#answer[i] = bytes[at + i];
      // A peer that asks will answer: there is no reason to go on being patient.
      if (!this.usable(now)) {
        this.#wait = REQUEST_MS / 2;
        this.#due = Math.min(this.#due, Math.max(now, this.#asked + REQUEST_MS));
      }
      return this.#answer;
    }
    this.#learn(bytes, at, now);
    return undefined;
  }

  #learn(bytes: Uint8Array, at: number, now: number): void {
    if ((bytes[at + TAG_AT] & 0x03) !== 0x03) return;
    for (let open = 0; open < OPEN_MAX; open++) {
      const sent = this.#sentAt[open];
      if (now - sent >= VALID_MS || !same(this.#challenges, open * TAG_SIZE, bytes, at + CHALLENGE_AT)) continue;
      // Each challenge is good for one answer.
      this.#sentAt[open] = Number.NEGATIVE_INFINITY;
      if (sent < this.#answered) return;
      this.#answered = sent;
      this.#wait = REQUEST_MS;
      this.#due = Math.min(this.#due, sent + REQUEST_MS);
      for (let i = 0; i < TAG_SIZE; i++) this.peerTag[i] = bytes[at + TAG_AT + i];
      return;
    }
  }

  /** The peer's address has nobody behind it now: whoever comes next has to be asked anew. */
  forget(): void {
    this.#answered = Number.NEGATIVE_INFINITY;
    this.#sentAt.fill(Number.NEGATIVE_INFINITY);
  }
}

function same(a: Uint8Array, at: number, b: Uint8Array, from: number): boolean {
  for (let i = 0; i < TAG_SIZE; i++) if (a[at + i] !== b[from + i]) return false;
  return true;
}
