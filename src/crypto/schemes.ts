/** The locator schemes of this room: `agno://`. */

import { listSchemes, registerScheme } from '../plug/registry.js';
import { agnoScheme } from './agno.js';

/** Makes the schemes known to `openPlug`. Idempotent. */
export function registerCryptoSchemes(): void {
  if (!listSchemes().some(({ name }) => name === agnoScheme.name)) registerScheme(agnoScheme);
}
