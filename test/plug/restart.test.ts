import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Plug } from '../../src/plug/plug.js';
import { openPlug, registerScheme } from '../../src/plug/registry.js';
import { VdeError } from '../../src/sys/errors.js';
import { loop } from '../../src/sys/loop.js';
import { SOCK_DGRAM, socketPair } from '../../src/sys/socket.js';
import { bin } from '../support/bin.js';
import { cleanup } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { waitForClients } from '../support/network.js';
import { run, start } from '../support/proc.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';
import { serve } from '../switch/served.js';
import { complianceSuite } from './compliance.js';
import { DirectPlug } from './direct-plug.js';
import { Collector, frame, sendAll } from './frames.js';

loop();

/** What `fake://` opens: the near ends of these, in turn; the far ends are the test's. Refused while there is none. */
const waiting: DirectPlug[] = [];
let attempts = 0;
/** Called when an end has been opened and taken. */
let onOpened = (): void => {};
registerScheme({
  name: 'fake',
  syntax: '',
  doc: 'for this test',
  params: [],
  async open({ locator }) {
    attempts++;
    const plug = waiting.shift();
    if (plug === undefined) throw new VdeError({ code: 'ENOENT', subject: locator, cause: 'not there' });
    const look = (): void => {
      if (plug.onLost !== undefined) onOpened();
      else if (!plug.closed) setImmediate(look);
    };
    setImmediate(look);
    return plug;
  },
});

/** An end that `fake://` will open; returns it and the other one. */
function provide(takesOffloads = false, maxFrame?: number): [DirectPlug, DirectPlug] {
  const pair = DirectPlug.pair(takesOffloads, maxFrame);
  waiting.push(pair[0]);
  return pair;
}

interface Opened {
  plug: Plug;
  notices: string[];
  /** Resolves when that many notices have come. */
  said(count: number): Promise<void>;
}

async function open(t: TestContext, locator: string): Promise<Opened> {
  const notices: string[] = [];
  let look = (): void => {};
  attempts = 0;
  const onNotice = (line: string): void => {
    notices.push(line);
    look();
  };
  const plug = await openPlug(locator, { onNotice });
  cleanup(t, () => plug.close());
  const said = (count: number): Promise<void> =>
    new Promise((done) => {
      look = () => {
        if (notices.length >= count) done();
      };
      look();
    });
  return { plug, notices, said };
}

complianceSuite({
  name: 'restart round a port of a switch',
  openPair: async (t) => {
    const { dir } = serve(t);
    return { a: await openPlug(`restart://{vde://${dir}}`), b: await openPlug(`restart://5{restart://{${dir}}}`) };
  },
  supports: { loss: 'never', tags: false, backlog: false, counted: false, runtsCounted: false },
});

test('an end that is lost is opened again; what is sent meanwhile is counted, what is said is said once', async (t) => {
  leakCheck(t);
  let [near, far] = provide();
  const { plug, notices, said } = await open(t, 'restart://{fake://x}');
  let lost = false;
  plug.onLost = () => {
    lost = true;
  };
  const arrived = new Collector(plug);
  for (let round = 1; round <= 3; round++) {
    const there = new Collector(far);
    sendAll(plug, [frame(60, round)]);
    sendAll(far, [frame(60, round, false)]);
    await there.count(1);
    await arrived.count(round);
    near.fail();
    await said(2 * round - 1);
    sendAll(plug, [frame(60, 7), frame(60, 8)]);
    assert.equal(plug.drops.error, 2 * round);
    [near, far] = provide();
    await said(2 * round);
  }
  assert.equal(lost, false);
  assert.deepEqual(notices.slice(0, 2), [
    'restart://{fake://x}: lost, it will be opened again (the other end has left)',
    'restart://{fake://x}: back',
  ]);
  plug.close();
  assert.equal(near.closed, true);
});

test('one that comes and goes is not said to be back until it stays', async (t) => {
  leakCheck(t);
  const [first] = provide();
  const { plug, notices, said } = await open(t, 'restart://{fake://x}');
  new Collector(plug);
  first.fail();
  for (let round = 0; round < 3; round++) {
    const [near] = provide();
    await new Promise<void>((done) => {
      onOpened = done;
    });
    near.fail();
  }
  onOpened = () => {};
  assert.deepEqual(notices.length, 1);
  provide();
  await said(2);
  assert.match(notices[1], /back$/);
});

