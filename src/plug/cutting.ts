/**
 * Super-frames on their way to an end that takes only frames of the wire: cut there, in order with the others. What an
 * end takes is its own property, so nobody else has to think of it.
 */

import { ALL_VIEWS, BURST_SIZE, Burst, FRAME_MAX } from '../frame/burst.js';
import { Segmenter } from '../frame/segmentation.js';
import { VIRTIO_NET_HDR } from '../sys/layout.js';
import type { Drops } from './plug.js';

type Transmit = (burst: Burst, views: Uint8Array, count: number) => void;

let tools: { segmenter: Segmenter; out: Burst; scratch: Uint8Array } | undefined;
/** Frame of a view that has to be put together, behind its header; both at fixed places. */
const SCRATCH_FRAME = 16;
const plain = new Uint8Array(BURST_SIZE * 2);

/** Hands `transmit` the views of a burst, those of super-frames cut into frames of the wire. */
export function sendCut(
  end: { drops: Drops },
  transmit: Transmit,
  burst: Burst,
  views: Uint8Array,
  count: number,
): void {
  tools ??= { segmenter: new Segmenter(), out: new Burst(), scratch: new Uint8Array(SCRATCH_FRAME + FRAME_MAX + 4) };
  const { segmenter, out, scratch } = tools;
  const flush = () => {
    if (out.count > 0) transmit(out, ALL_VIEWS, out.count);
    out.count = 0;
  };
  let waiting = 0;
  for (let k = 0; k < count; k++) {
    const view = views[k];
    if (burst.offload[view & (BURST_SIZE - 1)] === 0) {
      plain[waiting++] = view;
      continue;
    }
    if (waiting > 0) transmit(burst, plain, waiting);
    waiting = 0;
    const length = burst.length[view];
    let made: number;
    if (view < BURST_SIZE) {
      const start = burst.start[view];
      made = segmenter.segment(burst.bytes, start, length, start - VIRTIO_NET_HDR.size, out, flush);
    } else {
      burst.copyOffloadHeader(view, scratch, SCRATCH_FRAME - VIRTIO_NET_HDR.size);
      burst.copyView(view, scratch, SCRATCH_FRAME);
      made = segmenter.segment(scratch, SCRATCH_FRAME, length, SCRATCH_FRAME - VIRTIO_NET_HDR.size, out, flush);
    }
    if (made === 0) end.drops.error++;
    flush();
  }
  if (waiting > 0) transmit(burst, plain, waiting);
}
