/**
 * Runs the scripts of examples/ as an ordinary user, with our commands first in PATH, and looks for what they leave.
 *
 * Root runs them as `nobody`, to whom the tree and node are shown by bind mounts in a mount namespace of the script's
 * own: they may be in folders that are closed to others.
 */

import assert from 'node:assert/strict';
import { chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { endMarked, mark } from '../../scripts/processes.mjs';
import { bin, root } from './bin.js';
import { cleanup, type Owner } from './cleanup.js';
import { requirePeer, requireTun, requireUserNamespaces, type Skippable } from './peers.js';
import { type Running, start } from './proc.js';
import { tmpDir } from './tmp.js';

/** The user and the group `nobody` of the kernel's default overflow identifier. */
const NOBODY = 65534;
const SYSTEM_PATH = '/usr/local/bin:/usr/bin:/bin';

const AS_NOBODY = `
mount --bind "$1" "$3/tree" && mount --bind "$2" "$3/node/node" && shift 3 &&
exec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups "$@"`;

export interface ExampleOptions {
  args?: string[];
  env?: Record<string, string>;
  /** Files for the script: the variable that gets the path of a copy, and the file. */
  files?: Record<string, string>;
  /** A folder of commands that come before all others in PATH. */
  commands?: string;
}

/** True if namespaces with taps can be made here, and the commands are there. */
export function requireLab(t: Skippable, ...commands: string[]): boolean {
  const peers = requirePeer(t, bin('vdens'), bin('vde_switch'), bin('vde_plug'), 'bash', 'ip', 'ping', ...commands);
  return peers && requireTun(t) && requireUserNamespaces(t);
}

export class Example {
  readonly process: Running;
  readonly #own: Record<string, string>;
  readonly #lab: string;

  constructor(process: Running, own: Record<string, string>, lab: string) {
    this.process = process;
    this.#own = own;
    this.#lab = lab;
  }

  /** Waits for the end of the script; asserts its status and that no process and no file of it is left. */
  async done(status = 0): Promise<string> {
    const { code, signal } = await this.process.exited;
    const { output } = this.process;
    assert.equal(signal ?? code, status, output);
    assert.deepEqual(await endMarked(this.#own), [], 'processes are left');
    assert.deepEqual(readdirSync(this.#lab), [], 'files are left');
    return output;
  }
}

/** Starts an example by the name of its script; it ends, with all that it has started, when the test ends. */
export function startExample(t: Owner, name: string, options: ExampleOptions = {}): Example {
  const { args = [], env = {}, files = {}, commands } = options;
  const isRoot = process.geteuid?.() === 0;
  const dir = isRoot ? openDir(t) : tmpDir(t);
  const [lab, given] = [join(dir, 'lab'), join(dir, 'given')];
  for (const one of [lab, given]) mkdirSync(one);
  for (const [variable, file] of Object.entries(files)) cpSync(file, join(given, variable));
  if (commands) cpSync(commands, join(given, 'commands'), { recursive: true });

  const tree = isRoot ? join(dir, 'tree') : root;
  const node = isRoot ? join(dir, 'node') : dirname(process.execPath);
  if (isRoot) {
    for (const one of [tree, node]) mkdirSync(one);
    writeFileSync(join(node, 'node'), '');
    for (const one of [dir, lab]) chownSync(one, NOBODY, NOBODY);
  }
  const own = mark();
  cleanup(t, () => endMarked(own, 0));
  const script = ['bash', join(tree, 'examples', `${name}.sh`), ...args];
  const become = ['--mount', 'sh', '-c', AS_NOBODY, 'sh', root, process.execPath, dir];
  const [command, ...rest] = isRoot ? ['unshare', ...become, ...script] : script;
  const running = start(t, command, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...Object.fromEntries(Object.keys(files).map((variable) => [variable, join(given, variable)])),
      ...env,
      ...own,
      TMPDIR: lab,
      HOME: lab,
      PATH: [join(given, 'commands'), join(tree, 'bin'), node, SYSTEM_PATH].join(':'),
    },
  });
  return new Example(running, own, lab);
}

/** A fresh directory below one that everybody can enter, which os.tmpdir() may not be. */
function openDir(t: Owner): string {
  const dir = mkdtempSync('/tmp/v-');
  cleanup(t, () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Runs an example to its end and returns its output. */
export function runExample(t: Owner, name: string, options: ExampleOptions = {}): Promise<string> {
  return startExample(t, name, options).done();
}
