/**
 * `qemu://PATH[listen]`, `qemu://HOST:PORT[listen]`: what QEMU's `-netdev stream` and `-netdev socket` speak over a stream
 * (QEMU, net/stream.c): each frame behind its length in four bytes, big-endian. Without `listen` the end connects, and is
 * lost with the connection; with it, it waits for one peer, and for the next when that has left.
 *
 * What has a slash, or no port, is the path of a socket. Nothing is encrypted, and nobody is asked who he is.
 */

import { resolve } from 'node:path';
import { FRAME_MAX } from '../frame/burst.js';
import { QEMU_RECORDS } from '../frame/stream.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLOUT } from '../sys/epoll.js';
import { callError, errnoNumber, VdeError } from '../sys/errors.js';
import { addressFamily, bindInet, tcpSocket, tryConnectInet, tuneTcp } from '../sys/inet.js';
import { loop } from '../sys/loop.js';
import {
  AF_UNIX,
  bindUnix,
  checkUnixPath,
  clearUnixPath,
  listen,
  SOCK_STREAM,
  socket,
  takeError,
  tryConnectUnix,
  unlinkQuietly,
} from '../sys/socket.js';
import { findAddresses } from './host.js';
import { parsePath } from './locator.js';
import { type ParamSpec, readParams } from './params.js';
import { groupNumber, protectFile } from './permissions.js';
import type { Plug } from './plug.js';
import { identity } from './ptp-place.js';
import { QemuServer } from './qemu-server.js';
import type { ResolvedLocator } from './resolve.js';
import type { OpenOptions, Scheme } from './scheme.js';
import { StreamPlug } from './stream.js';

/** How long a host may take to accept a connection, in ms. */
const CONNECT_MS = 5000;
const DEFAULT_MODE = 0o700;
const BACKLOG = 4;
const EINPROGRESS = errnoNumber('EINPROGRESS');
const ETIMEDOUT = errnoNumber('ETIMEDOUT');

const params = [
  { name: 'listen', type: 'flag', doc: 'wait for the other end to connect' },
  { name: 'mode', type: 'octal', max: 0o777, doc: 'with listen: permissions of the socket at PATH (0700)' },
  { name: 'group', type: 'group', doc: 'with listen: group of the socket at PATH' },
] as const satisfies readonly ParamSpec[];

type Place = { path: string } | { host: string; port: number };

/** Where a body says that the stream is, and how. @throws VdeError `EINVAL`. */
export function readQemu({ body, bodyAt, text, locator }: ResolvedLocator) {
  // An address in brackets is no list of parameters.
  const [bracketed = ''] = /^\[[\da-f:.]*(%[\w.-]+)?\](?=:)/i.exec(body) ?? [];
  const { path, params: given } = parsePath(body.slice(bracketed.length), bodyAt + bracketed.length, text);
  const values = readParams(params, given, text);
  const refuse = (cause: string, remedy: string): VdeError =>
    new VdeError({ code: 'EINVAL', subject: locator, cause, remedy });
  const protects = values.mode !== undefined || values.group !== undefined;
  const [, host, digits] = /^([^/]*):([^/:]*)$/.exec(bracketed + path) ?? [];
  if (protects && (!values.listen || digits !== undefined)) {
    throw refuse(
      'mode and group are those of a socket that is listened at',
      'as in qemu:///tmp/vm.sock[listen/mode=770]',
    );
  }
  if (digits === undefined) {
    if (path === '') throw refuse('it names no socket', 'as in qemu:///tmp/vm.sock or qemu://127.0.0.1:5000');
    return { place: { path: resolve(path) } as Place, ...values };
  }
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0;
  if (port === 0 || port > 0xffff) throw refuse(`"${digits}" is not a port`, '1 to 65535; a path has a slash: ./NAME');
  if (host === '') {
    const listening = '127.0.0.1:PORT for this machine alone, 0.0.0.0:PORT or [::]:PORT for all';
    throw refuse('it names no address', values.listen ? listening : 'HOST:PORT');
  }
  return { place: { host: host.replace(/^\[(.*)\]$/, '$1'), port } as Place, ...values };
}

