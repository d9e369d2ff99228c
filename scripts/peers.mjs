/**
 * The peers of the interop tests: Debian's C tools, QEMU and its guest's kernel, and a usable /dev/net/tun.
 * Packages are installed only as root, and only where there is apt.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, statSync } from 'node:fs';
import { fetchGuestKernel } from './guest-kernel.mjs';
import { say } from './setup.mjs';

const PACKAGES = [
  ...['vde2', 'vde-switch', 'vde-wirefilter', 'vde2-cryptcab', 'vdens', 'vdeplug'],
  ...['libvdeplug-agno', 'libvdeplug-pcap', 'libvdeplug-slirp', 'libvdeplug-vdesl', 'libvdeplug-vlan'],
  'libvdeplug-dev',
  ...['qemu-system-x86', 'busybox-static', 'iperf3', 'tshark', 'tcpdump', 'socat'],
  ...['iproute2', 'iputils-ping', 'util-linux', 'ethtool'],
  ...['nftables', 'iptables', 'dnsmasq-base', 'curl'],
];

/** Gets what is missing; returns one sentence for each thing that could not be had. */
export function preparePeers() {
  const problems = [];
  const attempt = (work) => {
    try {
      work();
    } catch (error) {
      problems.push(error.message);
    }
  };
  attempt(installPackages);
  attempt(() => fetchGuestKernel(say));
  attempt(openTun);
  return problems;
}

function installPackages() {
  const missing = missingPackages();
  if (missing.length === 0) return;
  if (process.getuid() !== 0 || !succeeds('apt-get', ['--version'])) {
    throw new Error(`packages that are not installed: ${missing.join(' ')}`);
  }
  say(`installing ${missing.join(' ')}`);
  const install = () => apt(['install', '-y', '--no-install-recommends', ...missing]);
  // The package lists may be old, or not there at all.
  if (!install() && !(apt(['update']) && install())) throw new Error(`apt-get could not install ${missing.join(' ')}`);
}

function missingPackages() {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\n', ...PACKAGES], {
    encoding: 'utf8',
  });
  const installed = new Set((stdout ?? '').split('\n').filter((line) => line.endsWith(' installed')));
  return PACKAGES.filter((name) => !installed.has(`${name} installed`));
}

function apt(args) {
  const { status } = spawnSync('apt-get', ['-q', ...args], {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  return status === 0;
}

function succeeds(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** Anybody may open it, as Debian's udev rules have it: a tap can be made only in a namespace of one's own. */
function openTun() {
  const device = '/dev/net/tun';
  if (process.getuid() === 0 && existsSync(device) && (statSync(device).mode & 0o777) !== 0o666) {
    chmodSync(device, 0o666);
  }
}
