/**
 * Another /etc/resolv.conf for the namespace: a file bind-mounted over it, in a mount namespace of our own.
 *
 * Where there is no such file, or a symbolic link to nothing, there is nothing to mount over: then /etc itself is covered
 * by a directory in memory that has everything that is in /etc, and the file.
 */

import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callError, fromNodeError, VdeError } from '../sys/errors.js';
import { bindMount, mountTmpfs, moveMount } from '../sys/namespace.js';
import type { ResolvPlan } from './resolvconf-plan.js';

const ETC = '/etc';
const FILE = 'resolv.conf';

/**
 * Puts it there.
 * @throws VdeError naming the file, or what the system refused.
 */
export function mountResolvConf(plan: ResolvPlan): void {
  if ('file' in plan) {
    checkReadable(plan.file);
    mountOver(plan.file);
    return;
  }
  const dir = mkdtempSync(join(tmpdir(), 'vdens-'));
  const path = join(dir, FILE);
  try {
    writeFileSync(path, plan.text, { mode: plan.writable ? 0o644 : 0o444 });
    mountOver(path);
  } finally {
    // The mount keeps the file.
    unlinkSync(path);
    rmdirSync(dir);
  }
}

function checkReadable(file: string): void {
  try {
    closeSync(openSync(file, 'r'));
    if (!statSync(file).isFile()) throw new VdeError({ code: 'EINVAL', subject: file, cause: 'not a file' });
  } catch (error) {
    throw fromNodeError(error, `--resolvconf ${file}`);
  }
}

function mountOver(source: string): void {
  const target = join(ETC, FILE);
  if (statSync(target, { throwIfNoEntry: false }) === undefined) coverEtc();
  try {
    bindMount(source, target);
  } catch (error) {
    throw error instanceof VdeError && error.errno !== undefined
      ? callError('mount', error.errno, target, `${source} cannot be mounted over it`)
      : error;
  }
}

/** Covers /etc by a copy made of links and bind mounts, with an empty resolv.conf. */
function coverEtc(): void {
  const dir = mkdtempSync(join(tmpdir(), 'vdens-'));
  try {
    mountTmpfs(dir);
    for (const entry of readdirSync(ETC, { withFileTypes: true })) {
      const from = join(ETC, entry.name);
      const to = join(dir, entry.name);
      if (entry.name === FILE) continue;
      if (entry.isSymbolicLink()) {
        symlinkSync(readlinkSync(from), to);
        continue;
      }
      if (entry.isDirectory()) mkdirSync(to);
      else writeFileSync(to, '');
      bindMount(from, to);
    }
    writeFileSync(join(dir, FILE), '');
    moveMount(dir, ETC);
  } finally {
    rmdirSync(dir);
  }
}
