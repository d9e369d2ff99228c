import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CapturedPacket, type CaptureEnd, readCapture } from '../../src/frame/pcapng-reader.js';
import {
  type CapturePacket,
  enhancedPacketBlock,
  interfaceDescriptionBlock,
  PcapngWriter,
  sectionHeaderBlock,
} from '../../src/frame/pcapng-writer.js';
import { VdeError } from '../../src/sys/errors.js';
import { damaged, hex, octets, patched, record } from './arbitraries.js';

const join = (...parts: Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));

function read(bytes: Uint8Array): { packets: CapturedPacket[]; end: CaptureEnd } {
  const packets: CapturedPacket[] = [];
  const generator = readCapture(bytes, 'x.pcapng');
  for (let step = generator.next(); ; step = generator.next()) {
    if (step.done) return { packets, end: step.value };
    packets.push(step.value);
  }
}

/** Asserts that reading fails as EMALFORMED and says where. */
function malformed(bytes: Uint8Array, at: number, what?: string): void {
  assert.throws(
    () => read(bytes),
    (error) => {
      assert.ok(error instanceof VdeError, String(error));
      assert.equal(error.code, 'EMALFORMED');
      assert.match(error.message, new RegExp(`^x\\.pcapng: .* at byte ${at}$`), what);
      return true;
    },
  );
}

function write(packets: CapturePacket[], interfaces = 1): Uint8Array {
  const blocks: Uint8Array[] = [];
  const writer = new PcapngWriter((block) => blocks.push(block), { application: 'test', os: 'Linux' });
  for (let id = 0; id < interfaces; id++) writer.addInterface({ name: `port${id}` });
  for (const packet of packets) writer.write(packet);
  return join(...blocks);
}

const capturePacket: fc.Arbitrary<CapturePacket> = record({
  interfaceId: fc.integer({ min: 0, max: 2 }),
  timestamp: fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }),
  data: octets(100),
  originalLength: fc.integer({ min: 0, max: 0xffffffff }),
  direction: fc.constantFrom(undefined, 'inbound' as const, 'outbound' as const),
  comments: fc.array(fc.string({ unit: 'grapheme', maxLength: 10 }), { maxLength: 3 }),
});

/** Fields of a foreign file, in one byte order or the other. */
function fields(littleEndian: boolean, ...list: (readonly [bits: 8 | 16 | 32 | 64, value: number | bigint])[]) {
  const view = new DataView(new ArrayBuffer(list.reduce((sum, [bits]) => sum + bits / 8, 0)));
  let at = 0;
  for (const [bits, value] of list) {
    if (bits === 8) view.setUint8(at, Number(value));
    if (bits === 16) view.setUint16(at, Number(value), littleEndian);
    if (bits === 32) view.setUint32(at, Number(value), littleEndian);
    if (bits === 64) view.setBigInt64(at, BigInt(value), littleEndian);
    at += bits / 8;
  }
  return new Uint8Array(view.buffer);
}

const block = (littleEndian: boolean, type: number, body: Uint8Array) => {
  const pad = new Uint8Array(-body.length & 3);
  const total = body.length + pad.length + 12;
  return join(fields(littleEndian, [32, type], [32, total]), body, pad, fields(littleEndian, [32, total]));
};

const foreignSection = (littleEndian: boolean) =>
  block(littleEndian, 0x0a0d0d0a, fields(littleEndian, [32, 0x1a2b3c4d], [16, 1], [16, 0], [64, -1]));

const foreignInterface = (littleEndian: boolean, snaplen = 0, options: Uint8Array = new Uint8Array()) =>
  block(littleEndian, 1, join(fields(littleEndian, [16, 1], [16, 0], [32, snaplen]), options));

test('what is written comes back, to the nanosecond', () => {
  fc.assert(
    fc.property(fc.array(capturePacket, { maxLength: 20 }), (packets) => {
      const { packets: back, end } = read(write(packets, 3));
      assert.equal(end.truncatedAt, undefined);
      assert.equal(back.length, packets.length);
      back.forEach((packet, i) => {
        const { interfaceId, ...rest } = packets[i];
        const { offset, interface: on, ...got } = packet;
        assert.deepEqual(got, rest);
        assert.deepEqual(on, {
          id: interfaceId,
          linkType: 1,
          snaplen: 0,
          name: `port${interfaceId}`,
          description: undefined,
        });
        assert.ok(offset > 0);
      });
    }),
  );
});

