/** One direction of a cable: what arrives at one plug is sent out at another, which may hold it back. */

import { ALL_VIEWS, type Burst } from '../frame/burst.js';
import type { Plug } from './plug.js';

/** Looks at every burst that passes, in the direction away from `from`. */
export type Observer = (burst: Burst, from: Plug) => void;

/** Sends what arrives at `from` out at `to`, and stops to read `from` while `to` is backlogged. */
export function join(from: Plug, to: Plug, observer?: Observer): void {
  to.onDrained = () => {
    from.receiving = true;
  };
  from.sink = (burst) => {
    observer?.(burst, from);
    to.send(burst, ALL_VIEWS, burst.count);
    if (to.backlogged) from.receiving = false;
  };
}
