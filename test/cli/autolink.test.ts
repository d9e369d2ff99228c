/** `vde_autolink`: its rules in a world of the test's own, its console word for word, and real links. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Autolink, CHECK_S, type LinkWorld } from '../../src/cli/autolink-model.js';
import { openConsole } from '../../src/index.js';
import { bin } from '../support/bin.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { command, eventually, MAKES, type Make, startSwitch } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { waitForGone, waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

/** A world with a clock that the test turns, and commands that only are written down. */
function world() {
  const started: { words: string[]; end: () => void; stopped: boolean }[] = [];
  const ports = new Set([1]);
  const clock = { now: 0 };
  const it: LinkWorld = {
    switchName: '/sw',
    now: () => clock.now,
    createPort: async (port) => !ports.has(port) && !!ports.add(port),
    removePort: async (port) => void ports.delete(port),
    start: (words, end) => {
      const one = { words, end, stopped: false };
      started.push(one);
      const stop = () => {
        one.stopped = true;
      };
      return { pid: started.length, stop };
    },
  };
  const model = new Autolink(it);
  const pass = (seconds: number) => {
    clock.now += seconds;
    model.tick();
  };
  return { model, started, ports, pass };
}

test('a link takes the first free port, tries its wires for its hosts in turn, and stays with the one that lives', async () => {
  const { model, started, ports, pass } = world();
  model.addWire('a', 'one $mysock $myport $remotehost');
  model.addWire('b', 'two  $remotehost[$myport] $mysock');
  await model.addLink('L', ['h1', 'h2']);
  model.addLinkWire('L', 'a');
  model.addLinkWire('L', 'b');
  assert.deepEqual([...ports], [1, 2]);
  model.switchLink('L', true);
  pass(CHECK_S);
  pass(CHECK_S);
  model.life(2, true);
  pass(CHECK_S);
  pass(10 * CHECK_S);
  assert.deepEqual(
    started.map(({ words, stopped }) => [words.join(' '), stopped]),
    [
      ['one /sw 2 h1', true],
      ['two h1[2] /sw', true],
      ['one /sw 2 h2', false],
    ],
  );
  // The remote switch falls silent: the next wire is tried.
  model.life(2, false);
  pass(CHECK_S);
  assert.deepEqual([started[2].stopped, started[3].words.join(' ')], [true, 'two h2[2] /sw']);
  await model.close();
  assert.deepEqual([started[3].stopped, [...ports]], [true, [1]]);
});

test('a wire whose command ends is followed at once; after all have failed there is a rest', async () => {
  const { model, started, pass } = world();
  model.addWire('a', '$mysock $myport $remotehost');
  await model.addLink('L', ['h1', 'h2']);
  model.addLinkWire('L', 'a');
  model.switchLink('L', true);
  for (let i = 0; i < 2; i++) {
    started[i].end();
    pass(1);
  }
  assert.deepEqual([started.length, model.jobs[0].seconds], [2, 30]);
  pass(29);
  assert.equal(started.length, 2);
  pass(1);
  assert.equal(started.length, 3);
  model.switchLink('L', false);
  assert.deepEqual([started[2].stopped, model.jobs], [true, []]);
  started[2].end();
  pass(1000);
  assert.equal(started.length, 3);
});

/** What a console answers to a row of lines. */
async function session(t: Owner, make: Make, lines: readonly string[]) {
  const dir = tmpDir(t);
  const path = (name: string) => join(dir, name);
  await startSwitch(t, 'debian', ['-F', '-s', path('sw'), '-M', path('sw.mgmt')]);
  await waitForSocket(path('sw.mgmt'));
  writeFileSync(path('rc'), '');
  const options = ['-s', path('sw'), '-S', path('sw.mgmt'), '-M', path('al.mgmt'), '-f', path('rc')];
  const autolink = start(t, command(make, 'vde_autolink'), options);
  await waitForSocket(path('al.mgmt'));
  const client = await openConsole(path('al.mgmt'));
  cleanup(t, () => client.close());
  const answers = [];
  for (const line of lines) {
    const { code, message, data } = await client.command(line);
    answers.push([line, code, message, data.join('\n').replaceAll(dir, 'DIR')]);
  }
  await client.command('shutdown');
  const exit = await autolink.exited;
  // Debian's is killed by the signal that it ends its wires with.
  if (make === 'ours') assert.deepEqual(exit, { code: 0, signal: null });
  return answers;
}

