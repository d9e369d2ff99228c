/** From which networks the members of a cloud are heard, as a locator lists them: `from='10.0.0.0/8,192.0.2.7'`. */

import { isIP } from 'node:net';
import { addressFamily, SOCKADDR_ROOM, writeInetAddress } from '../sys/inet.js';
import { SOCKADDR_IN, SOCKADDR_IN6 } from '../sys/layout.js';
import { Memory } from '../sys/memory.js';
import { AF_INET } from '../sys/socket.js';
import type { Family } from './multicast-group.js';
import { paramError } from './params.js';

/** Most networks in one list: each is looked at for each datagram. */
const NETWORKS_MAX = 64;

/** An address and the bits of it that count, as 32-bit words in the order of memory. */
interface Network {
  address: Uint32Array;
  mask: Uint32Array;
}

/** See the head of this file. */
export class SenderNetworks {
  readonly #networks: Network[];
  readonly #at: number;

  /** @throws VdeError naming the parameter: no address, another family than `family`, a prefix out of range, too many. */
  constructor(
    readonly list: string,
    family: Family,
    locator: string,
  ) {
    const texts = list.split(',');
    if (texts.length > NETWORKS_MAX) throw wrong(locator, `more than ${NETWORKS_MAX} networks`);
    this.#at = (family === AF_INET ? SOCKADDR_IN : SOCKADDR_IN6).address >>> 2;
    this.#networks = texts.map((text) => readNetwork(text, family, locator));
  }

  /** Whether the address of the socket address in `words` from `at` is in one of them. */
  has(words: Uint32Array, at: number): boolean {
    const first = at + this.#at;
    for (const { address, mask } of this.#networks) {
      let i = 0;
      while (i < mask.length && ((words[first + i] ^ address[i]) & mask[i]) === 0) i++;
      if (i === mask.length) return true;
    }
    return false;
  }
}

function wrong(locator: string, cause: string): Error {
  return paramError(locator, { name: 'from' }, cause, "write from='10.0.0.0/8,192.0.2.7', in quotes");
}

function readNetwork(text: string, family: Family, locator: string): Network {
  const [numeric, prefix, ...rest] = text.split('/');
  if (isIP(numeric) === 0 || numeric.includes('%') || rest.length > 0) throw wrong(locator, `"${text}" is no network`);
  if (addressFamily(numeric) !== family) throw wrong(locator, `${numeric} is not of the family of the group`);
  const size = family === AF_INET ? 4 : 16;
  const bits = prefix === undefined ? size * 8 : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!(bits <= size * 8)) throw wrong(locator, `"${prefix}" is not a prefix length (0 to ${size * 8})`);
  const memory = new Memory(SOCKADDR_ROOM);
  writeInetAddress(memory, 0, { address: numeric, port: 0 });
  const { address } = family === AF_INET ? SOCKADDR_IN : SOCKADDR_IN6;
  const mask = Uint8Array.from({ length: size }, (_, i) => 0xff00 >> Math.min(8, Math.max(0, bits - i * 8)));
  return {
    address: new Uint32Array(memory.bytes.slice(address, address + size).buffer),
    mask: new Uint32Array(mask.buffer),
  };
}