test('every block is given away whole, padded to 4 octets', () => {
  const blocks: Uint8Array[] = [];
  const writer = new PcapngWriter((bytes) => blocks.push(bytes));
  assert.equal(blocks.length, 1, 'the section header at once');
  const id = writer.addInterface({ name: 'tap0', description: 'uplink', mac: hex('020000000001') });
  writer.write({ interfaceId: id, timestamp: 1n, data: hex('0102030405') });
  assert.equal(blocks.length, 3);
  for (const bytes of blocks) {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    assert.equal(view.getUint32(4, true), bytes.length);
    assert.equal(view.getUint32(bytes.length - 4, true), bytes.length);
    assert.equal(bytes.length % 4, 0);
  }
});

test('packets are cut to the snaplen of their interface, their length is not', () => {
  const blocks: Uint8Array[] = [];
  const writer = new PcapngWriter((bytes) => blocks.push(bytes));
  const id = writer.addInterface({ snaplen: 4 });
  writer.write({ interfaceId: id, timestamp: 0n, data: hex('010203040506') });
  const [packet] = read(join(...blocks)).packets;
  assert.deepEqual(packet.data, hex('01020304'));
  assert.equal(packet.originalLength, 6);
  assert.equal(packet.interface.snaplen, 4);
});

test('what no file can hold is refused', () => {
  const packet = { interfaceId: 0, timestamp: 0n, data: new Uint8Array(14) };
  const coded = (code: string) => (error: unknown) => error instanceof VdeError && error.code === code;
  assert.throws(() => enhancedPacketBlock({ ...packet, timestamp: -1n }), RangeError);
  assert.throws(() => enhancedPacketBlock({ ...packet, timestamp: 1n << 64n }), RangeError);
  assert.throws(() => enhancedPacketBlock({ ...packet, comments: ['x'.repeat(65536)] }), coded('EMSGSIZE'));
  assert.throws(() => enhancedPacketBlock({ ...packet, data: new Uint8Array(16 << 20) }), coded('EMSGSIZE'));
  assert.throws(() => interfaceDescriptionBlock({ snaplen: -1 }), RangeError);
  assert.throws(() => interfaceDescriptionBlock({ mac: new Uint8Array(8) }), RangeError);
  const writer = new PcapngWriter(() => {});
  assert.throws(() => writer.write(packet), RangeError, 'an interface that was not added');
  for (let i = 0; i < 1024; i++) writer.addInterface();
  assert.throws(() => writer.addInterface(), coded('E2BIG'));
});

for (const littleEndian of [true, false]) {
  const order = littleEndian ? 'little' : 'big';
  const u = (...list: (readonly [8 | 16 | 32 | 64, number | bigint])[]) => fields(littleEndian, ...list);

  test(`${order}-endian enhanced, simple and obsolete packet blocks are read, unknown blocks and options skipped`, () => {
    const file = join(
      foreignSection(littleEndian),
      foreignInterface(littleEndian, 0, u([16, 0x7777], [16, 3], [32, 0], [16, 0], [16, 0])),
      block(littleEndian, 0x0bad, new Uint8Array(8)),
      // 1 s and 2 us: without if_tsresol, microseconds.
      block(littleEndian, 6, join(u([32, 0], [32, 0], [32, 1000002], [32, 3], [32, 60]), hex('aabbcc'))),
      block(littleEndian, 3, join(u([32, 5]), hex('0102030405'))),
      block(littleEndian, 2, join(u([16, 0], [16, 9], [32, 1], [32, 0], [32, 2], [32, 2]), hex('ddee'))),
    );
    const { packets } = read(file);
    assert.deepEqual(
      packets.map(({ timestamp, data, originalLength }) => [
        timestamp,
        Buffer.from(data).toString('hex'),
        originalLength,
      ]),
      [
        [1_000_002_000n, 'aabbcc', 60],
        [undefined, '0102030405', 5],
        [2n ** 32n * 1000n, 'ddee', 2],
      ],
    );
  });

  test(`${order}-endian resolutions of powers of 10 and 2, and offsets, are converted to nanoseconds`, () => {
    const stamped = (resolution: number, offset: bigint, units: bigint) => {
      const options = u([16, 9], [16, 1], [8, resolution], [8, 0], [16, 0], [16, 14], [16, 8], [64, offset]);
      const packet = u([32, 0], [32, units >> 32n], [32, units & 0xffffffffn], [32, 0], [32, 0]);
      const described = foreignInterface(littleEndian, 0, options);
      return read(join(foreignSection(littleEndian), described, block(littleEndian, 6, packet))).packets[0].timestamp;
    };
    assert.equal(stamped(9, 0n, 1_234_567_890_123_456_789n), 1_234_567_890_123_456_789n);
    assert.equal(stamped(3, 0n, 1500n), 1_500_000_000n);
    assert.equal(stamped(0, 10n, 1n), 11_000_000_000n);
    assert.equal(stamped(12, 0n, 1_999n), 1n);
    assert.equal(stamped(0x80 | 10, -1n, 1536n), 500_000_000n);
    assert.equal(stamped(127, 0n, 2n ** 63n), 0n);
  });

  test(`${order}-endian classic pcap is read, in micro- and nanoseconds`, () => {
    const file = (magic: number) =>
      join(
        u([32, magic], [16, 2], [16, 4], [32, 0], [32, 0], [32, 65535], [32, 1]),
        join(u([32, 7], [32, 5], [32, 3], [32, 60]), hex('aabbcc')),
        join(u([32, 8], [32, 6], [32, 0], [32, 0])),
      );
    const micro = read(file(0xa1b2c3d4));
    assert.deepEqual(
      micro.packets.map(({ timestamp }) => timestamp),
      [7_000_005_000n, 8_000_006_000n],
    );
    assert.deepEqual(micro.packets[0].data, hex('aabbcc'));
    assert.equal(micro.packets[0].originalLength, 60);
    assert.equal(micro.packets[0].interface.snaplen, 65535);
    assert.equal(read(file(0xa1b23c4d)).packets[0].timestamp, 7_000_000_005n);
  });
}

