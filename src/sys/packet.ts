/**
 * Packet sockets (packet(7)): whole Ethernet frames of one interface of the kernel.
 *
 * The socket hears nothing until it is bound to its interface, so every option is set before. What is asked of it: a
 * `struct virtio_net_hdr` before each frame, both ways, so that the kernel's own large packets pass whole; the 802.1Q
 * tag that the kernel takes off each frame that arrives, as auxiliary data; and promiscuous mode, for as long as the
 * socket is open.
 */

import type { Descriptor } from './descriptor.js';
import { callError, errnoNumber, VdeError } from './errors.js';
import { errno, native } from './ffi.js';
import { interfaceIndex } from './inet.js';
import { CMSGHDR, IFREQ, VIRTIO_NET_HDR } from './layout.js';
import { Memory } from './memory.js';
import {
  AF_INET,
  AF_PACKET,
  getOption,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_SOCKET,
  setOption,
  setRawOption,
  socket,
  tryBindRaw,
} from './socket.js';

const ioctl = native<(fd: number, request: number, argument: number) => number>(
  'int ioctl(int fd, unsigned long request, size_t argument)',
);
const getsockname = native<(fd: number, address: number, length: number) => number>(
  'int getsockname(int fd, size_t address, size_t length)',
);

const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_AUXDATA = 8;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const PACKET_VNET_HDR_SZ = 24;
const PACKET_MR_PROMISC = 1;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const SO_RCVBUFFORCE = 33;
const SIOCGIFHWADDR = 0x8927;
/** Every protocol, in network order as an address has it. */
const ETH_P_ALL = 0x0003;
/** ARP hardware types (`linux/if_arp.h`). */
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;

/** `struct sockaddr_ll`, `struct packet_mreq`, `struct sock_fprog`. */
const SOCKADDR_LL = { size: 20, protocol: 2, index: 4, hardware: 8 } as const;
const PACKET_MREQ = { size: 16, index: 0, type: 4 } as const;
const SOCK_FPROG = { size: 16, length: 0, filter: 8 } as const;
/** `struct tpacket_auxdata`. */
const AUXDATA = { size: 20, status: 0, tag: 16, tagProtocol: 18 } as const;
const TP_STATUS_VLAN_VALID = 0x10;
const TP_STATUS_VLAN_TPID_VALID = 0x40;
const ETHERTYPE_VLAN = 0x8100;

/** Bytes of control memory that a message needs for its auxiliary data. */
export const AUXDATA_ROOM = CMSGHDR.size + 24;

/**
 * Receive buffer in bytes: what the kernel holds while we are busy. It counts some 768 bytes for a small frame
 * (reference: SO_RCVBUF).
 */
const RECEIVE_BUFFER = 4 << 20;

const scratch = new Memory(64);

export interface PacketOptions {
  /** Delivers what the host itself sends out by the interface, too. */
  outgoing?: boolean;
  /** Leaves out the frames with this source address, 6 bytes. */
  exceptSource?: Uint8Array;
}

/** An open packet socket. */
export interface PacketSocket {
  descriptor: Descriptor;
  /** Whether a `struct virtio_net_hdr` is before each frame. */
  offloads: boolean;
}

/** The hardware address of an Ethernet interface. @throws VdeError `ENODEV`, or `EOPNOTSUPP` if it is not Ethernet. */
export function ethernetAddress(name: string, subject: string): Uint8Array {
  const probe = new Memory(IFREQ.size);
  probe.setCString(IFREQ.name, name, IFREQ.nameRoom);
  const any = socket(AF_INET, SOCK_DGRAM, subject);
  try {
    if (ioctl(any.fd, SIOCGIFHWADDR, probe.address) < 0)
      throw callError('SIOCGIFHWADDR', errno(), subject, 'ip link lists the interfaces');
  } finally {
    any.close();
  }
  const type = probe.view.getUint16(IFREQ.union, true);
  if (type === ARPHRD_ETHER) return probe.bytes.slice(IFREQ.union + 2, IFREQ.union + 8);
  const cause =
    type === ARPHRD_LOOPBACK
      ? `${name} is the loopback interface: what is sent there comes straight back`
      : `interface ${name} is not Ethernet (hardware type ${type})`;
  throw new VdeError({ code: 'EOPNOTSUPP', subject, cause, remedy: 'name an Ethernet interface; ip link lists them' });
}

/**
 * Opens a packet socket on an interface, in promiscuous mode.
 * @param subject what error messages speak of.
 * @throws VdeError `ENODEV` for no such interface, `EPERM` with what is to be done about it.
 */
