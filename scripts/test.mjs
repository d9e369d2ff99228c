/**
 * The tests: `npm test -- [--ci] [options of node --test] [files]`.
 *
 * Sets the tree up and gets the peers first; a peer that cannot be had skips tests by name. With --ci it fails instead,
 * and types, lint, floors, the README's examples and (for root) everything as an ordinary user are checked as well.
 * The tests of the invoking user come last, so that the output ends with their summary. Whatever is left running after
 * the tests is ended, and counts as a failure.
 */

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { ordinaryUser } from './ordinary-user.mjs';
import { preparePeers } from './peers.mjs';
import { endMarked, mark } from './processes.mjs';
import { root, say, setup } from './setup.mjs';

/** Test files at a time: they start switches, namespaces and guests of their own. */
const CONCURRENCY = 2;
/** Milliseconds for a test; up to Node 20 for all of a test file. */
const TIMEOUT = 180_000;

const args = process.argv.slice(2);
const ci = args.includes('--ci');
const isRoot = process.getuid() === 0;
const options = args.filter((arg) => arg.startsWith('-') && arg !== '--ci');
const named = args.filter((arg) => !arg.startsWith('-')).map((file) => relative(root, resolve(file)));

const failures = [];
const current = new Set();
let stopped;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    stopped = signal;
    for (const child of current) child.kill(signal);
  });
}

/** Runs a command with our terminal; whatever it leaves running is ended and is a failure. */
async function step(name, [command, ...rest], { cwd = root, env = {} } = {}) {
  if (stopped) return;
  const own = mark();
  const child = spawn(command, rest, { cwd, stdio: 'inherit', env: { ...process.env, ...env, ...own } });
  current.add(child);
  const status = await new Promise((done) => {
    child.on('error', (error) => done(error.message));
    child.on('exit', (code, signal) => done(signal ?? code));
  });
  current.delete(child);
  const left = await endMarked(own);
  for (const process of left) say(`left running by ${name}: ${process.pid} ${process.command}`);
  if (status !== 0 || left.length > 0) failures.push(name);
}

function testFiles(dir = join(root, 'test')) {
  return readdirSync(dir, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? testFiles(join(dir, entry.name)) : [join(dir, entry.name)]))
    .filter((file) => file.endsWith('.test.ts'))
    .sort();
}

/** The command that runs the tests, from the root of a tree. */
function testCommand() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const since = (wanted, flag) => (major > 20 || minor >= wanted ? [flag] : []);
  const flags = [
    ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
    ...since(10, `--test-concurrency=${CONCURRENCY}`),
    ...since(11, `--test-timeout=${TIMEOUT}`),
  ];
  const files = named.length > 0 ? named : testFiles().map((file) => relative(root, file));
  return [process.execPath, '--import', 'tsx', '--test', ...flags, ...options, ...files];
}

async function checks() {
  const tool = (path, ...rest) => [process.execPath, join('node_modules', path), ...rest];
  const script = (name) => [process.execPath, join('scripts', name)];
  await step('types', tool('typescript/bin/tsc', '-p', 'tsconfig.json', '--noEmit'));
  await step('lint', tool('@biomejs/biome/bin/biome', 'check', '.'));
  await step('floors', script('floors.mjs'));
  await step('README', script('readme.mjs'));
}

async function asOrdinaryUser() {
  say('as an ordinary user:');
  const user = ordinaryUser();
  try {
    const place = { cwd: user.tree, env: { ...user.env, VDE_REQUIRE_PEERS: '1', VDE_AS_USER: '1' } };
    await step('README as an ordinary user', user.command([process.execPath, 'scripts/readme.mjs']), place);
    await step('tests as an ordinary user', user.command(testCommand()), place);
  } finally {
    user.remove();
  }
}

try {
  setup();
  for (const problem of preparePeers()) {
    say(`${ci ? 'missing' : 'warning'}: ${problem}`);
    if (ci) failures.push('peers');
  }
  if (ci) {
    await checks();
    if (isRoot) await asOrdinaryUser();
  }
  const asUser = isRoot ? {} : { VDE_AS_USER: '1' };
  await step('tests', testCommand(), { env: ci ? { VDE_REQUIRE_PEERS: '1', ...asUser } : {} });
} catch (error) {
  say(error.message);
  failures.push('set-up');
}
if (stopped) failures.push(stopped);
if (failures.length > 0) {
  say(`failed: ${failures.join(', ')}`);
  process.exitCode = 1;
}
