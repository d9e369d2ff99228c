/** A switch with a control socket in the process of the test. */

import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { ControlServer } from '../../src/switch/control.js';
import { ControlDirectory } from '../../src/switch/directory.js';
import { Switch } from '../../src/switch/switch.js';
import { loop } from '../../src/sys/loop.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';
import { LogLines } from './log-lines.js';

export interface Served {
  dir: string;
  sw: Switch;
  server: ControlServer;
  lines: string[];
  /** Waits for a line of the log. */
  said(pattern: RegExp): Promise<string>;
  /** Waits until that many clients are connected. */
  clients(count: number): Promise<void>;
}

export interface ServeOptions {
  ports?: number;
  handshakeMs?: number;
  /** Whether every user may connect. */
  everybody?: boolean;
}

/** A switch with a control socket, in this process. Nothing may be left of it, or in it. */
export function serve(t: Owner, options: ServeOptions = {}): Served {
  loop();
  const dir = join(tmpDir(t), 'sw');
  leakCheck(t, join(dir, '..'));
  const directory = ControlDirectory.open(dir, options.everybody ? { mode: 0o666, directoryMode: 0o777 } : undefined);
  if (options.everybody) chmodSync(join(dir, '..'), 0o755);
  const sw = new Switch({ ports: options.ports, now: () => 0, random: Math.random });
  const { lines, log, said } = new LogLines();
  const server = new ControlServer(sw, directory, log, options);
  cleanup(t, () => {
    server.close();
    sw.close();
    directory.close();
  });
  const clients = async (count: number) => {
    while (server.clientCount !== count) await new Promise((done) => setImmediate(done));
  };
  return { dir, sw, server, lines, said, clients };
}

export function activePorts(sw: Switch): number[] {
  return sw.ports.flatMap((port) => (port?.active ? [port.number] : []));
}
