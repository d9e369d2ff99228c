/** TCP and UDP frames from values, whole or as super-frames, and what cutting must give, done the plain way. */

import fc from 'fast-check';
import { BURST_SIZE, Burst } from '../../src/frame/burst.js';
import { writeU16, writeU32 } from '../../src/frame/bytes.js';
import { checksum, foldSum, type IpEndpoints, pseudoHeaderSum } from '../../src/frame/checksum.js';
import { IpProtocol, writeIpv4 } from '../../src/frame/ipv4.js';
import { writeIpv6 } from '../../src/frame/ipv6.js';
import { GsoType, OffloadFlag, OffloadHeader } from '../../src/frame/offload.js';
import { Segmenter } from '../../src/frame/segmentation.js';
import { type VlanTag, writeTagged } from '../../src/frame/vlan.js';
import { endpoints, hex, mac, octets, record, tag, u8, u16, u32 } from './arbitraries.js';

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;
export const ECE = 0x40;
export const CWR = 0x80;

/** A TCP segment or UDP datagram in its frame, as a value. */
export interface Packet {
  dstMac: Uint8Array;
  srcMac: Uint8Array;
  tags: VlanTag[];
  ip: IpEndpoints;
  trafficClass: number;
  ttl: number;
  identification: number;
  dontFragment: boolean;
  /** IPv4 alone: a multiple of 4 octets. */
  ipOptions: Uint8Array;
  /** IPv6 alone: how many destination options headers, of 8 octets each. */
  extensions: number;
  flowLabel: number;
  srcPort: number;
  dstPort: number;
  tcp:
    | { sequence: number; ack: number; flags: number; window: number; urgent: number; options: Uint8Array }
    | undefined;
  payload: Uint8Array;
}

/**
 * A TCP segment over IPv4 with a payload of 1000 octets, but for what is said otherwise. Its identification and sequence
 * number are so great that those of its successors begin again at 0.
 */
export function tcpPacket(change: Partial<Packet> = {}, tcp: Partial<NonNullable<Packet['tcp']>> = {}): Packet {
  return {
    dstMac: hex('020000000002'),
    srcMac: hex('020000000001'),
    tags: [],
    ip: { src: 0x0a000001, dst: 0x0a000002 },
    trafficClass: 0,
    ttl: 64,
    identification: 0xfffe,
    dontFragment: true,
    ipOptions: new Uint8Array(0),
    extensions: 0,
    flowLabel: 0,
    srcPort: 1000,
    dstPort: 2000,
    tcp: { sequence: 0xffff_ff00, ack: 7, flags: ACK, window: 500, urgent: 0, options: new Uint8Array(0), ...tcp },
    payload: noise(1000, 1),
    ...change,
  };
}

const short = (words: number) => fc.integer({ min: 0, max: words }).chain((n) => octets(n * 4, n * 4));

/** Any packet with a payload of up to `payloadMax` octets and no flag but ACK. */
export function packet(payloadMax: number): fc.Arbitrary<Packet> {
  return record<Packet>({
    dstMac: mac,
    srcMac: mac,
    tags: fc.array(tag, { maxLength: 3 }),
    ip: endpoints,
    trafficClass: u8,
    ttl: u8,
    identification: u16,
    dontFragment: fc.boolean(),
    ipOptions: fc.oneof(fc.constant(new Uint8Array(0)), short(10)),
    extensions: fc.nat(2),
    flowLabel: fc.nat(0xfffff),
    srcPort: u16,
    dstPort: u16,
    tcp: fc.option(
      record({
        sequence: u32,
        ack: u32,
        flags: fc.constant(ACK),
        window: u16,
        urgent: fc.constant(0),
        options: short(10),
      }),
      { nil: undefined },
    ),
    payload: fc.tuple(fc.integer({ min: 1, max: payloadMax }), u32).map(([size, seed]) => noise(size, seed)),
  });
}

