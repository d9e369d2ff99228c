/** The `dump` plugin: every frame that passes a port, in hexadecimal, as debugging messages (reference: management console). */

import { sendCut } from '../plug/cutting.js';
import { noDrops } from '../plug/plug.js';
import type { DebugCategory } from '../switch/debug.js';
import type { ObservedViews } from '../switch/observer.js';
import { leadingInteger, padded } from './arguments.js';
import { MENU } from './command-table.js';
import type { PluginDefinition } from './plugin-host.js';

const HEX = Array.from({ length: 256 }, (_, octet) => `${octet.toString(16).padStart(2, '0')} `);

export const dumpPlugin: PluginDefinition = {
  name: 'dump',
  help: 'dump packets',
  start(host) {
    const arrived = dumper(host.debugCategory('dump/packetin', 0o101, 'dump incoming packet'));
    const leaving = dumper(host.debugCategory('dump/packetout', 0o102, 'dump outgoing packet'));
    let stop: (() => void) | undefined;
    return {
      commands: [
        { name: 'dump', syntax: MENU, help: 'DUMP Packets' },
        {
          name: 'dump/active',
          syntax: '0/1',
          help: 'start dumping data',
          run(argument) {
            const on = leadingInteger(argument) !== 0;
            if (on) stop ??= host.observe({ arrived, leaving });
            else {
              stop?.();
              stop = undefined;
            }
          },
        },
      ],
    };
  },
};

/** Says each frame, super-frames as the frames of the wire that they stand for. */
function dumper(category: DebugCategory): ObservedViews {
  const cutting = { drops: noDrops() };
  return (port, burst, views, count) => {
    if (!category.wanted) return;
    const sayAll = (frames: typeof burst, list: Uint8Array, n: number): void => {
      for (let k = 0; k < n; k++) {
        const frame = frames.viewBytes(list[k]);
        let text = `Pkt: Port ${padded(port.number)} len=${padded(frame.length)} `;
        for (let at = 0; at < frame.length; at++) text += HEX[frame[at]];
        category.say(text);
      }
    };
    if (burst.superFrames === 0) sayAll(burst, views, count);
    else sendCut(cutting, sayAll, burst, views, count);
  };
}
