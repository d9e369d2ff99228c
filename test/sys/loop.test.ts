import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { setImmediate as immediate, setTimeout as pause } from 'node:timers/promises';
import type { Descriptor } from '../../src/sys/descriptor.js';
import { EPOLLIN, EPOLLOUT } from '../../src/sys/epoll.js';
import { errnoNumber } from '../../src/sys/errors.js';
import { loop, PURE, type Watch } from '../../src/sys/loop.js';
import { Memory } from '../../src/sys/memory.js';
import { SOCK_STREAM, tryReceive, trySend } from '../../src/sys/socket.js';
import { root } from '../support/bin.js';
import { cleanup } from '../support/cleanup.js';
import { run } from '../support/proc.js';
import { pair } from './ends.js';

const byte = new Memory(8);

function readable(t: TestContext): Descriptor {
  const [a, b] = pair(t, SOCK_STREAM);
  trySend(a, byte, 1);
  return b;
}

/** Two descriptors that are ready for ever, their handlers moving bytes and nothing else. */
function flood(t: TestContext, each: () => void = () => {}): { count: () => number; stop: () => void } {
  let count = 0;
  const ends = pair(t, SOCK_STREAM);
  const watches = ends.map((end) =>
    loop().watch(end.fd, EPOLLIN, () => {
      count++;
      tryReceive(end, byte);
      trySend(end, byte, 1);
      each();
      return PURE;
    }),
  );
  trySend(ends[0], byte, 1);
  const stop = (): void => {
    for (const watch of watches) watch.close();
  };
  cleanup(t, stop);
  return { count: () => count, stop };
}

/** Runs a module text with `loop`, `socketPair` and friends in scope in a process of its own. */
function isolated(text: string) {
  const program = `
    import { loop, PURE } from './src/sys/loop.ts';
    import { Memory } from './src/sys/memory.ts';
    import { socketPair, tryReceive, trySend } from './src/sys/socket.ts';
    const byte = new Memory(8);
    ${text}`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', program];
  return run(process.execPath, args, { cwd: root, timeout: 60_000 });
}

test('a handler is called with what is ready, as long as it is', async (t) => {
  const [a, b] = pair(t, SOCK_STREAM);
  const seen: number[] = [];
  const done = new Promise<void>((resolve) => {
    const watch = loop().watch(b.fd, EPOLLIN, (events) => {
      seen.push(events);
      if (seen.length === 2) tryReceive(b, byte);
      if (seen.length < 2) return undefined;
      watch.close();
      resolve();
      return undefined;
    });
  });
  trySend(a, byte, 1);
  await done;
  assert.deepEqual(seen, [EPOLLIN, EPOLLIN]);
});

test('the events waited for can be changed', async (t) => {
  const [a, b] = pair(t, SOCK_STREAM);
  trySend(a, byte, 1);
  const seen: number[] = [];
  const watch = loop().watch(b.fd, 0, (events) => {
    seen.push(events);
    watch.events = events === EPOLLIN ? EPOLLOUT : 0;
    return undefined;
  });
  cleanup(t, () => watch.close());
  await pause(5);
  assert.deepEqual(seen, []);
  watch.events = EPOLLIN;
  while (seen.length < 2) await immediate();
  await pause(5);
  assert.deepEqual(seen, [EPOLLIN, EPOLLOUT]);
  watch.close();
});

test('timers, promises and immediates have their turn while descriptors flood', async (t) => {
  const { count } = flood(t);
  for (let i = 0; i < 20; i++) await immediate();
  for (let i = 0; i < 20; i++) await pause(1);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  while (ticks < 20) await immediate();
  clearInterval(timer);
  assert.ok(count() > 100, `${count()} bytes moved meanwhile`);
});

test('lingering lets a signal, a file and the end of a child through at once', async (t) => {
  const { count } = flood(t);
  await pause(20);
  const before = count();
  const times: Record<string, number> = {};
  const timed = async (name: string, what: Promise<unknown>): Promise<void> => {
    const start = performance.now();
    await what;
    times[name] = performance.now() - start;
  };
  const signal = once(process, 'SIGUSR2');
  process.kill(process.pid, 'SIGUSR2');
  await timed('signal', signal);
  await timed('file', readFile('/proc/self/status'));
  await timed('child', once(spawn('true'), 'exit'));
  await timed('timer', pause(1));
  // A slice of lingering takes 4 ms; the rest is for a busy machine.
  for (const [name, ms] of Object.entries(times)) assert.ok(ms < 5000, `${name} took ${ms} ms`);
  assert.ok(count() > before);
});

test('what touches promises is not followed by lingering', async (t) => {
  let calls = 0;
  let delay = -1;
  const done = new Promise<void>((resolve) => {
    flood(t, () => {
      // Well into the flood, when the loop would linger.
      if (++calls !== 5000) return;
      loop().touch();
      Promise.resolve().then(() => {
        delay = calls - 5000;
        resolve();
      });
    });
  });
  await done;
  // Sixteen rounds of two descriptors at most; a slice of lingering would be thousands.
  assert.ok(delay <= 32, `${delay} calls later`);
});

