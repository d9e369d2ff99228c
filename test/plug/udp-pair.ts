/** UDP ports for tests, and two ends of `udp://` that name each other. */

import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { bindInet, connectInet, type InetAddress, localAddress, udpSocket } from '../../src/sys/inet.js';
import { Memory } from '../../src/sys/memory.js';
import { AF_INET, AF_INET6, tryReceive, trySend } from '../../src/sys/socket.js';
import { cleanup, type Owner } from '../support/cleanup.js';

const memory = new Memory(70_000);

/** A bound UDP socket of the kernel's choice of port. */
export function boundSocket(t: Owner, address = '127.0.0.1', port = 0): { socket: Descriptor; port: number } {
  const socket = udpSocket(address.includes(':') ? AF_INET6 : AF_INET, 'test');
  cleanup(t, () => socket.close());
  bindInet(socket, { address, port });
  return { socket, port: (localAddress(socket.fd) as InetAddress).port };
}

/** Ports that were free a moment ago, all different. */
export function freePorts(t: Owner, count: number, address = '127.0.0.1'): number[] {
  const sockets = Array.from({ length: count }, () => boundSocket(t, address));
  for (const { socket } of sockets) socket.close();
  return sockets.map(({ port }) => port);
}

/** Two ends of ours on this machine. */
export async function openUdpPair(t: Owner, address = '127.0.0.1'): Promise<{ a: Plug; b: Plug }> {
  const [here, there] = freePorts(t, 2, address);
  const a = await openPlug(`udp://${address}:${here}->${address}:${there}`);
  const b = await openPlug(`udp://${address}:${there}->${address}:${here}`);
  return { a, b };
}

/** A raw socket in the place of an end. */
export class RawEnd {
  constructor(readonly socket: Descriptor) {}

  /** An end that a plug of ours can be opened for. */
  static connected(t: Owner, port: number, to: number): RawEnd {
    const { socket } = boundSocket(t, '127.0.0.1', port);
    connectInet(socket, { address: '127.0.0.1', port: to });
    return new RawEnd(socket);
  }

  /** Bytes taken, or minus the errno. */
  send(bytes: Uint8Array): number {
    memory.bytes.set(bytes);
    return trySend(this.socket, memory, bytes.length);
  }

  /** The next datagram; undefined if none is there. */
  receive(): Buffer | undefined {
    const n = tryReceive(this.socket, memory);
    return n < 0 ? undefined : Buffer.from(memory.bytes.subarray(0, n));
  }

  /** All datagrams that are there. */
  drain(): Buffer[] {
    const all: Buffer[] = [];
    for (let one = this.receive(); one !== undefined; one = this.receive()) all.push(one);
    return all;
  }
}

/** Locators of two ends that name each other, and their ports. */
export function udpLocators(t: Owner): [string, string, number, number] {
  const [a, b] = freePorts(t, 2);
  return [`udp://127.0.0.1:${a}->127.0.0.1:${b}`, `udp://127.0.0.1:${b}->127.0.0.1:${a}`, a, b];
}