/** A stream to whom listens there. */
async function connect(place: Place, subject: string): Promise<Descriptor> {
  if ('path' in place) {
    checkUnixPath(place.path);
    const stream = socket(AF_UNIX, SOCK_STREAM, subject);
    const error = tryConnectUnix(stream, place.path);
    if (error === 0) return stream;
    stream.close();
    throw callError('connect', error, subject, unixRemedy(error, place.path));
  }
  let error = 0;
  for (const address of await findAddresses(place.host, 0, subject)) {
    const tcp = tcpSocket(addressFamily(address), subject);
    try {
      error = tryConnectInet(tcp, { address, port: place.port });
      if (error === EINPROGRESS) error = await connected(tcp);
      if (error === 0) {
        tuneTcp(tcp);
        return tcp.duplicate();
      }
    } finally {
      tcp.close();
    }
  }
  throw callError('connect', error, subject, 'does the other end listen there? -netdev stream,server=on does');
}

function unixRemedy(error: number, path: string): string {
  if (error === errnoNumber('EACCES')) return `you may not connect to ${path}: its owner can change that`;
  if (error === errnoNumber('EAGAIN')) return 'it has a peer, and others wait';
  if (error === errnoNumber('EPROTOTYPE')) return 'it is no stream: a switch is vde://, a link ptp://';
  return `does the other end listen at ${path}? -netdev stream,server=on does; qemu://PATH[listen] would here`;
}

/** Resolves when a connection is made or refused: with 0 or the errno. */
function connected(tcp: Descriptor): Promise<number> {
  return new Promise((done) => {
    const settle = (error: number): undefined => {
      clearTimeout(timer);
      watch.close();
      done(error);
    };
    const timer = setTimeout(() => settle(ETIMEDOUT), CONNECT_MS);
    const watch = loop().watch(tcp.fd, EPOLLOUT, () => settle(takeError(tcp)));
  });
}

/** A socket that listens at a path of its own. */
function listenUnix(path: string, subject: string, mode: number, group: number | undefined): Descriptor {
  const alive = 'another program listens there: choose another path';
  clearUnixPath(path, SOCK_STREAM, { alive, foreign: 'remove it, or choose another path' });
  const listener = socket(AF_UNIX, SOCK_STREAM, subject);
  try {
    bindUnix(listener, path);
    try {
      protectFile(path, mode, group);
      listen(listener, BACKLOG);
    } catch (error) {
      unlinkQuietly(path);
      throw error;
    }
    return listener;
  } catch (error) {
    listener.close();
    throw error;
  }
}

async function listenTcp(host: string, port: number, subject: string): Promise<Descriptor> {
  const [address] = await findAddresses(host, 0, subject);
  const listener = tcpSocket(addressFamily(address), subject);
  try {
    bindInet(listener, { address, port }, 'another program has it, or the address is not one of this machine');
    listen(listener, BACKLOG);
    return listener;
  } catch (error) {
    listener.close();
    throw error;
  }
}

async function open(locator: ResolvedLocator, options: OpenOptions): Promise<Plug> {
  const name = locator.locator;
  const { place, listen: listening, mode, group = options.group } = readQemu(locator);
  if (!listening) {
    const stream = await connect(place, name);
    try {
      return new StreamPlug(name, stream.fd, stream.fd, FRAME_MAX, QEMU_RECORDS);
    } finally {
      stream.close();
    }
  }
  if ('host' in place) {
    return new QemuServer(name, await listenTcp(place.host, place.port, name), options);
  }
  const gid = group === undefined ? undefined : groupNumber(group, locator.text);
  const listener = listenUnix(place.path, name, mode ?? (options.mode || DEFAULT_MODE), gid);
  return new QemuServer(name, listener, options, { path: place.path, id: identity(place.path) });
}

export const qemuScheme: Scheme = {
  name: 'qemu',
  syntax: 'PATH[PARAMETERS] or HOST:PORT[PARAMETERS]',
  doc: "a stream as QEMU's -netdev stream has it, to connect to or to wait for",
  maxFrame: FRAME_MAX,
  params,
  open,
};
