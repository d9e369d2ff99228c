/** `vde_plug seqpacket://FD` of either make at both ends of a socket pair. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { loop } from '../../src/sys/loop.js';
import { SOCK_DGRAM, SOCK_SEQPACKET, socketPair } from '../../src/sys/socket.js';
import { leakCheck } from '../support/leaks.js';
import { command, FrameStream, frame, greet } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { start } from '../support/proc.js';

loop();

for (const [type, name] of [
  [SOCK_SEQPACKET, 'SOCK_SEQPACKET'],
  [SOCK_DGRAM, 'SOCK_DGRAM'],
] as const) {
  for (const makes of [
    ['ours', 'ours'],
    ['ours', 'debian'],
    ['debian', 'ours'],
  ] as const) {
    test(`${name} between vde_plug (${makes[0]}) and vde_plug (${makes[1]})`, async (t) => {
      if (!requirePeer(t, '/usr/bin/vde_plug')) return;
      leakCheck(t);
      const ends = socketPair(type, 'pair');
      const [a, b] = makes.map((make, i) => {
        const stdio = ['pipe', 'pipe', 'pipe', ends[i].fd] as const;
        return new FrameStream(
          start(t, command(make, 'vde_plug'), [`seqpacket://${i === 0 ? '3' : '0x3'}`], { stdio: [...stdio] }),
        );
      });
      for (const end of ends) end.close();
      await greet(a, b);
      for (const size of [14, 60, 1514, 9234]) {
        // A frame of a header alone has no tag: the one after it tells.
        a.send(frame({ tag: `there ${size}`, size }), frame({ tag: `after ${size}` }));
        await b.receive(`after ${size}`);
        b.send(frame({ tag: `back ${size}`, size, source: 2 }));
        assert.deepEqual(b.received.at(-2), frame({ tag: `there ${size}`, size }));
        if (size > 14)
          assert.deepEqual(await a.receive(`back ${size}`), frame({ tag: `back ${size}`, size, source: 2 }));
      }
      a.process.kill();
      await a.process.exited;
      // Of the end of a datagram socket, the next frame tells; C's never does.
      if (type === SOCK_DGRAM && makes[1] === 'debian') return;
      if (type === SOCK_DGRAM) b.send(frame({ tag: 'anybody there?' }));
      assert.deepEqual(await b.process.exited, { code: 0, signal: null });
      assert.equal(b.process.stderr, '');
    });
  }
}
