/**
 * What a test needs from the machine: programs, root, /dev/net/tun, user namespaces, vdeplug plugins.
 *
 * For somebody who runs the tests at home a missing peer skips the test by name. Continuous integration sets
 * VDE_REQUIRE_PEERS=1: there a missing peer is a failure. VDE_AS_USER=1 marks the pass as an ordinary user, the only
 * one in which tests that need root may be skipped.
 *
 *     if (!requirePeer(t, 'vde_switch', 'dpipe')) return;
 */

import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readdirSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The part of a `TestContext` used here. */
export interface Skippable {
  readonly name: string;
  skip(message?: string): void;
}

/** Debian keeps some peers (`vde_tunctl`, `ip`, `tc`) where an ordinary user's PATH does not look. */
const ALSO = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** The absolute path of a command, or undefined if the machine does not have it. */
export function which(command: string): string | undefined {
  const places = command.includes('/') ? [''] : [...(process.env.PATH ?? '').split(delimiter), ...ALSO];
  return places.map((place) => (place === '' ? command : join(place, command))).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** True if every command (a name, or an absolute path) is there; otherwise the test is skipped, or fails in CI. */
export function requirePeer(t: Skippable, ...commands: string[]): boolean {
  const missing = commands.filter((command) => which(command) === undefined);
  return need(t, missing.length === 0, missing.join(', '));
}

/** True if libvdeplug has the plugin, e.g. `agno`, `slirp`, `vdesl`. */
export function requireVdeplug(t: Skippable, plugin: string): boolean {
  const found = readdirSync('/usr/lib', { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .some((entry) => exists(join('/usr/lib', entry.name, 'vdeplug', `libvdeplug_${plugin}.so`)));
  return need(t, found, `libvdeplug_${plugin}.so`);
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** True for root. Skips by name for a user, and in the user's pass of CI. */
export function requireRoot(t: Skippable): boolean {
  if (process.geteuid?.() === 0) return true;
  if (process.env.VDE_AS_USER === '1') {
    t.skip('needs root');
    return false;
  }
  return need(t, false, 'root');
}

/** True if /dev/net/tun can be opened, so that taps can be made in a namespace of one's own. */
export function requireTun(t: Skippable): boolean {
  let reason = '';
  try {
    closeSync(openSync('/dev/net/tun', constants.O_RDWR));
  } catch (error) {
    reason = (error as Error).message;
  }
  return need(t, reason === '', `/dev/net/tun (${reason})`);
}

let userNamespaces: string | undefined;

/** True if this user may make user namespaces. */
export function requireUserNamespaces(t: Skippable): boolean {
  if (userNamespaces === undefined) {
    const { status, stderr, error } = spawnSync('unshare', ['--user', '--map-root-user', 'true'], { encoding: 'utf8' });
    userNamespaces = status === 0 ? '' : (error?.message ?? stderr).trim();
  }
  return need(t, userNamespaces === '', `user namespaces (${userNamespaces})`);
}

/** Says that `what` is needed: true if it is `there`, else a skip by name, or an error where nothing may be missing. */
export function need(t: Skippable, there: boolean, what: string): boolean {
  if (there) return true;
  if (process.env.VDE_REQUIRE_PEERS === '1') throw new Error(`"${t.name}" needs ${what}, which this machine lacks`);
  t.skip(`needs ${what}`);
  return false;
}
