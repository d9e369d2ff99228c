/** The examples that put namespaces and virtual machines onto networks. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { guestKernel } from '../../scripts/guest-kernel.mjs';
import { requireLab, runExample } from '../support/example.js';
import { requireGuest } from '../support/guest.js';
import { initramfs } from '../support/initramfs.js';
import { which } from '../support/peers.js';
import { tmpDir } from '../support/tmp.js';

test('localhost: a namespace of an ordinary user with nothing but lo, which can serve port 80', async (t) => {
  if (!requireLab(t, 'busybox', 'curl')) return;
  const output = await runExample(t, 'localhost');
  const [before, after] = output.split('alone# ip link set lo up');
  assert.match(before, /^(?!root$)\w+\n.*\n1: lo: <LOOPBACK> /m);
  assert.doesNotMatch(output, /^2: /m);
  assert.match(after, /1: lo: <LOOPBACK,UP,LOWER_UP>[\s\S]*3 received, 0% packet loss[\s\S]*\nhello, myself\n/);
});

test('two-namespaces: two namespaces on a switch, ping and TCP over IPv4 and IPv6', async (t) => {
  if (!requireLab(t, 'iperf3')) return;
  const output = await runExample(t, 'two-namespaces');
  assert.equal(output.match(/3 received, 0% packet loss/g)?.length, 2, output);
  assert.match(output, /64 bytes from 10\.0\.0\.11: icmp_seq=3 ttl=64/);
  assert.match(output, /64 bytes from fd00::11: icmp_seq=3 ttl=64/);
  const amounts = [...output.matchAll(/([\d.]+) [KMG]Bytes .* receiver$/gm)];
  assert.equal(amounts.length, 2, output);
  for (const [, amount] of amounts) assert.ok(Number(amount) > 0, output);
});

test('guest: a namespace and a virtual machine on a ptp cable reach each other', async (t) => {
  if (!requireLab(t) || !requireGuest(t)) return;
  const kernel = guestKernel();
  const busybox = which('busybox');
  assert.ok(kernel && busybox);
  const image = join(tmpDir(t), 'initramfs');
  writeFileSync(image, initramfs(busybox, kernel.modules, [], CONSOLE));
  const output = await runExample(t, 'guest', { files: { KERNEL: kernel.vmlinuz, INITRD: image } });
  assert.match(output, /^guest# [\s\S]*3 packets received, 0% packet loss[\s\S]*^Linux \d/m);
  assert.match(
    output,
    /alice# ping[\s\S]*3 received, 0% packet loss[\s\S]*10\.0\.0\.1 dev vde0 lladdr 52:54:00:00:00:01 /,
  );
});

/** A guest whose console is a shell of root. */
const CONSOLE = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do insmod "$module"; done
ip link set lo up
while printf 'guest# ' && read -r line; do eval "$line"; done </dev/ttyS0 >/dev/ttyS0 2>&1
`;
