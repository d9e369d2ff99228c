/**
 * DHCP messages: RFC 2131 section 2, options by RFC 2132, long ones by RFC 3396, classless routes by RFC 3442.
 *
 * Options are kept as bytes by their number; the readers of single ones check their lengths. Options may also stand in
 * the fields of the server's name and the boot file (option 52), and one that is repeated is one long one.
 */

import { checkField, checkLength, readU16, readU32, writeU16, writeU32 } from './bytes.js';
import { MAC_LENGTH, type MacAddress } from './mac.js';

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;

/** Message types (option 53). */
export const DhcpType = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
  inform: 8,
} as const;

/** Option numbers. */
export const DhcpOption = {
  subnetMask: 1,
  routers: 3,
  domainServers: 6,
  hostName: 12,
  domainName: 15,
  interfaceMtu: 26,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverId: 54,
  parameterList: 55,
  message: 56,
  maxSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  clientId: 61,
  classlessRoutes: 121,
} as const;

/** Octets before the options: the fixed fields and the magic cookie. */
const FIXED = 236;
const COOKIE = 0x63825363;
/** The least that a BOOTP relay passes on (RFC 1542 section 2.1). */
const MESSAGE_MIN = 300;
const SNAME = { at: 44, length: 64 } as const;
const FILE = { at: 108, length: 128 } as const;
const PAD = 0;
const END = 255;
const BROADCAST = 0x8000;
const HARDWARE_ETHERNET = 1;
const OPTION_MAX = 255;

/** A message as a value. Addresses are 32-bit numbers, 0 for none. */
export interface DhcpMessage {
  /** 1 from a client, 2 from a server. */
  op: 1 | 2;
  /** Chosen by the client, 32 bits. */
  xid: number;
  /** Seconds since the client began. */
  secs: number;
  /** Whether answers must be broadcast, since the client has no address yet. */
  broadcast: boolean;
  clientAddress: number;
  yourAddress: number;
  nextServer: number;
  relay: number;
  /** The client's. */
  mac: MacAddress;
  /** Number (1 to 254) to value. */
  options: ReadonlyMap<number, Uint8Array>;
}

/** Reads a message; `undefined` if it is short, not for Ethernet, has no cookie or options that go beyond its end. */
export function parseDhcp(bytes: Uint8Array): DhcpMessage | undefined {
  if (bytes.length < FIXED + 4 || readU32(bytes, FIXED) !== COOKIE) return undefined;
  const op = bytes[0];
  if ((op !== 1 && op !== 2) || bytes[1] !== HARDWARE_ETHERNET || bytes[2] !== MAC_LENGTH) return undefined;
  const options = new Map<number, Uint8Array>();
  if (!readOptions(bytes.subarray(FIXED + 4), options)) return undefined;
  const overload = options.get(DhcpOption.overload)?.[0] ?? 0;
  for (const [bit, { at, length }] of [
    [1, FILE],
    [2, SNAME],
  ] as const) {
    if ((overload & bit) !== 0 && !readOptions(bytes.subarray(at, at + length), options)) return undefined;
  }
  return {
    op,
    xid: readU32(bytes, 4),
    secs: readU16(bytes, 8),
    broadcast: (readU16(bytes, 10) & BROADCAST) !== 0,
    clientAddress: readU32(bytes, 12),
    yourAddress: readU32(bytes, 16),
    nextServer: readU32(bytes, 20),
    relay: readU32(bytes, 24),
    mac: bytes.subarray(28, 28 + MAC_LENGTH),
    options,
  };
}

/** Adds options to a map; false if one goes beyond the end. */
function readOptions(bytes: Uint8Array, options: Map<number, Uint8Array>): boolean {
  for (let at = 0; at < bytes.length; ) {
    const number = bytes[at++];
    if (number === PAD) continue;
    if (number === END) return true;
    if (at >= bytes.length || at + 1 + bytes[at] > bytes.length) return false;
    const value = bytes.subarray(at + 1, at + 1 + bytes[at]);
    at += 1 + value.length;
    const before = options.get(number);
    options.set(number, before ? Uint8Array.of(...before, ...value) : value);
  }
  return true;
}

