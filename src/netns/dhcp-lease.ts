/** What a DHCP server has granted, as read from its message (RFC 2131, RFC 2132, RFC 3442). */

import {
  type DhcpMessage,
  DhcpOption,
  type DhcpRoute,
  optionAddresses,
  optionRoutes,
  optionText,
  optionU16,
  optionU32,
} from '../frame/dhcp.js';
import { formatIpv4Address } from '../frame/ipv4.js';

/** Shortest lease that is taken as it is said, in s. */
const LEASE_MIN_S = 10;
/** The longest datagram that every host must take (RFC 791), and the longest that fits a frame of a tap, in bytes. */
const MTU_MIN = 576;
const MTU_MAX = 65_521;
/** Mark of our routes, so that they can be told from the user's own: RTPROT_DHCP (rtnetlink(7)). */
const PROTOCOL_DHCP = 16;
/** Stands for ever (RFC 2131 section 3.3). */
const INFINITE = 0xffffffff;

/** A lease. Addresses are 32-bit numbers. */
export interface Lease {
  address: number;
  prefix: number;
  /** The default route among them, if there is one; their routers are addresses of other hosts, or 0. */
  routes: DhcpRoute[];
  nameServers: number[];
  domain: string | undefined;
  /** In bytes; undefined if the server says nothing. */
  mtu: number | undefined;
  server: number;
  /** In s from when it was granted; Infinity for ever. */
  duration: number;
}

/** A lease with the times at which it is to be renewed. */
export interface TimedLease extends Lease {
  /** In s, if the server says them and they make sense. */
  t1: number | undefined;
  t2: number | undefined;
}

/** What a message grants; undefined if it has no address that a host can have, or no server that it came from. */
export function readLease(message: DhcpMessage, knownServer?: number): TimedLease | undefined {
  const { yourAddress } = message;
  const server = optionU32(message, DhcpOption.serverId) ?? knownServer;
  if (server === undefined || !isHostAddress(yourAddress)) return undefined;
  const seconds = optionU32(message, DhcpOption.leaseTime);
  const duration =
    seconds === undefined || seconds === INFINITE ? Number.POSITIVE_INFINITY : Math.max(seconds, LEASE_MIN_S);
  const t2 = optionU32(message, DhcpOption.rebindingTime);
  const t1 = optionU32(message, DhcpOption.renewalTime);
  const sensible = t1 !== undefined && t2 !== undefined && t1 > 0 && t1 <= t2 && t2 <= duration;
  return {
    address: yourAddress,
    prefix: prefixOf(optionU32(message, DhcpOption.subnetMask), yourAddress),
    routes: readRoutes(message),
    nameServers: optionAddresses(message, DhcpOption.domainServers),
    domain: optionText(message, DhcpOption.domainName),
    mtu: optionU16(message, DhcpOption.interfaceMtu),
    server,
    duration,
    t1: sensible ? t1 : undefined,
    t2: sensible ? t2 : undefined,
  };
}

/** Whether a host can have this address. */
function isHostAddress(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/**
 * The routes: those of option 121, which makes a client ignore the routers of option 3 (RFC 3442), else the default route
 * by the first of those. Ways that cannot be gone are left out; whose router is the client itself is on the link, as
 * older servers say it.
 */
function readRoutes(message: DhcpMessage): DhcpRoute[] {
  const { yourAddress } = message;
  const routers = optionAddresses(message, DhcpOption.routers).filter(isHostAddress);
  const byRouter = routers.slice(0, 1).map((router) => ({ destination: 0, prefix: 0, router }));
  return (optionRoutes(message) ?? byRouter)
    .map((route) => (route.router === yourAddress ? { ...route, router: 0 } : route))
    .filter(({ router }) => router === 0 || isHostAddress(router));
}

/** Length of a mask; without one, or with one that has holes, that of the address's class. */
function prefixOf(mask: number | undefined, address: number): number {
  if (mask !== undefined && mask !== 0) {
    const length = Math.clz32(~mask >>> 0);
    if (length === 32 || (mask << length) >>> 0 === 0) return length;
  }
  const first = address >>> 24;
  return first < 128 ? 8 : first < 192 ? 16 : 24;
}

/** Whether two leases differ in nothing but their times. */
export function sameLease(a: Lease, b: Lease): boolean {
  const key = ({ address, prefix, routes, nameServers, domain, mtu }: Lease) =>
    JSON.stringify([address, prefix, routes, nameServers, domain, mtu]);
  return key(a) === key(b);
}

/** The lines for `ip -batch -` that put a lease to use; the user's own routes stay as they are. */
export function leaseBatch(name: string, lease: Lease, changed: boolean): string[] {
  const { address, prefix, routes, mtu, duration } = lease;
  const life = Number.isFinite(duration) ? ` valid_lft ${duration} preferred_lft ${duration}` : '';
  const lines = [`address replace ${formatIpv4Address(address)}/${prefix} broadcast + dev ${name}${life}`];
  if (!changed) return lines;
  if (mtu !== undefined && mtu >= MTU_MIN && mtu <= MTU_MAX) lines.unshift(`link set dev ${name} mtu ${mtu}`);
  lines.push(`route flush dev ${name} proto ${PROTOCOL_DHCP}`);
  // Routes on the link first: the routers of others may be there. One outside of it is what some providers give.
  const nearFirst = [...routes].sort((a, b) => Math.sign(a.router) - Math.sign(b.router));
  for (const { destination, prefix, router } of nearFirst) {
    const way = router === 0 ? `dev ${name} scope link` : `via ${formatIpv4Address(router)} dev ${name} onlink`;
    lines.push(`route replace ${formatIpv4Address(destination)}/${prefix} ${way} proto ${PROTOCOL_DHCP}`);
  }
  return lines;
}
