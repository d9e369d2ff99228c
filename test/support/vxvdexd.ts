/** Brokers of vxvdex networks as commands on simulated hosts, and users in private network namespaces. */

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bin } from './bin.js';
import type { Owner } from './cleanup.js';
import type { Host } from './hosts.js';
import { FrameStream, frame } from './network.js';
import type { Running } from './proc.js';
import { tmpDir } from './tmp.js';

export interface BrokerProcess {
  process: Running;
  path: string;
  /** `vxvdex:///PARAMETERS` at this broker. */
  locator(parameters?: string): string;
}

export interface BrokerProcessOptions {
  args?: readonly string[];
  /** Lines of a file of networks. */
  networks?: string;
  /** Where its socket is; a place of its own that all users can enter if not given. */
  path?: string;
}

/** Starts `vde_vxvdexd` on a host, and waits until it listens. */
export async function startVxvdexd(
  t: Owner,
  host: Host,
  { args = [], networks, path = join(openDir(t), 'sock') }: BrokerProcessOptions = {},
): Promise<BrokerProcess> {
  const config: string[] = [];
  if (networks !== undefined) {
    const file = join(openDir(t), 'networks');
    writeFileSync(file, networks);
    config.push('--config', file);
  }
  const process = host.net.start(t, bin('vde_vxvdexd'), ['--sock', path, ...config, ...args]);
  await process.waitFor('listening at ');
  return { process, path, locator: (parameters = '') => `vxvdex:///sock="${path}"${parameters}` };
}

/** A directory of this test's that all users can enter. */
function openDir(t: Owner): string {
  const dir = tmpDir(t);
  chmodSync(dir, 0o755);
  return dir;
}

/** A user by numbers. Whoever runs the tests, if not given: only root can be several. */
export interface User {
  uid: number;
  gid: number;
  groups?: readonly number[];
}

/** The words before a command that is to run as a user in a network namespace of her own, where there is nothing. */
export function inPrivate(user: User | undefined): string[] {
  if (user === undefined) return ['unshare', '--net'];
  const { uid, gid, groups = [] } = user;
  const also = groups.length > 0 ? `--groups=${groups.join(',')}` : '--clear-groups';
  return ['unshare', '--net', 'setpriv', `--reuid=${uid}`, `--regid=${gid}`, also];
}

/** Starts a command on a host as a user in a network namespace of her own. */
export function startPrivate(
  t: Owner,
  host: Host,
  user: User | undefined,
  command: string,
  args: readonly string[],
): Running {
  const [first, ...rest] = [...inPrivate(user), command, ...args];
  return host.net.start(t, first, rest);
}

/** An end of a locator that frames can be sent by and are collected at, in a user's private namespace. */
export function privateStream(t: Owner, host: Host, user: User | undefined, locator: string): FrameStream {
  return new FrameStream(startPrivate(t, host, user, bin('vde_plug'), [locator]));
}

let serial = 0;

/** Sends from a station until the other has heard it: before it has joined, frames are lost. */
export async function introduce(from: FrameStream, source: number, to: FrameStream): Promise<void> {
  const tag = `here is ${source}, ${serial++}`;
  const say = () => from.send(frame({ tag, source }));
  const timer = setInterval(say, 50);
  try {
    say();
    await to.receive(tag);
  } finally {
    clearInterval(timer);
  }
}

/** A shell in a namespace of `vdens`, which runs the lines that it is given. Its interface has 10.0.0.NUMBER. */
export class Station {
  private constructor(readonly process: Running) {}

  /** Waits for the shell. */
  static async in(process: Running): Promise<Station> {
    await process.expect('ready\n', { stream: 'stdout' });
    return new Station(process);
  }

  /** What `vdens` runs. */
  static command(number: number): string[] {
    const setUp = `ip address add 10.0.0.${number}/24 dev vde0 && ip link set vde0 up && echo ready`;
    return ['sh', '-c', `${setUp} && while read line; do eval "$line"; echo "<$?>"; done`];
  }

  /** Runs a line; its exit status. */
  async run(line: string): Promise<number> {
    this.process.stdin.write(`${line}\n`);
    return Number((await this.process.expect(/<(\d+)>\n/, { stream: 'stdout' }))[1]);
  }

  /** Whether another station answers a ping. */
  async reaches(number: number): Promise<boolean> {
    return (await this.run(`ping -q -c 2 -i 0.1 -W 20 10.0.0.${number} >/dev/null`)) === 0;
  }

  async end(): Promise<void> {
    this.process.stdin.end();
    await this.process.exited;
  }
}
