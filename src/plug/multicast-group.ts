/**
 * The multicast group of a cloud, as `vxlan://` and `vxvde://` name it: address, port, interface. What does not parse or
 * does not fit together is an error that names it, where libvdeplug takes something else instead (reference: known
 * problems, 4.3).
 */

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Descriptor } from '../sys/descriptor.js';
import { errnoText, VdeError } from '../sys/errors.js';
import {
  addressFamily,
  type InetAddress,
  interfaceIndex,
  joinMulticast,
  readInetAddress,
  SOCKADDR_ROOM,
  servicePort,
  setMulticastInterface,
  setMulticastTtl,
  writeInetAddress,
} from '../sys/inet.js';
import { SOCKADDR_IN, SOCKADDR_IN6 } from '../sys/layout.js';
import { Memory } from '../sys/memory.js';
import { AF_INET, AF_INET6, getOption, SO_RCVBUF, SOL_SOCKET, setReceiveBuffer, setSendBuffer } from '../sys/socket.js';
import { notice } from './notice.js';
import { type ParamSpec, paramError } from './params.js';
import { STATIONS_MAX } from './peer-table.js';
import type { OpenOptions } from './scheme.js';
import type { Vtep } from './vtep.js';

const DEFAULT_V4 = '239.0.0.1';
const DEFAULT_V6 = 'ff05:56de::1';
/** Buffers of a socket in bytes, unless the locator says otherwise: many bursts, as nothing holds a UDP sender back. */
const BUFFER = 2 << 20;
const BUFFER_MAX = 1 << 29;

export type Family = typeof AF_INET | typeof AF_INET6;

/** Seconds after which a silent station is forgotten; a parameter of 0 means this as well (reference: plugins, section 7). */
export const DEFAULT_EXPIRE = 128;

/** Parameters that both schemes have; each puts them into the order of its table. */
export const groupParams = {
  ttl: {
    name: 'ttl',
    type: 'number',
    max: 255,
    default: 1,
    doc: 'routers that frames to the group may pass, the first network counted',
  },
  rcvbuf: { name: 'rcvbuf', type: 'size', min: 1, max: BUFFER_MAX, doc: 'receive buffer in bytes' },
  v6: { name: 'v6', type: 'flag', doc: 'IPv6 only' },
  v4: { name: 'v4', type: 'flag', doc: 'IPv4 only' },
  hashsize: {
    name: 'hashsize',
    type: 'number',
    max: STATIONS_MAX,
    default: 1024,
    doc: 'stations whose member is remembered; 0: everything goes to the group',
  },
  expiretime: {
    name: 'expiretime',
    type: 'number',
    max: 0x7fff_ffff,
    default: DEFAULT_EXPIRE,
    doc: `seconds after which a silent station is forgotten; 0: ${DEFAULT_EXPIRE}`,
  },
  if: { name: 'if', type: 'string', arg: 'INTERFACE', doc: 'interface of the group; otherwise the routes choose' },
  from: {
    name: 'from',
    type: 'string',
    arg: "'NET,...'",
    doc: 'only members with an address in these networks are heard, e.g. 10.0.0.0/8,192.0.2.7',
  },
} as const satisfies Record<string, ParamSpec>;

/** The values of those that a group is made of. */
export interface GroupValues {
  port: string;
  v4: boolean;
  v6: boolean;
  if: string | undefined;
}

/** A group that was found. */
export interface Group extends InetAddress {
  family: Family;
  interfaceName: string | undefined;
}

/** The table's row for the port, a number or a service. */
export function portParam(port: number) {
  return { name: 'port', type: 'string', arg: 'PORT', default: String(port), doc: 'UDP port of the group' } as const;
}

/**
 * Finds a group.
 * @param text its address or name; empty for the default one.
 * @param low24 if given, replaces the last three octets of the address.
 * @throws VdeError naming the locator or the parameter that is wrong.
 */
export async function findGroup(text: string, values: GroupValues, locator: string, low24?: number): Promise<Group> {
  const port = portNumber(values.port, locator);
  const interfaceName = values.if;
  if (interfaceName !== undefined) checkInterface(interfaceName, locator);
  const found = await findAddress(text === '' ? (values.v6 ? DEFAULT_V6 : DEFAULT_V4) : text, values, locator);
  const family = addressFamily(found);
  const memory = new Memory(SOCKADDR_ROOM);
  const length = inLocator(locator, () => writeInetAddress(memory, 0, { address: found, port }));
  const layout = family === AF_INET ? SOCKADDR_IN : SOCKADDR_IN6;
  const first = memory.bytes[layout.address];
  if (family === AF_INET ? first >>> 4 !== 0xe : first !== 0xff) {
    const remedy = 'groups are 224.0.0.0 to 239.255.255.255, and ff00::/8';
    throw new VdeError({ code: 'EINVAL', subject: locator, cause: `${text} is not a multicast address`, remedy });
  }
  if (low24 !== undefined) {
    const end = layout.address + (family === AF_INET ? 4 : 16);
    memory.bytes.set([low24 >>> 16, low24 >>> 8, low24], end - 3);
  }
  // RFC 4291, 2.7: groups of an interface or a link mean something only there.
  if (family === AF_INET6 && (memory.bytes[layout.address + 1] & 0x0f) <= 2) {
    if (interfaceName !== undefined) {
      memory.view.setUint32(SOCKADDR_IN6.scope, interfaceIndex(interfaceName), true);
    } else if (memory.view.getUint32(SOCKADDR_IN6.scope, true) === 0) {
      const cause = `${text} is a group of one link only`;
      throw new VdeError({ code: 'EINVAL', subject: locator, cause, remedy: 'say of which: if=INTERFACE' });
    }
  }
  const { address } = readInetAddress(memory, 0, length) as InetAddress;
  return { address, port, family, interfaceName: interfaceName ?? address.split('%')[1] };
}

