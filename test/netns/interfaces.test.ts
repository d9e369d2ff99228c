import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type InterfaceOptions, ipBatch, planInterfaces } from '../../src/netns/interfaces.js';
import { nameserverLines } from '../../src/netns/resolvconf-plan.js';

const nothing: InterfaceOptions = { prefix: 'vde', ip: [], mac: [], mtu: [], up: false, dhcp: [] };

function batch(count: number, options: Partial<InterfaceOptions>, loopback = false): string[] {
  return ipBatch(planInterfaces(count, { ...nothing, ...options }), loopback);
}

test('without options nothing is asked of ip', () => {
  assert.deepEqual(batch(2, {}), []);
});

test('the n-th value is for the n-th interface, a named one for the one it names', () => {
  assert.deepEqual(batch(2, { ip: ['10.0.0.1', 'vde0=10.1.0.1/16', '10.0.0.2/8'], mtu: ['vde1=9000'] }), [
    'address replace 10.0.0.1/24 dev vde0',
    'address replace 10.1.0.1/16 dev vde0',
    'link set dev vde0 up',
    'link set dev vde1 mtu 9000',
    'address replace 10.0.0.2/8 dev vde1',
    'link set dev vde1 up',
  ]);
});

test('IPv6 addresses are good at once, gateways follow when the interface is up', () => {
  assert.deepEqual(batch(1, { ip: ['fc00::1,gw=fc00::ff'], mac: ['02:00:00:00:00:01'] }, true), [
    'link set dev lo up',
    'link set dev vde0 address 02:00:00:00:00:01',
    'address replace fc00::1/64 dev vde0 nodad',
    'link set dev vde0 up',
    'route add ::/0 via fc00::ff dev vde0',
  ]);
});

test('--dhcp without a name is for the interfaces without an address', () => {
  const plans = planInterfaces(3, { ...nothing, ip: ['vde1=10.0.0.1'], dhcp: [''] });
  assert.deepEqual(
    plans.map(({ dhcp }) => dhcp),
    [true, false, true],
  );
});

test('values that make no sense are refused with what is wrong with them', () => {
  for (const [count, options, reason] of [
    [1, { ip: ['10.0.0.256'] }, /"10\.0\.0\.256" is not an IP address/],
    [1, { ip: ['10.0.0.1/33'] }, /"33" is not a prefix length/],
    [1, { ip: ['10.0.0.1/24/8'] }, /not an IP address/],
    [1, { ip: ['10.0.0.1,gw=fc00::1'] }, /is not an IPv4 address/],
    [1, { ip: ['10.0.0.1,dns=1.1.1.1'] }, /"dns=1\.1\.1\.1" is not understood/],
    [1, { ip: ['fe80::1%lo'] }, /not an IP address/],
    [1, { ip: ['10.0.0.1', '10.0.0.2'] }, /no interface left/],
    [0, { ip: ['10.0.0.1'] }, /there is none/],
    [1, { ip: ['vde1=10.0.0.1'] }, /there will be no interface vde1/],
    [1, { mac: ['01:00:00:00:00:01'] }, /multicast/],
    [1, { mac: ['02:00:00:00:01'] }, /not a MAC/],
    [1, { mtu: ['67'] }, /not an MTU/],
    [1, { mtu: ['1500\nlink set dev lo up'] }, /not an MTU/],
    [1, { dhcp: ['eth0'] }, /no interface eth0/],
    [11, { prefix: 'fourteen-bytes' }, /"fourteen-bytes10" cannot be the name/],
    [1, { prefix: 'a b' }, /cannot be the name/],
    [1, { prefix: '' }, /cannot be the name/],
  ] as const) {
    assert.throws(() => planInterfaces(count, { ...nothing, ...options }), { code: 'EUSAGE', message: reason });
  }
});

test('name servers become lines', () => {
  assert.equal(nameserverLines('9.9.9.9, 2620:fe::fe,'), 'nameserver 9.9.9.9\nnameserver 2620:fe::fe\n');
  assert.equal(nameserverLines(''), '');
});
