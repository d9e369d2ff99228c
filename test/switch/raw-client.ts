/** A client of the control socket that speaks the protocol by hand: also wrongly, slowly or not at all. */

import { chmodSync } from 'node:fs';
import { REPLY_SIZE } from '../../src/plug/vde-protocol.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { EPOLLIN, EPOLLRDHUP } from '../../src/sys/epoll.js';
import { callError, errnoNumber } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { Memory } from '../../src/sys/memory.js';
import {
  AF_UNIX,
  bindUnix,
  connectUnix,
  SOCK_DGRAM,
  SOCK_STREAM,
  socket,
  tryReceive,
  trySend,
  unlinkQuietly,
} from '../../src/sys/socket.js';
import { cleanup, type Owner } from '../support/cleanup.js';

const EAGAIN = errnoNumber('EAGAIN');
const memory = new Memory(66_000);
let serial = 0;

export interface RequestFields {
  magic?: number;
  version?: number;
  type?: number;
  path?: string;
  text?: string;
}

/** A request of version 3 with whatever fields. */
export function request(fields: RequestFields = {}): Buffer {
  const { magic = 0xfeedface, version = 3, type = 0, path = '', text = '' } = fields;
  const bytes = Buffer.alloc(122);
  bytes.writeUInt32LE(magic, 0);
  bytes.writeUInt32LE(version, 4);
  bytes.writeInt32LE(type, 8);
  bytes.writeUInt16LE(1, 12);
  bytes.write(path, 14, 108);
  return Buffer.concat([bytes, Buffer.from(text)]);
}

function send(to: Descriptor, bytes: Uint8Array): number {
  memory.bytes.set(bytes);
  return trySend(to, memory, bytes.length);
}

/** What is there to read: undefined for nothing yet, empty for the end. */
function receive(from: Descriptor): Buffer | undefined {
  const n = tryReceive(from, memory);
  if (n === -EAGAIN) return undefined;
  return Buffer.from(memory.bytes.subarray(0, Math.max(0, n)));
}

/** Waits until `look` has found what it wants in what can be read; fails after `ms`. */
function waitFor<T>(from: Descriptor, ms: number, what: string, look: () => T | undefined): Promise<T> {
  return new Promise((done, fail) => {
    const found = look();
    if (found !== undefined) return done(found);
    const finish = (then: () => void) => {
      clearTimeout(timer);
      watch.close();
      then();
    };
    const timer = setTimeout(() => finish(() => fail(new Error(`no ${what} after ${ms} ms`))), ms);
    const watch = loop().watch(from.fd, EPOLLIN | EPOLLRDHUP, () => {
      const one = look();
      if (one !== undefined) finish(() => done(one));
      return undefined;
    });
  });
}

export class RawClient {
  /** Path of its data socket. */
  readonly path: string;
  /** Path that the switch answered with. */
  answerPath = '';

  /** Connects to the switch in `directory`, and binds a data socket at `path`. */
  constructor(
    directory: string,
    path = `${directory}/.${String(process.pid).padStart(5, '0')}-${String(serial++).padStart(5, '0')}`,
    readonly stream = socket(AF_UNIX, SOCK_STREAM, directory),
    readonly data = socket(AF_UNIX, SOCK_DGRAM, path),
  ) {
    this.path = path;
    connectUnix(stream, `${directory}/ctl`);
    bindUnix(data, path);
    chmodSync(path, 0o700);
  }

  /** Writes to the control stream. */
  write(bytes: Uint8Array): number {
    return send(this.stream, bytes);
  }

  /** The switch's answer; undefined if it closed the stream instead. */
  async answer(ms = 30_000): Promise<Buffer | undefined> {
    let bytes = Buffer.alloc(0);
    const all = await waitFor(this.stream, ms, 'answer', () => {
      const more = receive(this.stream);
      if (more !== undefined) bytes = Buffer.concat([bytes, more]);
      return bytes.length >= REPLY_SIZE || more?.length === 0 ? bytes : undefined;
    });
    return all.length === 0 ? undefined : all;
  }

  /** Waits until the switch has closed the stream. */
  async dismissed(ms = 30_000): Promise<void> {
    await waitFor(this.stream, ms, 'end of the stream', () => (receive(this.stream)?.length === 0 ? true : undefined));
  }

  /** Whether nothing has come from the switch, not even the end. */
  get quiet(): boolean {
    return receive(this.stream) === undefined;
  }

  /** The whole handshake. False if the switch closed the stream instead of answering. */
  async attach(fields: RequestFields = {}): Promise<boolean> {
    this.write(request({ path: this.path, text: 'raw', ...fields }));
    const reply = await this.answer();
    if (reply === undefined) return false;
    this.answerPath = reply.toString('utf8', 2, reply.indexOf(0, 2));
    connectUnix(this.data, this.answerPath);
    return true;
  }

  /** Sends a frame; false if the socket is full. */
  send(frame: Uint8Array): boolean {
    const n = send(this.data, frame);
    if (n < 0 && n !== -EAGAIN) throw callError('send', -n, this.path);
    return n >= 0;
  }

  /** Frames that are there. */
  take(): Buffer[] {
    const all: Buffer[] = [];
    for (let one = receive(this.data); one && one.length > 0; one = receive(this.data)) all.push(one);
    return all;
  }

  /** Waits for `count` frames. */
  frames(count: number, ms = 30_000): Promise<Buffer[]> {
    const all: Buffer[] = [];
    return waitFor(this.data, ms, `${count} frames`, () => {
      all.push(...this.take());
      return all.length >= count ? all : undefined;
    });
  }

  /** Leaves; the file goes too, as a C client would have it. */
  close(): void {
    this.stream.close();
    this.data.close();
    unlinkQuietly(this.path);
  }
}

/** Port numbers in a request's type word. */
export function portType(port: number): number {
  return port << 8;
}

/** A client that is gone when the test ends. */
export function rawClient(t: Owner, directory: string, path?: string): RawClient {
  const client = new RawClient(directory, path);
  cleanup(t, () => client.close());
  return client;
}

/** A client that is seated: at a port, or at any. */
export async function seated(t: Owner, directory: string, port?: number): Promise<RawClient> {
  const client = rawClient(t, directory);
  const type = port === undefined ? 0 : port === 0 ? 1 : portType(port);
  if (!(await client.attach({ type }))) throw new Error(`refused at port ${port}`);
  return client;
}
