/** Ports for tests, and two ends of `udp://` that name each other. */

import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { VdeError } from '../../src/sys/errors.js';
import { bindInet, connectInet, type InetAddress, localAddress, tcpSocket, udpSocket } from '../../src/sys/inet.js';
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

/** Ports below those that the kernel gives out of its own accord (net.ipv4.ip_local_port_range). */
const FIRST_PORT = 10_240;
const PORTS = 20_480;
/** How many of them a process has before those of the next begin: tests of several files run side by side. */
const PORTS_EACH = 16;

let given = 0;

/** UDP and TCP ports that are free, all different. Until they are bound, no other test and no kernel gives them away. */
export function freePorts(count: number, address = '127.0.0.1'): number[] {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = FIRST_PORT + ((process.pid * PORTS_EACH + given++) % PORTS);
    if (isFree(address, port)) ports.push(port);
  }
  return ports;
}

function isFree(address: string, port: number): boolean {
  return [udpSocket, tcpSocket].every((open) => {
    const socket = open(address.includes(':') ? AF_INET6 : AF_INET, 'test');
    try {
      bindInet(socket, { address, port });
      return true;
    } catch (error) {
      if (error instanceof VdeError) return false;
      throw error;
    } finally {
      socket.close();
    }
  });
}

/** Two ends of ours on this machine. */
export async function openUdpPair(address = '127.0.0.1'): Promise<{ a: Plug; b: Plug }> {
  const [here, there] = freePorts(2, address);
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
export function udpLocators(): [string, string, number, number] {
  const [a, b] = freePorts(2);
  return [`udp://127.0.0.1:${a}->127.0.0.1:${b}`, `udp://127.0.0.1:${b}->127.0.0.1:${a}`, a, b];
}
