/** The locator schemes that run a switch, with consoles for those who ask for one. */

import { registerSwitchSchemes } from '../switch/schemes.js';

/** Makes `switch://`, `hub://`, `multi://` and `bonding://` known to `openPlug`. Idempotent. */
export function registerNodeSchemes(): void {
  registerSwitchSchemes(async (service, options) =>
    (await import('./node-console.js')).openNodeConsole(service, options),
  );
}
