/** Wireshark's dissectors as the judge: of the capture files, and of every header and checksum written into them. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeArp } from '../../src/frame/arp.js';
import { EtherType, writeEthernet } from '../../src/frame/ethernet.js';
import { writeIcmpv4, writeIcmpv6 } from '../../src/frame/icmp.js';
import { IpProtocol, type Ipv4Packet, parseIpv4Address, writeIpv4 } from '../../src/frame/ipv4.js';
import { type Ipv6Packet, parseIpv6Address, writeIpv6 } from '../../src/frame/ipv6.js';
import { parseMac } from '../../src/frame/mac.js';
import { readCapture } from '../../src/frame/pcapng-reader.js';
import { PcapngWriter } from '../../src/frame/pcapng-writer.js';
import { writeUdp } from '../../src/frame/udp.js';
import { writeTagged } from '../../src/frame/vlan.js';
import { requirePeer } from '../support/peers.js';
import { tmpDir } from '../support/tmp.js';

const src = parseMac('02:00:00:00:00:01')!;
const dst = parseMac('02:00:00:00:00:02')!;
const V4 = { src: parseIpv4Address('10.0.0.1')!, dst: parseIpv4Address('10.0.0.2')! };
const V6 = { src: parseIpv6Address('fe80::1')!, dst: parseIpv6Address('fe80::2')! };
const data = new TextEncoder().encode('odd length');

const overIpv4 = (protocol: number, payload: Uint8Array, rest: Partial<Ipv4Packet> = {}) =>
  writeEthernet({
    dst,
    src,
    type: EtherType.ipv4,
    payload: writeIpv4({
      dscp: 46,
      ecn: 1,
      identification: 7,
      dontFragment: true,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: 64,
      ...V4,
      protocol,
      options: new Uint8Array(),
      payload,
      ...rest,
    }),
  });

const overIpv6 = (nextHeader: number, payload: Uint8Array, rest: Partial<Ipv6Packet> = {}) =>
  writeEthernet({
    dst,
    src,
    type: EtherType.ipv6,
    payload: writeIpv6({ trafficClass: 0, flowLabel: 0xabcde, hopLimit: 255, ...V6, nextHeader, payload, ...rest }),
  });

function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(status, 0, `${command}: ${stderr}`);
  return stdout;
}

/** Writes a capture of these frames; frame i has the time 1700000000.123456789 s + i ns. */
const START = 1_700_000_000_123_456_789n;
function writeCapture(path: string, frames: Uint8Array[]): void {
  const blocks: Uint8Array[] = [];
  const writer = new PcapngWriter((block) => blocks.push(block), { application: 'vde' });
  writer.addInterface({ name: 'port1' });
  writer.addInterface({ name: 'port2', description: 'uplink' });
  frames.forEach((frame, i) => {
    const direction = i % 2 ? ('outbound' as const) : ('inbound' as const);
    writer.write({
      interfaceId: i % 2,
      timestamp: START + BigInt(i),
      data: frame,
      direction,
      comments: [`frame ${i}`],
    });
  });
  writeFileSync(path, Buffer.concat(blocks));
}

/** tshark's answers: one row per frame, one column per field; hexadecimal numbers, padded as versions like, made decimal. */
function dissect(path: string, ...fields: string[]): string[][] {
  const checks = ['ip.check_checksum', 'udp.check_checksum'].flatMap((name) => ['-o', `${name}:TRUE`]);
  const out = run('tshark', '-n', '-r', path, ...checks, '-T', 'fields', ...fields.flatMap((field) => ['-e', field]));
  return out
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t').map((text) => (/^0x[0-9a-f]+$/.test(text) ? String(Number(text)) : text)));
}

test('tshark reads frames, times, interfaces, directions and comments back', (t) => {
  if (!requirePeer(t, 'tshark')) return;
  const path = join(tmpDir(t), 'c.pcapng');
  const frames = [60, 61, 62, 63, 1514].map((length) => {
    const frame = new Uint8Array(length).fill(length & 0xff, 14);
    frame.set(overIpv4(253, new Uint8Array()).subarray(0, 12));
    frame.set([0x88, 0xb5], 12);
    return frame;
  });
  writeCapture(path, frames);
  const fields = ['frame.time_epoch', 'frame.len', 'frame.interface_name', 'frame.packet_flags_direction', 'data.data'];
  const rows = dissect(path, ...fields, 'frame.comment');
  assert.deepEqual(
    rows,
    frames.map((frame, i) => [
      nanosecondText(START + BigInt(i)),
      String(frame.length),
      i % 2 ? 'port2' : 'port1',
      i % 2 ? '2' : '1',
      Buffer.from(frame.subarray(14)).toString('hex'),
      `frame ${i}`,
    ]),
  );
});

function nanosecondText(time: bigint): string {
  return `${time / 1_000_000_000n}.${String(time % 1_000_000_000n).padStart(9, '0')}`;
}

test('a capture that grows can be read after every block', (t) => {
  if (!requirePeer(t, 'tshark')) return;
  const path = join(tmpDir(t), 'c.pcapng');
  const blocks: Uint8Array[] = [];
  const writer = new PcapngWriter((block) => blocks.push(block));
  writer.addInterface();
  for (let i = 1; i <= 2; i++) {
    writer.write({ interfaceId: 0, timestamp: START, data: overIpv4(253, data) });
    writeFileSync(path, Buffer.concat(blocks));
    assert.equal(dissect(path, 'frame.number').length, i);
  }
});

