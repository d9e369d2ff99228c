/**
 * tap interfaces (Linux, Documentation/networking/tuntap.rst): an Ethernet interface of the kernel whose cable ends in a
 * descriptor.
 */

import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { Descriptor } from './descriptor.js';
import { callError, errnoText, fromNodeError, VdeError } from './errors.js';
import { errno, native } from './ffi.js';
import { IFREQ } from './layout.js';
import { Memory } from './memory.js';
import { AF_INET, SOCK_DGRAM, socket } from './socket.js';

const ioctl = native<(fd: number, request: number, argument: number) => number>(
  'int ioctl(int fd, unsigned long request, size_t argument)',
);

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNGETIFF = 0x800454d2;
const TUNSETCARRIER = 0x400454e2;
const TUNGETVNETHDRSZ = 0x800454d7;
const SIOCGIFFLAGS = 0x8913;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_UP = 0x1;

const DEVICE = '/dev/net/tun';
/** Longest name of an interface, less the NUL. */
export const INTERFACE_NAME_MAX = IFREQ.nameRoom - 1;

export interface TapOptions {
  /** Puts a `struct virtio_net_hdr` before each frame. */
  offloadHeader?: boolean;
}

/** An open tap: its descriptor and the name that the kernel gave it. */
export interface Tap {
  descriptor: Descriptor;
  interfaceName: string;
}

/**
 * Opens a tap: an interface that exists already and is the caller's, or a new one that goes with the descriptor.
 * @param name up to 15 bytes; empty or with `%d`: the kernel chooses.
 * @param subject what error messages speak of.
 * @throws VdeError with what is to be done about a missing device, a missing permission or a busy interface.
 */
export function openTap(name: string, subject: string, options: TapOptions = {}): Tap {
  if (Buffer.byteLength(name) > INTERFACE_NAME_MAX || /[\s/\0]/.test(name)) {
    throw new VdeError({
      code: 'EINVAL',
      subject,
      cause: `"${name}" cannot be the name of an interface`,
      remedy: `at most ${INTERFACE_NAME_MAX} bytes, no blank and no slash`,
    });
  }
  let fd: number;
  try {
    fd = openSync(DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    throw fromNodeError(error, subject, deviceRemedy((error as NodeJS.ErrnoException).code));
  }
  const request = new Memory(IFREQ.size);
  request.setCString(IFREQ.name, name, IFREQ.nameRoom);
  request.view.setUint16(IFREQ.union, IFF_TAP | IFF_NO_PI | (options.offloadHeader ? IFF_VNET_HDR : 0), true);
  if (ioctl(fd, TUNSETIFF, request.address) < 0) {
    const error = errno();
    closeSync(fd);
    throw callError('TUNSETIFF', error, subject, interfaceRemedy(error, name));
  }
  return { descriptor: new Descriptor(fd, subject), interfaceName: request.cString(IFREQ.name, IFREQ.nameRoom) };
}

/**
 * Says how frames are to pass through an open macvtap device; its interface is given by the device.
 * @throws VdeError if the device is none, or its interface has gone.
 */
export function setUpMacvtap(device: Descriptor, options: TapOptions = {}): void {
  const request = new Memory(IFREQ.size);
  request.view.setUint16(IFREQ.union, IFF_TAP | IFF_NO_PI | (options.offloadHeader ? IFF_VNET_HDR : 0), true);
  if (ioctl(device.fd, TUNSETIFF, request.address) < 0) throw callError('TUNSETIFF', errno(), device.subject);
}

function deviceRemedy(code: string | undefined): string {
  if (code === 'EACCES') return `you may not open ${DEVICE}: ask for mode 0666, as most distributions have it`;
  return `this system has no ${DEVICE}: load the tun module, or make the device with mknod c 10 200`;
}

function interfaceRemedy(error: number, name: string): string | undefined {
  if (errnoText(error) === 'Operation not permitted') {
    return `ask the administrator for: ip tuntap add mode tap name ${name || 'tap0'} user ${process.getuid?.()}`;
  }
  if (errnoText(error) === 'Device or resource busy') return 'another program has it open';
  if (errnoText(error) === 'Invalid argument') return `${name} exists and is not a tap of the same kind`;
  return undefined;
}

const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;
const TUN_F_TSO_ECN = 0x08;
const TUN_F_USO4 = 0x20;
const TUN_F_USO6 = 0x40;

/** What our ends take: checksums left open, TCP and UDP super-frames of both IP versions (`linux/if_tun.h`). */
export const TAP_OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6;

/** Tells the kernel which offloads the end behind a tap takes; a kernel without UDP segmentation (before 6.2) does the rest. */
export function setTapOffloads(tap: Descriptor, flags: number): void {
  if (ioctl(tap.fd, TUNSETOFFLOAD, flags) < 0) ioctl(tap.fd, TUNSETOFFLOAD, flags & ~(TUN_F_USO4 | TUN_F_USO6));
}

/** Whether a tap of this kernel takes UDP super-frames: those of Linux 6.2 and later do. */
export function takesUdpSuperFrames(): boolean {
  const [major, minor] = release().split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 2);
}

/** Says whether the interface has a carrier (TUNSETCARRIER): without one nothing is sent into it. */
export function setTapCarrier(tap: Descriptor, on: boolean): void {
  const value = new Memory(8);
  value.view.setInt32(0, on ? 1 : 0, true);
  ioctl(tap.fd, TUNSETCARRIER, value.address);
}

/** What the kernel says a tun descriptor is. */
export interface TapKind {
  name: string;
  /** Ethernet frames without the 4-byte packet information: what we can serve. */
  tap: boolean;
  /** Bytes of `struct virtio_net_hdr` before each frame, 0 if none. */
  offloadHeader: number;
}

/**
 * Whether a descriptor that a stranger gave is a tun device, without a call of the kernel's that what it is otherwise could
 * make wait (a file of a file system that is a program): only the tun driver says of itself what interface it has.
 */
export function isTun(fd: number): boolean {
  try {
    return /^iff:/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'));
  } catch {
    return false;
  }
}

/** Asks what a descriptor is; undefined if it is no tun device. */
export function tapKind(fd: number): TapKind | undefined {
  const request = new Memory(IFREQ.size);
  if (ioctl(fd, TUNGETIFF, request.address) < 0) return undefined;
  const flags = request.view.getUint16(IFREQ.union, true);
  let offloadHeader = 0;
  if ((flags & IFF_VNET_HDR) !== 0) {
    const size = new Memory(8);
    if (ioctl(fd, TUNGETVNETHDRSZ, size.address) < 0) return undefined;
    offloadHeader = size.view.getInt32(0, true);
  }
  return {
    name: request.cString(IFREQ.name, IFREQ.nameRoom),
    tap: (flags & IFF_TAP) !== 0 && (flags & IFF_NO_PI) !== 0,
    offloadHeader,
  };
}

/** Whether an interface is UP; undefined if there is none of that name here. */
export function isInterfaceUp(name: string): boolean | undefined {
  const request = new Memory(IFREQ.size);
  request.setCString(IFREQ.name, name, IFREQ.nameRoom);
  const probe = socket(AF_INET, SOCK_DGRAM, name);
  try {
    if (ioctl(probe.fd, SIOCGIFFLAGS, request.address) < 0) return undefined;
    return (request.view.getUint16(IFREQ.union, true) & IFF_UP) !== 0;
  } finally {
    probe.close();
  }
}
