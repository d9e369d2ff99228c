/**
 * The switch's end of the cable to a client: a datagram socket connected to the one that the client names, or what the
 * client gave to be served in its place.
 *
 * A named socket must be a socket of the client's own uid, as the kernel tells both, and it is reached through a
 * descriptor of that very file, so that the name cannot be pointed elsewhere in between.
 */

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { FRAME_MAX } from '../frame/burst.js';
import { adoptAll } from '../plug/adoption.js';
import { DatagramPlug } from '../plug/datagram.js';
import type { Plug } from '../plug/plug.js';
import type { Request } from '../plug/vde-protocol.js';
import type { Descriptor } from '../sys/descriptor.js';
import { callError, fromNodeError, VdeError } from '../sys/errors.js';
import { SOCKADDR_UN } from '../sys/layout.js';
import { Memory } from '../sys/memory.js';
import { AF_UNIX, type Credentials, SOCK_DGRAM, socket, tryConnectRaw, tryConnectUnix } from '../sys/socket.js';

/** Longest frame for a client of the C library, which would cut a longer one: libvdeplug's buffer. */
const C_FRAME_MAX = 9234;
/** Linux's number on every architecture; Node does not name it. */
const O_PATH = 0o10000000;

/** See the head of this file. */
export interface ClientEnd {
  plug: Plug;
  /** The plug's socket, still to be given a name; undefined if the end is one that the client gave. */
  data: Descriptor | undefined;
  adopted: boolean;
  /** Uid that the end belongs to, -1 if nobody knows. */
  user: number;
}

/**
 * Makes the end that a request asks for.
 * @param offered what came with the request; taken over.
 * @throws VdeError if the request names no socket, or one that is not the client's own or not to be reached.
 */
export function openClientEnd(request: Request, credentials: Credentials, offered: readonly Descriptor[]): ClientEnd {
  const { description: name, extension, path } = request;
  if (offered.length > 0) {
    const plug = extension?.adopt ? adoptAll(offered, request.settings, name) : undefined;
    if (plug !== undefined) return { plug, data: undefined, adopted: true, user: credentials.uid };
    for (const one of offered) one.discard();
  }
  if (path === undefined) throw new VdeError({ code: 'EINVAL', subject: 'request', cause: 'it names no data socket' });
  const data = socket(AF_UNIX, SOCK_DGRAM, 'data socket');
  try {
    const user = connectToClient(data, path, credentials);
    const plug = new DatagramPlug(data, {
      name,
      maxFrame: Math.min(extension?.maxFrame ?? C_FRAME_MAX, FRAME_MAX),
      offloads: extension?.offloads,
    });
    return { plug, data, adopted: false, user };
  } catch (error) {
    data.close();
    throw error;
  }
}

/**
 * Connects `data` to the socket that a request names.
 * @returns the uid that the endpoint belongs to, -1 for an abstract socket, whose owner nobody knows.
 * @throws VdeError if it is no socket, not the client's own or not to be reached.
 */
function connectToClient(data: Descriptor, path: Buffer, credentials: Credentials): number {
  if (path[0] === 0) {
    const address = new Memory(SOCKADDR_UN.size);
    address.view.setUint16(0, AF_UNIX, true);
    address.bytes.set(path, SOCKADDR_UN.path);
    const error = tryConnectRaw(data, address, 0, SOCKADDR_UN.size);
    if (error !== 0) throw callError('connect', error, `@${path.subarray(1).toString().replaceAll('\0', '')}`);
    return -1;
  }
  const name = path.toString();
  let fd: number;
  try {
    fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  } catch (error) {
    throw fromNodeError(error, name);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isSocket()) throw new VdeError({ code: 'ENOTSOCK', subject: name, cause: 'not a socket' });
    if (stat.uid !== credentials.uid && credentials.uid !== 0) {
      throw new VdeError({
        code: 'EPERM',
        subject: name,
        cause: `socket of uid ${stat.uid}, not of the client, whose uid is ${credentials.uid}`,
      });
    }
    const error = tryConnectUnix(data, `/proc/self/fd/${fd}`);
    if (error !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
      throw callError('connect', error, name, `the client's socket has mode ${mode} and owner ${stat.uid}`);
    }
    return stat.uid;
  } finally {
    closeSync(fd);
  }
}
