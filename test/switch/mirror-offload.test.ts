/** Super-frames in mirrors and dumps: cut to frames of the wire wherever somebody looks at them, whole where they go. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { dumpPlugin } from '../../src/console/plugin-dump.js';
import { startPlugin } from '../../src/console/plugin-host.js';
import { Burst } from '../../src/frame/burst.js';
import { readCapture } from '../../src/frame/pcapng-reader.js';
import { PlugBase } from '../../src/plug/base.js';
import { SwitchService } from '../../src/switch/service.js';
import { addTagged, addVlan } from '../../src/switch/vlan-management.js';
import { loop } from '../../src/sys/loop.js';
import { nobody } from '../console/tables.js';
import { cutPacket, noise, tcpPacket, writePacket, writeSuperFrame } from '../frame/super-frames.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { tmpDir } from '../support/tmp.js';

const SEGMENT = 1448;
const value = tcpPacket({ dstMac: new Uint8Array(6).fill(0xff), payload: noise(50_000, 1) });
const expected = cutPacket(value, SEGMENT).map((one) => Buffer.from(writePacket(one)));

/** Keeps what it is sent, cut if it takes no super-frames. */
class KeepingPlug extends PlugBase {
  readonly name = 'keeping';
  readonly maxFrame = 65_549;
  readonly backlogged = false;
  readonly got: Buffer[] = [];

  constructor(readonly takesOffloads: boolean) {
    super();
  }

  protected override transmit(burst: Burst, views: Uint8Array, count: number): void {
    for (let k = 0; k < count; k++) this.got.push(Buffer.from(burst.viewBytes(views[k])));
  }

  protected override listen(): void {}

  protected override release(): void {}
}

test('copies to a port, onto a VLAN, into a file and for dump', (t) => {
  loop();
  leakCheck(t);
  const dir = tmpDir(t);
  const service = new SwitchService(join(dir, 'sw'), { ports: 8 });
  cleanup(t, () => service.close());
  const { switch: sw, mirrors } = service;
  const seat = (port: number, offloads: boolean) => {
    const plug = new KeepingPlug(offloads);
    sw.attach(plug, { port, id: port, module: 'memory', user: -1 });
    return plug;
  };
  const [one, two, probe, trunk] = [seat(1, true), seat(2, true), seat(3, false), seat(4, true)];
  addVlan(sw, 100);
  addTagged(sw, 100, 4);
  const path = join(dir, 'm.pcapng');
  for (const to of [{ port: 3 }, { vlan: 100 }, { file: path }]) {
    mirrors.add({ ports: new Set([1]), direction: 'in', to });
  }
  const said: string[] = [];
  const plugin = startPlugin(dumpPlugin, { service, caller: nobody(), unload: () => {} });
  for (const category of sw.debug.list)
    if (category.path === 'dump/packetin') category.listen((_, line) => said.push(line));
  plugin.commands.find(({ name }) => name === 'dump/active')?.run?.('1', [], nobody());

  const bytes = writeSuperFrame(value, SEGMENT);
  const burst = new Burst();
  burst.add(bytes.subarray(10));
  burst.bytes.set(bytes.subarray(0, 10), burst.start[0] - 10);
  burst.readOffloads();
  assert.equal(burst.superFrames, 1);
  one.sink?.(burst);
  mirrors.close();
  plugin.close();

  assert.deepEqual(two.got, [Buffer.from(bytes.subarray(10))]);
  assert.deepEqual(probe.got, expected);
  const tagged = expected.map((frame) =>
    Buffer.concat([frame.subarray(0, 12), Buffer.from([0x81, 0, 0, 100]), frame.subarray(12)]),
  );
  assert.deepEqual(trunk.got.slice(0, -1), tagged);
  assert.deepEqual(trunk.got.at(-1), Buffer.from(bytes.subarray(10)));
  assert.deepEqual(
    [...readCapture(readFileSync(path), path)].map(({ data }) => Buffer.from(data)),
    expected,
  );
  assert.deepEqual(
    said.map((line) => Buffer.from(line.replace(/^.*? len=\d+ /, '').replaceAll(' ', ''), 'hex')),
    expected,
  );
});
