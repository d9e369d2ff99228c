/** Members of a `vxvde` cloud in the namespace of inside.ts, and strangers there: plain UDP sockets. */

import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { openPlug } from '../../src/plug/registry.js';
import { Vtep } from '../../src/plug/vtep.js';
import { vxlanHeader } from '../../src/plug/vxlan-header.js';
import { readVxvde, vxvdeSockets } from '../../src/plug/vxvde.js';
import { cleanup } from '../support/cleanup.js';
import { frame } from './frames.js';
import { INSIDE_V4 } from './inside.js';

export const GROUP = '239.0.0.1';
export const PORT = 14_789;
export const HERE = INSIDE_V4[0];
export const HEADER = Buffer.from(vxlanHeader(1));

export const packet = (one: Uint8Array, header: Uint8Array = HEADER) => Buffer.concat([header, one]);

/** The station at the far end of `frame(..., true)`, turned round: its frames come from it. */
export const reply = (number: number, size = 60) => frame(size, number, false);

export function broadcast(number: number): Buffer {
  const bytes = frame(60, number);
  bytes.fill(0xff, 0, 6);
  return bytes;
}

/** A socket that hears the group, or one of its own. */
export class Stranger {
  readonly heard: { bytes: Buffer; from: RemoteInfo }[] = [];
  #told: (() => void) | undefined;

  constructor(readonly socket: Socket) {
    socket.on('message', (bytes, from) => {
      this.heard.push({ bytes, from });
      this.#told?.();
    });
  }

  get port(): number {
    return this.socket.address().port;
  }

  async hears(count: number): Promise<{ bytes: Buffer; from: RemoteInfo }[]> {
    while (this.heard.length < count) {
      await new Promise<void>((done) => {
        this.#told = done;
      });
    }
    return this.heard;
  }

  async send(bytes: Uint8Array, port = PORT, address = GROUP): Promise<void> {
    await new Promise<void>((done, fail) => {
      this.socket.send(bytes, port, address, (error) => (error ? fail(error) : done()));
    });
  }
}

export async function stranger(t: TestContext, options: { group?: boolean } = {}): Promise<Stranger> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  cleanup(t, () => new Promise<void>((done) => socket.close(() => done())));
  socket.bind(options.group ? PORT : 0, options.group ? GROUP : HERE);
  await once(socket, 'listening');
  if (options.group) socket.addMembership(GROUP, HERE);
  socket.setMulticastInterface(HERE);
  return new Stranger(socket);
}

export async function member(t: TestContext, locator = 'vxvde://'): Promise<Vtep> {
  const plug = await openPlug(locator);
  assert.ok(plug instanceof Vtep);
  cleanup(t, () => plug.close());
  return plug;
}

/** A member whose clock is the test's, in milliseconds. It forgets a station after 100 s. */
export async function memberInTime(t: TestContext, clock: () => number): Promise<Vtep> {
  const membership = await readVxvde('', 0, '', 'vxvde://');
  const options = { vni: 1, vxvde: true, hashsize: 16, expiretime: 100, clock };
  const plug = new Vtep(vxvdeSockets(membership, 'vxvde://'), 'vxvde://', options);
  cleanup(t, () => plug.close());
  return plug;
}
