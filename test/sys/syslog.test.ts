import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Memory } from '../../src/sys/memory.js';
import { AF_UNIX, bindUnix, SOCK_DGRAM, socket, tryReceive } from '../../src/sys/socket.js';
import { openSyslog, severity } from '../../src/sys/syslog.js';
import { requirePeer } from '../support/peers.js';
import { tmpDir } from '../support/tmp.js';

/** A log daemon: what it has received since the last call. AF_UNIX datagrams arrive before the send returns. */
function daemon(t: TestContext, path: string): () => string[] {
  const listener = socket(AF_UNIX, SOCK_DGRAM, path);
  t.after(() => listener.close());
  bindUnix(listener, path);
  const memory = new Memory(4096);
  return () => {
    const lines: string[] = [];
    for (let n = tryReceive(listener, memory); n >= 0; n = tryReceive(listener, memory))
      lines.push(Buffer.from(memory.bytes.subarray(0, n)).toString());
    return lines;
  };
}

const at = (time: string) => () => new Date(time);

test('sends lines with facility user, level, local time and name', (t) => {
  const path = join(tmpDir(t), 'log');
  const received = daemon(t, path);
  const log = openSyslog({ ident: 'vde_plug', path, now: at('2026-11-05T08:05:09') });
  t.after(() => log.close());
  log.log('START: user root IP 192.0.2.7');
  log.log('bad', severity.error);
  assert.deepEqual(received(), [
    '<14>Nov  5 08:05:09 vde_plug: START: user root IP 192.0.2.7',
    '<11>Nov  5 08:05:09 vde_plug: bad',
  ]);
});

test('has the shape that logger(1) sends', (t) => {
  if (!requirePeer(t, 'logger')) return;
  const path = join(tmpDir(t), 'log');
  const received = daemon(t, path);
  spawnSync('logger', ['-u', path, '-p', 'user.info', '-t', 'vde_plug', '--', 'text']);
  const log = openSyslog({ ident: 'vde_plug', path });
  log.log('text');
  log.close();
  const [theirs, ours] = received().map((line) =>
    line.replace(/\d\d:\d\d:\d\d/, 'T').replace(/^(<\d+>)\w{3} [ \d]\d/, '$1DATE'),
  );
  assert.equal(theirs, '<14>DATE T vde_plug: text');
  assert.equal(ours, theirs);
});

test('no line can be forged, none is longer than 1024 bytes', (t) => {
  const path = join(tmpDir(t), 'log');
  const received = daemon(t, path);
  const log = openSyslog({ ident: 'x', path, now: at('2026-01-15T00:00:00') });
  t.after(() => log.close());
  log.log('a\n<0>b\u0000c');
  log.log('y'.repeat(5000));
  const [first, second] = received();
  assert.equal(first, '<14>Jan 15 00:00:00 x: a#012<0>b#000c');
  assert.equal(second.length, 1024);
});

test('a missing, late, restarted or full daemon does not disturb', (t) => {
  const path = join(tmpDir(t), 'log');
  const log = openSyslog({ ident: 'x', path });
  t.after(() => log.close());
  log.log('nobody');
  const first = daemon(t, path);
  log.log('late');
  assert.equal(first().length, 1);
  rmSync(path);
  const second = daemon(t, path);
  log.log('again');
  assert.equal(second().length, 1);
  for (let i = 0; i < 5000; i++) log.log(`flood ${i}`);
  assert.ok(second().length < 5000);
  const tooLong = openSyslog({ ident: 'x', path: `/${'long'.repeat(40)}` });
  tooLong.log('nowhere');
  tooLong.close();
});
