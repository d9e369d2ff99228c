/** The schemes that are known, and `open`, which turns any locator into a plug. */

import { VdeError } from '../sys/errors.js';
import { nearestName } from '../sys/nearest.js';
import { captureScheme } from './capture.js';
import { cmdScheme } from './cmd.js';
import { discoverScheme } from './discovery.js';
import { shownLocator } from './locator.js';
import { macvtapScheme } from './macvtap.js';
import { nullScheme } from './null.js';
import { packetScheme } from './packet.js';
import { pcapScheme } from './pcap.js';
import type { Plug } from './plug.js';
import { ptpScheme } from './ptp.js';
import { resolveLocator } from './resolve.js';
import { restartScheme } from './restart.js';
import type { OpenOptions, Scheme } from './scheme.js';
import { seqpacketScheme } from './seqpacket.js';
import { tapScheme } from './tap.js';
import { udpScheme } from './udp.js';
import { vdeScheme } from './vde.js';
import { vdeslScheme } from './vdesl.js';
import { vlanScheme } from './vlan.js';
import { vxlanScheme } from './vxlan.js';
import { vxvdeScheme } from './vxvde.js';
import { vxvdexScheme } from './vxvdex.js';

const schemes = new Map<string, Scheme>();

/**
 * Makes a scheme known to `openPlug`, by its name, for as long as the process runs. A package called `vde-plug-NAME` need
 * not call it: what it exports is registered when `NAME://` is opened first.
 * @throws VdeError `EEXIST` if there is one of that name.
 */
export function registerScheme(scheme: Scheme): void {
  if (schemes.has(scheme.name)) {
    throw new VdeError({ code: 'EEXIST', subject: `${scheme.name}://`, cause: 'there is a scheme of that name' });
  }
  schemes.set(scheme.name, scheme);
}

/** Those of this room. */
const builtIn: readonly Scheme[] = [
  vdeScheme,
  tapScheme,
  nullScheme,
  ptpScheme,
  udpScheme,
  vxvdeScheme,
  vxvdexScheme,
  vxlanScheme,
  packetScheme,
  macvtapScheme,
  vdeslScheme,
  pcapScheme,
  captureScheme,
  seqpacketScheme,
  cmdScheme,
  restartScheme,
  vlanScheme,
];
for (const scheme of builtIn) registerScheme(scheme);

/** All schemes that are known now, sorted by name: those of the library, registered ones, and packages in use. */
export function listSchemes(): Scheme[] {
  return [...schemes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Whether a locator's end can be served by whom it is offered to. A malformed locator is told when it is opened. */
export function isAdoptable(vnl: string): boolean {
  try {
    return schemes.get(resolveLocator(vnl).scheme)?.adoptable === true;
  } catch {
    return false;
  }
}

/** Schemes that are being looked for. */
const searches = new Map<string, Promise<Scheme | undefined>>();

/** Looks for an npm package with the scheme, and registers it. @throws VdeError as `discoverScheme`. */
function discover(name: string): Promise<Scheme | undefined> {
  let search = searches.get(name);
  if (search === undefined) {
    search = discoverScheme(name).then((scheme) => {
      if (scheme !== undefined) registerScheme(scheme);
      return scheme;
    });
    searches.set(name, search);
    const forget = (): boolean => searches.delete(name);
    search.then(forget, forget);
  }
  return search;
}

/**
 * Opens a locator. A scheme that is not known is looked for in an npm package, see `discovery.ts`.
 * @throws VdeError naming the locator, the cause and what to do about it.
 */
export async function openPlug(vnl: string, options: OpenOptions = {}): Promise<Plug> {
  const locator = resolveLocator(vnl);
  const scheme = schemes.get(locator.scheme) ?? (await discover(locator.scheme));
  if (scheme === undefined) {
    const near = nearestName(locator.scheme, schemes.keys());
    throw new VdeError({
      code: 'EPROTONOSUPPORT',
      subject: shownLocator(vnl),
      cause: `Protocol not supported: there is no scheme "${locator.scheme}"`,
      remedy: near
        ? `did you mean ${near}://?`
        : `there are ${listSchemes()
            .map((s) => s.name)
            .join(', ')}; an npm package vde-plug-${locator.scheme} would add it`,
    });
  }
  return scheme.open(locator, options);
}
