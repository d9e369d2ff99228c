/**
 * The process that keeps the DHCP leases of a namespace: `node dhcp-agent.js [--resolv] INTERFACE...`, started inside it
 * by the helper. It says on its connection (`CHANNEL`) when all interfaces have an address. When that ends it gives the
 * leases back, and ends: the outer process waits for that before it takes the network away.
 *
 * Each client hears its interface through a packet socket, only while it waits for an answer. Addresses, routes and name
 * servers are set whenever a lease brings new ones.
 */

import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { writeFileSync, writeSync } from 'node:fs';
import { DHCP_CLIENT_PORT } from '../frame/dhcp.js';
import { EtherType } from '../frame/ethernet.js';
import { formatIpv4Address } from '../frame/ipv4.js';
import { formatMac, parseMac } from '../frame/mac.js';
import { Capability, keepOnlyCapabilities } from '../sys/capabilities.js';
import { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import type { VdeError } from '../sys/errors.js';
import { interfaceIndex } from '../sys/inet.js';
import { PATH, runIpSync } from '../sys/ip.js';
import { loop, type Watch } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import { AF_PACKET, SOCK_RAW, socket, tryBindRaw, tryReceive, trySend } from '../sys/socket.js';
import { DhcpClient, type DhcpWorld, type Hearing } from './dhcp.js';
import { type Lease, leaseBatch } from './dhcp-lease.js';
import { CHANNEL, type FromAgent, failure } from './message.js';

/** How long the first leases may take, in ms. */
const FIRST_MS = 20_000;
const FRAME_ROOM = 2048;
/** `struct sockaddr_ll` (packet(7)): family, protocol, interface. */
const SOCKADDR_LL = { size: 20, protocol: 2, index: 4 } as const;
/** What a packet socket hears while its client listens to something; without a protocol it hears nothing, and sends. */
const PROTOCOLS = { nothing: 0, dhcp: EtherType.ipv4, arp: EtherType.arp } as const;
const RESOLV_CONF = '/etc/resolv.conf';

const channel = new Descriptor(CHANNEL, 'dhcp');
const leases = new Map<string, Lease>();
/** Why an interface that has no lease yet has none. */
const declined = new Map<string, string>();
let told = false;

function tell(message: FromAgent): void {
  told = true;
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  const memory = new Memory(bytes.length);
  memory.bytes.set(bytes);
  trySend(channel, memory, bytes.length);
}

/** What goes wrong later can only be said. */
function complain(message: string): void {
  try {
    writeSync(2, `vdens: ${message}\n`);
  } catch {
    // Nobody listens.
  }
}

function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (told) {
      complain((error as Error).message);
      return;
    }
    tell(failure(error, 1));
    process.exit(1);
  }
}

/** A packet socket that hears frames of one kind at one interface, and sends any. */
class PacketSocket {
  readonly #socket: Descriptor;
  readonly #watch: Watch;
  readonly #room = new Memory(FRAME_ROOM);

