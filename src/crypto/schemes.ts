/** The locator schemes of this room: `agno://`. */

import { registerLoaders } from '../plug/registry.js';

/** Makes the schemes known to `openPlug`. Idempotent. */
export function registerCryptoSchemes(): void {
  registerLoaders({ agno: async () => (await import('./agno.js')).agnoScheme });
}
