/** `restart://` round a port of a switch of either make, which is killed and started again, as either make. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { leakCheck } from '../support/leaks.js';
import { namespace } from '../support/namespace.js';
import { command, eventually, FrameStream, frame, startSwitch, waitForEndpoints } from '../support/network.js';
import { requirePeer, requireTun, requireUserNamespaces } from '../support/peers.js';
import { start } from '../support/proc.js';

const PEERS = ['/usr/bin/vde_switch', '/usr/bin/vde_plug', 'ip', 'ping'];

for (const [first, second] of [
  ['ours', 'debian'],
  ['debian', 'ours'],
] as const) {
  test(`a tap and a stream outlive a switch (${first}) that is killed and comes back (${second}), twice`, async (t) => {
    if (!requirePeer(t, ...PEERS) || !requireTun(t) || !requireUserNamespaces(t)) return;
    leakCheck(t);
    let sw = await startSwitch(t, first);
    const { dir } = sw;
    const locator = `restart://{vde://${dir}}`;
    const spaces = [await namespace(t), await namespace(t)];
    const cables = [];
    for (const [i, ns] of spaces.entries()) {
      await ns.addTap('t0', { address: [`10.0.0.${i + 1}/24`] });
      cables.push(ns.start(t, command('ours', 'vde_plug'), i === 0 ? [locator, 'tap://t0'] : ['tap://t0', locator]));
    }
    const stream = new FrameStream(start(t, command('ours', 'vde_plug'), [locator]));
    cables.push(stream.process);
    const ping = async (): Promise<boolean> => {
      const { code } = await spaces[0].exec('ping', ['-q', '-c', '1', '-W', '1', '10.0.0.2']);
      return code === 0;
    };
    // The stream's too: what has never been open is not opened again.
    await waitForEndpoints(sw, cables.length);
    await eventually('ping', ping);
    for (const [round, make] of [second, first].entries()) {
      sw.process.kill('SIGKILL');
      await sw.process.exited;
      for (const cable of cables) await cable.expect(/: lost, it will be opened again \(.*\)\n/, { stream: 'stderr' });
      sw = await startSwitch(t, make, ['-s', dir]);
      for (const cable of cables) await cable.expect(/: back\n/, { stream: 'stderr' });
      await eventually('ping', ping);
      // A broadcast from the tap's side comes out of the stream: who is asked for is not there.
      const tag = `round ${round}`;
      stream.send(frame({ tag, source: 9 }));
      const arrived = stream.received.length;
      await eventually('broadcast', async () => {
        await spaces[1].exec('ping', ['-q', '-c', '1', '-W', '1', `10.0.0.${50 + round}`]);
        return stream.received.length > arrived;
      });
    }
    for (const cable of cables) {
      assert.equal(cable.running, true);
      cable.kill();
      assert.deepEqual(await cable.exited, { code: 0, signal: null });
    }
  });
}
