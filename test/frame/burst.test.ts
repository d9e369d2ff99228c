import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ALL_VIEWS, BURST_SIZE, Burst, FRAME_MAX, HEADROOM, VIEWS } from '../../src/frame/burst.js';
import type { Tpid } from '../../src/frame/vlan.js';
import { SendVector } from '../../src/sys/batch.js';
import { VIRTIO_NET_HDR } from '../../src/sys/layout.js';
import { Memory } from '../../src/sys/memory.js';
import { SOCK_DGRAM, setSendBuffer, socketPair, tryReceive } from '../../src/sys/socket.js';

const bytes = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max });
const vlanId = fc.integer({ min: 0, max: 4094 });

/** The frame with its tag put in or taken out, as plainly as it can be written. */
function retagged(frame: Uint8Array, vlan: number, tagged: boolean): Buffer {
  const rest = frame.subarray(tagged ? 16 : 12);
  const tag = tagged ? [] : [0x81, 0x00, vlan >> 8, vlan & 0xff];
  return Buffer.concat([frame.subarray(0, 12), Uint8Array.from(tag), rest]);
}

/** The same for the third view: a service tag put in, or the tag's protocol exchanged. */
function serviceTagged(frame: Uint8Array, vlan: number, tagged: boolean, tpid: Tpid): Buffer {
  const type = tagged ? tpid : 0x88a8;
  const tci = tagged ? [] : [vlan >> 8, vlan & 0xff];
  const changed = Uint8Array.from([type >> 8, type & 0xff, ...tci]);
  return Buffer.concat([frame.subarray(0, 12), changed, frame.subarray(tagged ? 14 : 12)]);
}

/** A view as the kernel gathers it; with its offload header before it if `headed`. */
function sent(burst: Burst, view: number, headed = false): Buffer {
  const [a, b] = socketPair(SOCK_DGRAM, 'pair');
  try {
    setSendBuffer(a, 1 << 20);
    const vector = new SendVector(1);
    burst.gather(view, vector, 0, headed);
    assert.equal(vector.send(a.fd, 0, 1), 1);
    const memory = new Memory(FRAME_MAX + 8 + VIRTIO_NET_HDR.size);
    return Buffer.from(memory.bytes.subarray(0, tryReceive(b, memory)));
  } finally {
    a.close();
    b.close();
  }
}

describe('a burst', () => {
  it('takes 64 frames, each as long as a frame may be', () => {
    const burst = new Burst();
    const frames = Array.from({ length: BURST_SIZE }, (_, i) => Buffer.alloc(i === 63 ? FRAME_MAX : 14 + i, i + 1));
    for (const [i, frame] of frames.entries()) {
      assert.equal(burst.add(frame), true);
      assert.equal(burst.count, i + 1);
    }
    assert.equal(burst.add(frames[0]), false);
    for (const [i, frame] of frames.entries()) assert.deepEqual(Buffer.from(burst.frame(i)), frame);
    assert.equal(burst.count, BURST_SIZE);
  });

  it('refuses a frame that is too long and stays as it was', () => {
    const burst = new Burst();
    assert.equal(burst.add(Buffer.alloc(FRAME_MAX + 1)), false);
    assert.equal(burst.count, 0);
  });

  it('has its frames at multiples of 4, with headroom before them and room for the longest', () => {
    const burst = new Burst();
    for (let slot = 0; slot < BURST_SIZE; slot++) {
      assert.equal(burst.home(slot) % 4, 0);
      assert.equal(burst.addressAt(burst.home(slot)) % 4, 0);
      assert.equal(burst.home(slot) - HEADROOM, slot * burst.stride);
      assert.ok(HEADROOM + FRAME_MAX + 1 <= burst.stride);
      assert.equal(burst.address + slot * burst.stride, burst.addressAt(burst.home(slot)));
    }
    assert.ok(burst.bytes.length >= BURST_SIZE * burst.stride);
  });

  it('shows the same bytes as words and shorts', () => {
    const burst = new Burst();
    burst.add(Buffer.from('0011223344556677', 'hex'));
    assert.equal(burst.words[burst.start[0] >>> 2] >>> 0, 0x33221100);
    assert.equal(burst.shorts[(burst.start[0] >>> 1) + 3], 0x7766);
  });

  it('lists all of its views in ALL_VIEWS', () => {
    assert.deepEqual([...ALL_VIEWS], [...Array(BURST_SIZE).keys()]);
  });
});

