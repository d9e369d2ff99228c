/**
 * Settings of tun and tap interfaces that outlive the program (Linux, Documentation/networking/tuntap.rst): whether the
 * interface stays when its descriptor is closed, and who else may open it.
 */

import { closeSync, constants, openSync } from 'node:fs';
import { callError, errnoNumber, fromNodeError, VdeError } from './errors.js';
import { errno, native } from './ffi.js';
import { IFREQ } from './layout.js';
import { Memory } from './memory.js';

const ioctlAt = native<(fd: number, request: number, argument: number) => number>(
  'int ioctl(int fd, unsigned long request, size_t argument)',
);

const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOWNER = 0x400454cc;
const TUNSETGROUP = 0x400454ce;
const IFF_TUN = 0x0001;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const EINVAL = errnoNumber('EINVAL');

export const TUN_DEVICE = '/dev/net/tun';

export interface InterfaceSettings {
  persistent: boolean;
  /** Uid that may open the interface. */
  owner?: number;
  /** Gid whose members may open it. */
  group?: number;
}

/**
 * Makes an interface, or finds it if it is there, and sets what is given.
 * @param name up to 15 bytes; with `%d` the kernel chooses a number.
 * @param kind of a new interface; an existing one may be of the other.
 * @param device the clone device, `TUN_DEVICE` as a rule.
 * @returns the interface's name.
 * @throws VdeError of the call that the kernel refuses.
 */
export function setInterface(
  name: string,
  kind: 'tun' | 'tap',
  settings: InterfaceSettings,
  device: string = TUN_DEVICE,
): string {
  if (name === '' || Buffer.byteLength(name) >= IFREQ.nameRoom || /[\s/\0]/.test(name)) {
    const cause = `"${name}" cannot be the name of an interface`;
    const remedy = `1 to ${IFREQ.nameRoom - 1} bytes, no blank and no slash`;
    throw new VdeError({ code: 'EINVAL', subject: 'interface', cause, remedy });
  }
  let fd: number;
  try {
    fd = openSync(device, constants.O_RDWR);
  } catch (error) {
    throw fromNodeError(error, device, 'is the tun module loaded?');
  }
  try {
    const request = new Memory(IFREQ.size);
    const attach = (flag: number): number => {
      request.bytes.fill(0);
      request.setCString(IFREQ.name, name, IFREQ.nameRoom);
      request.view.setUint16(IFREQ.union, flag | IFF_NO_PI, true);
      return ioctlAt(fd, TUNSETIFF, request.address) < 0 ? errno() : 0;
    };
    const [first, other] = kind === 'tun' ? [IFF_TUN, IFF_TAP] : [IFF_TAP, IFF_TUN];
    let error = attach(first);
    if (error === EINVAL && attach(other) === 0) error = 0;
    if (error !== 0) throw callError('TUNSETIFF', error, name, remedyFor(error));
    const set = (what: string, code: number, value: number): void => {
      if (ioctlAt(fd, code, value) < 0) throw callError(what, errno(), name);
    };
    if (settings.owner !== undefined) set('TUNSETOWNER', TUNSETOWNER, settings.owner);
    if (settings.group !== undefined) set('TUNSETGROUP', TUNSETGROUP, settings.group);
    set('TUNSETPERSIST', TUNSETPERSIST, settings.persistent ? 1 : 0);
    return request.cString(IFREQ.name, IFREQ.nameRoom);
  } finally {
    closeSync(fd);
  }
}

function remedyFor(error: number): string | undefined {
  if (error === errnoNumber('EPERM')) return 'that takes CAP_NET_ADMIN: ask the administrator';
  if (error === errnoNumber('EBUSY')) return 'a program has it open: stop that first';
  if (error === EINVAL) return 'there is an interface of that name, and it is no tun or tap';
  return undefined;
}