test('a handler that takes itself out is not called again', async (t) => {
  const end = readable(t);
  let calls = 0;
  const watch: Watch = loop().watch(end.fd, EPOLLIN, () => {
    calls++;
    watch.close();
    watch.close();
    return PURE;
  });
  cleanup(t, () => watch.close());
  while (calls === 0) await immediate();
  await pause(5);
  assert.equal(calls, 1);
});

test('a watch taken out by another handler of the same round is not called', async (t) => {
  const ends = [readable(t), readable(t), readable(t)];
  let calls = 0;
  const watches: Watch[] = ends.map((end) =>
    loop().watch(end.fd, EPOLLIN, () => {
      calls++;
      for (const watch of watches) watch.close();
      return undefined;
    }),
  );
  cleanup(t, () => {
    for (const watch of watches) watch.close();
  });
  while (calls === 0) await immediate();
  await pause(5);
  assert.equal(calls, 1);
});

test('events of one that has left do not reach a newcomer', async (t) => {
  const ends = [readable(t), readable(t)];
  const quiet = pair(t, SOCK_STREAM)[0];
  const strays: number[] = [];
  let newcomer: Watch | undefined;
  const watches: Watch[] = ends.map((end) =>
    loop().watch(end.fd, EPOLLIN, () => {
      // Both were ready in this round; the newcomer may not inherit the other's event.
      for (const watch of watches) watch.close();
      newcomer = loop().watch(quiet.fd, EPOLLIN, (events) => {
        strays.push(events);
        return undefined;
      });
      return undefined;
    }),
  );
  while (newcomer === undefined) await immediate();
  await pause(5);
  newcomer.close();
  assert.deepEqual(strays, []);
});

test('a descriptor is watched once', (t) => {
  const [a] = pair(t, SOCK_STREAM);
  const watch = loop().watch(a.fd, EPOLLIN, () => undefined);
  assert.throws(() => loop().watch(a.fd, EPOLLIN, () => undefined), { errno: errnoNumber('EEXIST') });
  watch.close();
  loop()
    .watch(a.fd, EPOLLIN, () => undefined)
    .close();
});

test('a failed watch does not keep the process alive', async () => {
  const { code, stdout, stderr } = await isolated(`
    try { loop().watch(9999, 1, () => undefined); } catch (error) { console.log(error.code); }`);
  assert.deepEqual([code, stdout.trim()], [0, 'EBADF'], stderr);
});

test('an exception in a handler is an uncaught one, and the loop goes on', async () => {
  const { code, stdout, stderr } = await isolated(`
    process.on('uncaughtException', (error) => console.log('caught', error.message));
    const [a, b] = socketPair(1, 'pair');
    const [c, d] = socketPair(1, 'pair');
    let calls = 0;
    const bad = loop().watch(b.fd, 1, () => { if (++calls === 2) bad.close(); throw new Error('bad ' + calls); });
    const good = loop().watch(d.fd, 1, () => { tryReceive(d, byte); if (calls === 2) good.close(); trySend(c, byte, 1); return PURE; });
    trySend(a, byte, 1);
    trySend(c, byte, 1);`);
  assert.deepEqual([code, stdout.trim().split('\n')], [0, ['caught bad 1', 'caught bad 2']], stderr);
});

test('a watch keeps the process alive until it is taken out', async () => {
  const { code, stdout, stderr } = await isolated(`
    const [a, b] = socketPair(1, 'pair');
    const watch = loop().watch(b.fd, 1, () => { console.log('got it'); watch.close(); return undefined; });
    // Timers that are not referenced do not keep a process alive.
    setTimeout(() => trySend(a, byte, 1), 30).unref();
    process.on('exit', () => console.log('exit'));`);
  assert.deepEqual([code, stdout], [0, 'got it\nexit\n'], stderr);
});

test('a hold keeps the process alive until it is let go, once', async () => {
  const { code, stdout, stderr } = await isolated(`
    const [one, two] = [loop().hold(), loop().hold()];
    setTimeout(() => { one(); one(); console.log('one'); }, 10).unref();
    setTimeout(() => { two(); console.log('two'); }, 40).unref();
    setTimeout(() => console.log('never'), 5000).unref();`);
  assert.deepEqual([code, stdout], [0, 'one\ntwo\n'], stderr);
});

test('what is only lingering ends, too', async () => {
  const { code, stdout, stderr } = await isolated(`
    const ends = socketPair(1, 'pair');
    let calls = 0;
    const watches = ends.map((end) => loop().watch(end.fd, 1, () => {
      tryReceive(end, byte);
      trySend(end, byte, 1);
      if (++calls === 100_000) for (const watch of watches) watch.close();
      return PURE;
    }));
    trySend(ends[0], byte, 1);
    process.on('exit', () => console.log(calls));`);
  assert.deepEqual([code, stdout], [0, '100000\n'], stderr);
});
