/**
 * What `tap://NAME[...]` gives its interface: `tap://tap0[ip=10.0.0.1/24,fd00::1/64/mtu=9000/mac=02:00:00:00:00:01]`. It
 * stays with an interface that outlives the end, as if `ip` had been called: whoever opens it again says the same again.
 */

import { VdeError } from '../sys/errors.js';
import {
  type InterfaceSettings,
  MTU_MAX,
  MTU_MIN,
  type Refuse,
  readAddress,
  readInterfaceMac,
  settingLines,
} from '../sys/interface-settings.js';
import { runIp } from '../sys/ip.js';
import { isInterfaceUp } from '../sys/tap.js';
import { parsePath } from './locator.js';
import { type ParamSpec, paramError, readParams } from './params.js';
import type { ResolvedLocator } from './resolve.js';

export const TAP_PARAMS = [
  { name: 'up', type: 'flag', doc: 'set the interface UP' },
  {
    name: 'ip',
    type: 'list',
    bare: true,
    arg: 'ADDR[/LEN],...',
    doc: 'give it these addresses, IPv4 or IPv6, and set it UP; may be repeated',
  },
  { name: 'mtu', type: 'number', min: MTU_MIN, max: MTU_MAX, doc: 'longest packet in bytes' },
  { name: 'mac', type: 'string', arg: 'MAC', doc: 'MAC address, as in 02:00:00:00:00:01' },
] as const satisfies readonly ParamSpec[];

/**
 * Reads a body. The name stands for itself up to the first `[`: what `%d` means is the kernel's affair.
 * @throws VdeError `EINVAL` for parameters that make no sense.
 */
export function readTap(resolved: ResolvedLocator): { interfaceName: string; settings: InterfaceSettings } {
  const { body, bodyAt, text, locator } = resolved;
  const open = body.indexOf('[');
  if (open < 0) return { interfaceName: body, settings: { addresses: [], up: false } };
  const { up, ip, mtu, mac } = readParams(TAP_PARAMS, parsePath(body.slice(open), bodyAt + open, text).params, text);
  const refuse =
    (name: string): Refuse =>
    (cause, remedy) =>
      paramError(locator, { name }, cause, remedy);
  const addresses = withLengths(ip).map((one) => readAddress(one, refuse('ip')).address);
  return {
    interfaceName: body.slice(0, open),
    settings: {
      addresses,
      mtu,
      mac: mac === undefined ? undefined : readInterfaceMac(mac, refuse('mac')),
      up: up || addresses.length > 0,
    },
  };
}

/** The slash before a prefix length also ends a parameter, unless quoted: a number by itself is the length of the address before. */
function withLengths(tokens: readonly string[]): string[] {
  const addresses: string[] = [];
  for (const token of tokens) {
    const last = addresses.at(-1);
    if (/^\d+$/.test(token) && last !== undefined && !last.includes('/')) addresses.push(`${addresses.pop()}/${token}`);
    else addresses.push(token);
  }
  return addresses;
}

/** Makes it so. @throws VdeError with what the kernel refuses, and who could do it. */
export async function applySettings(
  { name, interfaceName = '' }: { name: string; interfaceName: string | undefined },
  settings: InterfaceSettings,
): Promise<void> {
  // What is UP already need not be set UP, which is the administrator's to do.
  const up = settings.up && isInterfaceUp(interfaceName) !== true;
  const lines = settingLines(interfaceName, { ...settings, up }, false);
  if (lines.length === 0) return;
  try {
    await runIp(lines);
  } catch (error) {
    if (!(error instanceof VdeError)) throw error;
    const { code, subject, reason } = error;
    const remedy =
      code === 'EPERM'
        ? `setting it is the administrator's: ${lines.map((one) => `ip ${one}`).join('; ')}`
        : error.remedy;
    throw new VdeError({ code, subject: name, cause: `${subject}: ${reason}`, remedy });
  }
}
