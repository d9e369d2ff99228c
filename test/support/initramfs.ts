/**
 * An initial RAM file system for guests: busybox, kernel modules and an init script, as a cpio archive in the "newc"
 * format (Linux Documentation/driver-api/early-userspace/buffer-format.rst).
 */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface Entry {
  /** Without a leading slash. */
  path: string;
  /** File type and permissions as in `stat`. */
  mode: number;
  data?: Uint8Array;
  /** Device numbers of a device node. */
  device?: [major: number, minor: number];
}

/** A cpio archive of the "newc" format. */
export function cpio(entries: Entry[]): Buffer {
  const trailer: Entry = { path: 'TRAILER!!!', mode: 0 };
  return Buffer.concat([...entries, trailer].flatMap((entry, index) => member(entry, index + 1)));
}

function member({ path, mode, data = new Uint8Array(), device = [0, 0] }: Entry, inode: number): Uint8Array[] {
  const name = Buffer.from(`${path}\0`);
  // inode, mode, uid, gid, links, mtime, size, device of the file (2), device number (2), length of the name, check
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, padding(header.length + name.length), data, padding(data.length)];
}

function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3);
}

/** Loaded in every guest; what they depend on comes along. */
const ALWAYS = ['virtio_pci', 'virtio_net'];

/**
 * The initramfs of a guest: `init` is its first process, a busybox shell script; `modules` are kernel modules by name
 * (`8021q`, `bonding`), put into /modules in the order in which to load them, numbered from 000.
 */
export function initramfs(busybox: string, moduleDir: string, modules: string[], init: string): Buffer {
  const dirs = ['bin', 'dev', 'proc', 'sys', 'tmp', 'run', 'modules'];
  return cpio([
    ...dirs.map((path) => ({ path, mode: 0o040755 })),
    { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    { path: 'bin/busybox', mode: 0o100755, data: readFileSync(busybox) },
    { path: 'init', mode: 0o100755, data: Buffer.from(init) },
    ...inOrder(busybox, moduleDir, [...ALWAYS, ...modules]).map(({ name, data }, index) => ({
      path: `modules/${String(index).padStart(3, '0')}-${name}.ko`,
      mode: 0o100644,
      data,
    })),
  ]);
}

interface Module {
  name: string;
  data: Buffer;
}

/** Kernel modules with all that they depend on, dependencies first. */
function inOrder(busybox: string, moduleDir: string, names: string[]): Module[] {
  const files = new Map<string, string>();
  for (const path of readdirSync(moduleDir, { recursive: true, encoding: 'utf8' })) {
    const name = basename(path).match(/^(.+)\.ko(\.xz|\.gz)?$/)?.[1];
    if (name) files.set(plain(name), join(moduleDir, path));
  }
  const builtin = new Set(
    readFileSync(join(moduleDir, 'modules.builtin'), 'utf8')
      .split('\n')
      .map((path) => plain(basename(path, '.ko'))),
  );
  const ordered = new Map<string, Module>();
  const add = (name: string): void => {
    if (ordered.has(name) || builtin.has(name)) return;
    const path = files.get(name);
    if (!path) throw new Error(`the guest's kernel has no module ${name}`);
    const data = contents(busybox, path);
    for (const dependency of dependencies(data)) add(plain(dependency));
    ordered.set(name, { name, data });
  };
  for (const name of names) add(plain(name));
  return [...ordered.values()];
}

/** The kernel takes `-` and `_` in module names for the same. */
function plain(name: string): string {
  return name.replaceAll('-', '_');
}

function contents(busybox: string, path: string): Buffer {
  const tool = path.endsWith('.xz') ? 'xz' : path.endsWith('.gz') ? 'gzip' : undefined;
  if (!tool) return readFileSync(path);
  const { status, stdout, stderr } = spawnSync(busybox, [tool, '-dc', path], { maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`${path}: ${stderr}`);
  return stdout;
}

/** The `depends=` entry of a module's .modinfo section. */
function dependencies(module: Buffer): string[] {
  const key = Buffer.from('\0depends=');
  const at = module.indexOf(key);
  if (at < 0) return [];
  const from = at + key.length;
  const list = module.toString('latin1', from, module.indexOf(0, from));
  return list === '' ? [] : list.split(',');
}
