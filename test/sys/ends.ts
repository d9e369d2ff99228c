/** Descriptors for tests, closed when the test ends. */

import type { Descriptor } from '../../src/sys/descriptor.js';
import { EPOLLIN } from '../../src/sys/epoll.js';
import { loop } from '../../src/sys/loop.js';
import { SOCK_DGRAM, setSendBuffer, socketPair } from '../../src/sys/socket.js';
import { cleanup, type Owner } from '../support/cleanup.js';

/** Closes what it is given when the test ends. */
export function owned<T extends { close(): void }>(t: Owner, ...all: T[]): T[] {
  cleanup(t, () => {
    for (const one of all) one.close();
  });
  return all;
}

/** Two sockets connected to each other. */
export function pair(t: Owner, type: number): [Descriptor, Descriptor] {
  const ends = socketPair(type, 'pair');
  owned(t, ...ends);
  return ends;
}

/** The same for datagrams, with room for a burst of full frames from the first to the second. */
export function datagramPair(t: Owner): [Descriptor, Descriptor] {
  const ends = pair(t, SOCK_DGRAM);
  setSendBuffer(ends[0], 1 << 20);
  return ends;
}

/** Resolves when there is something to be read. */
export function arrival(socket: Descriptor): Promise<void> {
  return new Promise((done) => {
    const watch = loop().watch(socket.fd, EPOLLIN, () => {
      watch.close();
      done();
      return undefined;
    });
  });
}
