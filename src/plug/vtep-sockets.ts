/** What tells a `Vtep` whom not to believe, made from nothing but its sockets: those that it opened, or was given. */

import type { Descriptor } from '../sys/descriptor.js';
import { type InetAddress, localAddress, SOCKADDR_ROOM, writeInetAddress } from '../sys/inet.js';
import { Memory } from '../sys/memory.js';
import { LocalAddresses } from './local-addresses.js';
import type { Family } from './multicast-group.js';
import type { SenderNetworks } from './sender-networks.js';
import type { VtepSockets } from './vtep.js';

/** What is known of a group beside the sockets. */
export interface VtepGroup {
  family: Family;
  group: VtepSockets['group'];
  /** Whence members are heard; from anywhere if undefined. */
  from: SenderNetworks | undefined;
}

/** The one socket of a `vxlan` end point. */
export function vxlanEnd(unicast: Descriptor, { family, group, from }: VtepGroup): VtepSockets {
  // The port is ours: what says that it comes from this machine comes from no end point, and is not to be sent to.
  const local = new LocalAddresses(family);
  return { family, unicast, group, from, admits: (words, at) => !local.has(words, at) };
}

/** The two sockets of a `vxvde` member, both bound. */
export function vxvdeEnd(unicast: Descriptor, multicast: Descriptor, { family, group, from }: VtepGroup): VtepSockets {
  const own = new Memory(SOCKADDR_ROOM);
  writeInetAddress(own, 0, localAddress(unicast.fd) as InetAddress);
  const local = new LocalAddresses(family);
  // The first word is family and port: those of all others differ.
  const isSelf = (words: Uint32Array, at: number): boolean => words[at] === own.words[0] && local.has(words, at);
  return { family, unicast, multicast, group, isSelf, from };
}
