/** `vde_plug2tap`: a cable between a switch and a tap interface (reference: vde_plug2tap). */

import { type PlugTool, runPlugTool } from './plug-tool.js';

export const tool: PlugTool = {
  name: 'vde_plug2tap',
  operand: 'TAP',
  text: 'Joins a switch to a tap interface of the kernel.',
  locator: (name) => `tap://${name}`,
  streams: true,
};

/** The launcher's entry point. */
export function main(): void {
  runPlugTool(tool);
}
