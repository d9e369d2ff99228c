/** Two ends in one process: what one sends arrives at the other within the call, super-frames whole if they take them. */

import { BURST_SIZE, Burst, FRAME_MAX } from '../../src/frame/burst.js';
import { PlugBase } from '../../src/plug/base.js';
import type { Plug } from '../../src/plug/plug.js';
import { VIRTIO_NET_HDR } from '../../src/sys/layout.js';

export class DirectPlug extends PlugBase implements Plug {
  readonly backlogged = false;
  peer: DirectPlug | undefined;

  constructor(
    readonly name: string,
    readonly takesOffloads: boolean,
    readonly maxFrame = FRAME_MAX,
  ) {
    super();
  }

  /** Two ends that are joined. */
  static pair(takesOffloads = false, maxFrame?: number): [DirectPlug, DirectPlug] {
    const [a, b] = ['a', 'b'].map((name) => new DirectPlug(name, takesOffloads, maxFrame));
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  protected override transmit(burst: Burst, views: Uint8Array, count: number): void {
    // One for each call: the peer may answer within it.
    const out = new Burst();
    for (let k = 0; k < count; k++) {
      if (burst.length[views[k]] > this.maxFrame) this.drops.oversize++;
      else if (burst.length[views[k]] < 14) this.drops.runt++;
      else out.add(burst.viewBytes(views[k]));
      if (burst.offload[views[k] & (BURST_SIZE - 1)] === 0) continue;
      const slot = out.count - 1;
      burst.copyOffloadHeader(views[k], out.bytes, out.start[slot] - VIRTIO_NET_HDR.size);
      out.offload[slot] = 1;
      out.superFrames++;
    }
    if (out.count > 0 && !this.closed) this.peer?.arrive(out);
  }

  /** Lets a burst arrive here. */
  arrive(burst: Burst): void {
    if (this.wanted) this.sink?.(burst);
  }

  /** As an end whose peer has gone. */
  fail(): void {
    this.lose();
  }

  protected override listen(): void {}

  protected override release(): void {
    this.peer = undefined;
  }
}