describe('a view', () => {
  it('of a frame as it arrived is that frame, wherever it is placed', () => {
    fc.assert(
      fc.property(fc.nat(BURST_SIZE - 1), bytes(14, 200), fc.nat(20), (slot, frame, shift) => {
        const burst = new Burst();
        const start = burst.home(slot) - HEADROOM + shift * 4;
        burst.bytes.set(frame, start);
        burst.place(slot, start, frame.length);
        assert.deepEqual(Buffer.from(burst.viewBytes(slot)), Buffer.from(frame));
        assert.deepEqual(sent(burst, slot), Buffer.from(frame));
      }),
      { numRuns: 30 },
    );
  });

  it('with the tag changed is the frame with the tag changed, in memory and on the wire', () => {
    const burst = new Burst();
    fc.assert(
      fc.property(fc.nat(BURST_SIZE - 1), bytes(18, 1600), vlanId, fc.boolean(), (slot, frame, vlan, tagged) => {
        burst.bytes.set(frame, burst.home(slot));
        burst.place(slot, burst.home(slot), frame.length);
        const expected = retagged(frame, vlan, tagged);
        const view = burst.retag(slot, vlan, tagged);
        assert.equal(view, BURST_SIZE + slot);
        assert.equal(burst.length[view], expected.length);
        assert.deepEqual(Buffer.from(burst.viewBytes(view)), expected);
        const target = Buffer.alloc(expected.length + 6, 0xee);
        assert.equal(burst.copyView(view, target, 3), expected.length);
        assert.deepEqual(target.subarray(3, -3), expected);
        assert.equal(target.subarray(0, 3).toString('hex') + target.subarray(-3).toString('hex'), 'ee'.repeat(6));
        assert.deepEqual(sent(burst, view), expected);
        // The frame itself is untouched.
        assert.deepEqual(Buffer.from(burst.viewBytes(slot)), Buffer.from(frame));
      }),
      { numRuns: 100 },
    );
  });

  it('with a service tag, or with the protocol of its tag exchanged, is that, beside the other views', () => {
    const burst = new Burst();
    const slot = fc.nat(BURST_SIZE - 1);
    const tpid = fc.constantFrom<Tpid>(0x8100, 0x88a8);
    fc.assert(
      fc.property(slot, bytes(18, 1600), vlanId, fc.boolean(), tpid, (slot, frame, vlan, tagged, tpid) => {
        burst.bytes.set(frame, burst.home(slot));
        burst.place(slot, burst.home(slot), frame.length);
        const second = burst.retag(slot, vlan, tagged);
        const third = burst.retagService(slot, vlan, tagged, tpid);
        assert.equal(new Set([slot, second, third]).size, 3);
        assert.ok(third < VIEWS && third % BURST_SIZE === slot);
        const expected = serviceTagged(frame, vlan, tagged, tpid);
        assert.equal(burst.length[third], expected.length);
        assert.deepEqual(Buffer.from(burst.viewBytes(third)), expected);
        assert.deepEqual(sent(burst, third), expected);
        assert.deepEqual(sent(burst, second), retagged(frame, vlan, tagged));
        assert.deepEqual(sent(burst, slot), Buffer.from(frame));
      }),
      { numRuns: 100 },
    );
  });

  it('of the shortest and of the longest frame', () => {
    const burst = new Burst();
    const [shortest, longest] = [Buffer.alloc(14, 1), Buffer.alloc(FRAME_MAX, 2)];
    burst.add(shortest);
    burst.add(longest);
    assert.deepEqual(sent(burst, burst.retag(0, 4094, false)), retagged(shortest, 4094, false));
    assert.deepEqual(sent(burst, burst.retag(1, 1, false)), retagged(longest, 1, false));
    assert.equal(sent(burst, burst.retag(1, 1, true)).length, FRAME_MAX - 4);
    assert.deepEqual(sent(burst, burst.retagService(0, 7, false, 0x88a8)), serviceTagged(shortest, 7, false, 0x88a8));
    assert.deepEqual(sent(burst, burst.retagService(1, 7, false, 0x88a8)), serviceTagged(longest, 7, false, 0x88a8));
  });

  it('of one slot does not disturb those of others', () => {
    const burst = new Burst();
    const frames = Array.from({ length: BURST_SIZE }, (_, i) => Buffer.alloc(60 + i, i));
    for (const frame of frames) burst.add(frame);
    const views = frames.map((_, i) => burst.retag(i, i, i % 2 === 1));
    const thirds = frames.map((_, i) => burst.retagService(i, i, i % 2 === 1, 0x88a8));
    for (const [i, frame] of frames.entries()) {
      for (const [view, expected] of [
        [views[i], retagged(frame, i, i % 2 === 1)],
        [thirds[i], serviceTagged(frame, i, i % 2 === 1, 0x88a8)],
      ] as const) {
        const target = Buffer.alloc(expected.length);
        burst.copyView(view, target, 0);
        assert.deepEqual(target, expected);
      }
    }
  });
});

