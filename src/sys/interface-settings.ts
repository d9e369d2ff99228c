/** What an interface is given: addresses, MAC address, MTU. Read from a user's text, and told to `ip`. */

import { isIPv4, isIPv6 } from 'node:net';
import type { VdeError } from './errors.js';

/** Prefix length of an address that comes without one. */
const DEFAULT_PREFIX = { 4: 24, 6: 64 } as const;
export const MTU_MIN = 68;
export const MTU_MAX = 65_521;

export interface InterfaceSettings {
  /** With prefix length: `10.0.0.1/24`. */
  addresses: readonly string[];
  mac?: string;
  /** In bytes of payload. */
  mtu?: number;
  up: boolean;
}

/** Makes the error for a text that is refused. */
export type Refuse = (cause: string, remedy?: string) => VdeError;

/** Reads `ADDRESS[/LENGTH]`; the length is 24 or 64 if not given. @throws what `refuse` makes. */
export function readAddress(text: string, refuse: Refuse): { version: 4 | 6; address: string } {
  const [address, length, ...more] = text.split('/');
  const version = isIPv4(address) ? 4 : isIPv6(address) && !address.includes('%') ? 6 : undefined;
  if (version === undefined || more.length > 0) throw refuse(`"${text}" is not an IP address`);
  const bits = length ?? String(DEFAULT_PREFIX[version]);
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > (version === 4 ? 32 : 128)) {
    throw refuse(`"${bits}" is not a prefix length`, version === 4 ? '0 to 32' : '0 to 128');
  }
  return { version, address: `${address}/${bits}` };
}

/** Checks the MAC address of an interface. @throws what `refuse` makes. */
export function readInterfaceMac(text: string, refuse: Refuse): string {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw refuse(`"${text}" is not a MAC address`, 'such as 02:00:00:00:00:01');
  }
  if (Number.parseInt(text.slice(0, 2), 16) & 1) {
    throw refuse('a multicast address cannot be an interface', 'its first octet must be even');
  }
  return text;
}

/**
 * The lines for `ip -batch` that make it so; none if nothing was asked for.
 * @param alone nobody else is in its network: an IPv6 address is good at once.
 */
export function settingLines(name: string, { addresses, mac, mtu, up }: InterfaceSettings, alone: boolean): string[] {
  return [
    ...(mac === undefined ? [] : [`link set dev ${name} address ${mac}`]),
    ...(mtu === undefined ? [] : [`link set dev ${name} mtu ${mtu}`]),
    ...addresses.map((one) => `address replace ${one} dev ${name}${alone && one.includes(':') ? ' nodad' : ''}`),
    ...(up ? [`link set dev ${name} up`] : []),
  ];
}
