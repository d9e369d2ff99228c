/** The examples of network functions: routing, NAT, filtering, shaping, bridging, servers. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { requireLab, runExample } from '../support/example.js';

for (const tool of ['nft', 'iptables']) {
  test(`nat-router: the host is reached through a router that masquerades with ${tool}, and not before`, async (t) => {
    if (!requireLab(t, tool)) return;
    const output = await runExample(t, 'nat-router', { args: [tool] });
    const pings = output.split(/^inside# ping .* 10\.0\.0\.254\n/m).slice(1);
    const received = pings.map((text) => text.match(/(\d) received/)?.[1]);
    assert.deepEqual(received, ['0', '0', '3'], output);
    assert.match(pings[2], /icmp_seq=3 ttl=63/);
    // The rule that the kernel shows has seen the packet that opened the connection.
    assert.match(pings[2], tool === 'nft' ? /packets 1 bytes 84 masquerade/ : / 1 +84 MASQUERADE/);
  });
}

test('servers: clients get address, name server and a page from servers in a namespace', async (t) => {
  if (!requireLab(t, 'dnsmasq', 'busybox', 'curl', 'getent')) return;
  const output = await runExample(t, 'servers');
  const [, first, second] = output.split(/^(?:client|another)\$ vdens/m);
  const lease = first.match(/lease of (10\.0\.0\.1\d\d) obtained from 10\.0\.0\.1/)?.[1];
  assert.ok(lease, output);
  assert.match(first, new RegExp(`inet ${lease}/24 .*vde0`));
  assert.match(first, /^default via 10\.0\.0\.1 dev vde0/m);
  assert.match(first, /^nameserver 10\.0\.0\.1\n.*\n10\.0\.0\.1 +www\.lab$/m);
  assert.match(first, new RegExp(`^hello, ${lease}$`, 'm'));

  const other = second.match(/^vde0 .* (10\.0\.0\.1\d\d)\/24/m)?.[1];
  assert.ok(other && other !== lease, output);
  assert.match(second, /^nameserver 10\.0\.0\.1$/m);
  assert.match(second, new RegExp(`^hello, ${other}$`, 'm'));
  for (const address of [lease, other]) assert.match(second, new RegExp(`^\\d+ [0-9a-f:]{17} ${address} `, 'm'));
});

test('firewall: only the allowed port can be reached once the rules are loaded', async (t) => {
  if (!requireLab(t, 'nft', 'busybox', 'curl')) return;
  const output = await runExample(t, 'firewall');
  const [open, filtered] = output.split('firewall# nft -f rules.nft');
  assert.equal(open.match(/^the page$/gm)?.length, 2, output);
  assert.equal(filtered.match(/^the page$/gm)?.length, 1, output);
  assert.match(filtered, /curl: \(7\) .* port 8080/);
  assert.match(filtered, /1 packets transmitted, 0 received/);
  // The question for a connection alone, which TCP repeats if there is no answer in a second.
  const [, packets, bytes] = filtered.match(/dport 80 counter packets (\d+) bytes (\d+) accept/)?.map(Number) ?? [];
  assert.ok(packets > 0 && bytes === 60 * packets, output);
});

test('shaping: a token bucket filter brings the rate down to its limit', async (t) => {
  if (!requireLab(t, 'iperf3', 'tc', 'awk')) return;
  const output = await runExample(t, 'shaping');
  const [, free, shaped] = output.match(/^unshaped (\d+) Mbit\/s, shaped (\d+) Mbit\/s$/m)?.map(Number) ?? [];
  assert.ok(shaped > 0 && shaped < 40, output);
  assert.ok(free > 80, output);
});

test('bridge: two switches become one Ethernet', async (t) => {
  if (!requireLab(t, 'bridge')) return;
  const output = await runExample(t, 'bridge');
  const [apart, joined] = output.split('bridge# ip link add br0 type bridge');
  assert.match(apart, /1 packets transmitted, 0 received/);
  assert.match(joined, /icmp_seq=3 ttl=64[\s\S]* 3 received, 0% packet loss/);
  const right = joined.match(/^10\.0\.0\.2 dev vde0 lladdr (\S+) /m)?.[1];
  assert.match(joined, new RegExp(`^${right} dev vde1 master br0`, 'm'));
});

test('router: a namespace routes between two switches, IPv4 and IPv6', async (t) => {
  if (!requireLab(t)) return;
  const output = await runExample(t, 'router');
  assert.equal(output.match(/3 received, 0% packet loss/g)?.length, 2, output);
  assert.match(output, /64 bytes from 10\.0\.2\.2: icmp_seq=3 ttl=63/);
  assert.match(output, /64 bytes from fd00:2::2: icmp_seq=3 ttl=63/);
});
