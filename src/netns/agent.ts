/** What the helper starts inside the namespace beside `ip`: the DHCP agent. */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { PATH, startError } from '../sys/ip.js';
import { AGENT_CHANNEL } from './message.js';

/**
 * Starts the DHCP agent for some interfaces; with `resolv`, it says in /etc/resolv.conf which name servers there are. It is
 * no child of the command: `setsid` hands it to the system, and the end of its connection to the outer process is its own.
 */
export function startAgent(names: readonly string[], resolv: boolean): void {
  const stdio: (number | 'ignore' | 'inherit')[] = ['ignore', 'ignore', 'inherit', AGENT_CHANNEL];
  const agent = fileURLToPath(new URL('./dhcp-agent.js', import.meta.url));
  const result = spawnSync('setsid', ['--fork', process.execPath, agent, ...(resolv ? ['--resolv'] : []), ...names], {
    encoding: 'utf8',
    env: { ...process.env, PATH },
    stdio,
  });
  if (result.error !== undefined) throw startError(result.error, 'setsid', 'install util-linux');
}
