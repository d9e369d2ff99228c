/**
 * From the name that `plugin/add` is given to the plugin. The plugins of the C tools are built in, under the names and
 * paths that scripts know them by. Others are ES modules (`plugin-host.ts`): those in `~/.vde2/plugins` by name, any by
 * its path; since that runs code as the switch's user, only for who could do so without the switch.
 */

import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { SwitchService } from '../switch/service.js';
import { requireOwner } from './caller.js';
import { consoleError } from './command-table.js';
import { dumpPlugin } from './plugin-dump.js';
import { type PluginDefinition, startPlugin } from './plugin-host.js';
import { iplogPlugin } from './plugin-iplog.js';
import { pdumpPlugin } from './plugin-pdump.js';
import type { PluginLoader } from './plugins.js';

const BUILT_IN = new Map([dumpPlugin, pdumpPlugin, iplogPlugin].map((plugin) => [plugin.name, plugin]));
const MODULE = /\.(mjs|cjs|js)$/;
const NAME = /^\w[\w-]*$/;

const requireModule = createRequire(import.meta.url);
/** When the file of each module that has been loaded was changed last. */
const loaded = new Map<string, number>();

/** See `PluginLoader`. */
export const loadPlugin: PluginLoader = (name, owner) => {
  const [, known] = /^(?:lib)?(\w+?)(?:\.so)?$/.exec(basename(name)) ?? [];
  const builtIn = BUILT_IN.get(known);
  if (builtIn !== undefined) return startPlugin(builtIn, owner);
  const own = NAME.test(name) ? ['.mjs', '.js', '.cjs'].map((end) => join(homedir(), '.vde2/plugins', name + end)) : [];
  const path = own.find((one) => existsSync(one)) ?? resolve(name);
  if (!own.includes(path)) {
    if (!name.includes('/')) throw consoleError('ENOENT');
    requireOwner(owner.caller);
  }
  return startPlugin(readModule(path, owner.service), owner);
};

/** @throws VdeError ENOENT there is no such file, EINVAL it is no plugin; the log says why. */
function readModule(path: string, service: SwitchService): PluginDefinition {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw consoleError('ENOENT');
  const refuse = (why: string) => {
    service.log(`plugin ${path}: ${why}`);
    return consoleError('EINVAL');
  };
  if (!stat.isFile() || !MODULE.test(path)) throw refuse('a plugin is an ES module, a .js, .mjs or .cjs file');
  let module: Record<string, unknown>;
  try {
    module = requireModule(path);
  } catch (error) {
    throw refuse(explain(error as NodeJS.ErrnoException));
  }
  if ((loaded.get(path) ?? stat.mtimeMs) !== stat.mtimeMs) {
    service.log(
      `plugin ${path}: changed since it was first loaded, still as it was then (restart the switch to renew it)`,
    );
  } else loaded.set(path, stat.mtimeMs);
  const definition = module.default ?? module;
  if (!isDefinition(definition)) {
    throw refuse('its default export must be { name, help, start(host) }, name of letters, digits, - and _');
  }
  return definition;
}

function isDefinition(value: unknown): value is PluginDefinition {
  if (typeof value !== 'object' || value === null) return false;
  const { name, help, start } = value as Partial<PluginDefinition>;
  return typeof name === 'string' && NAME.test(name) && typeof help === 'string' && typeof start === 'function';
}

function explain({ code, name, message }: NodeJS.ErrnoException): string {
  if (code === 'ERR_REQUIRE_ESM') return 'ES modules need Node 20.19 or newer here (or write it as CommonJS)';
  if (code === 'ERR_REQUIRE_ASYNC_MODULE') return 'it awaits at its top level, which a plugin cannot';
  return `${name}: ${message.split('\n')[0]}`;
}
