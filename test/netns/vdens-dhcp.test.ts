/** vdens --dhcp against dnsmasq in another vdens. */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { leakCheck } from '../support/leaks.js';
import { MAKES, startSwitch } from '../support/network.js';
import { requirePeer, which } from '../support/peers.js';
import type { Running } from '../support/proc.js';
import { waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { requireVdens, startVdens, vdens } from '../support/vdens.js';

/** An environment for a vdens, by which its agents are known. */
function tagged(): { VDE_TEST_TAG: string } {
  return { VDE_TEST_TAG: randomUUID() };
}

/** How many agents with that environment live. */
function agents({ VDE_TEST_TAG }: { VDE_TEST_TAG: string }): number {
  return readdirSync('/proc').filter((pid) => {
    const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'utf8');
    try {
      return read('cmdline').includes('dhcp-agent') && read('environ').includes(`VDE_TEST_TAG=${VDE_TEST_TAG}`);
    } catch {
      return false;
    }
  }).length;
}

/** Starts dnsmasq as DHCP server of 10.9.0.0/24 in a vdens of its own. */
async function startServer(t: TestContext, dir: string, extra: readonly string[] = []): Promise<Running> {
  const leases = join(tmpDir(t), 'leases');
  const server = startVdens(t, 'ours', [
    ...['--ip', '10.9.0.1/24', dir, which('dnsmasq') as string],
    ...['--no-daemon', '--conf-file=/dev/null', '--port=0', '--no-ping', '--log-dhcp', '--interface=vde0'],
    ...['--dhcp-range=10.9.0.50,10.9.0.90,1h', `--dhcp-leasefile=${leases}`, '--pid-file=', '--user=', '--group='],
    ...extra,
  ]);
  await server.waitFor(/DHCP, IP range/);
  return server;
}

for (const make of MAKES) {
  test(`address, routes and name servers come from a DHCP server, through the switch of ${make}`, async (t) => {
    if (!requireVdens(t) || !requirePeer(t, 'dnsmasq')) return;
    leakCheck(t);
    const env = tagged();
    const { dir } = await startSwitch(t, make);
    const server = await startServer(t, dir, [
      ...['--dhcp-option=option:dns-server,9.9.9.9', '--dhcp-option=option:domain-name,ex.test'],
    ]);
    const look = 'ip -o -4 addr show vde0; ip route show default; cat /etc/resolv.conf; ping -c 1 -W 20 10.9.0.1';
    const { code, stdout, stderr } = await vdens('ours', ['--dhcp', dir, 'sh', '-c', look], { env });
    assert.equal(code, 0, `${stderr}\n${server.output}`);
    assert.match(stdout, /inet 10\.9\.0\.\d+\/24 brd 10\.9\.0\.255 scope global dynamic vde0/);
    assert.match(stdout, /^default via 10\.9\.0\.1 dev vde0/m);
    assert.match(stdout, /^search ex\.test\nnameserver 9\.9\.9\.9$/m);
    const address = /inet (10\.9\.0\.\d+)/.exec(stdout)?.[1];
    // Its end gives the lease back.
    await server.waitFor(new RegExp(`DHCPRELEASE\\(vde0\\) ${address} `));
    await waitUntil(dir, 'end of the agent', () => agents(env) === 0);
  });
}

test('classless routes replace the router, and a command that cannot be run gives the lease back too', async (t) => {
  if (!requireVdens(t) || !requirePeer(t, 'dnsmasq')) return;
  const { dir } = await startSwitch(t, 'ours');
  const server = await startServer(t, dir, [
    '--dhcp-option=option:classless-static-route,10.20.0.0/16,10.9.0.2,0.0.0.0/0,10.9.0.3,192.0.2.8/32,0.0.0.0',
  ]);
  const { code, stdout, stderr } = await vdens('ours', ['--dhcp', dir, 'ip', 'route']);
  assert.equal(code, 0, stderr);
  const routes = stdout.split('\n').map((line) => line.trim());
  assert.deepEqual(routes.filter((line) => line.includes('proto dhcp')).sort(), [
    '10.20.0.0/16 via 10.9.0.2 dev vde0 proto dhcp onlink',
    '192.0.2.8 dev vde0 proto dhcp scope link',
    'default via 10.9.0.3 dev vde0 proto dhcp onlink',
  ]);
  await server.waitFor(/DHCPRELEASE/);
  const mac = '02:00:00:00:07:01';
  assert.equal((await vdens('ours', ['--dhcp', '--mac', mac, dir, '/nonexistent'])).code, 127);
  await server.waitFor(new RegExp(`DHCPRELEASE\\(vde0\\) \\S+ ${mac}`));
});

test('an address that another host has is declined, and the user is told', async (t) => {
  if (!requireVdens(t) || !requirePeer(t, 'dnsmasq')) return;
  const { dir } = await startSwitch(t, 'ours');
  const mac = '02:00:00:00:07:02';
  const squatter = '02:00:00:00:07:03';
  const there = startVdens(t, 'ours', [
    ...['--ip', '10.9.0.50/24', '--mac', squatter, dir, 'sh', '-c', 'echo there; exec sleep 1000'],
  ]);
  await there.waitFor(/there/);
  const server = await startServer(t, dir, [`--dhcp-host=${mac},10.9.0.50`]);
  const told = new RegExp(
    `^vdens: vde0: 10\\.9\\.0\\.50, which the DHCP server grants, is in use by ${squatter}$`,
    'm',
  );
  for (let tries = 1; ; tries++) {
    const client = startVdens(t, 'ours', ['--dhcp', '--mac', mac, dir, 'true']);
    try {
      await client.waitFor(told);
      break;
    } catch (error) {
      // Half a second after its first probe it takes the address: an answer that comes later, on a busy machine, is lost.
      if (client.running || tries === 5) throw error;
    }
  }
  await server.waitFor(new RegExp(`DHCPDECLINE\\(vde0\\) 10\\.9\\.0\\.50 ${mac}`));
});

test('the agent ends with a vdens that is killed, also while it still asks', async (t) => {
  if (!requireVdens(t)) return;
  const env = tagged();
  const running = startVdens(t, 'ours', ['--dhcp', 'null://', 'true'], { env });
  await waitUntil('/tmp/x', 'agent', () => agents(env) === 1);
  running.kill('SIGKILL');
  await waitUntil('/tmp/x', 'end of the agent', () => agents(env) === 0);
});
