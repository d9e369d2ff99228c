/** Serial lines between `vde_plug`s of either make. */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { command, eventually, FrameStream, frame, type Make } from '../support/network.js';
import { requirePeer, requireVdeplug } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { serialLine } from '../support/serial.js';

/** Starts an end on a line; it is there once the line has its speed, which the pseudo terminal keeps. */
async function end(t: Owner, make: Make, path: string, speed: number): Promise<FrameStream> {
  const plug = start(t, command(make, 'vde_plug'), [`vdesl://${path}[speed=${speed}]`]);
  await eventually(`${path} at ${speed}`, async () => {
    assert.ok(plug.running, plug.output);
    return (await run('stty', ['-F', path, 'speed'])).stdout.trim() === String(speed);
  });
  return new FrameStream(plug);
}

for (const [first, second] of [
  ['ours', 'ours'],
  ['ours', 'debian'],
  ['debian', 'ours'],
] as const) {
  test(`a serial line between vdesl:// of ${first} and of ${second}`, async (t) => {
    if (!requirePeer(t, '/usr/bin/vde_plug', 'socat', 'stty') || !requireVdeplug(t, 'vdesl')) return;
    leakCheck(t);
    const line = await serialLine(t);
    const a = await end(t, first, line.a, 115200);
    const b = await end(t, second, line.b, 4000000);
    for (const [from, to, tag] of [
      [a, b, 'there'],
      [b, a, 'back'],
    ] as const) {
      for (const size of [30, 60, 1514]) {
        const one = frame({ tag: `${tag} ${size}`, size });
        // One at a time: the stream parser of the C tools loses step when a read ends within a length.
        from.send(one);
        assert.deepEqual(await to.receive(`${tag} ${size}`), one);
      }
    }
    await line.process.end();
    await Promise.all([first, second].map((make, i) => (make === 'ours' ? [a, b][i].process.exited : undefined)));
    for (const [i, make] of [first, second].entries()) {
      if (make === 'ours') assert.match([a, b][i].process.stderr, /the serial line has hung up/);
    }
  });
}
