/** The frames that every cell of the matrix moves: sound ones, as two stations of a network would send them. */

import { writeArp } from '../../src/frame/arp.js';
import { EtherType, writeEthernet } from '../../src/frame/ethernet.js';
import { IPV4_HEADER, IpProtocol, parseIpv4Address, writeIpv4 } from '../../src/frame/ipv4.js';
import { IPV6_HEADER, parseIpv6Address, writeIpv6 } from '../../src/frame/ipv6.js';
import { broadcastMac } from '../../src/frame/mac.js';
import { UDP_HEADER, writeUdp } from '../../src/frame/udp.js';

/** In the order in which they are sent. The sizes are those of the packet; the frame has 14 bytes more. */
export const KINDS = ['ARP', 'IPv4', 'IPv6', '1500 B', '9000 B'] as const;

export type Kind = (typeof KINDS)[number];

export interface Probe {
  kind: Kind;
  frame: Buffer;
}

const PORTS = { srcPort: 2000, dstPort: 2001 };

/** What station `from` (1 or 2) says to the other. */
export function probes(from: 1 | 2): Probe[] {
  const to = 3 - from;
  return [
    { kind: 'ARP', frame: arp(from, to) },
    { kind: 'IPv4', frame: ipv4(from, to, 100) },
    { kind: 'IPv6', frame: ipv6(from, to, 100) },
    { kind: '1500 B', frame: ipv4(from, to, 1500) },
    { kind: '9000 B', frame: ipv4(from, to, 9000) },
  ];
}

const mac = (station: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, 0, station);

const address4 = (station: number): number => parseIpv4Address(`10.0.0.${station}`) as number;
const address6 = (station: number): Uint8Array => parseIpv6Address(`fd00::${station}`) as Uint8Array;

function arp(from: number, to: number): Buffer {
  const sender = { senderMac: mac(from), senderIp: address4(from) };
  const target = { targetMac: new Uint8Array(6), targetIp: address4(to) };
  const payload = writeArp({ operation: 'request', ...sender, ...target });
  const frame = writeEthernet({ dst: broadcastMac(), src: mac(from), type: EtherType.arp, payload });
  // The shortest frame that a cable of copper carries.
  return Buffer.concat([frame], 60);
}

function ipv4(from: number, to: number, size: number): Buffer {
  const [src, dst] = [address4(from), address4(to)];
  const payload = writeUdp({ ...PORTS, payload: filled(size - IPV4_HEADER - UDP_HEADER) }, { src, dst });
  const common = { dscp: 0, ecn: 0, identification: 1, dontFragment: true, moreFragments: false, fragmentOffset: 0 };
  const packet = { ...common, ttl: 64, protocol: IpProtocol.udp, src, dst, options: new Uint8Array(0), payload };
  return between(from, to, EtherType.ipv4, writeIpv4(packet));
}

function ipv6(from: number, to: number, size: number): Buffer {
  const [src, dst] = [address6(from), address6(to)];
  const payload = writeUdp({ ...PORTS, payload: filled(size - IPV6_HEADER - UDP_HEADER) }, { src, dst });
  const packet = { trafficClass: 0, flowLabel: 0, hopLimit: 64, src, dst, nextHeader: IpProtocol.udp, payload };
  return between(from, to, EtherType.ipv6, writeIpv6(packet));
}

function between(from: number, to: number, type: number, payload: Uint8Array): Buffer {
  return Buffer.from(writeEthernet({ dst: mac(to), src: mac(from), type, payload }));
}

function filled(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => i * 7);
}