test('tshark finds every header well-formed and every checksum good', (t) => {
  if (!requirePeer(t, 'tshark')) return;
  const path = join(tmpDir(t), 'c.pcapng');
  const echo = { kind: 'echo-request' as const, identifier: 0x1234, sequence: 5, data };
  const udp = { srcPort: 4000, dstPort: 5000, payload: data };
  const target = V6.dst;
  const arp = { operation: 'request' as const, senderMac: src, senderIp: V4.src, targetMac: dst, targetIp: V4.dst };
  const advertisement = { kind: 'neighbor-advertisement' as const, target, targetLinkLayer: dst };
  const flags = { router: true, solicited: true, override: false };
  const udpFrame = overIpv4(IpProtocol.udp, writeUdp(udp, V4));
  const tagged = writeTagged({
    dst,
    src,
    type: EtherType.ipv4,
    payload: udpFrame.subarray(14),
    tags: [
      { tpid: 0x88a8, pcp: 3, dei: true, vid: 100 },
      { tpid: 0x8100, pcp: 0, dei: false, vid: 42 },
    ],
  });
  writeCapture(path, [
    udpFrame,
    overIpv4(IpProtocol.icmp, writeIcmpv4(echo), { options: Uint8Array.of(1, 1, 1, 0) }),
    overIpv6(IpProtocol.udp, writeUdp(udp, V6)),
    overIpv6(IpProtocol.icmpv6, writeIcmpv6(echo, V6)),
    overIpv6(IpProtocol.icmpv6, writeIcmpv6({ kind: 'neighbor-solicitation', target, sourceLinkLayer: src }, V6)),
    overIpv6(IpProtocol.icmpv6, writeIcmpv6({ ...advertisement, ...flags }, V6)),
    tagged,
    writeEthernet({ dst, src, type: EtherType.arp, payload: writeArp(arp) }),
  ]);
  const GOOD = '1';
  assert.deepEqual(
    dissect(
      path,
      '_ws.malformed',
      'ip.checksum.status',
      'udp.checksum.status',
      'icmp.checksum.status',
      'icmpv6.checksum.status',
    ),
    [
      ['', GOOD, GOOD, '', ''],
      ['', GOOD, '', GOOD, ''],
      ['', '', GOOD, '', ''],
      ['', '', '', '', GOOD],
      ['', '', '', '', GOOD],
      ['', '', '', '', GOOD],
      ['', GOOD, GOOD, '', ''],
      ['', '', '', '', ''],
    ],
  );
  const names = ['udp.dstport', 'icmp.seq', 'icmpv6.echo.sequence_number', 'icmpv6.opt.linkaddr', 'arp.dst.proto_ipv4'];
  assert.deepEqual(
    dissect(path, ...names, 'icmpv6.nd.na.flag.r', 'ieee8021ad.id', 'vlan.id', 'ip.dsfield.dscp', 'ipv6.flow'),
    [
      ['5000', '', '', '', '', '', '', '', '46', ''],
      ['', '5', '', '', '', '', '', '', '46', ''],
      ['5000', '', '', '', '', '', '', '', '', '703710'],
      ['', '', '5', '', '', '', '', '', '', '703710'],
      ['', '', '', '02:00:00:00:00:01', '', '', '', '', '', '703710'],
      ['', '', '', '02:00:00:00:00:02', '', '1', '', '', '', '703710'],
      ['5000', '', '', '', '', '', '100', '42', '46', ''],
      ['', '', '', '', '10.0.0.2', '', '', '', '', ''],
    ],
  );
});

for (const [format, command, ...args] of [
  ['pcapng', 'tshark', '-F', 'pcapng'],
  ['pcapng', 'editcap', '-F', 'pcapng'],
  ['nsecpcap', 'editcap', '-F', 'nsecpcap'],
  ['pcap', 'editcap', '-F', 'pcap'],
]) {
  test(`${format} that ${command} wrote is read`, (t) => {
    if (!requirePeer(t, command)) return;
    const dir = tmpDir(t);
    const ours = join(dir, 'ours.pcapng');
    const theirs = join(dir, `theirs.${format}`);
    const frames = [overIpv4(253, data), overIpv6(253, data), overIpv4(253, new Uint8Array(1000))];
    writeCapture(ours, frames);
    if (command === 'tshark') run('tshark', '-n', '-r', ours, ...args, '-w', theirs);
    else run('editcap', ...args, ours, theirs);

    const packets = [...readCapture(readFileSync(theirs), theirs)];
    const unit = format === 'pcap' ? 1000n : 1n;
    assert.deepEqual(
      packets.map(({ timestamp, data: bytes, originalLength, comments, direction }) => ({
        timestamp,
        bytes: Buffer.from(bytes).toString('hex'),
        originalLength,
        ...(format === 'pcapng' ? { comments, direction } : {}),
      })),
      frames.map((frame, i) => ({
        timestamp: ((START + BigInt(i)) / unit) * unit,
        bytes: Buffer.from(frame).toString('hex'),
        originalLength: frame.length,
        ...(format === 'pcapng' ? { comments: [`frame ${i}`], direction: i % 2 ? 'outbound' : 'inbound' } : {}),
      })),
    );
    if (format === 'pcapng') assert.equal(packets[1].interface.name, 'port2');
  });
}
