/**
 * What a plugin is written against, and what keeps the switch safe from it: whatever it registers goes when it is
 * unloaded, and if it throws while it is at work, it is unloaded with one line in the log, and traffic goes on.
 *
 *     export default {
 *       name: 'count',
 *       help: 'count what arrives',
 *       start(host) {
 *         let frames = 0;
 *         host.observe({ arrived: (port, burst, views, count) => { frames += count; } });
 *         const show = { name: 'count/show', syntax: '', help: 'show', data: true, run: (argument, out) => { out.push(`${frames}`); } };
 *         return { commands: [{ name: 'count', syntax: '============', help: 'COUNT MENU' }, show] };
 *       },
 *     };
 */

import { DebugCategory } from '../switch/debug.js';
import type { SwitchObserver } from '../switch/observer.js';
import type { Switch } from '../switch/switch.js';
import { VdeError } from '../sys/errors.js';
import { type ConsoleCommand, consoleError, type Lines } from './command-table.js';
import type { PluginOwner, SwitchPlugin } from './plugins.js';

/** The greatest tag of a debugging message: three octal digits. */
const TAG_MAX = 0o777;

/** What a plugin has to do with. */
export interface PluginHost {
  /** The switch, to look at. */
  readonly switch: Switch;
  /** Tells whoever runs the switch. */
  log(line: string): void;
  /**
   * Has what passes the ports shown. Views are good during the call only and must be left as they are.
   * @returns what ends it.
   */
  observe(observer: SwitchObserver): () => void;
  /**
   * Adds a category of debugging messages; `debug/list` shows it. Ask its `wanted` before building a message.
   * @param path begins with the plugin's name and a slash.
   * @param tag 0 to 511.
   */
  debugCategory(path: string, tag: number, help: string): DebugCategory;
}

/** What a plugin adds to the console, and how it is ended. */
export interface PluginParts {
  /** Named as the plugin, or with that and a slash before. */
  commands?: readonly ConsoleCommand[];
  /** Called once when it is unloaded. */
  close?(): void;
}

/** A plugin: what its module has for its default export. */
export interface PluginDefinition {
  /** Letters, digits, `-` and `_`. */
  name: string;
  help: string;
  start(host: PluginHost): PluginParts | undefined;
}

/** Starts a plugin. @throws VdeError EINVAL if it is none, or throws. */
export function startPlugin(definition: PluginDefinition, owner: PluginOwner): SwitchPlugin {
  const { service } = owner;
  const host = new Host(definition.name, owner);
  try {
    const parts = definition.start(host) ?? {};
    const commands = (parts.commands ?? []).map((command) => host.guarded(command));
    const close = (): void => {
      host.close();
      host.attempt(() => parts.close?.());
    };
    return { name: definition.name, help: definition.help, commands, close };
  } catch (error) {
    host.close();
    service.log(`plugin ${definition.name}: ${messageOf(error)}`);
    throw consoleError('EINVAL');
  }
}

class Host implements PluginHost {
  readonly #undo: (() => void)[] = [];
  #closed = false;

  constructor(
    private readonly name: string,
    private readonly owner: PluginOwner,
  ) {}

  get switch(): Switch {
    return this.owner.service.switch;
  }

  log(line: string): void {
    this.owner.service.log(`plugin ${this.name}: ${line}`);
  }

  observe(observer: SwitchObserver): () => void {
    const { arrived, leaving, portLeft } = observer;
    const guard =
      (call: NonNullable<SwitchObserver['arrived']>): NonNullable<SwitchObserver['arrived']> =>
      (port, burst, views, count) => {
        try {
          call.call(observer, port, burst, views, count);
        } catch (error) {
          this.#fail(error);
        }
      };
    const guarded: SwitchObserver = {
      arrived: arrived && guard(arrived),
      leaving: leaving && guard(leaving),
      portLeft: portLeft && ((port) => this.attempt(() => portLeft.call(observer, port))),
    };
    const { observers } = this.switch;
    const stop = (): void => observers.remove(guarded);
    observers.add(guarded);
    this.#undo.push(stop);
    return stop;
  }

  debugCategory(path: string, tag: number, help: string): DebugCategory {
    if (!path.startsWith(`${this.name}/`)) throw new Error(`the path of its category ${path} must begin ${this.name}/`);
    if (!(Number.isInteger(tag) && tag >= 0 && tag <= TAG_MAX))
      throw new Error(`tag ${tag} is not from 0 to ${TAG_MAX}`);
    const { debug } = this.switch;
    const category = new DebugCategory(path, tag, help);
    debug.list.push(category);
    this.#undo.push(() => debug.remove(category));
    return category;
  }

  /** A command whose mistakes end in a result code. */
  guarded(command: ConsoleCommand): ConsoleCommand {
    const { name, run } = command;
    if (typeof name !== 'string' || (name !== this.name && !name.startsWith(`${this.name}/`))) {
      throw new Error(`its command "${name}" must begin with ${this.name}/`);
    }
    if (run === undefined) return command;
    const failed = (error: unknown): VdeError => {
      if (error instanceof VdeError) return error;
      this.log(`${name}: ${messageOf(error)}`);
      return consoleError('EIO');
    };
    function* all(lines: Lines): Generator<string | undefined> {
      try {
        yield* lines;
      } catch (error) {
        throw failed(error);
      }
    }
    return {
      ...command,
      run: (argument, out, caller) => {
        try {
          const lines = run.call(command, argument, out, caller);
          return lines === undefined ? undefined : all(lines);
        } catch (error) {
          throw failed(error);
        }
      },
    };
  }

  /** Does something of the plugin's; an error of it is logged. */
  attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (this.#closed) this.log(messageOf(error));
      else this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.log(`${messageOf(error)}: it is unloaded, traffic goes on`);
    this.owner.unload();
    this.close();
  }

  /** Takes back what the plugin has registered. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const step of this.#undo.splice(0)) step();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name === 'Error' ? '' : `${error.name}: `}${error.message}` : String(error);
}
