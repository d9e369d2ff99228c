/**
 * What the outer process of vdens and its helper inside the namespace say to each other, as JSON, one message per packet
 * of a SOCK_SEQPACKET pair. The outer one begins with a `Plan`; the helper answers with each `tap` (its descriptor comes
 * with the message), then `ready`; the outer one says `go` when the networks are there, and the helper becomes the
 * command: the end of the connection says that it has. Either may say why it cannot go on instead.
 */

import type { VdeError } from '../sys/errors.js';
import type { InterfacePlan } from './interfaces.js';
import type { ResolvPlan } from './resolvconf-plan.js';

/** Number of the descriptor that the helper has its end of the pair at. */
export const CHANNEL = 3;
/** Where the helper finds the real standard error: until it runs, `unshare` speaks to the outer process alone. */
export const ERROR_OUTPUT = 4;
/** Where the DHCP agent's end of its own connection is, if there is one. */
export const AGENT_CHANNEL = 5;
/** Longest message, in bytes. */
export const MESSAGE_MAX = 128 << 10;

/** What the helper is to make. */
export interface Plan {
  /** The outer process, whose end is the command's. */
  parent: number;
  interfaces: InterfacePlan[];
  /** What `ip -batch -` is told: see `ipBatch`. */
  lines: string[];
  resolv: ResolvPlan | undefined;
  hostname: string | undefined;
  /** Whether the command may mount. */
  sysadmin: boolean;
  /** Whether the DHCP agent is started, on `AGENT_CHANNEL`. */
  dhcp: boolean;
}

/** An error that travels: what a `VdeError` is made of, and the exit status for it. */
export interface Failure {
  code: string;
  subject: string;
  cause: string;
  remedy?: string;
  status: number;
}

/** An error as it travels. */
export function failure(error: unknown, status: number): { failure: Failure } {
  const { code = 'EFAIL', subject = 'namespace', reason, remedy, message } = error as Partial<VdeError>;
  return { failure: { code, subject, cause: reason ?? message ?? String(error), remedy, status } };
}

export type FromHelper = { tap: string } | { ready: true } | { failure: Failure };
export type ToHelper = { plan: Plan } | { go: true };
export type FromAgent = { bound: string[] } | { failure: Failure };