describe('super-frames', () => {
  /** A burst of one frame of 100 bytes behind the given offload header. */
  function withHeader(flags: number, gsoType: number): Burst {
    const burst = new Burst();
    burst.add(Buffer.alloc(100, 7));
    const header = new DataView(burst.bytes.buffer, burst.start[0] - VIRTIO_NET_HDR.size, VIRTIO_NET_HDR.size);
    header.setUint8(VIRTIO_NET_HDR.flags, flags);
    header.setUint8(VIRTIO_NET_HDR.gsoType, gsoType);
    header.setUint16(VIRTIO_NET_HDR.headerLength, 54, true);
    header.setUint16(VIRTIO_NET_HDR.gsoSize, 20, true);
    header.setUint16(VIRTIO_NET_HDR.checksumStart, 34, true);
    header.setUint16(VIRTIO_NET_HDR.checksumOffset, 16, true);
    burst.readOffloads();
    return burst;
  }

  it('are those whose header asks for a checksum or for segments', () => {
    for (const [flags, gso, asks] of [
      [0, 0, 0],
      [1, 0, 1],
      [0, 4, 1],
      [1, 1, 1],
      // VIRTIO_NET_HDR_F_DATA_VALID: the checksum has been checked, nothing is to be done.
      [2, 0, 0],
    ]) {
      const burst = withHeader(flags, gso);
      assert.equal(burst.superFrames, asks, `flags ${flags}, gso ${gso}`);
      assert.equal(burst.offload[0], asks);
      burst.clearOffloads();
      assert.equal(burst.superFrames + burst.offload[0], 0);
    }
  });

  it('have a header that follows the tag', () => {
    for (const [tagged, by] of [
      [false, 4],
      [true, -4],
    ] as const) {
      const burst = withHeader(1, 1);
      const header = Buffer.alloc(VIRTIO_NET_HDR.size);
      burst.copyOffloadHeader(0, header, 0);
      assert.equal(header.toString('hex'), '0101360014002200' + '1000');
      burst.copyOffloadHeader(burst.retag(0, 5, tagged), header, 0);
      assert.equal(header.readUInt16LE(VIRTIO_NET_HDR.headerLength), 54 + by);
      assert.equal(header.readUInt16LE(VIRTIO_NET_HDR.checksumStart), 34 + by);
      assert.equal(header.readUInt16LE(VIRTIO_NET_HDR.checksumOffset), 16);
      assert.equal(header.readUInt16LE(VIRTIO_NET_HDR.gsoSize), 20);
    }
  });

  it('have a header for each view, which is sent with it', () => {
    const burst = withHeader(1, 1);
    for (const tagged of [false, true]) {
      const views = [0, burst.retag(0, 5, tagged), burst.retagService(0, 5, tagged, 0x88a8)];
      const growth = tagged ? [0, -4, 0] : [0, 4, 4];
      for (const [i, view] of views.entries()) {
        const whole = sent(burst, view, true);
        assert.deepEqual(whole.subarray(VIRTIO_NET_HDR.size), Buffer.from(burst.viewBytes(view)));
        assert.equal(whole.readUInt16LE(VIRTIO_NET_HDR.headerLength), 54 + growth[i]);
        assert.equal(whole.readUInt16LE(VIRTIO_NET_HDR.checksumStart), 34 + growth[i]);
        const header = Buffer.alloc(VIRTIO_NET_HDR.size);
        burst.copyOffloadHeader(view, header, 0);
        assert.deepEqual(whole.subarray(0, VIRTIO_NET_HDR.size), header);
      }
    }
  });

  it('of complete frames the header is zeros', () => {
    const burst = withHeader(0, 0);
    for (const view of [0, burst.retag(0, 5, false), burst.retagService(0, 5, false, 0x88a8)]) {
      const header = Buffer.alloc(VIRTIO_NET_HDR.size, 0xff);
      burst.copyOffloadHeader(view, header, 0);
      assert.equal(header.toString('hex'), '00'.repeat(10));
      assert.deepEqual(sent(burst, view, true).subarray(0, VIRTIO_NET_HDR.size), header);
    }
  });
});
