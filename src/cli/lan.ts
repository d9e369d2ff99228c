/**
 * The virtual LAN of `vde start`: a switch in this process and two hosts, each a network namespace made by `vdens`. The
 * neighbour answers ping, and iperf3 where that is installed; the other host is the user's.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { vdeLocator } from '../plug/vde.js';
import { VdeError } from '../sys/errors.js';

const VDENS = fileURLToPath(new URL('../../bin/vdens', import.meta.url));
/** Addresses of the LAN (RFC 5737 and RFC 1918 are both in use on real networks; this is nobody's but the namespaces'). */
const HOST = '10.0.0.1';
const NEIGHBOUR = '10.0.0.2';
const PREFIX = 24;
/** How long the neighbour may take to come up, in ms. */
const START_MS = 10_000;
const PINGS = 5;
const SECONDS = 2;

/** Whether a program is in the path. */
export function isInstalled(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** See the head of this file. */
export class Lan {
  readonly #locator: string;
  #neighbour: ChildProcess | undefined;

  /** @param directory of a running switch. */
  constructor(directory: string) {
    this.#locator = vdeLocator(directory);
  }

  readonly hostAddress = HOST;
  readonly neighbourAddress = NEIGHBOUR;
  readonly hasIperf = isInstalled('iperf3');

  #vdens(name: string, address: string): string[] {
    return [VDENS, '--hostname', name, '--ip', `${address}/${PREFIX}`, this.#locator];
  }

  /**
   * Starts the neighbour.
   * @throws VdeError with what `vdens` said if it cannot run here: no user namespaces, no /dev/net/tun, ...
   */
  async startNeighbour(): Promise<void> {
    const service = this.hasIperf ? 'exec iperf3 -s' : 'exec sleep infinity';
    const child = spawn(process.execPath, [...this.#vdens('neighbour', NEIGHBOUR), 'sh', '-c', `echo up; ${service}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#neighbour = child;
    let complaint = '';
    child.stderr.on('data', (text) => {
      complaint += text;
    });
    const timer = setTimeout(() => child.kill(), START_MS);
    const up = await Promise.race([once(child.stdout, 'data').then(() => true), once(child, 'exit').then(() => false)]);
    clearTimeout(timer);
    child.stdout.resume();
    if (up) return;
    throw new VdeError({
      code: 'ENOTSUP',
      subject: 'namespaces',
      cause:
        complaint
          .trim()
          .split('\n')[0]
          .replace(/^vdens: /, '') || `not up after ${START_MS / 1000} s`,
    });
  }

  /** The user's host: a shell on this terminal. Returns its exit status. */
  async shell(): Promise<number> {
    const child = spawn(process.execPath, this.#vdens('lab', HOST), { stdio: 'inherit' });
    const [status] = await once(child, 'exit');
    return status ?? 1;
  }

  /** The user's host, with nobody there: what a user would try first. Returns what it printed and its exit status. */
  async tryOut(): Promise<{ output: string; status: number }> {
    const script = `ping -c ${PINGS} -i 0.2 -q ${NEIGHBOUR}${this.hasIperf ? ` && iperf3 -c ${NEIGHBOUR} -t ${SECONDS}` : ''}`;
    const child = spawn(process.execPath, [...this.#vdens('lab', HOST), 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
    });
    const [status] = await once(child, 'close');
    return { output, status: status ?? 1 };
  }

  /** Ends the neighbour. Idempotent. */
  async close(): Promise<void> {
    const child = this.#neighbour;
    this.#neighbour = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  }
}
