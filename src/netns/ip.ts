/** What the helper starts inside the namespace: `ip` for addresses and links, and the DHCP agent. */

import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { errnoNumber, VdeError } from '../sys/errors.js';
import { AGENT_CHANNEL } from './message.js';

/** An ordinary user's PATH often lacks where `ip` is. */
export const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

/**
 * Runs lines of `ip -batch`.
 * @throws VdeError with what `ip` says, and the line it is about.
 */
export function runIp(lines: readonly string[]): void {
  const result = spawnSync('ip', ['-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    encoding: 'utf8',
    env: { ...process.env, PATH, LC_ALL: 'C' },
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  mustHave(result, 'ip', 'install iproute2: it sets addresses and links');
  if (result.status === 0) return;
  const text = result.stderr.trim().split('\n');
  const line = lines[Number(/Command failed -:(\d+)/.exec(result.stderr)?.[1]) - 1];
  const cause = text[0].replace(/^(Error: |RTNETLINK answers: )/, '');
  throw new VdeError({ code: 'EIP', subject: line === undefined ? 'ip' : `ip ${line}`, cause });
}

/**
 * Starts the DHCP agent for some interfaces; with `resolv`, it says in /etc/resolv.conf which name servers there are. It is no child of the command: `setsid` hands it to the system, and the end
 * of its connection to the outer process is its own.
 */
export function startAgent(names: readonly string[], resolv: boolean): void {
  const stdio: (number | 'ignore' | 'inherit')[] = ['ignore', 'ignore', 'inherit', AGENT_CHANNEL];
  const agent = fileURLToPath(new URL('./dhcp-agent.js', import.meta.url));
  const result = spawnSync('setsid', ['--fork', process.execPath, agent, ...(resolv ? ['--resolv'] : []), ...names], {
    encoding: 'utf8',
    env: { ...process.env, PATH },
    stdio,
  });
  mustHave(result, 'setsid', 'install util-linux');
}

function mustHave(result: SpawnSyncReturns<string>, command: string, remedy: string): void {
  const error = result.error as NodeJS.ErrnoException | undefined;
  if (error === undefined) return;
  const missing = error.code === 'ENOENT';
  const cause = missing ? 'there is no such command' : error.message;
  const errno = missing ? errnoNumber('ENOENT') : undefined;
  throw new VdeError({
    code: error.code ?? 'EFAIL',
    subject: command,
    cause,
    remedy: missing ? remedy : undefined,
    errno,
  });
}
