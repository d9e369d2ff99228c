/**
 * Debian's cloud kernel for QEMU guests, unpacked into a cache folder and never installed.
 *
 * The folder is `vde-test` in $XDG_CACHE_HOME (~/.cache), or one in the temporary folder where that cannot be written;
 * in it, `RELEASE/vmlinuz` and `RELEASE/modules/`. Fetching needs apt and dpkg-deb, but not root.
 */

import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

const META_PACKAGE = 'linux-image-cloud-amd64';
const ARCHIVES = '/var/cache/apt/archives';

function cacheDirs() {
  const home = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'vde-test');
  return [home, join(tmpdir(), `vde-test-${process.getuid()}`)];
}

/** The first of the cache folders that we own and can write; made if need be. */
function writableCacheDir() {
  for (const dir of cacheDirs()) {
    try {
      mkdirSync(dir, { recursive: true });
      accessSync(dir, constants.W_OK);
      if (statSync(dir).uid === process.getuid()) return dir;
    } catch {
      // Not there and not to be made: try the next.
    }
  }
  throw new Error(`no cache folder can be written: ${cacheDirs().join(', ')}`);
}

/** The unpacked kernel, or undefined if there is none. */
export function guestKernel() {
  for (const cache of cacheDirs()) {
    const releases = existsSync(cache)
      ? readdirSync(cache).filter((name) => existsSync(join(cache, name, 'vmlinuz')))
      : [];
    const release = releases.sort().at(-1);
    if (release) {
      const dir = join(cache, release);
      return { release, dir, vmlinuz: join(dir, 'vmlinuz'), modules: join(dir, 'modules') };
    }
  }
  return undefined;
}

/** Fetches and unpacks the kernel if it is not there yet. Throws an Error that says what could not be done. */
export function fetchGuestKernel(log = () => {}) {
  const present = guestKernel();
  if (present) return present;
  const cache = writableCacheDir();
  const work = mkdtempSync(join(cache, 'unpack-'));
  try {
    const deb = archived() ?? download(work, log);
    log(`unpacking ${deb}`);
    must('dpkg-deb', ['-x', deb, join(work, 'tree')]);
    const boot = readdirSync(join(work, 'tree', 'boot')).find((name) => name.startsWith('vmlinuz-'));
    if (!boot) throw new Error(`${deb} holds no kernel`);
    const release = boot.slice('vmlinuz-'.length);
    const lib = ['lib', 'usr/lib'].map((place) => join(work, 'tree', place, 'modules', release)).find(existsSync);
    if (!lib) throw new Error(`${deb} holds no modules`);
    mkdirSync(join(work, 'out'));
    renameSync(lib, join(work, 'out', 'modules'));
    renameSync(join(work, 'tree', 'boot', boot), join(work, 'out', 'vmlinuz'));
    renameSync(join(work, 'out'), join(cache, release));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return guestKernel();
}

/** A kernel package that apt has downloaded before. */
function archived() {
  if (!existsSync(ARCHIVES)) return undefined;
  const name = readdirSync(ARCHIVES).find((file) => /^linux-image-\d.*-cloud-amd64_.*_amd64\.deb$/.test(file));
  return name && join(ARCHIVES, name);
}

function download(dir, log) {
  const depends = must('apt-cache', ['depends', META_PACKAGE]);
  const name = depends.match(/Depends: (linux-image-\d\S*-cloud-amd64)/)?.[1];
  if (!name) throw new Error(`apt knows no kernel package for ${META_PACKAGE}`);
  log(`downloading ${name}`);
  must('apt-get', ['download', '-q', name], { cwd: dir });
  const file = readdirSync(dir).find((entry) => entry.endsWith('.deb'));
  if (!file) throw new Error(`apt-get download ${name} left no package`);
  return join(dir, file);
}

function must(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: 300_000,
    ...options,
  });
  if (status !== 0) {
    const why = (error?.message ?? stderr).trim().split('\n').at(-1);
    throw new Error(`${command} ${args.join(' ')}: ${why}`);
  }
  return stdout;
}
