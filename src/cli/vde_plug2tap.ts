/** `vde_plug2tap`: a cable between a switch and a tap interface (reference: vde_plug2tap). */

import { runPlugTool } from './plug-tool.js';

/** The launcher's entry point. */
export function main(): void {
  runPlugTool({
    name: 'vde_plug2tap',
    operand: 'TAP',
    text: 'Joins a switch to a tap interface of the kernel.',
    locator: (name) => `tap://${name}`,
    streams: true,
  });
}