/**
 * The address of a host's or a group's name, or the address itself.
 * @throws VdeError for a name that has none, or an address that is not of the family asked for.
 */
export async function findAddress(text: string, want: { v4: boolean; v6: boolean }, locator: string): Promise<string> {
  const family = want.v4 === want.v6 ? 0 : want.v4 ? 4 : 6;
  const version = isIP(text);
  if (version !== 0) {
    if (family === 0 || version === family) return text;
    const cause = `${text} is an IPv${version} address, v${family} asks for IPv${family}`;
    throw new VdeError({ code: 'EAFNOSUPPORT', subject: locator, cause });
  }
  const cause = `no ${family === 0 ? '' : `IPv${family} `}address for "${text}"`;
  const refuse = (code: string) => new VdeError({ code, subject: locator, cause, remedy: 'give a numeric address' });
  if (text === '') throw refuse('EINVAL');
  try {
    return (await lookup(text, { family })).address;
  } catch (error) {
    throw refuse((error as NodeJS.ErrnoException).code ?? 'ENOTFOUND');
  }
}

function portNumber(text: string, locator: string): number {
  const port = /^\d+$/.test(text) ? Number(text) : servicePort(text);
  const param = { name: 'port' };
  if (port === undefined) throw paramError(locator, param, `"${text}" is no port and no UDP service`, '1 to 65535');
  if (port < 1 || port > 65_535) throw paramError(locator, param, `${text} is out of range`, '1 to 65535');
  return port;
}

function checkInterface(name: string, locator: string): void {
  try {
    interfaceIndex(name);
  } catch {
    throw paramError(locator, { name: 'if' }, `there is no interface called "${name}"`, 'ip link lists them');
  }
}

/** What to do about errors, by their code. */
export type Remedies = Readonly<Record<string, string>>;

/** Does something; its error gets the locator as subject, and what it was about as part of the cause. */
export function inLocator<T>(locator: string, action: () => T, remedies: Remedies = {}): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof VdeError) || error.subject === locator) throw error;
    const { code, call, errno } = error;
    const cause = `${error.subject}: ${error.reason}`;
    throw new VdeError({ code, subject: locator, cause, remedy: remedies[code] ?? error.remedy, call, errno });
  }
}

/** What to do if a port cannot be had. @param inUse if another program has it. */
export function bindRemedies(inUse: string): Remedies {
  return {
    EADDRINUSE: inUse,
    EACCES: 'ports below 1024 need CAP_NET_BIND_SERVICE: choose another, port=N',
    EADDRNOTAVAIL: 'it is no address of this machine: ip address lists them',
  };
}

/** Makes a socket a member of a group. @throws VdeError `ENODEV` if no route leads to it. */
export function join(socket: Descriptor, group: Group, locator: string): void {
  const { family, address, interfaceName } = group;
  const net = family === AF_INET ? 'ip route add 224.0.0.0/4' : 'ip -6 route add ff00::/8 table local';
  const remedy =
    interfaceName === undefined
      ? `no route leads to the group: ${net} dev INTERFACE, or name one with if=INTERFACE`
      : `is ${interfaceName} up, and does it have an address?`;
  inLocator(locator, () => joinMulticast(socket, address, interfaceName), { ENODEV: remedy });
}

/** How a socket sends to a group. */
export function setUpSender(socket: Descriptor, group: Group, ttl: number, locator: string): void {
  inLocator(locator, () => {
    setMulticastTtl(socket, ttl);
    if (group.interfaceName !== undefined) setMulticastInterface(socket, group.interfaceName);
  });
  setSendBuffer(socket, BUFFER);
}

/** Gives a socket the receive buffer that was asked for, and tells if the kernel gives less and somebody is to know. */
export function setUpReceiver(socket: Descriptor, rcvbuf: number | undefined, options?: OpenOptions): void {
  setReceiveBuffer(socket, rcvbuf ?? BUFFER);
  if (rcvbuf === undefined || options === undefined) return;
  // The kernel doubles what it is asked for, to have room for its own bookkeeping.
  const got = getOption(socket.fd, SOL_SOCKET, SO_RCVBUF) / 2;
  if (got < rcvbuf) {
    notice(options, `${socket.subject}: a receive buffer of ${got} bytes instead of ${rcvbuf} (net.core.rmem_max)`);
  }
}

/** Has the user told, once, that the group cannot be reached. */
export function tellUnreachable(plug: Vtep, group: Group, options: OpenOptions): void {
  plug.onUnreachable = (errno) => {
    notice(options, `${plug.name}: nothing can be sent to group ${group.address}: ${errnoText(errno)}`);
  };
}