test('a section with another byte order starts its interfaces anew', () => {
  const first = join(sectionHeaderBlock(), interfaceDescriptionBlock({ name: 'a' }));
  const second = join(foreignSection(false), foreignInterface(false));
  const packet = (data: string) => join(fields(false, [32, 0], [32, 0], [32, 0], [32, 1], [32, 1]), hex(data));
  const { packets } = read(join(first, second, block(false, 6, packet('aa'))));
  assert.equal(packets[0].interface.name, undefined);
  const alone = join(first, foreignSection(false));
  malformed(join(alone, block(false, 6, packet('aa'))), alone.length + 8, 'no interface in the second section');
});

test('simple packets are cut by the snaplen of the first interface', () => {
  const file = join(foreignSection(true), foreignInterface(true, 4));
  const simple = block(true, 3, join(fields(true, [32, 9]), hex('01020304')));
  const [packet] = read(join(file, simple)).packets;
  assert.deepEqual(packet.data, hex('01020304'));
  assert.equal(packet.originalLength, 9);
});

test('a file that stops within a block gives all packets before it and says where', () => {
  const whole = write([
    { interfaceId: 0, timestamp: 1n, data: hex('01020304') },
    { interfaceId: 0, timestamp: 2n, data: hex('05060708') },
  ]);
  const [, second] = read(whole).packets;
  for (let length = second.offset + 1; length < whole.length; length++) {
    const { packets, end } = read(whole.subarray(0, length));
    assert.equal(packets.length, 1);
    assert.equal(end.truncatedAt, second.offset);
  }
  assert.equal(read(whole.subarray(0, second.offset)).end.truncatedAt, undefined);
  assert.deepEqual(read(whole.subarray(0, 4)), { packets: [], end: { truncatedAt: 0 } });

  const pcap = fields(true, [32, 0xa1b2c3d4], [16, 2], [16, 4], [32, 0], [32, 0], [32, 0], [32, 1], [32, 0]);
  assert.equal(read(pcap).end.truncatedAt, 24);
  assert.equal(read(pcap.subarray(0, 23)).end.truncatedAt, 0);
});

