/**
 * One peer of a UDP tunnel, as it is sent to: where it is, how long a datagram gets there unfragmented, and whether it is
 * an end of ours (`tunnel-hello.ts`). To such, super-frames go whole; to any other they are cut, TCP so that no datagram
 * needs IP fragments.
 */

import type { Burst } from '../frame/burst.js';
import { sendCut } from './cutting.js';
import type { Drops } from './plug.js';
import type { TunnelHello } from './tunnel-hello.js';
import type { Destination, TunnelSender } from './tunnel-sender.js';

/** How often the path is asked for its MTU while super-frames are sent, in ms. */
const PATH_MS = 1000;

const one = new Uint8Array(1);

/** The end of the tunnel on this side. */
export interface TunnelEnd {
  readonly drops: Drops;
  readonly sender: TunnelSender;
  /** Sends what the sender holds. */
  flush(): void;
  /** Sends a hello. */
  post(message: Uint8Array, to: Destination): void;
  /** Bytes of the longest datagram that reaches a peer unfragmented, as far as the kernel knows. */
  pathTo(peer: Destination): number;
}

/** See the head of this file. */
export class TunnelPeer implements Destination {
  unfragmented = 0;
  #pathKnown = Number.NEGATIVE_INFINITY;
  readonly #transmit: (burst: Burst, views: Uint8Array, count: number) => void;

  /**
   * @param address as in `Destination`.
   * @param hello if undefined, the peer gets nothing but frames of the wire.
   */
  constructor(
    private readonly end: TunnelEnd,
    readonly address: number,
    readonly length: number,
    readonly hello: TunnelHello | undefined,
  ) {
    const { sender } = end;
    this.#transmit = (burst, views, count) => {
      for (let k = 0; k < count; k++) sender.add(burst, views[k], this);
      end.flush();
    };
  }

  /** Adds a super-frame to what is to be sent. @param now in ms of any clock that does not go back. */
  addSuperFrame(burst: Burst, view: number, now: number): void {
    if (now - this.#pathKnown >= PATH_MS) this.findPath(now);
    const { end, hello } = this;
    if (hello !== undefined) {
      const request = hello.request(now);
      if (request !== undefined) end.post(request, this);
      if (hello.usable(now) && end.sender.addWhole(burst, view, this, hello.peerTag)) return;
    }
    const { headerLength, maxFrame } = end.sender;
    const longest = this.unfragmented > headerLength ? this.unfragmented - headerLength : maxFrame;
    one[0] = view;
    sendCut(end, this.#transmit, burst, one, 1, Math.min(longest, maxFrame));
  }

  /** Asks the kernel for the path's MTU. */
  findPath(now: number): void {
    this.#pathKnown = now;
    this.unfragmented = this.end.pathTo(this);
  }

  /** What is known of the path may be old. */
  forgetPath(): void {
    this.#pathKnown = Number.NEGATIVE_INFINITY;
  }
}
