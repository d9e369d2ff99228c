import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate as immediate } from 'node:timers/promises';
import { commandsEnded } from '../../src/plug/endings.js';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug } from '../../src/plug/registry.js';
import { StreamPlug } from '../../src/plug/stream.js';
import { VdeError } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { AF_UNIX, bindUnix, listen, SOCK_STREAM, socket, tryAccept } from '../../src/sys/socket.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { requirePeer } from '../support/peers.js';
import { waitForExit } from '../support/proc.js';
import { waitUntil } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { complianceSuite } from './compliance.js';
import { Collector, sendAll } from './frames.js';

loop();

complianceSuite({
  name: 'cmd, a relay to a socket of the test',
  skip: (t) => !requirePeer(t, 'socat'),
  openPair: async (t) => {
    const path = join(tmpDir(t), 's');
    const listener = socket(AF_UNIX, SOCK_STREAM, 'listener');
    bindUnix(listener, path);
    listen(listener, 1);
    const a = await openPlug(`cmd://socat - UNIX-CONNECT:${path}`, { onNotice: () => {} });
    for (;;) {
      const stream = tryAccept(listener);
      if (typeof stream !== 'number') {
        const b = new StreamPlug('the other end', stream.fd, stream.fd, 9236);
        stream.close();
        listener.close();
        return { a, b };
      }
      await immediate();
    }
  },
});

interface Opened {
  plug: Plug;
  notices: string[];
  /** Settles when the end is lost. */
  lost: Promise<VdeError | undefined>;
}

async function open(t: TestContext, command: string): Promise<Opened> {
  const notices: string[] = [];
  const plug = await openPlug(`cmd://${command}`, { onNotice: (line) => notices.push(line) });
  cleanup(t, async () => {
    plug.close();
    await commandsEnded();
  });
  const lost = new Promise<VdeError | undefined>((done) => {
    plug.onLost = done;
  });
  return { plug, notices, lost };
}

/** The numbers that a command has written to a file so far. */
function existing(file: string): number[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number) : [];
}

/** As `existing`, once there are `count`. */
async function readPids(file: string, count: number): Promise<number[]> {
  await waitUntil(file, 'pids', () => existing(file).length === count);
  return existing(file);
}

test('header and payload may come in pieces, however slowly', async (t) => {
  leakCheck(t);
  // Each piece waits for one of the other way, so that they cannot arrive together.
  const script = `printf "\\\\000"; read x; printf "\\\\074"; read x; printf %s "$1"; read x; printf %s "$2"; read x`;
  const [first, second] = ['A'.repeat(13), 'B'.repeat(47)];
  const { plug } = await open(t, `bash -c '${script}' bash ${first} ${second}`);
  const arrived = new Collector(plug);
  const poke = setInterval(() => sendAll(plug, [Buffer.alloc(14, '\n')]), 20);
  cleanup(t, () => clearInterval(poke));
  await arrived.count(1);
  assert.equal(arrived.frames[0].toString(), first + second);
});

test('words, quotes and escapes make the arguments; there is no shell', async (t) => {
  leakCheck(t);
  const file = join(tmpDir(t), 'args');
  const script = `printf "<%s>" "$@" >${file}`;
  const { lost } = await open(t, `sh -c '${script}' sh 'a b' "c'd" e\\ f '' *.ts ~ '$HOME' 'x;y' g | h`);
  assert.equal(await lost, undefined);
  assert.equal(readFileSync(file, 'utf8'), "<a b><c'd><e f><><*.ts><~><$HOME><x;y><g><|><h>");
});

test('a command that ends is reported with its status, and the end is lost', async (t) => {
  leakCheck(t);
  const good = await open(t, 'true');
  assert.equal(await good.lost, undefined);
  assert.deepEqual(good.notices, ['cmd://true: the command has ended with status 0']);
  for (const [command, pattern] of [
    [`sh -c 'exit 3'`, /^cmd:\/\/sh -c 'exit 3': the command has ended with status 3$/],
    [`sh -c 'kill -9 $$'`, /the command was killed by SIGKILL$/],
    // A descendant that holds the output does not hide it.
    [`sh -c 'sleep 1000 & echo $! >%; exit 4'`, /has ended with status 4$/],
    [`sh -c 'exec >&-; exec sleep 1000'`, /the command has closed its output$/],
  ] as const) {
    const pids = join(tmpDir(t), 'pids');
    const { lost, notices, plug } = await open(t, command.replace('%', pids));
    new Collector(plug);
    assert.match((await lost)?.message ?? '', pattern);
    assert.deepEqual(notices, []);
    if (command.includes('%')) for (const pid of await readPids(pids, 1)) process.kill(pid);
  }
});

test('what a command wrote last arrives before its end is told', async (t) => {
  leakCheck(t);
  const { plug, lost } = await open(t, `sh -c 'for i in 1 2 3; do printf "\\\\000\\\\016abcdefghijklmn"; done'`);
  const arrived = new Collector(plug);
  await lost;
  assert.equal(arrived.frames.length, 3);
});

test('closing ends the command and what it has started, also those who will not', async (t) => {
  leakCheck(t);
  const pids = join(tmpDir(t), 'pids');
  const script = `trap "" TERM; sh -c "trap : TERM; echo \\$\\$ >>${pids}; while :; do sleep 1000; done" & echo $$ >>${pids}; while :; do sleep 1000; done`;
  const { plug } = await open(t, `sh -c '${script}'`);
  const all = await readPids(pids, 2);
  plug.close();
  await commandsEnded();
  for (const pid of all) await waitForExit(pid);
});

test('a command that cannot be run, or is none, is refused by name', async (t) => {
  leakCheck(t);
  for (const [command, code, pattern] of [
    ['/none/such x', 'ENOENT', /^cmd:\/\/\/none\/such x: No such file or directory \("\/none\/such" cannot/],
    ['/dev/null', 'EACCES', /^cmd:\/\/\/dev\/null: Permission denied/],
    ['', 'EMALFORMED', /^cmd:\/\/: there is no command/],
    ["sh -c 'x", 'EMALFORMED', /^cmd:\/\/sh -c 'x: the ' at \d+ has no end/],
    ['a; b', 'EMALFORMED', /room for one command only/],
    ['echo $HOME', 'EMALFORMED', /variables are not expanded/],
  ] as const) {
    await assert.rejects(openPlug(`cmd://${command}`), (error) => {
      assert.ok(error instanceof VdeError);
      assert.equal(error.code, code);
      assert.match(error.message, pattern);
      return true;
    });
  }
});
