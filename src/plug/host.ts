/** From the name of a host to its addresses. */

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { VdeError } from '../sys/errors.js';
import { addressFamily } from '../sys/inet.js';
import { AF_INET } from '../sys/socket.js';

/**
 * The addresses of a name, at least one; of one IP version if that is given.
 * @throws VdeError naming the host.
 */
export async function findAddresses(host: string, family: 0 | 4 | 6, subject: string): Promise<string[]> {
  try {
    // An IPv6 address may have a zone, which not every resolver knows.
    if (isIP(host) !== 0 || host.includes(':')) {
      const version = addressFamily(host) === AF_INET ? 4 : 6;
      if (family === 0 || family === version) return [host];
    } else {
      return (await lookup(host, { family, order: 'verbatim', all: true })).map(({ address }) => address);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const cause = code === 'EINVAL' ? `"${host}" is not an address` : `"${host}" has no address (${code})`;
    throw new VdeError({
      code: code === 'EINVAL' ? 'EINVAL' : 'EADDRNOTAVAIL',
      subject,
      cause,
      remedy: 'check its spelling and the name service',
    });
  }
  throw new VdeError({
    code: 'EAFNOSUPPORT',
    subject,
    cause: `${host} is not an IPv${family} address, which the peer's is`,
    remedy: 'give both sides the same version of IP',
  });
}
