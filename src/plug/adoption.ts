/**
 * Ends that one of our processes gives to another: a tap, a packet socket, a UDP socket, the sockets of a VXLAN or vxvde
 * end point with its settings (docs/design.md, "adopted ends").
 * Who gets one serves the descriptor itself, so that the giver's process no longer stands in the way of its frames.
 *
 * What the descriptor is, the kernel is asked. Whatever else may be done with it by who gave it, it is the giver's own
 * traffic that suffers: reads and writes never wait, and offload headers are checked where they are acted upon.
 */

import type { Descriptor } from '../sys/descriptor.js';
import { VdeError } from '../sys/errors.js';
import { type InetAddress, localAddress } from '../sys/inet.js';
import { VIRTIO_NET_HDR } from '../sys/layout.js';
import { packetKind } from '../sys/packet.js';
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  AF_UNIX,
  getOption,
  isConnected,
  networkCookie,
  SO_DOMAIN,
  SO_PROTOCOL,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_SOCKET,
  socket,
} from '../sys/socket.js';
import { tapKind } from '../sys/tap.js';
import { PacketPlug } from './packet-plug.js';
import { type Adoptable, type Drops, offeredDescriptors, type Plug } from './plug.js';
import { SenderNetworks } from './sender-networks.js';
import { TapPlug } from './tap.js';
import { TunnelPlug } from './tunnel-plug.js';
import { Vtep } from './vtep.js';
import { decodeVtepSettings, type VtepSettings } from './vtep-settings.js';
import { vxlanEnd, vxvdeEnd } from './vtep-sockets.js';

const IPPROTO_UDP = 17;
const NO_SETTINGS = new Uint8Array(0);

/** Most descriptors that an end is given by. */
export const OFFERED_MAX = 2;

/**
 * A plug over a descriptor that another end gave, which it takes over; undefined if that is nothing that can be served.
 * @param drops counters to use in place of the plug's own.
 */
export function adopt(descriptor: Descriptor, name: string, drops?: Drops): Plug | undefined {
  const tap = tapKind(descriptor.fd);
  if (tap !== undefined) {
    const served = tap.tap && (tap.offloadHeader === 0 || tap.offloadHeader === VIRTIO_NET_HDR.size);
    return served ? new TapPlug(descriptor, name, { offloads: tap.offloadHeader > 0, drops }) : undefined;
  }
  const domain = getOption(descriptor.fd, SOL_SOCKET, SO_DOMAIN);
  const type = getOption(descriptor.fd, SOL_SOCKET, SO_TYPE);
  if (domain === AF_PACKET) {
    const { ethernet, offloadHeader } = packetKind(descriptor.fd);
    const served = type === SOCK_RAW && ethernet && (offloadHeader === 0 || offloadHeader === VIRTIO_NET_HDR.size);
    return served ? new PacketPlug(descriptor, name, { offloads: offloadHeader > 0, drops }) : undefined;
  }
  const udp = isUdp(descriptor.fd, AF_INET) || isUdp(descriptor.fd, AF_INET6);
  if (!udp || !isConnected(descriptor.fd)) return undefined;
  return new TunnelPlug(descriptor, { name, drops });
}

/**
 * The same as `adopt` for all that an offer of another process may be made of.
 * @param descriptors taken over, but left to the caller if they cannot be served.
 * @param settings `Adoptable.settings` as that process has sent them; empty for none.
 */
export function adoptAll(
  descriptors: readonly Descriptor[],
  settings: Uint8Array,
  name: string,
  drops?: Drops,
): Plug | undefined {
  if (settings.length > 0) return adoptVtep(descriptors, settings, name, drops);
  return descriptors.length === 1 ? adopt(descriptors[0], name, drops) : undefined;
}

/** A plug over duplicates of what was offered in this very process; undefined if it is nothing that can be served. */
export function adoptOffer(offer: Adoptable, name: string): Plug | undefined {
  const duplicates = offeredDescriptors(offer).map((one) => one.duplicate());
  const plug = adoptAll(duplicates, offer.settings ?? NO_SETTINGS, name);
  if (plug === undefined) for (const one of duplicates) one.close();
  return plug;
}

/** An end point of the switch's own network: whether an address is local, and where the routes lead, is asked here. */
function adoptVtep(
  descriptors: readonly Descriptor[],
  bytes: Uint8Array,
  name: string,
  drops: Drops | undefined,
): Plug | undefined {
  const settings = decodeVtepSettings(bytes);
  if (settings === undefined || !areSocketsOf(settings, descriptors)) return undefined;
  const { family, group, vxvde, hello, vni, hashsize, expiretime } = settings;
  const [unicast, multicast] = descriptors;
  try {
    const from = settings.from === '' ? undefined : new SenderNetworks(settings.from, family, name);
    const known = { family, group, from };
    const sockets = vxvde ? vxvdeEnd(unicast, multicast, known) : vxlanEnd(unicast, known);
    return new Vtep(sockets, name, { vni, vxvde, hello, hashsize, expiretime, drops });
  } catch (error) {
    if (error instanceof VdeError) return undefined;
    throw error;
  }
}

/** Whether descriptors are what `vxlanEnd`, or `vxvdeEnd`, takes: as the kernel says, not as who gave them does. */
function areSocketsOf({ vxvde, family, group }: VtepSettings, descriptors: readonly Descriptor[]): boolean {
  if (descriptors.length !== (vxvde ? 2 : 1)) return false;
  const here = ownNetwork();
  const served = ({ fd }: Descriptor): boolean =>
    isUdp(fd, family) && !isConnected(fd) && here !== undefined && networkCookie(fd) === here;
  if (!descriptors.every(served)) return false;
  const [own, all] = descriptors.map(({ fd }) => localAddress(fd) as InetAddress);
  if (!vxvde) return own.port === group.port;
  return own.port !== 0 && all.port === group.port && withoutZone(all.address) === withoutZone(group.address);
}

function isUdp(fd: number, family: number): boolean {
  const option = (name: number) => getOption(fd, SOL_SOCKET, name);
  return option(SO_DOMAIN) === family && option(SO_TYPE) === SOCK_DGRAM && option(SO_PROTOCOL) === IPPROTO_UDP;
}

function ownNetwork(): bigint | undefined {
  const own = socket(AF_UNIX, SOCK_DGRAM, 'network namespace');
  const cookie = networkCookie(own.fd);
  own.close();
  return cookie;
}

function withoutZone(address: string): string {
  return address.split('%')[0];
}
