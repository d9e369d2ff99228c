/** The locator schemes of this room: `switch://`, `hub://`, `multi://` and `bonding://`. */

import { listSchemes, registerScheme } from '../plug/registry.js';
import { nodeSchemes } from './netnode.js';

/** Makes the schemes known to `openPlug`. Idempotent. */
export function registerSwitchSchemes(): void {
  const known = new Set(listSchemes().map(({ name }) => name));
  for (const scheme of nodeSchemes) if (!known.has(scheme.name)) registerScheme(scheme);
}
