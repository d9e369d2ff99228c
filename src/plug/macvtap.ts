/**
 * `macvtap://INTERFACE`: a macvtap interface of the kernel (reference: plugins, section 4), which hangs on another
 * interface and shares its wire. Its frames pass through the character device /dev/tapN, where N is the interface's
 * index; the rest is as with a tap, super-frames included.
 *
 * The kernel does not tell those who have the device open that the interface is deleted or down: it is asked.
 */

import { constants, openSync } from 'node:fs';
import { Descriptor } from '../sys/descriptor.js';
import { fromNodeError, VdeError } from '../sys/errors.js';
import { interfaceIndex } from '../sys/inet.js';
import { isInterfaceUp, setTapOffloads, setUpMacvtap, TAP_OFFLOADS, tapKind } from '../sys/tap.js';
import { INTERFACE_LIMIT, type Scheme } from './scheme.js';
import { TapPlug } from './tap.js';

const LOOK_MS = 1000;

/** See the head of this file. */
class MacvtapPlug extends TapPlug {
  readonly #timer: NodeJS.Timeout;
  #saidDown = false;

  constructor(descriptor: Descriptor, name: string, interfaceName: string) {
    super(descriptor, name, { interfaceName, offloads: true, owner: true });
    this.#timer = setInterval(() => this.#look(descriptor, interfaceName), LOOK_MS);
    // What is watched keeps the process alive; the question alone does not.
    this.#timer.unref();
  }

  #look(descriptor: Descriptor, interfaceName: string): void {
    if (tapKind(descriptor.fd) === undefined) {
      const cause = `interface ${interfaceName} has been deleted`;
      this.lose(new VdeError({ code: 'ENODEV', subject: this.name, cause }));
    } else if (!this.#saidDown && isInterfaceUp(interfaceName) === false) {
      this.#saidDown = true;
      this.onDown?.();
    }
  }

  protected override release(): void {
    clearInterval(this.#timer);
    super.release();
  }
}

/**
 * Opens the device of a macvtap interface.
 * @throws VdeError `ENODEV` for no such interface, `ENOENT` or `EACCES` for its device, with what is to be done.
 */
function openMacvtap(interfaceName: string, subject: string): MacvtapPlug {
  const device = `/dev/tap${interfaceIndex(interfaceName, subject)}`;
  let fd: number;
  try {
    fd = openSync(device, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    throw deviceError(error, device, interfaceName, subject);
  }
  const descriptor = new Descriptor(fd, subject);
  try {
    setUpMacvtap(descriptor, { offloadHeader: true });
    const owner = tapKind(descriptor.fd)?.name;
    if (owner !== interfaceName) {
      const cause = `${device} belongs to interface ${owner} of another network namespace`;
      const remedy = 'make the interface with an index of its own: ip link add ... index N type macvtap';
      throw new VdeError({ code: 'EBUSY', subject, cause, remedy });
    }
    setTapOffloads(descriptor, TAP_OFFLOADS);
    return new MacvtapPlug(descriptor, subject, interfaceName);
  } catch (error) {
    descriptor.close();
    throw error;
  }
}

function deviceError(error: unknown, device: string, interfaceName: string, subject: string): VdeError {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENXIO' || code === 'ENODEV') {
    const cause = `there is no device ${device}: interface ${interfaceName} is no macvtap, or /dev lacks its device`;
    const remedy = `ip link add link eth0 name ${interfaceName} type macvtap mode bridge`;
    return new VdeError({ code: 'ENOENT', subject, cause, remedy });
  }
  const remedy = `you may not open ${device}: ask the administrator for chown ${process.getuid?.()} ${device}`;
  return fromNodeError(error, subject, code === 'EACCES' || code === 'EPERM' ? remedy : undefined);
}

export const macvtapScheme: Scheme = {
  name: 'macvtap',
  syntax: 'INTERFACE',
  doc: 'a macvtap interface of the kernel, which shares the wire of another interface',
  maxFrame: INTERFACE_LIMIT,
  params: [],
  adoptable: true,
  open: async ({ body, locator }) => openMacvtap(body, locator),
};
