import assert from 'node:assert/strict';
import { constants, openSync } from 'node:fs';
import test from 'node:test';
import { Descriptor } from '../../src/sys/descriptor.js';
import { discardBytes, makeSerialLine, restoreTerminal, terminalSpeed, unsentBytes } from '../../src/sys/tty.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { requirePeer } from '../support/peers.js';
import { run } from '../support/proc.js';
import { serialLine } from '../support/serial.js';

function openTty(t: Owner, path: string): Descriptor {
  const tty = new Descriptor(openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK), path);
  cleanup(t, () => tty.close());
  return tty;
}

test('a speed is set as others see it, also one without a code, and undone', async (t) => {
  if (!requirePeer(t, 'socat', 'stty')) return;
  const { a } = await serialLine(t);
  const tty = openTty(t, a);
  const before = terminalSpeed(tty);
  const state = makeSerialLine(tty, 921_600);
  assert.equal((await run('stty', ['-F', a, 'speed'])).stdout.trim(), '921600');
  makeSerialLine(tty, 123_456);
  assert.equal(terminalSpeed(tty), 123_456);
  restoreTerminal(tty, state);
  assert.equal(terminalSpeed(tty), before);
  discardBytes(tty);
  assert.equal(unsentBytes(tty), 0);
});

test('what is no terminal is refused', (t) => {
  const none = openTty(t, '/dev/null');
  assert.throws(() => makeSerialLine(none, 9600), { name: 'VdeError', code: 'ENOTTY', message: /no serial line/ });
  assert.equal(unsentBytes(none), 0);
});
