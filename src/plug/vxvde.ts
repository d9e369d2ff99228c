/**
 * `vxvde://[GROUP][/parameters]`: a switch spread over a network, with nobody in the middle (reference: plugins, section 7).
 * Members find each other by a multicast group, and send straight to one another what is meant for one of them.
 *
 * A member has two sockets: one that is bound to the group's port together with all other members of this machine and
 * hears what is sent to all, and one with a port of its own that everything is sent from, by which the others know it.
 * What it sends to the group it hears itself, since others of the machine are to hear it.
 */

import type { Descriptor } from '../sys/descriptor.js';
import { addressFamily, anyAddress, bindInet, udpSocket } from '../sys/inet.js';
import { parseSlash } from './locator.js';
import {
  bindRemedies,
  DEFAULT_EXPIRE,
  findAddress,
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
import { type ParamSpec, paramError, readParams } from './params.js';
import { groupNumber } from './permissions.js';
import type { ResolvedLocator } from './resolve.js';
import type { OpenOptions, Scheme } from './scheme.js';
import { SenderNetworks } from './sender-networks.js';
import { Vtep, type VtepSockets } from './vtep.js';
import { vxvdeEnd } from './vtep-sockets.js';
import { VNI_MAX } from './vxlan-header.js';

/** UDP port of the group (reference: plugins, section 7). */
const VXVDE_PORT = 14_789;
const DEFAULT_VNI = 1;

const { ttl, rcvbuf, v6, v4, hashsize, expiretime } = groupParams;

/** In the order of libvdeplug's table, which decides what a shortened key means. */
export const vxvdeParams = [
  portParam(VXVDE_PORT),
  { name: 'vni', type: 'group', arg: 'N|GROUP', doc: 'network, 0 to 16777215; default 1, or what grp gives' },
  {
    name: 'grp',
    type: 'group',
    doc: "group whose number becomes the network and the address's end; yours without a value",
  },
  ttl,
  rcvbuf,
  v6,
  v4,
  hashsize,
  expiretime,
  groupParams.if,
  { name: 'bind', type: 'string', arg: 'ADDRESS', doc: 'address of this machine to send from' },
  groupParams.from,
] as const satisfies readonly ParamSpec[];

/** What a `vxvde` locator says. */
export interface VxvdeMembership {
  group: Group;
  vni: number;
  ttl: number;
  rcvbuf: number | undefined;
  /** Address to send from; any if undefined. */
  bind: string | undefined;
  /** Whence members are heard; from anywhere if undefined. */
  from: SenderNetworks | undefined;
  hashsize: number;
  /** In seconds. */
  expiretime: number;
}

/**
 * Reads a body of the form `[GROUP][/parameters]`.
 * @throws VdeError naming the locator and what is wrong in it.
 */
export async function readVxvde(body: string, bodyAt: number, text: string, locator: string): Promise<VxvdeMembership> {
  const { address, params } = parseSlash(body, bodyAt, text);
  const values = readParams(vxvdeParams, params, text);
  const grp = values.grp === undefined ? undefined : groupNumber(values.grp, locator, 'grp') & VNI_MAX;
  const group = await findGroup(address, values, locator, grp);
  const bind = values.bind === undefined ? undefined : await findAddress(values.bind, values, locator);
  if (bind !== undefined && addressFamily(bind) !== group.family) {
    throw paramError(locator, { name: 'bind' }, `${bind} is not of the family of group ${group.address}`);
  }
  return {
    group,
    vni: networkNumber(values.vni, locator) ?? grp ?? DEFAULT_VNI,
    ttl: values.ttl,
    rcvbuf: values.rcvbuf,
    bind,
    from: values.from === undefined ? undefined : new SenderNetworks(values.from, group.family, locator),
    hashsize: values.hashsize,
    expiretime: values.expiretime || DEFAULT_EXPIRE,
  };
}

/** A network given by number, or by a group whose number may be longer than a VNI: its low 24 bits count then. */
function networkNumber(value: string | number | undefined, locator: string): number | undefined {
  if (typeof value === 'number' && value > VNI_MAX) {
    throw paramError(locator, { name: 'vni' }, `${value} is out of range`, `0 to ${VNI_MAX}`);
  }
  return value === undefined ? undefined : groupNumber(value, locator, 'vni') & VNI_MAX;
}

/**
 * The two sockets of a member.
 * @throws VdeError naming the locator: no route to the group, an address that is not this machine's, ...
 */
export function vxvdeSockets(member: VxvdeMembership, locator: string, options: OpenOptions = {}): VtepSockets {
  const { group, bind = anyAddress(group.family) } = member;
  const opened: Descriptor[] = [];
  const open = (reuseAddress: boolean): Descriptor => {
    const socket = udpSocket(group.family, locator, { reuseAddress, v6Only: true });
    opened.push(socket);
    return socket;
  };
  try {
    const multicast = open(true);
    const remedies = bindRemedies('a program has this port for itself: choose another, port=N');
    inLocator(locator, () => bindInet(multicast, group), remedies);
    join(multicast, group, locator);
    setUpReceiver(multicast, member.rcvbuf);
    const unicast = open(false);
    inLocator(locator, () => bindInet(unicast, { address: bind, port: 0 }), remedies);
    setUpSender(unicast, group, member.ttl, locator);
    setUpReceiver(unicast, member.rcvbuf, options);
    return vxvdeEnd(unicast, multicast, { family: group.family, group, from: member.from });
  } catch (error) {
    for (const socket of opened) socket.close();
    throw error;
  }
}

/**
 * Joins a cloud.
 * @param hello see `VtepOptions`.
 * @throws VdeError as `readVxvde` and `vxvdeSockets`.
 */
export async function openVxvde(
  { body, bodyAt, text, locator }: ResolvedLocator,
  options: OpenOptions,
  hello = true,
): Promise<Vtep> {
  const member = await readVxvde(body, bodyAt, text, locator);
  const { vni, hashsize, expiretime } = member;
  const sockets = vxvdeSockets(member, locator, options);
  const plug = new Vtep(sockets, locator, { vni, vxvde: true, hashsize, expiretime, hello });
  tellUnreachable(plug, member.group, options);
  return plug;
}

export const vxvdeScheme: Scheme = {
  name: 'vxvde',
  syntax: '[GROUP][/parameters]',
  doc: 'a switch spread over the members of a multicast group',
  maxFrame: 9234,
  params: vxvdeParams,
  adoptable: true,
  open: (locator, options) => openVxvde(locator, options),
};
