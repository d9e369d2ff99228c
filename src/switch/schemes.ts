/** The locator schemes of this room: `switch://`, `hub://`, `multi://` and `bonding://`. */

import { registerLoaders } from '../plug/registry.js';
import type { NodeKind, OpenNodeConsole } from './netnode.js';

/** Makes the schemes known to `openPlug`. Idempotent. */
export function registerSwitchSchemes(openConsole: OpenNodeConsole): void {
  const load = (kind: NodeKind) => async () => (await import('./netnode.js')).nodeScheme(kind, openConsole);
  registerLoaders({ switch: load('switch'), hub: load('hub'), multi: load('multi'), bonding: load('bonding') });
}
