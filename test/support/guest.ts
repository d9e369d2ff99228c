/**
 * QEMU guests for tests: Debian's cloud kernel with busybox, up in a few seconds without KVM, driven over the serial
 * console. They bring what the kernel of the machine may lack: VLAN devices, bonding, netem, wireguard.
 *
 *     const vm = await guest(t, { netdevs: [`vde,id=n0,sock=${dir}`], modules: ['8021q'] });
 *     await vm.run('ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up');
 */

import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { guestKernel } from '../../scripts/guest-kernel.mjs';
import type { Owner } from './cleanup.js';
import { initramfs } from './initramfs.js';
import { need, requirePeer, type Skippable, which } from './peers.js';
import { type Found, type Running, start, type WaitOptions } from './proc.js';
import { tmpDir } from './tmp.js';

const QEMU = 'qemu-system-x86_64';

export interface GuestOptions {
  /** Arguments of `-netdev`, each with an `id=`. A virtio NIC is plugged into each: eth0, eth1, ... in this order. */
  netdevs?: string[];
  /** MAC addresses of the NICs; 52:54:00:00:00:01 and so on by default. */
  macs?: string[];
  /** Kernel modules to load besides those of virtio, e.g. `8021q`. What they depend on comes along. */
  modules?: string[];
  /** Shell commands to run before the guest counts as booted. */
  script?: string;
  /** Further arguments of QEMU. */
  qemu?: string[];
  /** Milliseconds until the guest must be up; 150 s by default: ten times of what it takes without KVM. */
  timeout?: number;
}

export interface GuestRunOptions {
  /** Milliseconds; 30 s by default. */
  timeout?: number;
}

/** True if guests can be run here; skips the test by name otherwise (fails in CI). */
export function requireGuest(t: Skippable): boolean {
  if (!requirePeer(t, QEMU, 'busybox')) return false;
  return need(t, guestKernel() !== undefined, "Debian's cloud kernel, which `npm test` fetches where there is apt");
}

export class Guest {
  /** The process of QEMU, with the console as its standard input and output. */
  readonly qemu: Running;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(qemu: Running) {
    this.qemu = qemu;
  }

  /**
   * Runs shell commands in the guest and returns what they print, without the last line feed. Calls queue up.
   * @throws Error with what they printed if the last one fails.
   */
  run(command: string, options: GuestRunOptions = {}): Promise<string> {
    const turn = this.#queue.then(() => this.#run(command, options));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** Awaits something on the console: output of a background command, say. */
  waitFor(pattern: RegExp | string, options?: WaitOptions): Promise<Found> {
    return this.qemu.waitFor(pattern, { ...options, stream: 'stdout' });
  }

  /** Powers the guest off and waits until QEMU has ended. */
  async powerOff(): Promise<void> {
    this.qemu.stdin.write('poweroff -f\n');
    await this.qemu.exited;
  }

  async #run(command: string, { timeout = 30_000 }: GuestRunOptions): Promise<string> {
    const mark = randomUUID();
    // The commands must not eat what follows on the console, and the end mark must stand on a line of its own.
    this.qemu.stdin.write(`{ printf '<%s>' ${mark}\n${command}\n} </dev/null 2>&1; printf '<%s %d>' ${mark} $?\n`);
    const pattern = new RegExp(`<${mark}>([\\s\\S]*)<${mark} (\\d+)>`);
    const [, output, code] = await this.qemu.expect(pattern, { timeout, stream: 'stdout' });
    const text = output.replaceAll('\r\n', '\n').replace(/\n$/, '');
    if (code !== '0') throw new Error(`${command}: exit ${code} in the guest\n${text}`);
    return text;
  }
}

/** Boots a guest and waits until it is up. QEMU is killed when the test ends. */
export async function guest(t: Owner, options: GuestOptions = {}): Promise<Guest> {
  const { netdevs = [], macs = [], modules = [], script = '', qemu = [], timeout = 150_000 } = options;
  const kernel = guestKernel();
  const busybox = which('busybox');
  if (!kernel || !busybox) throw new Error('no kernel or busybox for guests: call requireGuest first');
  const up = randomUUID();
  const image = join(tmpDir(t), 'initramfs');
  writeFileSync(image, initramfs(busybox, kernel.modules, modules, init(script, up)));
  const nics = netdevs.flatMap((netdev, index) => {
    const id = netdev.match(/(?:^|,)id=([^,]+)/)?.[1];
    if (!id) throw new Error(`-netdev ${netdev} has no id=`);
    const mac = macs[index] ?? `52:54:00:00:00:${(index + 1).toString(16).padStart(2, '0')}`;
    return ['-netdev', netdev, '-device', `virtio-net-pci,netdev=${id},mac=${mac},romfile=`];
  });
  const process = start(t, QEMU, [
    ...['-accel', 'tcg', '-cpu', 'max', '-m', '192', '-nodefaults', '-no-reboot', '-display', 'none'],
    ...['-serial', 'stdio', '-kernel', kernel.vmlinuz, '-initrd', image],
    ...['-append', 'console=ttyS0 quiet loglevel=1 panic=-1 net.ifnames=0'],
    ...nics,
    ...qemu,
  ]);
  await process.expect(`<up ${up}>`, { timeout, stream: 'stdout' });
  return new Guest(process);
}

/** The first process of the guest: a shell that then reads commands from the console. */
function init(script: string, up: string): string {
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do insmod "$module" || echo "insmod $module failed"; done
ip link set lo up
stty raw -echo </dev/ttyS0
{
${script}
} </dev/null
printf '<up %s>\\n' ${up}
exec sh </dev/ttyS0 >/dev/ttyS0 2>&1
`;
}
