/** Our vdens beside Debian's: what a command sees inside is the same, and they reach each other. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { MAKES, type Make, startSwitch } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { requireVdens, startVdens, vdens } from '../support/vdens.js';

const PEERS = ['/usr/bin/vdens', '/usr/bin/vde_switch'];

/** Addresses are random. */
function withoutMacs(text: string): string {
  return text.replace(/link\/ether [0-9a-f:]{17}/g, 'link/ether MAC');
}

const SCRIPTS = {
  identity: 'id; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups',
  rights: 'grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status',
  signals: 'grep -E "^Sig(Ign|Blk)" /proc/self/status',
  interfaces: 'ip addr',
  routes: 'ip route; ip -6 route; cat /proc/sys/net/ipv4/ip_forward',
  descriptors: 'ls /proc/self/fd | grep -v "^25" | wc -l',
  forwarding:
    'echo 1 >/proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward; ls -l /proc/sys/net/ipv4/ip_forward | cut -c1-32',
  'name servers': 'cat /etc/resolv.conf',
  place: 'pwd; umask; echo "$PPID" | grep -c .; env | grep -v -E "^(_|SHLVL|PPID)="|sort',
  'bridge and veth':
    'ip link add br0 type bridge; ip link add a type veth peer name b; ip link set vde0 master br0; ip -br link | cut -d" " -f1',
};

const INVOCATIONS = [
  ['null://'],
  ['-m', '-i', 'vde', 'null://', 'null://', '--'],
  ['no'],
  ['-s', 'null://'],
  ['-R', '9.9.9.9,1.1.1.1', 'null://'],
];

for (const args of INVOCATIONS) {
  test(`vdens ${args.join(' ')}: inside it is as with Debian's`, async (t) => {
    if (!requireVdens(t) || !requirePeer(t, ...PEERS)) return;
    const script = Object.entries(SCRIPTS).map(([what, one]) => `echo "--- ${what}"; (${one})`);
    const all = await Promise.all(MAKES.map((make) => vdens(make, [...args, 'sh', '-c', script.join('\n')])));
    const [ours, theirs] = all.map(({ stdout }) => withoutMacs(stdout).split('--- ').slice(1));
    assert.equal(ours.length, Object.keys(SCRIPTS).length);
    assert.deepEqual(ours, theirs);
  });
}

const PAIRS: [Make, Make, Make][] = [
  ['ours', 'debian', 'ours'],
  ['debian', 'ours', 'debian'],
  ['ours', 'ours', 'debian'],
];

for (const [near, over, far] of PAIRS) {
  test(`vdens (${near}) reaches vdens (${far}) over vde_switch (${over})`, async (t) => {
    if (!requireVdens(t) || !requirePeer(t, ...PEERS)) return;
    const { dir } = await startSwitch(t, over);
    const set = (address: string) => `ip addr add ${address}/24 dev vde0; ip link set vde0 up`;
    const other = startVdens(t, far, [dir, 'sh', '-c', `${set('10.0.0.1')}; echo up; exec sleep 60`]);
    await other.waitFor('up\n');
    const ping = `${set('10.0.0.2')}; ping -c 3 -i 0.2 -s 1400 -w 20 10.0.0.1`;
    const pinging = startVdens(t, near, [dir, 'sh', '-c', `${ping}; s=$?; echo "ended $s"; exit $s`]);
    await pinging.waitFor(/3 received[\s\S]*ended 0\n/, { stream: 'stdout' });
    // Now and then Debian's vdens does not end with its command: then it is made to.
    if (near === 'debian') await pinging.end();
    else assert.deepEqual(await pinging.exited, { code: 0, signal: null });
  });
}

test('a command that is not there, an unknown scheme: Debian says the same reason', async (t) => {
  if (!requireVdens(t) || !requirePeer(t, ...PEERS)) return;
  for (const [args, reason] of [
    [['no', '/nonexistent/program'], 'No such file or directory'],
    [['foo://', 'true'], 'Protocol not supported'],
    [['-r', '/nonexistent/file', 'no', 'true'], 'No such file or directory'],
  ] as const) {
    for (const make of MAKES) {
      const { code, stderr } = await vdens(make, args);
      assert.notEqual(code, 0);
      assert.ok(stderr.includes(reason), `${make}: ${stderr}`);
    }
  }
});
