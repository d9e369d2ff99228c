import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { registerNodeSchemes } from '../../src/console/schemes.js';
import { listSchemes, openPlug } from '../../src/plug/registry.js';
import { SOCK_SEQPACKET, socketPair } from '../../src/sys/socket.js';
import { cleanup } from '../support/cleanup.js';
import { startSwitch } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { serialLine } from '../support/serial.js';
import { tmpDir } from '../support/tmp.js';
import { freePorts } from './udp-pair.js';

const HALF = 'what LOCATOR takes';

test('the longest frame that a scheme names is what its ends say', async (t) => {
  if (!requirePeer(t, 'socat', 'stty')) return;
  registerNodeSchemes();
  const home = tmpDir(t);
  const sw = await startSwitch(t, 'ours');
  const line = await serialLine(t);
  const [here, there] = freePorts(2);
  const [raw, end] = socketPair(SOCK_SEQPACKET, 'pair');
  cleanup(t, () => raw.close());
  const file = join(home, 'file.pcapng');
  const locators: Record<string, string> = {
    vde: `vde://${sw.dir}`,
    null: 'null://',
    ptp: `ptp://${home}/ptp`,
    udp: `udp://127.0.0.1:${here}->127.0.0.1:${there}`,
    qemu: `qemu://${home}/qemu[listen]`,
    seqpacket: `seqpacket://${end.release()}`,
    cmd: 'cmd://cat',
    vdesl: `vdesl://${line.a}`,
    pcap: `pcap://${file}[out]`,
    ...Object.fromEntries(['switch', 'hub', 'multi', 'bonding'].map((name) => [name, `${name}://${home}/${name}`])),
    capture: `capture://${home}/other.pcapng{null://}`,
    restart: 'restart://{null://}',
    vlan: 'vlan://4{null://}',
  };
  const inner = await openPlug('null://');
  cleanup(t, () => inner.close());
  for (const { name, maxFrame } of await listSchemes()) {
    assert.notEqual(maxFrame, undefined, name);
    // The others need a right that not everybody has.
    const locator = locators[name];
    if (locator === undefined || maxFrame === undefined) continue;
    const plug = await openPlug(locator);
    cleanup(t, () => plug.close());
    if (typeof maxFrame === 'number') assert.equal(plug.maxFrame, maxFrame, name);
    else if (maxFrame.startsWith(HALF)) {
      const less = Number(/less (\d+)/.exec(maxFrame)?.[1] ?? 0);
      assert.equal(plug.maxFrame, inner.maxFrame - less, name);
    } else assert.ok(maxFrame.includes(`${plug.maxFrame} bytes`), name);
  }
});
