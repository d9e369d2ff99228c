/**
 * A throwaway user with a copy of the tree, for root to run things as somebody without privileges.
 * The copy holds the packages, dist/ and the guest's kernel too; it goes, with the user if made here, at the end.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { guestKernel } from './guest-kernel.mjs';
import { root } from './setup.mjs';

const NAME = 'vdetest';
/** Root's own may hold folders that are closed to others. */
const PATH = [dirname(process.execPath), '/usr/local/bin', '/usr/bin', '/bin'].join(':');

/** Makes the user and the copy. `command(args)` gives what to run to run `args` as that user; `remove` undoes all. */
export function ordinaryUser() {
  const made = spawnSync('id', ['-u', NAME], { stdio: 'ignore' }).status !== 0;
  if (made) must('useradd', ['--no-create-home', '--home-dir', '/nonexistent', NAME]);
  // Not os.tmpdir(), which may be closed to others; and short, for AF_UNIX paths below it.
  const dir = mkdtempSync('/tmp/vu-');
  const place = (name) => join(dir, name);
  const remove = () => {
    rmSync(dir, { recursive: true, force: true });
    if (made) spawnSync('userdel', [NAME], { stdio: 'ignore' });
  };
  try {
    for (const name of ['tree', 'home', 'cache/vde-test', 't']) mkdirSync(place(name), { recursive: true });
    const entries = readdirSync(root).filter((name) => name !== '.git');
    copy(
      entries.map((name) => join(root, name)),
      place('tree'),
    );
    const kernel = guestKernel();
    if (kernel) copy([kernel.dir], place('cache/vde-test'));
    must('chown', ['-R', `${NAME}:`, dir]);
    chmodSync(dir, 0o755);
  } catch (error) {
    remove();
    throw error;
  }
  return {
    tree: place('tree'),
    env: { HOME: place('home'), TMPDIR: place('t'), XDG_CACHE_HOME: place('cache'), USER: NAME, LOGNAME: NAME },
    command: (args) => ['runuser', '-u', NAME, '--', 'env', `PATH=${PATH}`, ...args],
    remove,
  };
}

function copy(from, to) {
  must('cp', ['-a', '--reflink=auto', '-t', to, '--', ...from]);
}

function must(command, args) {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command}: ${(error?.message ?? stderr).trim()}`);
}
