/** The times of the rapid spanning tree (IEEE 802.1D-2004, 17.13 and 17.14): what they may be, and what a neighbour says. */

import { BPDU_SECOND, type Bpdu } from '../frame/bpdu.js';
import type { Times } from './rstp-port.js';

/** Limits of 802.1D table 17-1 and of what the Linux bridge can be set to, in seconds. */
const HELLO_MAX = 10;
const MAX_AGE_MIN = 6;
const MAX_AGE_MAX = 40;
const FORWARD_DELAY_MIN = 2;
const FORWARD_DELAY_MAX = 30;

/** What an administrator may say about the bridge's times, in seconds. */
export type BridgeTimes = Omit<Times, 'messageAge'>;

/** True if times fit their ranges and each other (802.1D 17.14). */
export function validTimes({ helloTime, maxAge, forwardDelay }: BridgeTimes): boolean {
  return (
    helloTime >= 1 &&
    helloTime <= HELLO_MAX &&
    maxAge >= MAX_AGE_MIN &&
    maxAge <= MAX_AGE_MAX &&
    forwardDelay >= FORWARD_DELAY_MIN &&
    forwardDelay <= FORWARD_DELAY_MAX &&
    2 * (forwardDelay - 1) >= maxAge &&
    maxAge >= 2 * (helloTime + 1)
  );
}

/** The times in a BPDU, each within what a bridge may be set to. */
export function timesOf({ messageAge, maxAge, helloTime, forwardDelay }: Bpdu): Times {
  return {
    messageAge: seconds(messageAge, 0, MAX_AGE_MAX),
    maxAge: seconds(maxAge, MAX_AGE_MIN, MAX_AGE_MAX),
    helloTime: seconds(helloTime, 1, HELLO_MAX),
    forwardDelay: seconds(forwardDelay, FORWARD_DELAY_MIN, FORWARD_DELAY_MAX),
  };
}

/** A time of a BPDU in whole seconds, within what a bridge may be set to. */
function seconds(units: number, min: number, max: number): number {
  return Math.min(Math.max(Math.floor(units / BPDU_SECOND), min), max);
}
