/**
 * The `plugin` menu, and what a plugin of a switch is: commands of its own, behind those of the switch in the table, and
 * whatever it watches (reference: management console, "plugin"). How a name becomes a plugin is the loader's matter.
 */

import type { SwitchService } from '../switch/service.js';
import { type Caller, type ConsoleCommand, consoleError, MENU } from './command-table.js';

/** A plugin at work in a switch. */
export interface SwitchPlugin {
  /** What `plugin/list` shows and `plugin/del` asks for. */
  readonly name: string;
  readonly help: string;
  readonly commands: readonly ConsoleCommand[];
  /** Gives back everything. Idempotent. */
  close(): void;
}

/** Whom a plugin is started for. */
export interface PluginOwner {
  service: SwitchService;
  /** Who asked for it. */
  caller: Caller;
  /** Takes the plugin away, because it failed while it was at work. */
  unload(): void;
}

/**
 * Starts the plugin that is known by a name.
 * @throws VdeError ENOENT there is none of that name, EINVAL it is no plugin, EACCES it is not for the caller to load.
 */
export type PluginLoader = (name: string, owner: PluginOwner) => SwitchPlugin;

/** The plugins of one switch, in the order in which they were loaded. */
export class PluginRegistry {
  readonly #plugins: SwitchPlugin[] = [];
  /** How often a plugin has come or gone. */
  changes = 0;

  constructor(
    private readonly service: SwitchService,
    private readonly load: PluginLoader,
  ) {}

  get plugins(): readonly SwitchPlugin[] {
    return this.#plugins;
  }

  /** @throws VdeError EEXIST if a plugin of that name is at work; as the loader. */
  add(name: string, caller: Caller): void {
    const unload = (): void => {
      const at = this.#plugins.indexOf(plugin);
      if (at >= 0) this.#removeAt(at);
    };
    const plugin = this.load(name, { service: this.service, caller, unload });
    if (this.#plugins.some((other) => other.name === plugin.name)) {
      plugin.close();
      throw consoleError('EEXIST');
    }
    this.#plugins.push(plugin);
    this.changes++;
  }

  /**
   * Removes the first plugin whose name begins so.
   * @throws VdeError ENOENT if there is none.
   */
  remove(prefix: string): void {
    const at = this.#plugins.findIndex(({ name }) => name.startsWith(prefix));
    if (at < 0) throw consoleError('ENOENT');
    this.#removeAt(at);
  }

  #removeAt(at: number): void {
    const [plugin] = this.#plugins.splice(at, 1);
    this.changes++;
    plugin.close();
  }

  close(): void {
    for (const plugin of this.#plugins.splice(0)) plugin.close();
    this.changes++;
  }
}

export function pluginCommands(registry: PluginRegistry): ConsoleCommand[] {
  return [
    { name: 'plugin', syntax: MENU, help: 'PLUGINS MENU' },
    {
      name: 'plugin/list',
      syntax: '',
      help: 'list plugins',
      data: true,
      run(prefix, out) {
        const row = (name: string, help: string) => out.push(`${name.padEnd(22)} ${help}`);
        row('NAME', 'HELP');
        row('------------', '----');
        const found = registry.plugins.filter(({ name }) => name.startsWith(prefix));
        for (const { name, help } of found) row(name, help);
        if (found.length === 0) throw consoleError('ENOENT');
      },
    },
    {
      name: 'plugin/add',
      syntax: 'library',
      help: 'load a plugin',
      run(name, _, caller) {
        if (name === '') throw consoleError('EINVAL');
        registry.add(name, caller);
      },
    },
    { name: 'plugin/del', syntax: 'name', help: 'unload a plugin', run: (prefix) => registry.remove(prefix) },
  ];
}