test('what contradicts the format is named with its offset', () => {
  const section = sectionHeaderBlock();
  const described = join(section, interfaceDescriptionBlock());
  const packet = enhancedPacketBlock({ interfaceId: 0, timestamp: 0n, data: hex('01020304'), direction: 'inbound' });
  const file = join(described, packet);
  const at = described.length;
  assert.equal(read(file).packets.length, 1);

  malformed(new Uint8Array(), 0, 'empty');
  malformed(hex('0a0d'), 0, 'no magic');
  malformed(hex('cafebabe00000000'), 0, 'another magic');
  malformed(patched(file, 8, 0), 8, 'byte-order magic');
  malformed(patched(file, 12, 2), 12, 'version');
  malformed(patched(file, at + 4, 8), at + 4, 'block shorter than its frame');
  malformed(patched(file, at + 4, packet.length + 1), at + 4, 'block length not a multiple of 4');
  malformed(patched(file, at + 4, 4, 0, 0, 1), at + 4, 'block over 16 MiB');
  malformed(patched(file, file.length - 4, 0), file.length - 4, 'second block length');
  malformed(patched(file, at + 8, 1), at + 8, 'interface');
  malformed(patched(file, at + 20, 0xff), at + 20, 'captured length');
  malformed(patched(file, at + 34, 0xff), at + 32, 'option length');
  malformed(patched(file, at + 34, 2), at + 36, 'length of epb_flags');
  malformed(join(patched(file, at + 20, 20), packet), at + 20, 'captured length, although the file goes on');
  malformed(join(patched(file, at + 34, 40), packet), at + 32, 'option length, although the file goes on');
  malformed(
    join(block(true, 0x0a0d0d0a, fields(true, [32, 0x1a2b3c4d])), file),
    0,
    'section header without its fields',
  );
  malformed(join(section, block(true, 1, new Uint8Array(4)), file), section.length, 'interface without its fields');
  malformed(join(described, block(true, 6, new Uint8Array(16)), file), at, 'packet without its fields');
  malformed(join(described, block(true, 3, new Uint8Array()), file), at, 'simple packet without its field');
  for (const code of [9, 14]) {
    const option = fields(true, [16, code], [16, 4], [32, 0], [64, 0n]);
    malformed(join(section, foreignInterface(true, 0, option)), section.length + 20, `length of option ${code}`);
  }
  malformed(join(described, block(true, 3, fields(true, [32, 1]))), at + 8, 'simple packet without its data');
  malformed(join(section, block(true, 3, new Uint8Array(4))), section.length + 8, 'simple packet without interface');

  const pcap = (version: number, captured: number) =>
    fields(
      true,
      [32, 0xa1b2c3d4],
      [16, 2],
      [16, version],
      [32, 0],
      [32, 0],
      [32, 0],
      [32, 1],
      [64, 0n],
      [32, captured],
      [32, 0],
    );
  malformed(pcap(3, 0), 4, 'pcap version');
  malformed(pcap(4, 0x1000001), 32, 'pcap record over 16 MiB');
});

test('interfaces are capped', () => {
  const one = interfaceDescriptionBlock();
  const section = sectionHeaderBlock();
  const many = join(section, ...Array.from({ length: 1024 }, () => one));
  assert.deepEqual(read(many).packets, []);
  malformed(join(many, one), many.length);
});

test('damaged files give packets or EMALFORMED, never anything else', () => {
  const ours = fc.array(capturePacket, { maxLength: 5 }).map((packets) => write(packets, 3));
  const foreign = fc
    .tuple(fc.boolean(), octets(30), fc.integer({ min: 0, max: 255 }))
    .map(([order, data, resolution]) => {
      const u = (...list: (readonly [8 | 16 | 32 | 64, number | bigint])[]) => fields(order, ...list);
      const options = u([16, 9], [16, 1], [8, resolution], [8, 0], [16, 0], [16, 14], [16, 8], [64, -5n]);
      return join(
        foreignSection(order),
        foreignInterface(order, 20, options),
        block(order, 3, join(u([32, data.length]), data)),
        block(order, 2, join(u([16, 0], [16, 0], [32, 1], [32, 2], [32, data.length], [32, 99]), data)),
      );
    });
  const pcap = fc.tuple(fc.boolean(), octets(30)).map(([order, data]) => {
    const u = (...list: (readonly [8 | 16 | 32 | 64, number | bigint])[]) => fields(order, ...list);
    const header = u([32, 0xa1b2c3d4], [16, 2], [16, 4], [32, 0], [32, 0], [32, 0], [32, 1]);
    return join(header, u([32, 1], [32, 2], [32, data.length], [32, 99]), data);
  });
  const outcomes = { packets: 0, truncated: 0, malformed: 0 };
  fc.assert(
    fc.property(fc.oneof(octets(60), damaged(ours), damaged(foreign), damaged(pcap)), (bytes) => {
      try {
        const { packets, end } = read(bytes);
        outcomes.packets += packets.length;
        if (end.truncatedAt !== undefined) outcomes.truncated++;
      } catch (error) {
        if (!(error instanceof VdeError && error.code === 'EMALFORMED')) throw error;
        outcomes.malformed++;
      }
    }),
    { numRuns: 2000 },
  );
  // The damage must be neither too weak nor too strong to test anything.
  for (const [outcome, count] of Object.entries(outcomes)) assert.ok(count > 50, `${outcome}: ${count}`);
});
