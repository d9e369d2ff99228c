/**
 * Super-frames on their way to an end that takes only frames of the wire: cut there, in order with the others, and handed on
 * in bursts as full as can be, since the frames of a tap are mostly small and each has its checksum to be completed. What an
 * end takes is its own property, so nobody else has to think of it. Likewise on their way in, where what stands on a cable
 * (a cipher, say) works on frames of the wire.
 */

import { ALL_VIEWS, BURST_SIZE, Burst, FRAME_MAX } from '../frame/burst.js';
import { Segmenter } from '../frame/segmentation.js';
import { VIRTIO_NET_HDR } from '../sys/layout.js';
import type { Drops, Sink } from './plug.js';
import { Pool } from './pool.js';

type Transmit = (burst: Burst, views: Uint8Array, count: number) => void;

/** Frame of a view that has to be put together, behind its header; both at fixed places. */
const SCRATCH_FRAME = 16;

class Tools {
  readonly segmenter = new Segmenter();
  readonly out = new Burst();
  readonly scratch = new Uint8Array(SCRATCH_FRAME + FRAME_MAX + 4);
  readonly plain = new Uint8Array(BURST_SIZE * 2);
}

// Wrapped plugs cut within the call of one another, and a peer in the same process may answer within it.
const pool = new Pool(() => new Tools());

/**
 * Hands `transmit` the views of a burst, those of super-frames cut into frames of the wire.
 * @param longest see `Segmenter.longest`.
 */
export function sendCut(
  end: { drops: Drops },
  transmit: Transmit,
  burst: Burst,
  views: Uint8Array,
  count: number,
  longest = FRAME_MAX,
): void {
  const tools = pool.take();
  const { segmenter, out, scratch, plain } = tools;
  segmenter.longest = longest;
  const flush = () => {
    if (out.count > 0) transmit(out, ALL_VIEWS, out.count);
    out.count = 0;
  };
  let waiting = 0;
  for (let k = 0; k < count; k++) {
    const view = views[k];
    if (burst.offload[view & (BURST_SIZE - 1)] === 0) {
      flush();
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
  }
  if (waiting > 0) transmit(burst, plain, waiting);
  flush();
  pool.give(tools);
}

/** Hands `sink` the frames of a burst as bursts of frames of the wire. */
export function receiveCut(end: { drops: Drops }, sink: Sink, burst: Burst): void {
  const tools = pool.take();
  const { segmenter, out } = tools;
  segmenter.longest = FRAME_MAX;
  const flush = () => {
    if (out.count > 0) sink(out);
    out.count = 0;
  };
  for (let slot = 0; slot < burst.count; slot++) {
    if (burst.offload[slot] === 0) {
      if (out.count === BURST_SIZE) flush();
      out.add(burst.frame(slot));
      continue;
    }
    const start = burst.start[slot];
    const header = start - VIRTIO_NET_HDR.size;
    if (segmenter.segment(burst.bytes, start, burst.length[slot], header, out, flush) === 0) end.drops.error++;
  }
  flush();
  pool.give(tools);
}
