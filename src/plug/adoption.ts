/**
 * Ends that one of our processes gives to another: a tap, a packet socket, a UDP socket (docs/design.md, "adopted ends").
 * Who gets one serves the descriptor itself, so that the giver's process no longer stands in the way of its frames.
 *
 * What the descriptor is, the kernel is asked. Whatever else may be done with it by who gave it, it is the giver's own
 * traffic that suffers: reads and writes never wait, and offload headers are checked where they are acted upon.
 */

import type { Descriptor } from '../sys/descriptor.js';
import { VIRTIO_NET_HDR } from '../sys/layout.js';
import { packetKind } from '../sys/packet.js';
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  getOption,
  isConnected,
  SO_DOMAIN,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_SOCKET,
} from '../sys/socket.js';
import { tapKind } from '../sys/tap.js';
import { PacketPlug } from './packet-plug.js';
import type { Drops, Plug } from './plug.js';
import { TapPlug } from './tap.js';
import { TunnelPlug } from './tunnel-plug.js';

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
  const udp = (domain === AF_INET || domain === AF_INET6) && type === SOCK_DGRAM && isConnected(descriptor.fd);
  if (!udp) return undefined;
  return new TunnelPlug(descriptor, { name, drops });
}
