/** A broker of vxvdex networks in the process of the test, which is in a network namespace of its own. */

import { join } from 'node:path';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import type { OpenOptions } from '../../src/plug/scheme.js';
import { type BrokerOptions, VxvdexBroker } from '../../src/switch/vxvdex-broker.js';
import { Policy, parsePolicy } from '../../src/switch/vxvdex-policy.js';
import { loop } from '../../src/sys/loop.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { tmpDir } from '../support/tmp.js';
import { LogLines } from './log-lines.js';

export interface Brokered {
  broker: VxvdexBroker;
  path: string;
  lines: string[];
  /** Opens `vxvdex:///PARAMETERS` at this broker; it closes with the test. */
  open(parameters?: string, options?: OpenOptions): Promise<Plug>;
  /** Waits for a line of the log. */
  said(pattern: RegExp): Promise<string>;
}

export interface BrokeredOptions extends Partial<BrokerOptions> {
  /** Lines of a file of networks. */
  networks?: string;
}

export function startBroker(t: Owner, { networks = '', ...options }: BrokeredOptions = {}): Brokered {
  loop();
  const path = options.path ?? join(tmpDir(t), 'sock');
  const { lines, log, said } = new LogLines();
  const policy = policyOf(networks);
  const broker = new VxvdexBroker({ policy, family: 4, ttl: 1, log, ...options, path });
  cleanup(t, () => broker.close());
  const open = async (parameters = '', openOptions: OpenOptions = {}): Promise<Plug> => {
    const plug = await openPlug(`vxvdex:///sock="${path}"${parameters}`, openOptions);
    cleanup(t, () => plug.close());
    return plug;
  };
  return { broker, path, lines, open, said };
}

export function policyOf(networks: string): Policy {
  return new Policy(parsePolicy(networks, 'networks'), 'networks');
}
