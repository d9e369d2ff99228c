/** The locator schemes of this room: `switch://` and `hub://`. */

import { listSchemes, registerScheme } from '../plug/registry.js';
import { hubScheme, switchScheme } from './netnode.js';

/** Makes the schemes known to `openPlug`. Idempotent. */
export function registerSwitchSchemes(): void {
  const known = new Set(listSchemes().map(({ name }) => name));
  for (const scheme of [switchScheme, hubScheme]) if (!known.has(scheme.name)) registerScheme(scheme);
}