/** Octets that depend on `seed` alone: long payloads would take fast-check long to make. */
export function noise(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = seed | 1;
  for (let i = 0; i < size; i++) {
    state = Math.imul(state, 1664525) + 1013904223;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** The frame of a packet, complete; or, if `partial`, with the sum of its pseudo header for a checksum. */
export function writePacket(value: Packet, partial = false): Uint8Array {
  const { ip, tcp, payload } = value;
  const isIpv4 = typeof ip.src === 'number';
  const protocol = tcp ? IpProtocol.tcp : IpProtocol.udp;
  const headerLength = tcp ? 20 + tcp.options.length : 8;
  const bytes = new Uint8Array(headerLength + payload.length);
  writeU16(bytes, 0, value.srcPort);
  writeU16(bytes, 2, value.dstPort);
  if (tcp) {
    writeU32(bytes, 4, tcp.sequence);
    writeU32(bytes, 8, tcp.ack);
    bytes[12] = headerLength << 2;
    bytes[13] = tcp.flags;
    writeU16(bytes, 14, tcp.window);
    writeU16(bytes, 18, tcp.urgent);
    bytes.set(tcp.options, 20);
  } else {
    writeU16(bytes, 4, bytes.length);
  }
  bytes.set(payload, headerLength);
  const pseudo = pseudoHeaderSum(ip, protocol, bytes.length);
  const full = checksum(bytes, 0, bytes.length, pseudo);
  writeU16(bytes, tcp ? 16 : 6, partial ? foldSum(pseudo) : tcp ? full : full || 0xffff);

  const extended = new Uint8Array(value.extensions * 8 + bytes.length);
  for (let i = 0; i < value.extensions; i++) {
    // One PadN option fills each.
    extended.set([i + 1 < value.extensions ? 60 : protocol, 0, 1, 4], i * 8);
  }
  extended.set(bytes, value.extensions * 8);
  const content = isIpv4
    ? writeIpv4({
        dscp: value.trafficClass >>> 2,
        ecn: value.trafficClass & 3,
        identification: value.identification & 0xffff,
        dontFragment: value.dontFragment,
        moreFragments: false,
        fragmentOffset: 0,
        ttl: value.ttl,
        protocol,
        src: ip.src as number,
        dst: ip.dst as number,
        options: value.ipOptions,
        payload: bytes,
      })
    : writeIpv6({
        trafficClass: value.trafficClass,
        flowLabel: value.flowLabel,
        hopLimit: value.ttl,
        src: ip.src as Uint8Array,
        dst: ip.dst as Uint8Array,
        nextHeader: value.extensions > 0 ? 60 : protocol,
        payload: extended,
      });
  return writeTagged({
    dst: value.dstMac,
    src: value.srcMac,
    tags: value.tags,
    type: isIpv4 ? 0x800 : 0x86dd,
    payload: content,
  });
}

/** A packet's `gso_type`. */
export function gsoType(value: Packet): number {
  if (!value.tcp) return GsoType.udpL4;
  return typeof value.ip.src === 'number' ? GsoType.tcpv4 : GsoType.tcpv6;
}

/** A packet as a super-frame behind its `struct virtio_net_hdr`: what is read from a tap. */
export function writeSuperFrame(value: Packet, gsoSize: number, type = gsoType(value)): Uint8Array {
  const frame = writePacket(value, true);
  const header = new OffloadHeader();
  header.flags = OffloadFlag.needsChecksum;
  header.gsoType = type;
  header.gsoSize = gsoSize;
  header.checksumOffset = value.tcp ? 16 : 6;
  const headers = frame.length - value.payload.length;
  header.checksumStart = headers - (value.tcp ? 20 + value.tcp.options.length : 8);
  header.headerLength = headers;
  const bytes = new Uint8Array(10 + frame.length);
  header.write(bytes, 0);
  bytes.set(frame, 10);
  return bytes;
}

/** The packets that a super-frame stands for. */
export function cutPacket(value: Packet, gsoSize: number): Packet[] {
  const count = Math.ceil(value.payload.length / gsoSize);
  return Array.from({ length: count }, (_, i) => {
    const { tcp } = value;
    const notHere = (i > 0 ? CWR : 0) | (i < count - 1 ? FIN | PSH : 0);
    const sequence = tcp && (tcp.sequence + i * gsoSize) >>> 0;
    return {
      ...value,
      identification: (value.identification + i) & 0xffff,
      tcp: tcp && { ...tcp, sequence: sequence as number, flags: tcp.flags & ~notHere },
      payload: value.payload.subarray(i * gsoSize, (i + 1) * gsoSize),
    };
  });
}

const out = new Burst();
const segmenter = new Segmenter();

/** What `Segmenter` makes of a super-frame behind its `struct virtio_net_hdr`. */
export function segments(bytes: Uint8Array, cutter = segmenter): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const flush = (burst: Burst): void => {
    if (burst.count > BURST_SIZE) throw new Error(`${burst.count} frames in a burst`);
    for (let slot = 0; slot < burst.count; slot++) {
      if (burst.offload[slot] !== 0) throw new Error('a segment with an offload');
      frames.push(burst.frame(slot).slice());
    }
  };
  out.count = 0;
  out.offload.fill(1);
  const count = cutter.segment(bytes, 10, bytes.length - 10, 0, out, flush);
  flush(out);
  if (count !== frames.length) throw new Error(`${count} frames said, ${frames.length} made`);
  return frames;
}
