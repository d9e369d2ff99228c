/** Limits of the management socket: what does not fit a C switch's buffer, and more consoles than there may be. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { leakCheck } from '../support/leaks.js';
import { frame, greet, openEnd } from '../support/network.js';
import { managedSwitch, openRawConsole, PROMPT, type RawConsole, rawConsole } from './raw-console.js';

const SUCCESS = '1000 Success\n';
/** As many as there may be. */
const CONSOLES = 1024;
const AT_ONCE = 50;

test('commands around the 128 bytes that overflow a C switch’s buffer, with and without an end of line', async (t) => {
  leakCheck(t);
  const { console: session } = await managedSwitch(t);
  let port = 0;
  for (const length of [126, 127, 128, 129, 255, 256, 257]) {
    for (const end of ['', '\n', '\0', '\r\n']) {
      const command = `port/create ${++port}`;
      session.write(command.padEnd(length - end.length) + end);
      assert.equal(await session.answer(), SUCCESS, `${length} bytes that end with ${JSON.stringify(end)}`);
      assert.equal((await session.data(`port/allprint ${port}`)).length, 4);
    }
  }
});

test('more consoles than there may be: those that are there go on, and who leaves makes room', async (t) => {
  leakCheck(t);
  const { console: session, path, dir, process } = await managedSwitch(t);
  const consoles: RawConsole[] = [];
  // Not all at once: as many as wait to be accepted, the kernel lets.
  while (consoles.length < CONSOLES - 1) {
    const length = Math.min(AT_ONCE, CONSOLES - 1 - consoles.length);
    consoles.push(...(await Promise.all(Array.from({ length }, () => openRawConsole(t, path)))));
  }
  const late = await rawConsole(t, path);
  assert.equal(await late.end(), '', 'nothing is said to one too many');
  await process.waitFor(`console refused: there are ${CONSOLES} already`);
  assert.equal(await session.ask('port/create 9'), SUCCESS);
  assert.match(await consoles[500].ask('port/allprint 9'), /^Port 0009 /m);
  const ends = [await openEnd(t, dir), await openEnd(t, dir)];
  await greet(ends[0], ends[1]);
  ends[0].send(frame({ tag: 'as ever' }));
  await ends[1].receive('as ever');
  consoles[500].write('logout\n');
  assert.match(await consoles[500].end(), /9999 END OF SESSION$/);
  const next = await rawConsole(t, path);
  assert.match(await next.take((text) => text.endsWith(PROMPT), 'greeting'), /^VDE switch/);
});
