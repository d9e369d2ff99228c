/** A client of a vxvdex broker that says what it likes, and what it may give that is a trap. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { MESSAGE_MAX, type MemberRequest } from '../../src/plug/vxvdex-protocol.js';
import { receiveWithDescriptors, sendWithDescriptors } from '../../src/sys/ancillary.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../../src/sys/epoll.js';
import { writeInetAddress } from '../../src/sys/inet.js';
import { loop } from '../../src/sys/loop.js';
import { Memory } from '../../src/sys/memory.js';
import {
  AF_INET,
  AF_UNIX,
  connectUnix,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
  setRawOption,
  socket,
  tryConnectRaw,
  trySend,
} from '../../src/sys/socket.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { eventually } from '../support/network.js';

/** setsockopt(2) */
const SO_LINGER = 13;

/** A client that says what it likes. */
export class RawMember {
  readonly connection: Descriptor = socket(AF_UNIX, SOCK_SEQPACKET, 'raw member');

  constructor(t: Owner, path: string) {
    connectUnix(this.connection, path);
    cleanup(t, () => this.connection.close());
  }

  send(bytes: Uint8Array, descriptors: readonly Descriptor[] = []): void {
    sendWithDescriptors(this.connection, bytes, descriptors);
  }

  /** The next message; undefined for the end. Descriptors that come with it are closed. */
  receive(): Promise<Buffer | undefined> {
    const memory = new Memory(MESSAGE_MAX);
    return new Promise((done) => {
      const watch = loop().watch(this.connection.fd, EPOLLIN | EPOLLRDHUP, () => {
        const { length, descriptors } = receiveWithDescriptors(this.connection, memory, 4);
        if (length === -11 || length === -104) return undefined; // EAGAIN; ECONNRESET, which an answer may follow
        for (const one of descriptors) one.close();
        watch.close();
        done(length > 0 ? Buffer.from(memory.bytes.subarray(0, length)) : undefined);
        return undefined;
      });
    });
  }
}

/** Asks for the network of the caller's group. */
export const REQUEST: MemberRequest = {
  network: { kind: 'own' },
  maxFrame: 1514,
  offloads: false,
  adopt: false,
  family: undefined,
};

/** A TCP socket that whoever closes it last waits for: nobody reads what it has sent. Returns what ends the wait. */
export async function lingering(t: Owner): Promise<{ descriptor: Descriptor; end(): void }> {
  const peers: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (peer) => peers.push(peer.on('error', () => {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const end = (): void => {
    for (const peer of peers) peer.resetAndDestroy();
    server.close();
  };
  cleanup(t, end);
  const descriptor = socket(AF_INET, SOCK_STREAM, 'lingering');
  const memory = new Memory(64 << 10);
  const { port } = server.address() as AddressInfo;
  tryConnectRaw(descriptor, memory, 0, writeInetAddress(memory, 0, { address: '127.0.0.1', port }));
  await eventually('the connection is there', async () => peers.length > 0);
  while (trySend(descriptor, memory, memory.size) > 0);
  memory.view.setInt32(0, 1, true);
  memory.view.setInt32(4, 40, true);
  assert.equal(setRawOption(descriptor, SOL_SOCKET, SO_LINGER, memory, 8), 0);
  return { descriptor, end };
}
