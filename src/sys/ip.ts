/** `ip` of iproute2, which sets addresses and links. */

import { spawn, spawnSync } from 'node:child_process';
import { errnoNumber, VdeError } from './errors.js';

/** An ordinary user's PATH often lacks where `ip` is. */
export const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

const ARGS = ['-batch', '-'];
const options = () => ({ env: { ...process.env, PATH, LC_ALL: 'C' } });

/**
 * Runs lines of `ip -batch`.
 * @throws VdeError with what `ip` says, and the line it is about.
 */
export async function runIp(lines: readonly string[]): Promise<void> {
  const input = batchText(lines);
  const ip = spawn('ip', ARGS, { ...options(), stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  ip.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  // It may end before it has read all: what it says tells why.
  ip.stdin.on('error', () => {}).end(input);
  const status = await new Promise<number | null>((resolve, reject) => {
    ip.on('error', (error) => reject(startError(error, 'ip', INSTALL)));
    ip.on('close', resolve);
  });
  if (status !== 0) throw ipError(lines, said);
}

/** As `runIp`, for a process that has nothing else to do meanwhile. */
export function runIpSync(lines: readonly string[]): void {
  const input = batchText(lines);
  const ip = spawnSync('ip', ARGS, { ...options(), input, encoding: 'utf8', stdio: ['pipe', 'ignore', 'pipe'] });
  if (ip.error !== undefined) throw startError(ip.error, 'ip', INSTALL);
  if (ip.status !== 0) throw ipError(lines, ip.stderr);
}

const INSTALL = 'install iproute2: it sets addresses and links';

function batchText(lines: readonly string[]): string {
  const odd = lines.find((line) => /[#'"\\\n]/.test(line));
  if (odd !== undefined) {
    throw new VdeError({ code: 'EINVAL', subject: `ip ${odd}`, cause: `a name with # ' " or \\ cannot be told to ip` });
  }
  return `${lines.join('\n')}\n`;
}

function ipError(lines: readonly string[], said: string): VdeError {
  const line = lines[Number(/Command failed -:(\d+)/.exec(said)?.[1]) - 1];
  const cause = said
    .trim()
    .split('\n')[0]
    .replace(/^(Error: |RTNETLINK answers: )/, '');
  const code = cause === 'Operation not permitted' ? 'EPERM' : 'EIP';
  return new VdeError({ code, subject: line === undefined ? 'ip' : `ip ${line}`, cause });
}

/** Why a command of the system did not start. */
export function startError(error: NodeJS.ErrnoException, command: string, remedy: string): VdeError {
  const missing = error.code === 'ENOENT';
  return new VdeError({
    code: error.code ?? 'EFAIL',
    subject: command,
    cause: missing ? 'there is no such command' : error.message,
    remedy: missing ? remedy : undefined,
    errno: missing ? errnoNumber('ENOENT') : undefined,
  });
}
