/**
 * `packet://INTERFACE` and the live half of `pcap://`: an Ethernet interface of the host, through a packet socket. What is
 * sent goes out on its wire, and what comes in from there arrives, whoever it is for (promiscuous mode). No
 * /dev/net/tun is needed, only CAP_NET_RAW.
 *
 * What the host itself sends does not arrive unless it is asked for, and the host never gets what is sent here: both stand
 * at the same side of the wire.
 */

import { ethernetAddress, openPacket } from '../sys/packet.js';
import { parsePath } from './locator.js';
import { PacketPlug } from './packet-plug.js';
import { type ParamSpec, readParams } from './params.js';
import type { ResolvedLocator } from './resolve.js';
import { INTERFACE_LIMIT, type Scheme } from './scheme.js';

/** What both schemes of a live interface understand. */
export const hostParam = {
  name: 'host',
  type: 'flag',
  doc: 'what the host itself sends by the interface arrives, too',
} as const satisfies ParamSpec;

const params = [hostParam] as const satisfies readonly ParamSpec[];

/** Which frames of an interface arrive, beside those that come in from its wire. */
export interface LiveOptions {
  /** Those that go out, as packet filters and bridges of the host send them. */
  outgoing: boolean;
  /** Those with the interface's own address as their source. */
  own: boolean;
}

/**
 * Opens a plug on an interface.
 * @throws VdeError `ENODEV`, `EPERM`, or `EOPNOTSUPP` if it is not Ethernet; each says what is to be done.
 */
export function openPacketPlug(interfaceName: string, subject: string, { outgoing, own }: LiveOptions): PacketPlug {
  const address = ethernetAddress(interfaceName, subject);
  const { descriptor, offloads } = openPacket(interfaceName, subject, {
    outgoing,
    exceptSource: own ? undefined : address,
  });
  return new PacketPlug(descriptor, subject, { interfaceName, offloads });
}

export const packetScheme: Scheme = {
  name: 'packet',
  syntax: 'INTERFACE[PARAMETERS]',
  doc: 'an Ethernet interface of the host, by a packet socket (needs CAP_NET_RAW)',
  maxFrame: INTERFACE_LIMIT,
  params,
  adoptable: true,
  open: async ({ body, bodyAt, text, locator }: ResolvedLocator) => {
    const { path, params: given } = parsePath(body, bodyAt, text);
    const { host } = readParams(params, given, text);
    return openPacketPlug(path, locator, { outgoing: host, own: true });
  },
};
