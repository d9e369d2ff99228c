/** The locator schemes of this room: `switch://`, `hub://`, `multi://` and `bonding://`. */

import { registerLoaders } from '../plug/registry.js';

/** Makes the schemes known to `openPlug`. Idempotent. */
export function registerSwitchSchemes(): void {
  const load = (name: 'switch' | 'hub' | 'multi' | 'bonding') => async () =>
    (await import('./netnode.js')).nodeSchemes[name];
  registerLoaders({ switch: load('switch'), hub: load('hub'), multi: load('multi'), bonding: load('bonding') });
}
