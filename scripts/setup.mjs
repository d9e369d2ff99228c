/**
 * Makes a fresh clone ready to run: installs the packages of package-lock.json and compiles src/ into dist/.
 *
 * Needs Node and npm alone, and neither root nor a compiler. Does nothing, and says nothing, when all is up to date: two
 * stamps hold hashes of what node_modules/ and dist/ were made from. Of several at once, one works and the others wait.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

const LOCK = join(root, 'package-lock.json');
const MODULES = join(root, 'node_modules');
const MODULES_STAMP = join(MODULES, '.vde-setup');
const DIST = join(root, 'dist');
const DIST_STAMP = join(DIST, '.vde-setup');

/** Prints a progress line. */
export function say(line) {
  process.stderr.write(`vde: ${line}\n`);
}

/** Brings node_modules/ and dist/ up to date. Throws an Error if that fails; npm and tsc have then said why. */
export function setup() {
  if (modulesAreFresh() && distIsFresh()) return;
  locked(() => {
    if (!modulesAreFresh()) install();
    if (!distIsFresh()) build();
  });
}

/** node_modules/ comes from this lock file: by our stamp, or because npm itself wrote it later than the lock file. */
function modulesAreFresh() {
  const written = changed(join(MODULES, '.package-lock.json'));
  if (written === 0) return false;
  const wanted = hash([LOCK]);
  if (read(MODULES_STAMP) === wanted && changed(MODULES_STAMP) >= written) return true;
  if (written < changed(LOCK)) return false;
  stamp(MODULES_STAMP, wanted);
  return true;
}

const NPM_OPTIONS = ['--ignore-scripts', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];

function install() {
  say('installing packages (npm ci)');
  must('npm', ['ci', ...NPM_OPTIONS]);
  stamp(MODULES_STAMP, hash([LOCK]));
}

/** What dist/ depends on: the sources, the compiler's settings and its version. */
function distHash() {
  return hash([
    ...files(join(root, 'src')),
    ...['tsconfig.json', 'tsconfig.build.json'].map((f) => join(root, f)),
    LOCK,
  ]);
}

function distIsFresh() {
  return read(DIST_STAMP) === distHash();
}

function build() {
  const wanted = distHash();
  say('compiling src/ into dist/ (tsc)');
  // Without a stamp nobody knows whether the compiler's own notes still fit what is in dist/.
  if (!existsSync(DIST_STAMP)) rmSync(join(DIST, '.tsbuildinfo'), { force: true });
  rmSync(DIST_STAMP, { force: true });
  must(process.execPath, [join(MODULES, 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json']);
  removeStale();
  stamp(DIST_STAMP, wanted);
}

/** Removes what was compiled from sources that are gone. The dashboard's page is not compiled by tsc. */
function removeStale() {
  for (const file of files(DIST)) {
    const name = file.slice(DIST.length + 1).match(/^(.+?)(\.d\.ts|\.js)(\.map)?$/)?.[1];
    if (!name || name.startsWith('web/page/')) continue;
    if (!['.ts', '.tsx', '.js'].some((ext) => existsSync(join(root, 'src', name + ext)))) rmSync(file);
  }
}

/** Runs a command with its output on standard error. */
function must(command, args) {
  // `npm install --global .` runs us too: what it was told about its own place is not meant for the clone.
  const { npm_config_global, npm_config_prefix, npm_config_local_prefix, ...env } = process.env;
  const { status, signal, error } = spawnSync(command, args, { cwd: root, env, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? signal ?? `exit ${status}`}`);
}

function files(dir) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)]))
    .sort();
}

function hash(paths) {
  const sum = createHash('sha256');
  for (const path of paths)
    sum.update(`${path.slice(root.length)}\0${createHash('sha256').update(readFileSync(path)).digest('hex')}\n`);
  return sum.digest('hex');
}

/** What a file says; undefined if there is none: a lock may go at any moment. */
function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return undefined;
  }
}

/** Time of the last change in ms, 0 for what is not there. */
function changed(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** A tree that we cannot write, but that is up to date, needs no stamp. */
function stamp(path, value) {
  try {
    writeFileSync(path, value);
  } catch (error) {
    if (!['EACCES', 'EROFS'].includes(error.code)) throw error;
  }
}

/** Runs `work` while no other process of this user does the same to this tree. */
function locked(work) {
  const id = createHash('sha256').update(realpathSync(root)).digest('hex').slice(0, 12);
  const lock = join(tmpdir(), `vde-setup-${process.getuid()}-${id}.lock`);
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (isStale(lock)) rmSync(lock, { force: true });
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  }
  try {
    work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** A lock whose owner has ended; an empty one is just being written, unless it is old. */
function isStale(lock) {
  const owner = read(lock);
  if (owner === undefined) return false;
  if (owner === '') return Date.now() - changed(lock) > 5000;
  return !existsSync(`/proc/${owner}`);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    setup();
  } catch (error) {
    say(error.message);
    process.exitCode = 1;
  }
}
