/** The console of a switch: its commands, in the order in which `help` lists them and lines are matched. */

import { formatMac } from '../frame/mac.js';
import { type ConsoleCommand, helpCommand, MENU } from './command-table.js';
import { configurationCommand } from './configuration.js';
import { debugCommands } from './debug-commands.js';
import { fstpCommands } from './fstp-commands.js';
import { hashCommands } from './hash-commands.js';
import { mirrorCommands } from './mirror-commands.js';
import { loadPlugin } from './plugin-loader.js';
import { type PluginLoader, PluginRegistry, pluginCommands } from './plugins.js';
import { portCommands } from './port-commands.js';
import { portGroupCommands } from './port-group-commands.js';
import { portModeCommands } from './port-mode-commands.js';
import { rstpCommands } from './rstp-commands.js';
import { loadCommand } from './script.js';
import type { ConsoleTarget } from './target.js';
import { vlanCommands } from './vlan-commands.js';

export type { ConsoleTarget } from './target.js';

/** Lines that a console greets with. */
export function banner(version: string): string[] {
  return [`VDE switch V.${version}`, '(C) the vde authors - MIT licence'];
}

/** The commands of a switch, and its plugins, whose commands come behind those. */
export interface SwitchConsole {
  table: () => readonly ConsoleCommand[];
  plugins: PluginRegistry;
}

export function switchConsole(target: ConsoleTarget, loader: PluginLoader = loadPlugin): SwitchConsole {
  const plugins = new PluginRegistry(target.service, loader);
  const { switch: forwarding } = target.service;
  const own: ConsoleCommand[] = [];
  let all: readonly ConsoleCommand[] = [];
  let plugged = -1;
  /** The own commands, and the plugins' if those have changed. */
  const table = () => {
    if (plugged !== plugins.changes) {
      plugged = plugins.changes;
      all = [...own, ...plugins.plugins.flatMap(({ commands }) => commands)];
    }
    return all;
  };
  own.push(
    ...generalCommands(target, table),
    ...debugCommands(forwarding.debug),
    ...pluginCommands(plugins),
    ...hashCommands(target),
    ...fstpCommands(forwarding),
    ...portCommands(forwarding),
    ...portModeCommands(forwarding),
    ...vlanCommands(forwarding),
    ...rstpCommands(forwarding),
    ...mirrorCommands(target.service),
    ...portGroupCommands(target.service),
  );
  return { table, plugins };
}

function generalCommands(target: ConsoleTarget, table: () => readonly ConsoleCommand[]): ConsoleCommand[] {
  const { service } = target;
  return [
    { name: 'ds', syntax: MENU, help: 'DATA SOCKET MENU' },
    {
      name: 'ds/showinfo',
      syntax: '',
      help: 'show ds info',
      data: true,
      run: (_, out) => {
        out.push(`ctl dir ${service.directory}`, `std mode ${octal(service.mode)}`);
      },
    },
    helpCommand(table),
    { name: 'logout', syntax: '', help: 'logout from this mgmt terminal', ends: true, run: () => {} },
    { name: 'shutdown', syntax: '', help: 'shutdown of the switch', ends: true, run: () => target.shutdown() },
    {
      name: 'showinfo',
      syntax: '',
      help: 'show switch version and info',
      data: true,
      run: (_, out) => {
        const { version, mac, management } = target;
        out.push(...banner(version), '', `pid ${process.pid} MAC ${formatMac(mac)} uptime ${service.switch.uptime}`);
        if (management) out.push(`mgmt ${management.path} perm ${octal(management.mode)}`);
      },
    },
    configurationCommand(target),
    loadCommand(table),
  ];
}

function octal(mode: number): string {
  return `0${mode.toString(8).padStart(3, '0')}`;
}
