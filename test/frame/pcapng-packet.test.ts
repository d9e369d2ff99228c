import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  PACKET_AT,
  PacketDirection,
  PacketTime,
  packetBlockLength,
  putPacketBlock,
} from '../../src/frame/pcapng-packet.js';
import { enhancedPacketBlock } from '../../src/frame/pcapng-writer.js';

test('a time is the nanoseconds since 1970, in two halves', () => {
  const time = new PacketTime();
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 33 }), fc.nat({ max: 999_999_999 }), (seconds, nanoseconds) => {
      time.set(seconds, nanoseconds);
      const whole = (BigInt(time.high) << 32n) | BigInt(time.low);
      assert.equal(whole, BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds));
    }),
  );
});

test('a block written in place is the one that the writer makes, whatever was there before', () => {
  const time = new PacketTime();
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 100 }),
      fc.nat({ max: 1000 }),
      fc.constantFrom('inbound' as const, 'outbound' as const),
      fc.nat({ max: 2 ** 32 }),
      (data, more, direction, seconds) => {
        const at = 12;
        const length = packetBlockLength(data.length);
        const bytes = new Uint8Array(at + length + 8).fill(0xee);
        bytes.set(data, at + PACKET_AT);
        time.set(seconds, 7);
        const view = new DataView(bytes.buffer);
        putPacketBlock(view, at, time, data.length, data.length + more, PacketDirection[direction]);
        const expected = enhancedPacketBlock({
          interfaceId: 0,
          timestamp: BigInt(seconds) * 1_000_000_000n + 7n,
          data,
          originalLength: data.length + more,
          direction,
        });
        assert.deepEqual(bytes.subarray(at, at + length), expected);
        assert.ok(bytes.subarray(0, at).every((byte) => byte === 0xee));
        assert.ok(bytes.subarray(at + length).every((byte) => byte === 0xee));
      },
    ),
  );
});
