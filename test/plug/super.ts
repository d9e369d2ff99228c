/** Super-frames for tests of plugs. */

import { ALL_VIEWS, Burst } from '../../src/frame/burst.js';
import type { Plug } from '../../src/plug/plug.js';
import { hex } from '../frame/arbitraries.js';
import { noise, tcpPacket, writeSuperFrame } from '../frame/super-frames.js';

const STATION_A = '02000000000a';
const STATION_B = '02000000000b';

/**
 * A TCP packet with so many bytes of payload, to be cut after each 1448, behind its offload header.
 * @param forth as in `frame`.
 */
export function superFrame(payload = 20_000, seed = 1, forth = true): Uint8Array {
  const stations = { dstMac: hex(forth ? STATION_B : STATION_A), srcMac: hex(forth ? STATION_A : STATION_B) };
  return writeSuperFrame(tcpPacket({ ...stations, payload: noise(payload, seed) }), 1448);
}

/** Sends a super-frame, given behind its offload header. */
export function sendSuper(plug: Plug, bytes: Uint8Array): void {
  const burst = new Burst();
  burst.add(bytes.subarray(10));
  burst.offloadHeader(0).set(bytes.subarray(0, 10));
  burst.offload[0] = 1;
  burst.superFrames = 1;
  plug.send(burst, ALL_VIEWS, 1);
}
