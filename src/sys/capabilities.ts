/** Capabilities of the calling thread (capabilities(7), capset(2), prctl(2)). */

import { check, native } from './ffi.js';
import { Memory } from './memory.js';

const capget = native<(header: number, data: number) => number>('int capget(size_t header, size_t data)');
const capset = native<(header: number, data: number) => number>('int capset(size_t header, size_t data)');
const prctl = native<(option: number, a: number, b: number, c: number, d: number) => number>(
  'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
);

/** The numbers of the capabilities that this project speaks of (linux/capability.h). */
export const Capability = { netBindService: 10, netBroadcast: 11, netAdmin: 12, netRaw: 13, sysAdmin: 21 } as const;

/** `struct __user_cap_header_struct`: version, pid; then for each 32 capabilities: effective, permitted, inheritable. */
const CAPABILITY_VERSION_3 = 0x20080522;
const HEADER = 8;
const SETS = 24;
export const PR_CAP_AMBIENT = 47;
export const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;

/** Memory that capset(2) is called with: the address of the header, that of the sets, and what holds both. */
export interface CapabilityBlock {
  header: number;
  sets: number;
  memory: Memory;
}

/** The block for exactly `capabilities` (each below 32) in all three sets. */
export function capabilityBlock(capabilities: readonly number[]): CapabilityBlock {
  const memory = new Memory(HEADER + SETS);
  memory.words[0] = CAPABILITY_VERSION_3;
  memory.words.fill(mask(capabilities), 2, 5);
  return { header: memory.address, sets: memory.address + HEADER, memory };
}

function mask(capabilities: readonly number[]): number {
  return capabilities.reduce((bits, capability) => (bits | (1 << capability)) >>> 0, 0);
}

/**
 * Leaves this thread with exactly `capabilities` (each below 32, and permitted now), in the ambient set too, so that they
 * outlive `exec`. Root, whom `exec` gives every capability in any case, keeps its permitted and effective ones: to gain
 * some at `exec` would undo a parent-death signal.
 * @throws VdeError `EPERM` for one that is not permitted.
 */
export function keepOnlyCapabilities(capabilities: readonly number[]): void {
  const { header, sets, memory } = capabilityBlock(capabilities);
  if (process.geteuid?.() === 0) {
    check(capget(header, sets), 'capget', 'capabilities');
    memory.words[4] = mask(capabilities);
    memory.words[7] = 0;
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  check(capset(header, sets), 'capset', 'capabilities');
  for (const capability of capabilities) {
    check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), 'prctl', `capability ${capability}`);
  }
}
