/**
 * `vxvdex://[/parameters]`: a `vxvde` network that only those may join who are allowed to (reference: plugins, section 9).
 *
 * C's asks a kernel module for the sockets. Here a broker on the machine, `vde_vxvdexd`, has them, and is asked for a place
 * in a network: by a socket in the file system, so from any network namespace. The kernel tells the broker who asks. What
 * passes between the two is Ethernet frames only, so no member can name another network, or hear of it.
 *
 * An end that is nothing but a descriptor is handed to the broker, if that is offered: then no frame passes here.
 */

import { FRAME_MAX, FRAME_MIN } from '../frame/burst.js';
import { receiveWithDescriptors, sendWithDescriptors } from '../sys/ancillary.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import { callError, errnoNumber, VdeError } from '../sys/errors.js';
import { loop } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import {
  AF_UNIX,
  checkUnixPath,
  getOption,
  SO_DOMAIN,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOL_SOCKET,
  socket,
  tryConnectUnix,
} from '../sys/socket.js';
import { AdoptedPlug, ControlledPlug } from './controlled.js';
import { parseSlash } from './locator.js';
import { type ParamSpec, paramError, readParams } from './params.js';
import { groupNumber } from './permissions.js';
import type { Plug } from './plug.js';
import type { ResolvedLocator } from './resolve.js';
import type { OpenOptions, Scheme } from './scheme.js';
import {
  type Admission,
  decodeAnswer,
  encodeMemberRequest,
  isNetworkName,
  MESSAGE_MAX,
  type Refusal,
  VXVDEX_SOCKET,
  type WantedNetwork,
} from './vxvdex-protocol.js';

/** A broker that does not answer for this long is taken for dead, in ms. */
const ANSWER_MS = 10_000;
/** How long a broker with a full queue of clients is asked again, and how often, in ms. */
const BUSY_MS = 5000;
const BUSY_STEP_MS = 10;
/** What it means that the connection has ended. */
const LOST = 'the broker has closed the connection';

const EAGAIN = errnoNumber('EAGAIN');
const ECONNRESET = errnoNumber('ECONNRESET');

// The order is that of libvdeplug's table: a shortened key means the first that begins with it.
const params = [
  { name: 'vni', alias: 'grp' },
  { name: 'grp', type: 'group', doc: 'the network of a group; yours if not given' },
  { name: 'ttl', type: 'number', max: 255, doc: "without effect: the broker's counts" },
  { name: 'rcvbuf', type: 'size', doc: "without effect: the broker's counts" },
  { name: 'v6', type: 'flag', doc: 'only if it is one over IPv6' },
  { name: 'v4', type: 'flag', doc: 'only if it is one over IPv4' },
  { name: 'hashsize', type: 'number', doc: "without effect: the broker's counts" },
  { name: 'expiretime', type: 'number', doc: "without effect: the broker's counts" },
  { name: 'net', type: 'string', arg: 'NAME', doc: 'a network by the name that the administrator gave it' },
  { name: 'sock', type: 'string', arg: '"PATH"', default: VXVDEX_SOCKET, doc: "the broker's socket, in quotes" },
] as const satisfies readonly ParamSpec[];

interface Target {
  path: string;
  network: WantedNetwork;
  family: 4 | 6 | undefined;
}

function readTarget({ body, bodyAt, text, locator }: ResolvedLocator): Target {
  const { address, params: given } = parseSlash(body, bodyAt, text);
  if (address !== '') {
    const cause = `the group's address cannot be chosen: it follows from the network`;
    const remedy = 'vxvdex:///grp=GROUP or vxvdex:///net=NAME';
    throw new VdeError({ code: 'EINVAL', subject: locator, cause, remedy });
  }
  const bare = given.find(([key, value]) => key === 'sock' && !value);
  if (bare) throw paramError(text, { name: 'sock', at: bare[2] }, 'needs a path in quotes', 'as in sock="/run/x"');
  const { grp, net, sock, v4, v6 } = readParams(params, given, text);
  if (grp !== undefined && net !== undefined) {
    throw paramError(locator, { name: 'net' }, 'grp names another network', 'give one of the two');
  }
  checkUnixPath(sock);
  return { path: sock, network: wanted(grp, net, locator), family: v4 === v6 ? undefined : v4 ? 4 : 6 };
}

function wanted(grp: string | number | undefined, net: string | undefined, locator: string): WantedNetwork {
  if (net !== undefined) {
    if (/^\d+$/.test(net)) throw paramError(locator, { name: 'net' }, `"${net}" is a number`, `grp=${net}`);
    if (!isNetworkName(net)) throw paramError(locator, { name: 'net' }, `"${net}" cannot be the name of a network`);
    return { kind: 'name', name: net };
  }
  if (grp === undefined || grp === '') return { kind: 'own' };
  return { kind: 'group', group: groupNumber(grp, locator, 'grp') };
}