test('it is tried again after 0.1 s, then less often, but at least once a second', async (t) => {
  leakCheck(t);
  const [near] = provide();
  const { plug } = await open(t, 'restart://{fake://x}');
  const begin = performance.now();
  near.fail();
  while (attempts < 6) await pause(5);
  const took = performance.now() - begin;
  // 0.1 + 0.2 + 0.4 + 0.8 + 1 s; a busy machine only adds to it.
  assert.ok(took > 2400, `six attempts within ${took} ms`);
  plug.close();
  const before = attempts;
  await pause(1200);
  assert.equal(attempts, before, 'tried after it was closed');
});

test('a sender that was held back goes on when the end is lost', async (t) => {
  leakCheck(t);
  const [near] = provide();
  const { plug } = await open(t, 'restart://{fake://x}');
  let drained = 0;
  plug.onDrained = () => drained++;
  near.fail();
  assert.equal(drained, 1);
  assert.equal(plug.backlogged, false);
});

test('the first attempt must succeed, unless the locator says that it may wait', async (t) => {
  leakCheck(t);
  await assert.rejects(openPlug('restart://{fake://x}'), { name: 'VdeError', code: 'ENOENT' });
  const { plug, notices, said } = await open(t, 'restart:///wait{fake://x}');
  await said(1);
  assert.match(notices[0], /: not there yet, it will be opened again \(fake:\/\/x: not there\)$/);
  const [, far] = provide();
  await said(2);
  const arrived = new Collector(plug);
  sendAll(far, [frame(60, 1, false)]);
  await arrived.count(1);
  // What no waiting would mend is said at once.
  await assert.rejects(openPlug('restart:///wait{nosuch://x}'), { code: 'EPROTONOSUPPORT' });
  await assert.rejects(openPlug('restart:///wait{vde:///x[foo=1]}'), { code: 'EINVAL' });
});

test('the period is seconds from 1 to a week; other text is refused', async (t) => {
  leakCheck(t);
  for (const period of ['', '1', '604800', '0', '-5', '+7', '99999999999', "'3'"]) {
    provide();
    (await open(t, `restart://${period}{fake://x}`)).plug.close();
  }
  for (const [outer, pattern] of [
    ['x', /"x" is not a period at character 11 \(seconds, 1 to 604800\)/],
    ['1.5', /"1.5" is not a period/],
    ['5s', /"5s" is not a period/],
    ['5/wiat', /unknown parameter "wiat" at character \d+ \(did you mean "wait"\?/],
    ['/wait=3', /parameter "wait"/],
  ] as const) {
    await assert.rejects(openPlug(`restart://${outer}{fake://x}`), { code: 'EINVAL', message: pattern });
  }
});

test('an end that notices nothing by itself is asked after a period without traffic', async (t) => {
  leakCheck(t);
  const [raw, end] = socketPair(SOCK_DGRAM, 'pair');
  const { plug, said, notices } = await open(t, `restart://1{seqpacket://${end.release()}}`);
  new Collector(plug);
  raw.close();
  await said(1);
  assert.match(notices[0], /lost/);
});

test('vde_plug: a cable outlives the switch, and says so on standard error alone', async (t) => {
  leakCheck(t);
  const root = tmpDir(t);
  const dir = join(root, 'sw');
  const listening = () => waitForSocket(join(dir, 'ctl'));
  const first = start(t, bin('vde_switch'), ['-s', dir]);
  await listening();
  const cable = start(t, bin('vde_plug'), [`restart://{vde://${dir}}`]);
  await waitForClients(dir, 1);
  first.kill('SIGKILL');
  await first.exited;
  await cable.waitFor(/^vde_plug: restart:.*: lost, it will be opened again \(.*\)\n$/, { stream: 'stderr' });
  const second = start(t, bin('vde_switch'), ['-s', dir]);
  await cable.waitFor(/^vde_plug: restart:.*: back$/m, { stream: 'stderr' });
  assert.equal(cable.stdout, '');
  await waitForClients(dir, 1);
  cable.kill();
  assert.deepEqual(await cable.exited, { code: 0, signal: null });
  second.kill();
  const refused = await run(bin('vde_plug'), ['null://', `restart://{${join(root, 'none')}}`]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^vde_plug: .*none: No such file or directory.*\n$/);
});
