/**
 * Schemes from npm: `NAME://` that nobody knows is looked for in a package `vde-plug-NAME`, whose default export is a
 * `Scheme`. libvdeplug finds its `libvdeplug_NAME.so` in the same way (reference: VNL syntax, section 3).
 *
 * Packages are looked for in `node_modules` of the working directory and those above it, beside this package, and where
 * `npm install --global` puts them; with `$VDE_PLUG_PATH` set, in its directories alone, separated by colons.
 *
 * A package that is found is run with all the rights of this process. One that was found by way of the working directory
 * must therefore be the user's own or root's: a mistyped scheme in /tmp shall not run what others have put there.
 */

import { readFileSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { VdeError } from '../sys/errors.js';
import type { Scheme } from './scheme.js';

/** Names that a package can have. */
const NAME = /^[a-z0-9_]{1,64}$/;
/** Longest package.json that is read, in bytes. */
const DESCRIPTION_MAX = 1 << 20;
/** Conditions of a package's `exports` that hold here. */
const CONDITIONS = new Set(['node', 'import', 'default', 'module-sync']);

/** Where to look, and what others may have written there. */
interface Place {
  dir: string;
  trusted: boolean;
}

/** The `node_modules` of a directory and of those above it, nearest first. */
function modulesAbove(from: string): string[] {
  const found: string[] = [];
  for (let dir = from; ; dir = dirname(dir)) {
    found.push(join(dir, 'node_modules'));
    if (dir === dirname(dir)) return found;
  }
}

function places(env: NodeJS.ProcessEnv, cwd: string): Place[] {
  const trusted = (dir: string): Place => ({ dir, trusted: true });
  if (env.VDE_PLUG_PATH !== undefined) {
    const dirs = env.VDE_PLUG_PATH.split(delimiter).filter((dir) => dir !== '');
    return dirs.map((dir) => trusted(resolve(cwd, dir)));
  }
  return [
    ...modulesAbove(cwd).map((dir) => ({ dir, trusted: false })),
    ...modulesAbove(dirname(fileURLToPath(import.meta.url))).map(trusted),
    trusted(join(dirname(process.execPath), '../lib/node_modules')),
  ];
}

/** What of a package's `exports` stands for the package itself; undefined if nothing does. */
function mainTarget(exports: unknown): string | undefined {
  if (typeof exports === 'string') return exports;
  if (Array.isArray(exports)) return exports.map(mainTarget).find((target) => target !== undefined);
  if (typeof exports !== 'object' || exports === null) return undefined;
  const entries = Object.entries(exports);
  if (entries.some(([key]) => key.startsWith('.'))) return mainTarget((exports as Record<string, unknown>)['.']);
  return entries
    .filter(([key]) => CONDITIONS.has(key))
    .map(([, target]) => mainTarget(target))
    .find((target) => target !== undefined);
}

/** The file that importing the package in `dir` runs. */
function entryFile(dir: string): string {
  const file = join(dir, 'package.json');
  if (statSync(file).size > DESCRIPTION_MAX) throw new Error('its package.json is too long');
  const { exports, main } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  const target = exports === undefined ? (typeof main === 'string' ? main : '.') : mainTarget(exports);
  if (target === undefined || isAbsolute(target)) throw new Error('its package.json names no file to import');
  const path = join(dir, target);
  // An export is a file's exact name; `main` may leave out the end of it.
  return exports === undefined ? createRequire(file).resolve(path) : path;
}

/** Whether only root and the user can have made a file or directory what it is. */
function isOwn(path: string): boolean {
  const { uid, mode } = statSync(path);
  return (uid === 0 || uid === process.geteuid?.()) && (mode & 0o002) === 0;
}

/** What is wrong with a default export as the scheme `name`; undefined if nothing is. */
function faultOf(value: unknown, name: string): string | undefined {
  if (typeof value !== 'object' || value === null) return 'its default export is no scheme';
  const scheme = value as Record<keyof Scheme, unknown>;
  if (scheme.name !== name) return `its scheme is called ${JSON.stringify(scheme.name)}, not "${name}"`;
  if (typeof scheme.open !== 'function') return 'its scheme has no function "open"';
  for (const key of ['syntax', 'doc'] as const) {
    if (typeof scheme[key] !== 'string') return `its scheme has no text "${key}"`;
  }
  if (!['undefined', 'number', 'string'].includes(typeof scheme.maxFrame)) return 'its scheme has an odd "maxFrame"';
  const params = Array.isArray(scheme.params) ? (scheme.params as unknown[]) : undefined;
  const named = (one: unknown): boolean => typeof (one as { name?: unknown } | null)?.name === 'string';
  return params?.every(named) ? undefined : 'its scheme has no table "params"';
}

/** Looks for the package of a scheme. */
export interface DiscoveryOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

/**
 * The scheme of the package `vde-plug-NAME`; undefined if there is no such package.
 * @throws VdeError `EACCES` if it may be another user's, `ELIBBAD` if it cannot be imported or exports no such scheme.
 */
export async function discoverScheme(name: string, options: DiscoveryOptions = {}): Promise<Scheme | undefined> {
  if (!NAME.test(name)) return undefined;
  const { env = process.env, cwd = process.cwd() } = options;
  for (const { dir, trusted } of places(env, cwd)) {
    const path = join(dir, `vde-plug-${name}`);
    if (statSync(join(path, 'package.json'), { throwIfNoEntry: false }) === undefined) continue;
    return load(realpathSync(path), name, trusted);
  }
  return undefined;
}

async function load(dir: string, name: string, trusted: boolean): Promise<Scheme> {
  const subject = `${name}://`;
  const broken = (cause: string): VdeError =>
    new VdeError({ code: 'ELIBBAD', subject, cause: `the package ${dir} cannot be used: ${cause}` });
  let scheme: unknown;
  try {
    const file = realpathSync(entryFile(dir));
    if (!trusted && !(isOwn(dir) && isOwn(file))) {
      throw new VdeError({
        code: 'EACCES',
        subject,
        cause: `the package ${dir} belongs to another user, or others may write to it`,
        remedy: 'if you trust it, name the directory that it is in with VDE_PLUG_PATH',
      });
    }
    const module = (await import(pathToFileURL(file).href)) as { default?: { default?: unknown } };
    // What TypeScript compiles to CommonJS has its default export one level further down.
    scheme = module.default?.default ?? module.default;
  } catch (error) {
    if (error instanceof VdeError) throw error;
    throw broken(String((error as Error)?.message ?? error).split('\n')[0]);
  }
  const fault = faultOf(scheme, name);
  if (fault !== undefined) throw broken(fault);
  return scheme as Scheme;
}
