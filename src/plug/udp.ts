/**
 * `udp://[ADDRESS:]PORT->ADDRESS:PORT[/keepalive=SECONDS]`: a cable through an IP network to one peer (reference: plugins, section 6). One UDP
 * datagram is one frame, and nothing else; what two ends of ours do beyond that is in `tunnel-plug.ts`.
 *
 * The first `->` separates our side from the peer's, the last colon of each an address from its port. Addresses may be
 * names, ports the names of services. An IPv6 address is written with brackets or without. The peer's address alone is
 * listened to, from the beginning.
 */

import { VdeError } from '../sys/errors.js';
import {
  addressFamily,
  anyAddress,
  bindInet,
  connectInet,
  type InetAddress,
  servicePort,
  udpSocket,
} from '../sys/inet.js';
import { AF_INET } from '../sys/socket.js';
import { UDP_PAYLOAD_MAX } from '../sys/udp-offload.js';
import { findAddresses } from './host.js';
import { parseSlash } from './locator.js';
import { type ParamSpec, readParams } from './params.js';
import type { ResolvedLocator } from './resolve.js';
import type { Scheme } from './scheme.js';
import { TunnelPlug } from './tunnel-plug.js';

const SYNTAX = '[ADDRESS:]PORT->ADDRESS:PORT';
const ARROW = '->';
const PORT_MAX = 65_535;

const params = [
  {
    name: 'keepalive',
    type: 'number',
    arg: 'SECONDS',
    min: 1,
    max: 86_400,
    doc: 'how often to send something that means nothing, for a NAT on the way not to forget the peer',
  },
] as const satisfies readonly ParamSpec[];

/** One side of the arrow: `host` is empty if it is not said. */
export interface UdpSide {
  host: string;
  port: string;
}

/** The two sides of a body, as written; undefined if there is no arrow. */
export function splitUdp(body: string): { own: UdpSide; peer: UdpSide } | undefined {
  const arrow = body.indexOf(ARROW);
  if (arrow < 0) return undefined;
  return { own: splitSide(body.slice(0, arrow)), peer: splitSide(body.slice(arrow + ARROW.length)) };
}

function splitSide(text: string): UdpSide {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, Math.max(0, colon));
  const bracketed = /^\[(.*)\]$/.exec(host);
  return { host: bracketed ? bracketed[1] : host, port: text.slice(colon + 1) };
}

/** A port by number or by the name of its service. */
function readPort(port: string, subject: string, fallback: number | undefined): number {
  const wrong = (cause: string) =>
    new VdeError({ code: 'EINVAL', subject, cause, remedy: `a port is 1 to ${PORT_MAX}, or the name of a service` });
  if (port === '') {
    if (fallback === undefined) throw wrong("the peer's port is missing");
    return fallback;
  }
  if (!/^\d+$/.test(port)) {
    const number = servicePort(port);
    if (number === undefined) throw wrong(`there is no UDP service "${port}"`);
    return number;
  }
  const number = Number(port);
  if (number > PORT_MAX || (number === 0 && fallback === undefined)) throw wrong(`"${port}" is not a port`);
  return number;
}

/** Our address and the peer's, of the version of IP that the peer's first address has. */
async function resolveSides(body: string, subject: string): Promise<{ own: InetAddress; peer: InetAddress }> {
  const sides = splitUdp(body);
  if (sides === undefined) {
    const remedy = `write udp://${SYNTAX}, quoted from the shell`;
    throw new VdeError({ code: 'EINVAL', subject, cause: `there is no "${ARROW}"`, remedy });
  }
  const ports = { own: readPort(sides.own.port, subject, 0), peer: readPort(sides.peer.port, subject, undefined) };
  if (sides.peer.host === '') {
    const remedy = `write udp://${SYNTAX}`;
    throw new VdeError({ code: 'EINVAL', subject, cause: "the peer's address is missing", remedy });
  }
  const peer = { address: (await findAddresses(sides.peer.host, 0, subject))[0], port: ports.peer };
  const family = addressFamily(peer.address);
  const { host } = sides.own;
  const address =
    host === '' ? anyAddress(family) : (await findAddresses(host, family === AF_INET ? 4 : 6, subject))[0];
  return { own: { address, port: ports.own }, peer };
}

/** What may be wrong with a side of our own that the kernel refuses. */
function ownRemedy({ port }: InetAddress): string {
  const reasons = 'another program has it, or the address is not one of this machine';
  return port > 0 && port < 1024 ? `${reasons}, or the port needs CAP_NET_BIND_SERVICE` : reasons;
}

/** What is most likely wrong with a peer that the kernel refuses. */
function remedyFor({ address }: InetAddress): string {
  if (/^fe[89ab].:[^%]*$/i.test(address)) return `a link-local address needs its interface: ${address}%eth0`;
  return 'it must be the address of one host, with a route to it';
}

/**
 * Opens one end.
 * @param hello whether an end of ours at the other side is to be found out about, see `TunnelPlugOptions`.
 * @throws VdeError naming the locator, or the address that cannot be had or reached.
 */
export async function openUdp({ body, bodyAt, text, locator }: ResolvedLocator, hello = true): Promise<TunnelPlug> {
  // The address is no text to decode: a zone, %ed0, is none.
  const slash = body.indexOf('/');
  const end = slash < 0 ? body.length : slash;
  const values = readParams(params, parseSlash(body.slice(end), bodyAt + end, text).params, text);
  const { own, peer } = await resolveSides(body.slice(0, end), locator);
  const socket = udpSocket(addressFamily(peer.address), locator);
  try {
    bindInet(socket, own, ownRemedy(own));
    connectInet(socket, peer, remedyFor(peer));
    return new TunnelPlug(socket, { name: locator, hello, keepAlive: values.keepalive });
  } catch (error) {
    socket.close();
    throw error;
  }
}

export const udpScheme: Scheme = {
  name: 'udp',
  syntax: `${SYNTAX}[/parameters]`,
  doc: "a cable to one peer through an IP network, one UDP datagram for each frame, as QEMU's -netdev dgram has it",
  maxFrame: UDP_PAYLOAD_MAX,
  params,
  adoptable: true,
  open: (locator) => openUdp(locator),
};