test('the console answers word for word as that of Debian', async (t) => {
  if (!requirePeer(t, '/usr/bin/vde_autolink', '/usr/bin/vde_switch')) return;
  leakCheck(t);
  const lines = [
    'help',
    'showwires',
    'showlinks',
    'jobsqueue',
    'runninglinks',
    'addwire w2 novars',
    'addwire w3',
    'addwire w1 vde_plug $mysock[$myport] /srv/$remotehost',
    'addwire w1 dup $myport $mysock $remotehost',
    'showwires',
    'addlink L1 sw2 sw3',
    'addlink L1 sw2',
    'addlink L2',
    'showlinks',
    'addtypelink L1 w1',
    'addtypelink L1 w1',
    'addtypelink L1 w9',
    'addtypelink L9 w1',
    'showlinks',
    'linkonoff X 1',
    'linkonoff L1',
    'linkonoff L1 0',
    'deltypelink L1 zz',
    'addlink L2 sw2',
    'dellink L2',
    'dellink L2',
    'delwire w1',
    'delwire w1',
    'nosuch',
    'runscript /nonexistent',
    'runscript',
  ];
  const [ours, theirs] = await Promise.all(MAKES.map((make) => session(t, make, lines)));
  assert.deepEqual(ours, theirs);
});

for (const server of MAKES) {
  test(`a link between two switches (${server}) is kept up, and goes with the program`, async (t) => {
    if (!requirePeer(t, '/usr/bin/vde_switch')) return;
    const dir = tmpDir(t);
    leakCheck(t);
    const path = (name: string) => join(dir, name);
    for (const name of ['sw1', 'sw2']) {
      await startSwitch(t, server, ['-F', '-s', path(name), '-M', path(`${name}.mgmt`)]);
      await waitForSocket(path(`${name}.mgmt`));
    }
    writeFileSync(
      path('rc'),
      `addwire none false $mysock $myport $remotehost\naddwire plug ${bin('vde_plug')} $mysock[$myport] $remotehost\n\n` +
        `addlink L ${path('sw2')}\naddtypelink L none\naddtypelink L plug\nlinkonoff L 1\n`,
    );
    const options = ['-s', path('sw1'), '-S', path('sw1.mgmt'), '-M', path('al'), '-f', path('rc'), '-p', path('pid')];
    const autolink = start(t, bin('vde_autolink'), options);
    await waitForSocket(path('al'));
    const [console, remote] = [await openConsole(path('al')), await openConsole(path('sw2.mgmt'))];
    cleanup(t, () => console.close());
    cleanup(t, () => remote.close());
    await eventually('the link is active', async () => {
      const { data } = await console.command('showlinks');
      return data[0] === 'NAME = L (PORT: 1 - ACTIVE)';
    });
    assert.match((await console.command('runninglinks')).data[0], /^NAME = L , RHOST = .* , WIRE = plug , PID: \d+$/);
    autolink.kill();
    assert.deepEqual(await autolink.exited, { code: 0, signal: null });
    await waitForGone(path('pid'));
    await eventually('the remote port is empty', async () => (await remote.command('port/print')).data.length === 0);
  });
}

test('wires that cannot be made are said, and passed over for the next', async (t) => {
  leakCheck(t);
  const dir = tmpDir(t);
  const path = (name: string) => join(dir, name);
  await startSwitch(t, 'ours', ['-F', '-s', path('sw'), '-M', path('sw.mgmt')]);
  const rest = '$mysock $myport $remotehost';
  const files = [path('nosuch'), path('rc/below'), 'w'.repeat(300), process.execPath];
  const wires = files.map(
    (file, i) => `addwire w${i} ${file} ${i === 3 ? '-e setInterval(String,1000) ' : ''}${rest}\n`,
  );
  const types = files.map((_, i) => `addtypelink L w${i}\n`);
  writeFileSync(path('rc'), [...wires, 'addlink L far\n', ...types, 'linkonoff L 1\n'].join(''));
  const options = ['-s', path('sw'), '-S', path('sw.mgmt'), '-M', path('al'), '-f', path('rc')];
  const autolink = start(t, bin('vde_autolink'), options);
  await waitForSocket(path('al'));
  const console = await openConsole(path('al'));
  cleanup(t, () => console.close());
  await eventually('the last wire runs', async () => {
    const { data } = await console.command('runninglinks');
    return data.some((line) => line.includes('WIRE = w3'));
  });
  await console.command('shutdown');
  assert.deepEqual(await autolink.exited, { code: 0, signal: null });
  const said = autolink.stderr.replaceAll(dir, 'DIR').replaceAll(files[2], 'LONG').trim().split('\n').sort();
  assert.deepEqual(said, [
    'vde_autolink: DIR/nosuch: No such file or directory (the wire cannot be made)',
    'vde_autolink: DIR/rc/below: Not a directory (the wire cannot be made)',
    'vde_autolink: LONG: File name too long (the wire cannot be made)',
  ]);
});

test('what is missing is said in one line, with status 255', async (t) => {
  leakCheck(t);
  const dir = tmpDir(t);
  for (const [args, pattern] of [
    [['-s', dir], /needs the switch \(-s\) and its management socket \(-S\)/],
    [['-s', dir, '-S', join(dir, 'nosuch')], /nosuch: No such file or directory/],
    [['-x'], /unknown option/],
  ] as const) {
    const { code, stdout, stderr } = await run(bin('vde_autolink'), args);
    assert.deepEqual([code, stdout], [255, '']);
    assert.match(stderr, pattern);
    assert.match(stderr, /^vde_autolink: [^\n]+\n$/);
  }
});