export function openPacket(name: string, subject: string, options: PacketOptions = {}): PacketSocket {
  const index = interfaceIndex(name, subject);
  const descriptor = packetSocket(subject);
  try {
    must(setOption(descriptor, SOL_PACKET, PACKET_AUXDATA, 1), subject);
    // Kernels before 4.20 cannot leave out what goes out.
    if (!options.outgoing) setOption(descriptor, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    if (options.exceptSource) leaveOutSource(descriptor, options.exceptSource);
    const offloads = setOption(descriptor, SOL_PACKET, PACKET_VNET_HDR, 1);
    if (!setOption(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)) {
      setOption(descriptor, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
    }
    bindTo(descriptor, index, subject);
    scratch.bytes.fill(0);
    scratch.view.setInt32(PACKET_MREQ.index, index, true);
    scratch.view.setUint16(PACKET_MREQ.type, PACKET_MR_PROMISC, true);
    const error = setRawOption(descriptor, SOL_PACKET, PACKET_ADD_MEMBERSHIP, scratch, PACKET_MREQ.size);
    if (error !== 0) throw callError('setsockopt', error, subject);
    return { descriptor, offloads };
  } catch (error) {
    descriptor.close();
    throw error;
  }
}

function packetSocket(subject: string): Descriptor {
  try {
    return socket(AF_PACKET, SOCK_RAW, subject);
  } catch (error) {
    if (!(error instanceof VdeError) || error.errno !== errnoNumber('EPERM')) throw error;
    const remedy = 'it needs the capability CAP_NET_RAW: run it as root, or in a network namespace of your own';
    throw callError('socket', error.errno, subject, remedy);
  }
}

function must(done: boolean, subject: string): void {
  if (!done) throw callError('setsockopt', errno(), subject);
}

function bindTo(descriptor: Descriptor, index: number, subject: string): void {
  scratch.bytes.fill(0);
  scratch.view.setUint16(0, AF_PACKET, true);
  scratch.view.setUint16(SOCKADDR_LL.protocol, ETH_P_ALL);
  scratch.view.setInt32(SOCKADDR_LL.index, index, true);
  const error = tryBindRaw(descriptor, scratch, 0, SOCKADDR_LL.size);
  if (error !== 0) throw callError('bind', error, subject);
}

/** Classic BPF (bpf(4)): loads a word or half a word, compares, returns. */
const BPF = { loadWord: 0x20, loadHalf: 0x28, jumpEqual: 0x15, return: 0x06 } as const;
const BPF_INSTRUCTION = 8;

/** Has the kernel leave out the frames of one source address. */
function leaveOutSource(descriptor: Descriptor, address: Uint8Array): void {
  const { buffer, byteOffset } = address;
  const bytes = new DataView(buffer, byteOffset, 6);
  // code, jump if true, jump if false, operand; jumps count from the next instruction
  const program: readonly (readonly [number, number, number, number])[] = [
    [BPF.loadWord, 0, 0, 8],
    [BPF.jumpEqual, 0, 2, bytes.getUint32(2)],
    [BPF.loadHalf, 0, 0, 6],
    [BPF.jumpEqual, 1, 0, bytes.getUint16(0)],
    [BPF.return, 0, 0, 0x4_0000],
    [BPF.return, 0, 0, 0],
  ];
  const memory = new Memory(SOCK_FPROG.size + program.length * BPF_INSTRUCTION);
  memory.view.setUint16(SOCK_FPROG.length, program.length, true);
  memory.setPointer(SOCK_FPROG.filter, memory.address + SOCK_FPROG.size);
  for (const [i, [code, whenTrue, whenFalse, operand]] of program.entries()) {
    const at = SOCK_FPROG.size + i * BPF_INSTRUCTION;
    memory.view.setUint16(at, code, true);
    memory.view.setUint8(at + 2, whenTrue);
    memory.view.setUint8(at + 3, whenFalse);
    memory.view.setUint32(at + 4, operand, true);
  }
  const error = setRawOption(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, memory, SOCK_FPROG.size);
  if (error !== 0) throw callError('setsockopt', error, descriptor.subject);
}

/** What the kernel says a packet socket is. */
export interface PacketKind {
  /** Whether it is bound to an Ethernet interface that is there. */
  ethernet: boolean;
  /** Bytes of `struct virtio_net_hdr` before each frame, 0 if none. */
  offloadHeader: number;
}

/** Asks what a packet socket is bound to; it has no interface any more once that has been deleted. */
export function packetKind(fd: number): PacketKind {
  scratch.bytes.fill(0);
  scratch.view.setUint32(32, SOCKADDR_LL.size, true);
  const known = getsockname(fd, scratch.address, scratch.address + 32) === 0;
  const bound = known && scratch.view.getInt32(SOCKADDR_LL.index, true) > 0;
  const ethernet = bound && scratch.view.getUint16(SOCKADDR_LL.hardware, true) === ARPHRD_ETHER;
  // Kernels before 6.5 have but one size of it.
  const size = getOption(fd, SOL_PACKET, PACKET_VNET_HDR_SZ);
  const present = getOption(fd, SOL_PACKET, PACKET_VNET_HDR) === 1 ? VIRTIO_NET_HDR.size : 0;
  return { ethernet, offloadHeader: size < 0 ? present : size };
}

/**
 * The tag that the kernel took off a frame, from its auxiliary data.
 * @param length of the control messages at `control[at]`, in bytes.
 * @returns TPID and TCI, as the four bytes of a tag are read; 0 if there was none.
 */
export function strippedTag(control: Memory, at: number, length: number): number {
  if (length < CMSGHDR.size + AUXDATA.size) return 0;
  const { view } = control;
  if (view.getInt32(at + CMSGHDR.level, true) !== SOL_PACKET) return 0;
  if (view.getInt32(at + CMSGHDR.type, true) !== PACKET_AUXDATA) return 0;
  const data = at + CMSGHDR.size;
  const status = view.getUint32(data + AUXDATA.status, true);
  if ((status & TP_STATUS_VLAN_VALID) === 0) return 0;
  const known = (status & TP_STATUS_VLAN_TPID_VALID) !== 0;
  const protocol = known ? view.getUint16(data + AUXDATA.tagProtocol, true) : ETHERTYPE_VLAN;
  return protocol * 0x1_0000 + view.getUint16(data + AUXDATA.tag, true);
}