  constructor(name: string, hearing: Hearing, receive: (frame: Uint8Array) => void) {
    // Without a protocol it hears nothing yet, in particular nothing of other interfaces.
    this.#socket = socket(AF_PACKET, SOCK_RAW, name);
    const address = new Memory(SOCKADDR_LL.size);
    address.view.setUint16(0, AF_PACKET, true);
    address.view.setUint16(SOCKADDR_LL.protocol, PROTOCOLS[hearing], false);
    address.view.setInt32(SOCKADDR_LL.index, interfaceIndex(name), true);
    tryBindRaw(this.#socket, address, 0, SOCKADDR_LL.size);
    this.#watch = loop().watch(this.#socket.fd, EPOLLIN, () => {
      for (let n = tryReceive(this.#socket, this.#room); n > 0; n = tryReceive(this.#socket, this.#room)) {
        receive(this.#room.bytes.slice(0, n));
        if (this.#socket.closed) break;
      }
      return undefined;
    });
  }

  send(frame: Uint8Array): void {
    const memory = new Memory(frame.length);
    memory.bytes.set(frame);
    trySend(this.#socket, memory, frame.length);
  }

  close(): void {
    this.#watch.close();
    this.#socket.close();
  }
}

function world(name: string, resolv: boolean, all: readonly string[], receive: (frame: Uint8Array) => void): DhcpWorld {
  let packets: PacketSocket | undefined;
  return {
    now: () => performance.now(),
    after(ms, call) {
      const timer = setTimeout(call, ms);
      return () => clearTimeout(timer);
    },
    random: Math.random,
    send: (frame) => packets?.send(frame),
    listen(hearing) {
      packets?.close();
      packets = undefined;
      try {
        packets = new PacketSocket(name, hearing, receive);
      } catch (error) {
        // The interface has been deleted: nothing can be heard or sent.
        if ((error as VdeError).code !== 'ENODEV') throw error;
      }
    },
    bound: (lease, changed) =>
      attempt(() => {
        leases.set(name, lease);
        declined.delete(name);
        runIpSync(leaseBatch(name, lease, changed));
        if (changed && resolv) writeResolvConf();
        if (!told && leases.size === all.length) tell({ bound: [...all] });
      }),
    expired: (lease) =>
      attempt(() => {
        leases.delete(name);
        complain(`${name}: the lease of ${formatIpv4Address(lease.address)} is over`);
        runIpSync([`address flush dev ${name} scope global`]);
        if (resolv) writeResolvConf();
      }),
    declined: ({ address }, other) => {
      const what = `${formatIpv4Address(address)}, which the DHCP server grants, is in use by ${formatMac(other)}`;
      declined.set(name, what);
      complain(`${name}: ${what}`);
    },
  };
}

function writeResolvConf(): void {
  const all = [...leases.values()];
  const domains = new Set(all.flatMap(({ domain }) => (domain && /^[\w.-]+$/.test(domain) ? [domain] : [])));
  const servers = new Set(all.flatMap(({ nameServers }) => nameServers.map(formatIpv4Address)));
  const lines = [
    ...(domains.size > 0 ? [`search ${[...domains].join(' ')}`] : []),
    ...[...servers].map((one) => `nameserver ${one}`),
  ];
  writeFileSync(RESOLV_CONF, lines.map((line) => `${line}\n`).join(''));
}

/** MAC address of an interface; /sys would show those of another namespace. */
function macOf(name: string): Uint8Array {
  const text = execFileSync('ip', ['-json', 'link', 'show', 'dev', name], { env: { ...process.env, PATH } }).toString();
  const mac = parseMac((JSON.parse(text) as { address?: string }[])[0]?.address ?? '');
  if (mac === undefined) throw new Error(`${name} has no MAC address`);
  return mac;
}

function main(args: string[]): void {
  const resolv = args[0] === '--resolv';
  const names = resolv ? args.slice(1) : args;
  const inbox = new Memory(64);
  const clients: DhcpClient[] = [];
  loop().watch(CHANNEL, EPOLLIN | EPOLLRDHUP, () => {
    if (tryReceive(channel, inbox) !== 0) return undefined;
    for (const client of clients) client.release();
    process.exit(0);
  });
  attempt(() => {
    const { netAdmin, netRaw, netBindService } = Capability;
    keepOnlyCapabilities([netAdmin, netRaw, netBindService]);
    // Servers answer to this port: with nobody there the kernel would tell them so.
    createSocket('udp4').bind(DHCP_CLIENT_PORT).unref();
    for (const name of names) {
      const client: DhcpClient = new DhcpClient(
        macOf(name),
        world(name, resolv, names, (frame) => client.receive(frame)),
      );
      clients.push(client);
      client.start();
    }
  });
  setTimeout(() => {
    const without = names.filter((name) => !leases.has(name));
    if (told || without.length === 0) return;
    const within = `within ${FIRST_MS / 1000} s`;
    const reasons = without.flatMap((name) => declined.get(name) ?? []);
    const [cause, remedy] =
      reasons.length === 0
        ? [`no DHCP server has answered ${within}`, 'is there one in that network?']
        : [`no free address from a DHCP server ${within}: ${reasons.join(', ')}`, undefined];
    tell({ failure: { code: 'ETIMEDOUT', subject: without.join(', '), cause, status: 1, remedy } });
    process.exit(1);
  }, FIRST_MS).unref();
}

main(process.argv.slice(2));
