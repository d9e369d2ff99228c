/** Waiting, outside the namespace, for the DHCP agent inside. */

import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import { errnoNumber, VdeError } from '../sys/errors.js';
import { loop } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { tryReceive } from '../sys/socket.js';
import { LaunchError } from './launch.js';
import { type FromAgent, MESSAGE_MAX } from './message.js';

const EAGAIN = errnoNumber('EAGAIN');

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
