/**
 * The schemes that are known, and `openPlug`, which turns any locator into a plug. What opens a scheme is loaded when its
 * name is first used: a command that needs one of twenty starts without the others.
 */

import { VdeError } from '../sys/errors.js';
import { nearestName } from '../sys/nearest.js';
import { discoverScheme } from './discovery.js';
import { shownLocator } from './locator.js';
import type { Plug } from './plug.js';
import { resolveLocator } from './resolve.js';
import type { OpenOptions, Scheme } from './scheme.js';

/** Gives a scheme, by name, when it is first needed. */
export type SchemeLoaders = Readonly<Record<string, () => Promise<Scheme>>>;

const schemes = new Map<string, Scheme>();

/** Those of the library that may not have been loaded yet; of this room first. */
const loaders = new Map<string, () => Promise<Scheme>>(
  Object.entries({
    vde: async () => (await import('./vde.js')).vdeScheme,
    tap: async () => (await import('./tap.js')).tapScheme,
    null: async () => (await import('./null.js')).nullScheme,
    ptp: async () => (await import('./ptp.js')).ptpScheme,
    udp: async () => (await import('./udp.js')).udpScheme,
    vxvde: async () => (await import('./vxvde.js')).vxvdeScheme,
    vxvdex: async () => (await import('./vxvdex.js')).vxvdexScheme,
    vxlan: async () => (await import('./vxlan.js')).vxlanScheme,
    packet: async () => (await import('./packet.js')).packetScheme,
    macvtap: async () => (await import('./macvtap.js')).macvtapScheme,
    vdesl: async () => (await import('./vdesl.js')).vdeslScheme,
    pcap: async () => (await import('./pcap.js')).pcapScheme,
    capture: async () => (await import('./capture.js')).captureScheme,
    seqpacket: async () => (await import('./seqpacket.js')).seqpacketScheme,
    cmd: async () => (await import('./cmd.js')).cmdScheme,
    qemu: async () => (await import('./qemu.js')).qemuScheme,
    restart: async () => (await import('./restart.js')).restartScheme,
    vlan: async () => (await import('./vlan.js')).vlanScheme,
  } satisfies SchemeLoaders),
);

/**
 * Makes a scheme known to `openPlug`, by its name, for as long as the process runs. A package called `vde-plug-NAME` need
 * not call it: what it exports is registered when `NAME://` is opened first.
 * @throws VdeError `EEXIST` if there is one of that name.
 */
export function registerScheme(scheme: Scheme): void {
  if (schemes.has(scheme.name) || loaders.has(scheme.name)) {
    throw new VdeError({ code: 'EEXIST', subject: `${scheme.name}://`, cause: 'there is a scheme of that name' });
  }
  schemes.set(scheme.name, scheme);
}

/** Makes the library's own schemes of another room known. Idempotent. */
export function registerLoaders(more: SchemeLoaders): void {
  for (const [name, load] of Object.entries(more)) loaders.set(name, load);
}

/** The names of all schemes that are known now, sorted: those of the library, registered ones, and packages in use. */
export function schemeNames(): string[] {
  return [...new Set([...schemes.keys(), ...loaders.keys()])].sort();
}

/** All schemes that are known now, by the order of `schemeNames`. */
export async function listSchemes(): Promise<Scheme[]> {
  return Promise.all(schemeNames().map(async (name) => (await knownScheme(name)) as Scheme));
}

/** The scheme of a name, if it is known. */
async function knownScheme(name: string): Promise<Scheme | undefined> {
  return schemes.get(name) ?? loaders.get(name)?.();
}

/** The scheme that a locator will be opened by, loaded; undefined if it is not known, or the locator is malformed. */
export async function preloadScheme(vnl: string): Promise<Scheme | undefined> {
  try {
    return await knownScheme(resolveLocator(vnl).scheme);
  } catch {
    // A malformed locator is told when it is opened.
    return undefined;
  }
}

/** Whether a locator's end can be served by whom it is offered to. */
export async function isAdoptable(vnl: string): Promise<boolean> {
  return (await preloadScheme(vnl))?.adoptable === true;
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
  const scheme = (await knownScheme(locator.scheme)) ?? (await discover(locator.scheme));
  if (scheme === undefined) {
    const names = schemeNames();
    const near = nearestName(locator.scheme, names);
    throw new VdeError({
      code: 'EPROTONOSUPPORT',
      subject: shownLocator(vnl),
      cause: `Protocol not supported: there is no scheme "${locator.scheme}"`,
      remedy: near
        ? `did you mean ${near}://?`
        : `there are ${names.join(', ')}; an npm package vde-plug-${locator.scheme} would add it`,
    });
  }
  return scheme.open(locator, options);
}
