/** vdens --dhcp against dnsmasq in another vdens. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { leakCheck } from '../support/leaks.js';
import { MAKES, startSwitch } from '../support/network.js';
import { requirePeer, which } from '../support/peers.js';
import { waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { requireVdens, startVdens, vdens } from '../support/vdens.js';

/** The agents that live, by their command lines. */
function agents(): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('dhcp-agent');
    } catch {
      return false;
    }
  });
}

for (const make of MAKES) {
  test(`address, route and name servers come from a DHCP server, through the switch of ${make}`, async (t) => {
    if (!requireVdens(t) || !requirePeer(t, 'dnsmasq')) return;
    leakCheck(t);
    const before = agents();
    const { dir } = await startSwitch(t, make);
    const leases = join(tmpDir(t), 'leases');
    const server = startVdens(t, 'ours', [
      ...[
        '--ip',
        '10.9.0.1/24',
        dir,
        which('dnsmasq') as string,
        '--no-daemon',
        '--conf-file=/dev/null',
        '--port=0',
        '--no-ping',
      ],
      ...['--interface=vde0', '--dhcp-range=10.9.0.50,10.9.0.90,1h', `--dhcp-leasefile=${leases}`, '--pid-file='],
      ...['--user=', '--group=', '--dhcp-option=option:dns-server,9.9.9.9', '--dhcp-option=option:domain-name,ex.test'],
    ]);
    await server.waitFor(/DHCP, IP range/);
    const look = 'ip -o -4 addr show vde0; ip route show default; cat /etc/resolv.conf; ping -c 1 -W 5 10.9.0.1';
    const { code, stdout, stderr } = await vdens('ours', ['--dhcp', dir, 'sh', '-c', look]);
    assert.equal(code, 0, `${stderr}\n${server.output}`);
    assert.match(stdout, /inet 10\.9\.0\.\d+\/24 brd 10\.9\.0\.255 scope global dynamic vde0/);
    assert.match(stdout, /^default via 10\.9\.0\.1 dev vde0/m);
    assert.match(stdout, /^search ex\.test\nnameserver 9\.9\.9\.9$/m);
    await waitUntil(leases, 'end of the agent', () => agents().every((pid) => before.includes(pid)));
  });
}

test('the agent ends with a vdens that is killed, also while it still asks', async (t) => {
  if (!requireVdens(t)) return;
  const before = agents();
  const fresh = () => agents().filter((pid) => !before.includes(pid)).length;
  const running = startVdens(t, 'ours', ['--dhcp', 'null://', 'true']);
  await waitUntil('/tmp/x', 'agent', () => fresh() === 1);
  running.kill('SIGKILL');
  await waitUntil('/tmp/x', 'end of the agent', () => fresh() === 0);
});
