/**
 * `vde://DIRECTORY[parameters]`, or just the directory: a port of a VDE switch, C's or ours (reference: VDE switch socket
 * protocol; plugins, section 2).
 *
 * The end is a datagram socket connected to the switch's; the control stream beside it only lives. Both are watched: a
 * switch that goes is noticed at once. The switch's own files are never touched. A switch of ours may serve the end at the
 * other side of the cable itself, if that is offered to it: then no frame passes through this process.
 */

import { chmodSync, chownSync, lstatSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { FRAME_MAX } from '../frame/burst.js';
import { sendWithDescriptors } from '../sys/ancillary.js';
import type { Descriptor } from '../sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../sys/epoll.js';
import { callError, errnoNumber, fromNodeError, VdeError } from '../sys/errors.js';
import { loop } from '../sys/loop.js';
import { Memory } from '../sys/memory.js';
import {
  AF_UNIX,
  bindUnix,
  checkUnixPath,
  connectUnix,
  SOCK_DGRAM,
  SOCK_STREAM,
  socket,
  tryConnectUnix,
  tryReceive,
  unlinkQuietly,
} from '../sys/socket.js';
import { userName } from '../sys/users.js';
import { AdoptedPlug, ControlledPlug } from './controlled.js';
import { composePath, parsePath } from './locator.js';
import { type ParamSpec, readParams } from './params.js';
import { groupNumber } from './permissions.js';
import { offeredDescriptors, type Plug } from './plug.js';
import type { ResolvedLocator } from './resolve.js';
import type { OpenOptions, Scheme } from './scheme.js';
import { decodeReply, encodeRequest, hasRoomFor, REPLY_SIZE } from './vde-protocol.js';

/** Where a switch is looked for if no directory is named. */
const DEFAULT_DIRECTORIES = ['/var/run/vde.ctl', '/tmp/vde.ctl'];
/** Where the end's own socket goes if the switch's directory cannot hold it. */
const FALLBACK_DIRECTORIES = ['/var/run', '/var/tmp', '/tmp'];
/** A switch that does not answer for this long is taken for dead, in ms. */
const ANSWER_MS = 5000;
/** How long a switch with a full queue of clients is asked again, and how often, in ms. */
const BUSY_MS = 5000;
const BUSY_STEP_MS = 10;
const DEFAULT_MODE = 0o700;
/** Longest frame for a switch that says nothing about it: libvdeplug's buffer, which is the largest among C's. */
const C_FRAME_MAX = 9234;

/** What it means that the control stream has ended. */
const LOST = 'the switch has closed the connection';

const EAGAIN = errnoNumber('EAGAIN');
const EADDRINUSE = errnoNumber('EADDRINUSE');

// The order is libvdeplug's: a shortened key means the first that begins with it.
const params = [
  { name: 'port', type: 'string', bare: true, arg: 'N', doc: 'port number of the switch, or the name of a port group' },
  { name: 'portgroup', alias: 'port' },
  { name: 'group', type: 'group', arg: 'GROUP', doc: "group that the end's socket is given to" },
  { name: 'mode', type: 'octal', arg: 'OCTAL', doc: "permissions of the end's socket (0700)" },
] as const satisfies readonly ParamSpec[];

let serial = 0;

interface Target {
  directory: string;
  port: number | undefined;
  /** Socket of a port group beside `ctl`. */
  portGroup: string | undefined;
  group: number | undefined;
  mode: number;
}

function readTarget({ body, bodyAt, text }: ResolvedLocator, options: OpenOptions): Target {
  const { path, params: given } = parsePath(body, bodyAt, text);
  const { port, group, mode } = readParams(params, given, text);
  const gid = group ?? options.group;
  const numeric = port !== undefined && /^[+-]?\d+$/.test(port);
  return {
    directory: path,
    port: numeric ? Number(port) : options.port,
    portGroup: port !== undefined && port !== '' && !numeric ? port : undefined,
    group: gid === undefined ? undefined : groupNumber(gid, text),
    mode: mode || options.mode || DEFAULT_MODE,
  };
}

/** Connects to the switch's control socket. */
async function reach(target: Target, name: string): Promise<{ stream: Descriptor; directory: string }> {
  const directories = target.directory === '' ? DEFAULT_DIRECTORIES : [target.directory];
  if (target.portGroup?.includes('/') || target.portGroup?.startsWith('.')) {
    throw new VdeError({
      code: 'EINVAL',
      subject: name,
      cause: `"${target.portGroup}" cannot be the name of a port group`,
    });
  }
  let error = 0;
  let tried = '';
  for (const directory of directories) {
    tried = join(directory, target.portGroup ?? 'ctl');
    const stream = socket(AF_UNIX, SOCK_STREAM, tried);
    try {
      error = await connectPatiently(stream, tried);
    } catch (failure) {
      stream.close();
      throw failure;
    }
    if (error === 0) return { stream, directory: resolve(directory) };
    stream.close();
  }
  if (target.directory === '') {
    throw callError(
      'connect',
      error,
      name || 'default switch',
      `no switch in ${DEFAULT_DIRECTORIES.join(' or ')}: start one, or name another`,
    );
  }
  if (target.portGroup !== undefined)
    throw callError('connect', error, name, `the switch has no port group ${target.portGroup}`);
  throw callError('connect', error, name, remedyFor(error, tried));
}

function remedyFor(error: number, ctl: string): string {
  if (error === errnoNumber('ECONNREFUSED')) return `the switch that made ${ctl} is gone: start it again`;
  if (error === errnoNumber('EACCES')) return `you may not connect to ${ctl}: see the switch's -m and -g options`;
  return `is a switch running there? There is no ${ctl}`;
}

/** AF_UNIX does not connect in the background: with the switch's queue of newcomers full one asks again. */
async function connectPatiently(stream: Descriptor, path: string): Promise<number> {
  const end = Date.now() + BUSY_MS;
  for (;;) {
    const error = tryConnectUnix(stream, path);
    if (error !== EAGAIN || Date.now() > end) return error;
    await new Promise((done) => setTimeout(done, BUSY_STEP_MS));
  }
}

/** Binds the end's own socket, in the switch's directory if that can be written. */
function bindOwn(data: Descriptor, directory: string, name: string): string {
  const pid = String(process.pid).padStart(5, '0');
  let failure: unknown;
  for (const [place, prefix] of [[directory, '.'], ...FALLBACK_DIRECTORIES.map((d) => [d, 'vde.'])]) {
    for (let tries = 0; tries < 1000; tries++) {
      const path = join(place, `${prefix}${pid}-${String(serial++ % 100_000).padStart(5, '0')}`);
      try {
        checkUnixPath(path);
        bindUnix(data, path);
        return path;
      } catch (error) {
        failure = error;
        if (!(error instanceof VdeError) || error.errno !== EADDRINUSE) break;
      }
    }
  }
  throw fromNodeError(
    failure,
    name,
    `no place for the end's socket in ${directory}, ${FALLBACK_DIRECTORIES.join(', ')}`,
  );
}

/** Lets the switch reach the end's socket: it may run as another user (reference: section 5, "client side"). */
function protectOwn(path: string, target: Target, ctl: string): void {
  let { mode } = target;
  if (target.group !== undefined) {
    try {
      chownSync(path, -1, target.group);
    } catch (error) {
      throw fromNodeError(error, path, `you are not a member of group ${target.group}`);
    }
  } else if ((mode & 0o077) === 0) {
    const { uid, gid } = lstatSync(ctl);
    if (uid !== 0 && uid !== process.geteuid?.()) {
      try {
        chownSync(path, -1, gid);
        mode |= 0o070;
      } catch {
        mode |= 0o077;
      }
    }
  }
  chmodSync(path, mode);
}

/** Waits for the switch's answer. */
function answer(stream: Descriptor, name: string): Promise<Buffer> {
  return new Promise((done, fail) => {
    const memory = new Memory(REPLY_SIZE * 2);
    let reply = Buffer.alloc(0);
    const settle = (finish: () => void) => {
      clearTimeout(timer);
      watch.close();
      finish();
    };
    const refuse = (cause: string, remedy: string, code = 'ECONNREFUSED') =>
      settle(() => fail(new VdeError({ code, subject: name, cause, remedy })));
    const timer = setTimeout(
      () => refuse(`the switch did not answer within ${ANSWER_MS / 1000} s`, 'is it stopped?', 'ETIMEDOUT'),
      ANSWER_MS,
    );
    const watch = loop().watch(stream.fd, EPOLLIN | EPOLLRDHUP, () => {
      const n = tryReceive(stream, memory);
      if (n === -EAGAIN) return undefined;
      if (n <= 0) {
        refuse(
          'the switch refused the connection',
          'its log says why: no such port, no free one, or another user has it',
        );
        return undefined;
      }
      reply = Buffer.concat([reply, memory.bytes.subarray(0, n)]);
      if (reply.length >= REPLY_SIZE) settle(() => done(reply));
      return undefined;
    });
  });
}

function description(options: OpenOptions): string {
  const uid = process.getuid?.() ?? 0;
  const ssh = process.env.SSH_CLIENT?.split(' ')[0];
  return `${options.description ?? 'vde'} user=${userName(uid) ?? uid} pid=${process.pid}${ssh ? ` SSH=${ssh}` : ''}`;
}

async function open(locator: ResolvedLocator, options: OpenOptions): Promise<Plug> {
  const name = locator.locator === '' ? 'default switch' : locator.locator;
  const target = readTarget(locator, options);
  const { stream, directory } = await reach(target, name);
  const data = socket(AF_UNIX, SOCK_DGRAM, name);
  let own: string | undefined;
  try {
    own = bindOwn(data, directory, name);
    protectOwn(own, target, join(directory, target.portGroup ?? 'ctl'));
    const port = target.portGroup === undefined ? target.port : undefined;
    const text = description(options);
    const { settings } = options.offer ?? {};
    // What does not fit is served here.
    const offer = settings === undefined || hasRoomFor(settings, text) ? options.offer : undefined;
    const wishes = { maxFrame: FRAME_MAX, offloads: true, adopt: offer !== undefined };
    const request = encodeRequest(port, own, text, wishes, offer?.settings);
    const sent = sendWithDescriptors(stream, request, offer ? offeredDescriptors(offer) : []);
    if (sent !== request.length) throw callError('send', sent < 0 ? -sent : EAGAIN, name);
    const reply = decodeReply(await answer(stream, name));
    if (reply === undefined) {
      throw new VdeError({ code: 'EPROTO', subject: name, cause: 'what answers there is not a VDE switch' });
    }
    const { extension } = reply;
    if (extension?.adopt) {
      data.close();
      return new AdoptedPlug(stream, name, LOST);
    }
    connectUnix(data, reply.path);
    return new ControlledPlug(data, stream, LOST, {
      name,
      maxFrame: Math.min(extension?.maxFrame ?? C_FRAME_MAX, FRAME_MAX),
      offloads: extension?.offloads,
      shortQueue: extension === undefined,
    });
  } catch (error) {
    data.close();
    stream.close();
    throw error;
  } finally {
    // Both sockets are connected by now: the name has done its work, and cannot be left behind.
    if (own !== undefined) unlinkQuietly(own);
  }
}

export const vdeScheme: Scheme = {
  name: 'vde',
  syntax: 'DIRECTORY[PARAMETERS]',
  doc: 'a port of the switch in DIRECTORY',
  maxFrame: `${FRAME_MAX} bytes to a switch of ours, ${C_FRAME_MAX} to one of C's`,
  params,
  open,
};

/** The locator of a switch's directory, with what has a meaning in the grammar quoted. */
export function vdeLocator(directory: string): string {
  return `vde://${composePath({ path: directory, params: [] })}`;
}