/** Connects to the broker. With its queue of newcomers full one asks again: AF_UNIX does not connect in the background. */
async function reach(connection: Descriptor, path: string, name: string): Promise<void> {
  const end = Date.now() + BUSY_MS;
  for (;;) {
    const error = tryConnectUnix(connection, path);
    if (error === 0) return;
    if (error !== EAGAIN || Date.now() > end) throw callError('connect', error, name, remedyFor(error, path));
    await new Promise((done) => setTimeout(done, BUSY_STEP_MS));
  }
}

function remedyFor(error: number, path: string): string {
  if (error === errnoNumber('EACCES')) return `you may not connect to ${path}: ask the administrator`;
  if (error === errnoNumber('EPROTOTYPE')) return `${path} is the socket of something else than vde_vxvdexd`;
  return `no vde_vxvdexd answers at ${path}: ask the administrator to start one`;
}

/** Waits for the broker's answer, and the data socket that comes with it. */
function answer(connection: Descriptor, name: string): Promise<{ bytes: Buffer; data: Descriptor | undefined }> {
  return new Promise((done, fail) => {
    const settle = (finish: () => void) => {
      clearTimeout(timer);
      watch.close();
      finish();
    };
    const refuse = (code: string, cause: string, remedy?: string) =>
      settle(() => fail(new VdeError({ code, subject: name, cause, remedy })));
    const timer = setTimeout(
      () => refuse('ETIMEDOUT', `the broker did not answer within ${ANSWER_MS / 1000} s`, 'is it stopped?'),
      ANSWER_MS,
    );
    const memory = new Memory(MESSAGE_MAX);
    const watch = loop().watch(connection.fd, EPOLLIN | EPOLLRDHUP, () => {
      const { length, descriptors } = receiveWithDescriptors(connection, memory, 1);
      // A broker that refuses without having read the request resets the connection; its answer comes after that error.
      if (length === -EAGAIN || length === -ECONNRESET) return undefined;
      if (length <= 0) refuse('ECONNRESET', LOST);
      else settle(() => done({ bytes: Buffer.from(memory.bytes.subarray(0, length)), data: descriptors[0] }));
      return undefined;
    });
  });
}

function readAnswer(bytes: Buffer, name: string): Admission {
  const read: Admission | Refusal | undefined = decodeAnswer(bytes);
  if (read === undefined) {
    throw new VdeError({ code: 'EPROTO', subject: name, cause: 'what answers there is not a broker of vxvdex' });
  }
  if ('code' in read) throw new VdeError({ ...read, subject: name, remedy: read.remedy || undefined });
  return read;
}

/** Whether a descriptor is what a broker gives: a datagram socket of the machine. */
function isDataSocket({ fd }: Descriptor): boolean {
  return getOption(fd, SOL_SOCKET, SO_DOMAIN) === AF_UNIX && getOption(fd, SOL_SOCKET, SO_TYPE) === SOCK_DGRAM;
}

async function open(locator: ResolvedLocator, options: OpenOptions): Promise<Plug> {
  const name = locator.locator;
  const { path, network, family } = readTarget(locator);
  const connection = socket(AF_UNIX, SOCK_SEQPACKET, name);
  let data: Descriptor | undefined;
  try {
    await reach(connection, path, name);
    // The broker is in a network namespace of its own: it takes what does not depend on one.
    const offer = options.offer?.settings === undefined ? options.offer : undefined;
    const wishes = { network, family, maxFrame: FRAME_MAX, offloads: true, adopt: offer !== undefined };
    const request = encodeMemberRequest(wishes);
    const sent = sendWithDescriptors(connection, request, offer ? [offer.descriptor] : []);
    if (sent !== request.length) throw callError('send', sent < 0 ? -sent : EAGAIN, name);
    const reply = await answer(connection, name);
    data = reply.data;
    const { adopted, offloads, maxFrame } = readAnswer(reply.bytes, name);
    if (adopted && offer !== undefined) {
      data?.close();
      return new AdoptedPlug(connection, name, LOST);
    }
    if (data === undefined || !isDataSocket(data) || maxFrame < FRAME_MIN) {
      throw new VdeError({ code: 'EPROTO', subject: name, cause: 'the broker gave no data socket' });
    }
    return new ControlledPlug(data, connection, LOST, { name, offloads, maxFrame: Math.min(maxFrame, FRAME_MAX) });
  } catch (error) {
    data?.close();
    connection.close();
    throw error;
  }
}

export const vxvdexScheme: Scheme = {
  name: 'vxvdex',
  syntax: '[/parameters]',
  doc: 'a vxvde network that only its members may join, by way of vde_vxvdexd',
  maxFrame: `${FRAME_MAX} bytes to members on this machine, 9234 to others`,
  params,
  open,
};