/** The message's bytes, at least 300. @throws RangeError for a field that does not fit. */
export function writeDhcp(message: DhcpMessage): Uint8Array {
  const { op, xid, secs, options, mac } = message;
  checkField('op', op, 2);
  checkField('xid', xid, 0xffffffff);
  checkField('secs', secs, 0xffff);
  checkLength('mac', mac, MAC_LENGTH);
  const parts = [...options].flatMap(([number, value]) => optionParts(number, value));
  const length = FIXED + 4 + parts.reduce((sum, part) => sum + part.length, 0) + 1;
  const bytes = new Uint8Array(Math.max(length, MESSAGE_MIN));
  bytes.set([op, HARDWARE_ETHERNET, MAC_LENGTH]);
  writeU32(bytes, 4, xid);
  writeU16(bytes, 8, secs);
  writeU16(bytes, 10, message.broadcast ? BROADCAST : 0);
  writeU32(bytes, 12, message.clientAddress);
  writeU32(bytes, 16, message.yourAddress);
  writeU32(bytes, 20, message.nextServer);
  writeU32(bytes, 24, message.relay);
  bytes.set(mac, 28);
  writeU32(bytes, FIXED, COOKIE);
  let at = FIXED + 4;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  bytes[at] = END;
  return bytes;
}

function optionParts(number: number, value: Uint8Array): Uint8Array[] {
  checkField('option number', number, END - 1);
  const parts: Uint8Array[] = [];
  for (let at = 0; at === 0 || at < value.length; at += OPTION_MAX) {
    const part = value.subarray(at, at + OPTION_MAX);
    parts.push(Uint8Array.of(number, part.length, ...part));
  }
  return parts;
}

/** The value of an option that is one address or other 32-bit number; undefined if absent or of another length. */
export function optionU32({ options }: DhcpMessage, number: number): number | undefined {
  const value = options.get(number);
  return value?.length === 4 ? readU32(value, 0) : undefined;
}

/** The value of an option that is one 16-bit number. */
export function optionU16({ options }: DhcpMessage, number: number): number | undefined {
  const value = options.get(number);
  return value?.length === 2 ? readU16(value, 0) : undefined;
}

/** The value of an option that is a list of addresses; what is left over at its end is not an address. */
export function optionAddresses({ options }: DhcpMessage, number: number): number[] {
  const value = options.get(number) ?? new Uint8Array();
  return Array.from({ length: Math.floor(value.length / 4) }, (_, i) => readU32(value, i * 4));
}

/** A route of option 121. Addresses are 32-bit numbers. */
export interface DhcpRoute {
  destination: number;
  /** Length of the destination's prefix, 0 for the default route. */
  prefix: number;
  /** 0: the destination is on the link itself. */
  router: number;
}

/**
 * The classless static routes (option 121, RFC 3442); undefined if absent or malformed. Bits of a destination behind its
 * prefix are taken as 0.
 */
export function optionRoutes({ options }: DhcpMessage): DhcpRoute[] | undefined {
  const value = options.get(DhcpOption.classlessRoutes);
  // The shortest is a default route: its prefix length, and the router.
  if (value === undefined || value.length < 5) return undefined;
  const routes: DhcpRoute[] = [];
  const destination = new Uint8Array(4);
  for (let at = 0; at < value.length; ) {
    const prefix = value[at++];
    const significant = Math.ceil(prefix / 8);
    if (prefix > 32 || at + significant + 4 > value.length) return undefined;
    destination.fill(0).set(value.subarray(at, at + significant));
    at += significant;
    const mask = prefix === 0 ? 0 : (-1 << (32 - prefix)) >>> 0;
    routes.push({ destination: (readU32(destination, 0) & mask) >>> 0, prefix, router: readU32(value, at) });
    at += 4;
  }
  return routes;
}

/** The value of an option that is text, without NULs at its end. */
export function optionText({ options }: DhcpMessage, number: number): string | undefined {
  const value = options.get(number);
  return value && new TextDecoder('latin1').decode(value).replace(/\0+$/, '');
}

/** The message type; undefined if it has none. */
export function dhcpType({ options }: DhcpMessage): number | undefined {
  const value = options.get(DhcpOption.messageType);
  return value?.length === 1 ? value[0] : undefined;
}

/** The four octets of an address or number, as options hold them. */
export function u32Option(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, value);
  return bytes;
}
