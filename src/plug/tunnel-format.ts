/**
 * How a super-frame travels between two ends of ours over UDP, once they have said hello (`tunnel-hello.ts`): its
 * `struct virtio_net_hdr` and its bytes, cut into datagrams that need no IP fragments. Each begins with a prefix:
 *
 *     octets 0 to 5   the receiver's tag
 *     6               number of the super-frame, modulo 256
 *     7               index of the piece; bit 7: it is the last one
 *     8 and 9         bytes in all, in network order
 *
 * All pieces but the last have one length, so index and length say where a piece belongs.
 */

import { VIRTIO_NET_HDR } from '../sys/layout.js';
import { TAG_SIZE } from './tunnel-hello.js';

export const PREFIX = { size: TAG_SIZE + 4, number: TAG_SIZE, index: TAG_SIZE + 1, total: TAG_SIZE + 2 } as const;
/** Bytes before the frame in a super-frame's first piece; a multiple of 4. */
export const PREFIX_AND_OFFLOAD = PREFIX.size + VIRTIO_NET_HDR.size;
/** In `PREFIX.index`. */
export const LAST = 0x80;
/** Pieces of a super-frame at most, and its bytes with the `struct virtio_net_hdr`. */
export const PIECES_MAX = 128;
export const TOTAL_MAX = 0xffff;
