/** `vde_pcapplug`: a cable between a switch and an interface, by packet capture (reference: vde_pcapplug). */

import { type PlugTool, runPlugTool } from './plug-tool.js';

export const tool: PlugTool = {
  name: 'vde_pcapplug',
  operand: 'INTERFACE',
  text: 'Joins a switch to an interface of the kernel by packet capture.',
  locator: (name) => `pcap://${name}`,
  streams: false,
};

/** The launcher's entry point. */
export function main(): void {
  runPlugTool(tool);
}
