/** The compliance suite for taps, for a process in a network namespace of its own: tap.test.ts runs it there. */

import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { openPlug } from '../../src/plug/registry.js';
import type { TapPlug } from '../../src/plug/tap.js';
import { complianceSuite } from './compliance.js';

function ip(...args: string[]): void {
  execFileSync('ip', args);
}

// Packet filters of bridges drop what is not sound IP.
for (const file of ['iptables', 'ip6tables', 'arptables'].map(
  (name) => `/proc/sys/net/bridge/bridge-nf-call-${name}`,
)) {
  if (existsSync(file)) writeFileSync(file, '0');
}
ip('link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0');
quieten('br0');
ip('link', 'set', 'br0', 'up');

/** IPv6 sends frames of its own accord on every interface that is up. */
function quieten(name: string): void {
  execFileSync('sh', ['-c', `echo 1 >/proc/sys/net/ipv6/conf/${name}/disable_ipv6`]);
}

complianceSuite({
  name: 'taps joined by a bridge of the kernel',
  openPair: async () => {
    const [a, b] = (await Promise.all([openPlug('tap://t%d'), openPlug('tap://')])) as TapPlug[];
    for (const { interfaceName = '' } of [a, b]) {
      quieten(interfaceName);
      ip('link', 'set', interfaceName, 'txqueuelen', '5000', 'master', 'br0', 'up');
    }
    return { a, b, lose: () => ip('link', 'delete', a.interfaceName as string) };
  },
  // The interface's MTU and its Ethernet header.
  maxFrame: 1514,
  // The kernel's queue takes what it can and drops the rest; a tap never keeps its writer waiting.
  supports: { backlog: false, counted: false },
});
