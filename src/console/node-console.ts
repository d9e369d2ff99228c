/** The console of a switch that a locator runs, such as `switch://DIRECTORY[mgmt=PATH]`: that of `vde_switch`. */

import type { NodeConsole } from '../switch/netnode.js';
import type { SwitchService } from '../switch/service.js';
import { ManagementServer } from './management.js';
import { banner, switchConsole } from './switch-commands.js';
import type { ConsoleTarget } from './target.js';
import { version } from './version.js';

/** Buckets of a table that nobody has set: only shown. */
const HASH_SIZE = 128;

/**
 * Serves it; returns what ends that.
 * @throws VdeError as `ManagementServer`.
 */
export function openNodeConsole(service: SwitchService, { path, mode, group, shutdown }: NodeConsole): () => void {
  const { mac } = service.switch.tree;
  const target: ConsoleTarget = {
    version,
    service,
    mac,
    hashSize: HASH_SIZE,
    management: undefined,
    // The console that it is said at ends too, but not while it is answering.
    shutdown: () => void setImmediate(shutdown),
  };
  const { table, plugins } = switchConsole(target);
  const server = new ManagementServer(path, { mode, group, banner: banner(version), table, log: service.log });
  target.management = server;
  return () => {
    server.close();
    plugins.close();
  };
}
