/** Waiting, outside the namespace, for the DHCP agent inside: for its first leases, and until it has given them back. */

import { setTimeout as pause } from 'node:timers/promises';

import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import { errnoNumber, VdeError } from '../sys/errors.js';
import { loop } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { shutdownWrite, tryReceive } from '../sys/socket.js';
import { isReadable } from '../sys/wait.js';
import { LaunchError } from './launch.js';
import { type FromAgent, MESSAGE_MAX } from './message.js';

const EAGAIN = errnoNumber('EAGAIN');
/** How long the agent may take to give its leases back, and the network to take what it has sent, in ms. */
const RELEASE_MS = 1000;
const DRAIN_MS = 200;
const DRAIN_STEP_MS = 2;

/**
 * Resolves when all interfaces have their first lease.
 * @throws VdeError if one gets none.
 */
export function waitForLeases(agent: Descriptor): Promise<void> {
  return new Promise((done, fail) => {
    const inbox = new Memory(MESSAGE_MAX);
    let text = '';
    const watch = loop().watch(agent.fd, EPOLLIN | EPOLLRDHUP, () => {
      const n = tryReceive(agent, inbox);
      if (n === -EAGAIN) return undefined;
      if (n > 0) text += new TextDecoder().decode(inbox.bytes.subarray(0, n));
      if (n > 0 && !text.includes('\n')) return undefined;
      watch.close();
      if (!text.includes('\n')) {
        fail(new VdeError({ code: 'EPIPE', subject: '--dhcp', cause: 'the DHCP agent has ended' }));
        return undefined;
      }
      const message = JSON.parse(text.slice(0, text.indexOf('\n'))) as FromAgent;
      if ('failure' in message) fail(new LaunchError(message.failure));
      else done();
      return undefined;
    });
  });
}

/**
 * Has the agent give its leases back. Resolves when it has ended and what it sent has left the interfaces `taps`, or when
 * that takes too long: a lease that is not given back runs out by itself.
 */
export async function releaseLeases(agent: Descriptor, taps: readonly Descriptor[]): Promise<void> {
  await new Promise<void>((done) => {
    const inbox = new Memory(MESSAGE_MAX);
    // Somebody may still wait for the first leases.
    const own = agent.duplicate();
    const end = (): void => {
      clearTimeout(timer);
      watch.close();
      own.close();
      done();
    };
    const timer = setTimeout(end, RELEASE_MS);
    const watch = loop().watch(own.fd, EPOLLIN | EPOLLRDHUP, () => {
      const n = tryReceive(own, inbox);
      if (n <= 0 && n !== -EAGAIN) end();
      return undefined;
    });
    shutdownWrite(own);
  });
  for (let waited = 0; waited < DRAIN_MS && taps.some((tap) => isReadable(tap.fd)); waited += DRAIN_STEP_MS) {
    await pause(DRAIN_STEP_MS);
  }
}
