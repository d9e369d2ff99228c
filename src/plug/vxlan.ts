/**
 * `vxlan://[GROUP][/parameters]`: a VXLAN tunnel end point (RFC 7348; reference: plugins, section 8), which talks to those
 * of switches and kernels: `ip link add vx0 type vxlan id 1 group 239.0.0.1 dstport 4789 dev eth0`.
 *
 * Every end point listens at the same port, so a machine has one for each port: a second one, or one of the kernel, is
 * refused by name.
 */

import type { Descriptor } from '../sys/descriptor.js';
import { anyAddress, bindInet, setMulticastLoop, udpSocket } from '../sys/inet.js';
import { parseSlash } from './locator.js';
import {
  bindRemedies,
  DEFAULT_EXPIRE,
  findGroup,
  type Group,
  groupParams,
  inLocator,
  join,
  portParam,
  setUpReceiver,
  setUpSender,
  tellUnreachable,
} from './multicast-group.js';
import { type ParamSpec, readParams } from './params.js';
import type { OpenOptions, Scheme } from './scheme.js';
import { SenderNetworks } from './sender-networks.js';
import { Vtep } from './vtep.js';
import { vxlanEnd } from './vtep-sockets.js';
import { VNI_MAX } from './vxlan-header.js';

/** IANA's port for VXLAN. */
const VXLAN_PORT = 4789;

const { ttl, rcvbuf, v6, v4, hashsize, expiretime } = groupParams;

/** In the order of libvdeplug's table, which decides what a shortened key means. */
const params = [
  portParam(VXLAN_PORT),
  { name: 'vni', type: 'number', max: VNI_MAX, default: 1, doc: 'VXLAN network identifier' },
  ttl,
  rcvbuf,
  v6,
  v4,
  hashsize,
  expiretime,
  groupParams.if,
  groupParams.from,
] as const satisfies readonly ParamSpec[];

/**
 * The socket of an end point.
 * @throws VdeError naming the locator: `EADDRINUSE` if there is one on this machine, no route to the group, ...
 */
function vxlanSocket(
  group: Group,
  locator: string,
  values: { ttl: number; rcvbuf: number | undefined },
  options: OpenOptions,
): Descriptor {
  const { family, port } = group;
  const socket = udpSocket(family, locator, { v6Only: true });
  try {
    const inUse = `the kernel or a program has a VXLAN end point at UDP port ${port}, which has room for one: port=N`;
    inLocator(locator, () => bindInet(socket, { address: anyAddress(family), port }), bindRemedies(inUse));
    join(socket, group, locator);
    setMulticastLoop(socket, false);
    setUpSender(socket, group, values.ttl, locator);
    setUpReceiver(socket, values.rcvbuf, options);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

export const vxlanScheme: Scheme = {
  name: 'vxlan',
  syntax: '[GROUP][/parameters]',
  doc: 'a VXLAN tunnel end point, by a multicast group',
  maxFrame: 9234,
  params,
  adoptable: true,
  async open({ body, bodyAt, text, locator }, options) {
    const parsed = parseSlash(body, bodyAt, text);
    const values = readParams(params, parsed.params, text);
    const { vni, hashsize } = values;
    const group = await findGroup(parsed.address, values, locator);
    const from = values.from === undefined ? undefined : new SenderNetworks(values.from, group.family, locator);
    const { family } = group;
    const sockets = vxlanEnd(vxlanSocket(group, locator, values, options), { family, group, from });
    const expire = values.expiretime || DEFAULT_EXPIRE;
    const plug = new Vtep(sockets, locator, { vni, vxvde: false, hashsize, expiretime: expire });
    tellUnreachable(plug, group, options);
    return plug;
  },
};
