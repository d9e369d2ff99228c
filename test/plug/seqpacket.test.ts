import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import fc from 'fast-check';
import { openPlug } from '../../src/plug/registry.js';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { isOpen } from '../../src/sys/descriptor.js';
import { VdeError } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { Memory } from '../../src/sys/memory.js';
import { closesOnExec, setCloseOnExec } from '../../src/sys/process.js';
import {
  AF_UNIX,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  socket,
  socketPair,
  tryReceive,
  trySend,
} from '../../src/sys/socket.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { complianceSuite } from './compliance.js';
import { Collector, frame, sendAll } from './frames.js';

loop();

const open = (socket: Descriptor) => openPlug(`seqpacket://${socket.release()}`);

for (const [type, name, loss] of [
  [SOCK_SEQPACKET, 'SOCK_SEQPACKET', 'noticed'],
  [SOCK_DGRAM, 'SOCK_DGRAM', 'on send'],
] as const) {
  complianceSuite({
    name: `seqpacket, ${name}`,
    openPair: async () => {
      const [a, b] = socketPair(type, 'pair');
      return { a: await open(a), b: await open(b) };
    },
    supports: { loss },
  });
}

test('the end of the connection is a plain leave, after what was sent before it', async (t) => {
  leakCheck(t);
  const [raw, end] = socketPair(SOCK_SEQPACKET, 'pair');
  const plug = await open(end);
  const memory = new Memory(100);
  memory.bytes.set(frame(60, 7));
  for (let i = 0; i < 70; i++) assert.equal(trySend(raw, memory, 60), 60);
  raw.close();
  const lost = new Promise((done) => {
    plug.onLost = done;
  });
  const arrived = new Collector(plug);
  assert.equal(await lost, undefined);
  assert.equal(arrived.frames.length, 70);
  assert.equal(plug.drops.runt, 0);
});

test('a datagram without a byte is no end and no frame', async (t) => {
  leakCheck(t);
  const [raw, end] = socketPair(SOCK_DGRAM, 'pair');
  const plug = await open(end);
  cleanup(t, () => {
    plug.close();
    raw.close();
  });
  const memory = new Memory(100);
  memory.bytes.set(frame(60, 7));
  trySend(raw, memory, 0);
  trySend(raw, memory, 60);
  const arrived = new Collector(plug);
  await arrived.count(1);
  assert.equal(plug.drops.runt, 1);
});

test('a peer that does not read the longest frame whole is not sent longer ones', async (t) => {
  const [raw, end] = socketPair(SOCK_SEQPACKET, 'pair');
  const plug = await open(end);
  cleanup(t, () => {
    plug.close();
    raw.close();
  });
  assert.equal(plug.maxFrame, 9234);
  sendAll(plug, [frame(9235, 1), frame(9234, 2)]);
  const memory = new Memory(70_000);
  assert.equal(tryReceive(raw, memory), 9234);
  assert.equal(plug.drops.oversize, 1);
});

test('the descriptor is the end’s own: closed with it, and not handed on to children', async (t) => {
  leakCheck(t);
  const [a, b] = socketPair(SOCK_SEQPACKET, 'pair');
  const fd = b.release();
  setCloseOnExec(fd, false);
  for (const form of [String(fd), `0x${fd.toString(16)}`, `0${fd.toString(8)}`]) {
    const plug = await openPlug(`seqpacket://${form}`).catch((error) => error);
    if (form !== String(fd)) {
      assert.ok(plug instanceof VdeError, form);
      assert.equal(plug.code, 'EBUSY');
      continue;
    }
    assert.ok(closesOnExec(fd));
    cleanup(t, () => {
      plug.close();
      assert.equal(isOpen(fd), false);
      a.close();
    });
  }
});

test('a descriptor that cannot be an end is refused with the reason, and stays open', async (t) => {
  leakCheck(t);
  const refusal = async (body: string | number): Promise<string> => {
    const error = await openPlug(`seqpacket://${body}`).then(
      (plug) => plug.close(),
      (reason) => reason,
    );
    assert.ok(error instanceof VdeError, `${body} was opened`);
    assert.match(error.message, /^seqpacket:\/\//);
    return error.message;
  };
  const unconnected = socket(AF_UNIX, SOCK_SEQPACKET, 'unconnected');
  const [stream, other] = socketPair(SOCK_STREAM, 'stream');
  const file = openSync('/dev/null', 'r');
  cleanup(t, () => {
    for (const one of [unconnected, stream, other]) one.close();
    closeSync(file);
  });
  assert.match(await refusal(unconnected.fd), /is not connected/);
  assert.match(await refusal(stream.fd), /a socket of another type/);
  assert.match(await refusal(file), /is not a socket/);
  assert.ok([unconnected.fd, stream.fd, file].every(isOpen));
  assert.match(await refusal(9999), /there is no descriptor 9999/);
  for (const body of ['', 'x', '3x', '-1', '0x', '08', ' 3', '2147483648', '1e1']) {
    assert.match(await refusal(body), /is not the number of a descriptor/, body);
  }
});

test('whatever is written there, it is an end or one clear error', async (t) => {
  leakCheck(t);
  await fc.assert(
    fc.asyncProperty(fc.string(), async (body) => {
      const error = await openPlug(`seqpacket://${body}`).catch((reason) => reason);
      assert.ok(error instanceof VdeError);
    }),
  );
  await immediate();
});
