/** The schemes that are known, and `open`, which turns any locator into a plug. */

import { VdeError } from '../sys/errors.js';
import { nearestName } from '../sys/nearest.js';
import { shownLocator } from './locator.js';
import { nullScheme } from './null.js';
import type { Plug } from './plug.js';
import { ptpScheme } from './ptp.js';
import { resolveLocator } from './resolve.js';
import type { OpenOptions, Scheme } from './scheme.js';
import { tapScheme } from './tap.js';
import { vdeScheme } from './vde.js';

const schemes = new Map<string, Scheme>();

/**
 * Makes a scheme known to every command and to the library.
 * @throws VdeError `EEXIST` if there is one of that name.
 */
export function registerScheme(scheme: Scheme): void {
  if (schemes.has(scheme.name)) {
    throw new VdeError({ code: 'EEXIST', subject: `${scheme.name}://`, cause: 'there is a scheme of that name' });
  }
  schemes.set(scheme.name, scheme);
}

for (const scheme of [vdeScheme, tapScheme, nullScheme, ptpScheme]) registerScheme(scheme);

/** All schemes, by name. */
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

/**
 * Opens a locator.
 * @throws VdeError naming the locator, the cause and what to do about it.
 */
export async function openPlug(vnl: string, options: OpenOptions = {}): Promise<Plug> {
  const locator = resolveLocator(vnl);
  const scheme = schemes.get(locator.scheme);
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
            .join(', ')}`,
    });
  }
  return scheme.open(locator, options);
}
