/**
 * Network namespaces for tests: a place for taps, addresses, ping and iperf3 that nobody else sees.
 *
 * A child of `unshare` holds the namespace and waits on a pipe from us, so that it ends even if we are killed. As root
 * it is a plain network namespace; as a user, one inside a user namespace of its own, in which we are root.
 * Commands get in by `nsenter`. AF_UNIX paths are shared with the outside.
 */

import type { Owner } from './cleanup.js';
import { type Running, type RunOptions, type RunResult, run, type StartOptions, start } from './proc.js';

export interface TapOptions {
  /** IPv4 or IPv6 addresses with prefix length, e.g. `10.0.0.1/24`. */
  address?: string | string[];
  mac?: string;
  mtu?: number;
  /** IPv6 is off unless asked for: it sends frames of its own accord as soon as the device is up. */
  ipv6?: boolean;
}

export class Namespace {
  readonly #holder: Running;
  readonly #enter: string[];

  constructor(holder: Running, user: boolean) {
    this.#holder = holder;
    const spaces = user ? ['--user', '--preserve-credentials', '--net'] : ['--net'];
    this.#enter = ['--target', String(holder.pid), ...spaces, '--'];
  }

  /** The process that holds the namespace: /proc/PID/ns/net. */
  get pid(): number {
    return this.#holder.pid;
  }

  /** Runs a command inside to its end. */
  exec(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<RunResult> {
    return run('nsenter', [...this.#enter, command, ...args], options);
  }

  /** Starts a command inside; it ends with the test. */
  start(t: Owner, command: string, args: readonly string[] = [], options: StartOptions = {}): Running {
    return start(t, 'nsenter', [...this.#enter, command, ...args], options);
  }

  /**
   * Runs `ip` inside and returns what it prints.
   * @throws Error with its message if it fails.
   */
  async ip(...args: string[]): Promise<string> {
    return this.#must('ip', ...args);
  }

  /** Makes a persistent tap, up, to which one program in this namespace can attach. Returns its name. */
  async addTap(name: string, options: TapOptions = {}): Promise<string> {
    await this.ip('tuntap', 'add', 'dev', name, 'mode', 'tap');
    await this.configure(name, options);
    return name;
  }

  /** Gives a device its addresses and sets it up. */
  async configure(name: string, { address = [], mac, mtu, ipv6 = false }: TapOptions = {}): Promise<void> {
    if (mac) await this.ip('link', 'set', name, 'address', mac);
    if (mtu) await this.ip('link', 'set', name, 'mtu', String(mtu));
    if (!ipv6) await this.#must('sh', '-c', `echo 1 >/proc/sys/net/ipv6/conf/${name}/disable_ipv6`);
    for (const one of [address].flat()) {
      await this.ip('address', 'add', one, 'dev', name, ...(one.includes(':') ? ['nodad'] : []));
    }
    await this.ip('link', 'set', name, 'up');
  }

  /** Resolves when devices have noticed their carrier: until then the kernel drops what is sent by them, and says nothing. */
  async running(...names: string[]): Promise<void> {
    const deadline = Date.now() + 30_000;
    for (const name of names) {
      for (;;) {
        const shown = await this.ip('-o', 'link', 'show', 'dev', name);
        if (shown.includes('LOWER_UP') && !shown.includes('qdisc noop ')) break;
        if (Date.now() > deadline) throw new Error(`no carrier: ${shown}`);
      }
    }
  }

  async #must(command: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.exec(command, args);
    if (code !== 0)
      throw new Error(`${[command, ...args].join(' ')} in a namespace: ${stderr.trim() || `exit ${code}`}`);
    return stdout;
  }
}

export interface NamespaceOptions {
  /** Make a user namespace too; by default only for those who are not root. */
  user?: boolean;
}

/** A fresh network namespace with `lo` up, gone when the test ends. */
export async function namespace(t: Owner, options: NamespaceOptions = {}): Promise<Namespace> {
  const user = options.user ?? process.geteuid?.() !== 0;
  const flags = user ? ['--user', '--map-root-user', '--net'] : ['--net'];
  const holder = start(t, 'unshare', [...flags, 'sh', '-c', 'ip link set lo up && echo ready && exec cat']);
  await holder.waitFor('ready\n', { stream: 'stdout' });
  return new Namespace(holder, user);
}
