/**
 * What a `Vtep` must be told beside its sockets, as bytes: who offers one to another process (docs/design.md, "adopted
 * ends") sends them along. They are read by a process that serves others, too, so whatever is not exactly as it should be
 * makes them unreadable.
 *
 *     octet 0      version, 1
 *     1            length of all of it
 *     2            flags: 1 vxvde, 2 hellos, 4 the group is of IPv6
 *     3            0
 *     4 to 7       VXLAN network identifier; numbers are little-endian
 *     8 to 11      most stations that are remembered
 *     12 to 15     seconds after which a silent one is forgotten
 *     16 to 19     index of the interface that leads to the group; 0: the routes choose
 *     20 to 23     zone of the group's address; 0: none
 *     24, 25       UDP port of the group
 *     26 ...       address of the group, 4 or 16 octets
 *     the rest     text: from which networks members are heard; none: from anywhere
 */

import {
  type InetAddress,
  interfaceIndex,
  interfaceName,
  readInetAddress,
  SOCKADDR_ROOM,
  writeInetAddress,
} from '../sys/inet.js';
import { SOCKADDR_IN, SOCKADDR_IN6 } from '../sys/layout.js';
import { Memory } from '../sys/memory.js';
import { AF_INET, AF_INET6 } from '../sys/socket.js';
import type { Family } from './multicast-group.js';
import { VNI_MAX } from './vxlan-header.js';

const VERSION = 1;
const FLAG_VXVDE = 1;
const FLAG_HELLO = 2;
const FLAG_V6 = 4;
const FLAGS = FLAG_VXVDE | FLAG_HELLO | FLAG_V6;
const HEAD = 26;
/** What a request has room for, and more than enough for a list of a few networks. */
const LENGTH_MAX = 255;
/** Most stations that are remembered on behalf of another process. */
export const ADOPTED_STATIONS_MAX = 1 << 14;
const EXPIRE_MAX = 0x7fff_ffff;

/** See the head of this file. */
export interface VtepSettings {
  vxvde: boolean;
  hello: boolean;
  vni: number;
  hashsize: number;
  expiretime: number;
  family: Family;
  group: InetAddress & { interfaceName?: string };
  /** As in a locator; empty: from anywhere. */
  from: string;
}

/** Undefined if there is no way to say it: too many stations, or a list that is too long. */
export function encodeVtepSettings(settings: VtepSettings): Uint8Array | undefined {
  const { family, group, from } = settings;
  const v6 = family === AF_INET6;
  const socketAddress = new Memory(SOCKADDR_ROOM);
  writeInetAddress(socketAddress, 0, group);
  const { address } = v6 ? SOCKADDR_IN6 : SOCKADDR_IN;
  const end = HEAD + (v6 ? 16 : 4);
  const text = Buffer.from(from);
  if (settings.hashsize > ADOPTED_STATIONS_MAX || end + text.length > LENGTH_MAX) return undefined;
  const bytes = Buffer.alloc(end + text.length);
  bytes[0] = VERSION;
  bytes[1] = bytes.length;
  bytes[2] = (settings.vxvde ? FLAG_VXVDE : 0) | (settings.hello ? FLAG_HELLO : 0) | (v6 ? FLAG_V6 : 0);
  const index = group.interfaceName === undefined ? 0 : interfaceIndex(group.interfaceName);
  const zone = v6 ? socketAddress.view.getUint32(SOCKADDR_IN6.scope, true) : 0;
  for (const [i, word] of [settings.vni, settings.hashsize, settings.expiretime, index, zone].entries()) {
    bytes.writeUInt32LE(word, 4 + i * 4);
  }
  bytes.writeUInt16LE(group.port, 24);
  bytes.set(socketAddress.bytes.subarray(address, address + end - HEAD), HEAD);
  text.copy(bytes, end);
  return bytes;
}

/** Undefined for anything that `encodeVtepSettings` would not have written, and for interfaces that are not there. */
export function decodeVtepSettings(bytes: Uint8Array): VtepSettings | undefined {
  const { length } = bytes;
  if (length < HEAD || bytes[0] !== VERSION || bytes[1] !== length || bytes[2] & ~FLAGS || bytes[3] !== 0) {
    return undefined;
  }
  const v6 = (bytes[2] & FLAG_V6) !== 0;
  const end = HEAD + (v6 ? 16 : 4);
  if (length < end) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const [vni, hashsize, expiretime, index, zone] = [0, 1, 2, 3, 4].map((i) => view.getUint32(4 + i * 4, true));
  const port = view.getUint16(24, true);
  const within = vni <= VNI_MAX && hashsize <= ADOPTED_STATIONS_MAX && expiretime > 0 && expiretime <= EXPIRE_MAX;
  const multicast = v6 ? bytes[HEAD] === 0xff : bytes[HEAD] >>> 4 === 0xe;
  if (!within || !multicast || port === 0 || (zone !== 0 && !v6)) return undefined;
  const name = index === 0 ? undefined : interfaceName(index);
  if ((index !== 0 && name === undefined) || (zone !== 0 && interfaceName(zone) === undefined)) return undefined;
  const rest = bytes.subarray(end);
  if (rest.some((byte) => byte < 0x20 || byte > 0x7e)) return undefined;
  return {
    vxvde: (bytes[2] & FLAG_VXVDE) !== 0,
    hello: (bytes[2] & FLAG_HELLO) !== 0,
    vni,
    hashsize,
    expiretime,
    family: v6 ? AF_INET6 : AF_INET,
    group: { address: numericAddress(bytes.subarray(HEAD, end), zone), port, interfaceName: name },
    from: Buffer.from(rest).toString('latin1'),
  };
}

/** A zone as a number: an interface's name may have characters that are none of an address. */
function numericAddress(octets: Uint8Array, zone: number): string {
  const v6 = octets.length === 16;
  const layout = v6 ? SOCKADDR_IN6 : SOCKADDR_IN;
  const memory = new Memory(SOCKADDR_ROOM);
  memory.view.setUint16(0, v6 ? AF_INET6 : AF_INET, true);
  memory.bytes.set(octets, layout.address);
  const { address } = readInetAddress(memory, 0, layout.size) as InetAddress;
  return zone === 0 ? address : `${address}%${zone}`;
}
