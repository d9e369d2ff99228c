/** Terminals and switches of both makes: each of ours with each of Debian's, and socat. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { openConsole } from '../../src/index.js';
import { bin } from '../support/bin.js';
import { cleanup, type Owner } from '../support/cleanup.js';
import { leakCheck } from '../support/leaks.js';
import { command, MAKES, type Make, startSwitch } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { pty } from '../support/pty.js';
import { waitForSocket } from '../support/sockets.js';
import { tmpDir } from '../support/tmp.js';

const PEERS = ['/usr/bin/vde_switch', '/usr/bin/vdeterm', '/usr/bin/unixterm', '/usr/bin/unixcmd', 'socat'];
const PAIRS = MAKES.flatMap((server) => MAKES.map((client) => [server, client] as const));

/** The machine of Debian's vdecmd, with an exit status that C's program knows. */
const MACHINE = `TIMEOUT 5000
1 IN '$ ' 100
3 SEND '$*\\n'
5 THROW
6 IN '\\n' 100
7 IF '0000 DATA END WITH \\'.\\'' 10
8 IF '10' 20
9 GOTO 100
10 THROW
11 IN '\\n' 100
12 IF '.\\n' 5
13 COPY
14 GOTO 10
20 SKIP 1
21 RVATOI
22 SEND 'logout\\n'
23 EXITRV
100 EXIT -1
`;

/** A switch with a management socket; returns the path. */
async function managed(t: Owner, make: Make): Promise<string> {
  const path = join(tmpDir(t), 'mgmt');
  await startSwitch(t, make, ['-M', path]);
  await waitForSocket(path);
  return path;
}

async function console(t: Owner, path: string) {
  const client = await openConsole(path);
  cleanup(t, () => client.close());
  return client;
}

for (const server of MAKES) {
  test(`unixcmd of both makes has a switch (${server}) do the same, and ends alike`, async (t) => {
    if (!requirePeer(t, ...PEERS)) return;
    leakCheck(t);
    const rc = join(tmpDir(t), 'rc');
    writeFileSync(rc, MACHINE);
    const results = await Promise.all(
      MAKES.map(async (client) => {
        const path = await managed(t, server);
        const outcomes = [];
        for (const line of [
          'port/showinfo',
          'port/create 7',
          'port/create 7',
          'vlan/print 9',
          'nosuch',
          'vlan/remove x',
        ]) {
          const { code, stdout } = await run(command(client, 'unixcmd'), ['-s', path, '-f', rc, ...line.split(' ')]);
          outcomes.push({ line, code, stdout });
        }
        return outcomes;
      }),
    );
    assert.deepEqual(results[0], results[1]);
    assert.deepEqual(
      results[0].map(({ code }) => code),
      [0, 0, 17, 6, 38, 98],
    );
    assert.equal(results[0][0].stdout, 'Numports=32\n\0HUB=false\n\0counters=true\n\0');
  });

  test(`vdecmd tells by its status what a switch (${server}) answered, and prints plain lines`, async (t) => {
    if (!requirePeer(t, ...PEERS)) return;
    leakCheck(t);
    const path = await managed(t, server);
    const vdecmd = (...args: string[]) => run(bin('vdecmd'), ['-s', path, ...args]);
    const shown = await vdecmd('port/showinfo');
    assert.deepEqual([shown.code, shown.stdout], [0, 'Numports=32\nHUB=false\ncounters=true\n']);
    assert.equal((await vdecmd('vlan/create', '5')).code, 0);
    assert.equal((await vdecmd('vlan/create', '5')).code, 17);
    assert.equal((await run(bin('vdecmd'), ['-s', `${path}x`, 'showinfo'])).code, 255);
  });
}

for (const [server, client] of PAIRS) {
  test(`unixterm (${client}) talks to a switch (${server})`, async (t) => {
    if (!requirePeer(t, ...PEERS)) return;
    leakCheck(t);
    const term = start(t, command(client, 'unixterm'), [await managed(t, server)]);
    await term.expect('\nvde$ ');
    term.stdin.write('port/showinfo\n');
    await term.expect("0000 DATA END WITH '.'\nNumports=32\nHUB=false\ncounters=true\n.\n1000 Success\n\nvde$ ");
    term.stdin.write('logout\n');
    assert.deepEqual(await term.exited, { code: 0, signal: null });
  });

  test(`vdeterm (${client}) on a terminal: replies, completion, messages, logout; switch (${server})`, async (t) => {
    if (!requirePeer(t, ...PEERS)) return;
    leakCheck(t);
    const path = await managed(t, server);
    const other = await console(t, path);
    const { child, screen, type } = await pty(t, command(client, 'vdeterm'), [path], {
      on: ['stdin', 'stdout', 'stderr'],
      env: { NO_COLOR: '1', TERM: 'vt100' },
    });
    await screen.expect(`vde[${path}]: `);
    type('port/sh');
    await screen.expect('h');
    type('\t');
    await screen.expect('owinfo ');
    type('\r');
    await screen.expect(/Numports=32[\r\n]+HUB=false[\r\n]+counters=true[\r\n]+Success[\r\n]+/);
    await screen.expect(`vde[${path}]: `);
    type('debug/add port\r');
    await screen.expect(/Success[\r\n]+/);
    await screen.expect(`vde[${path}]: `);
    type('port/pri');
    await screen.expect('pri');
    await other.command('port/create 9');
    await screen.expect('** DBG MSG: port/+ 09');
    await screen.expect('port/pri');
    type('nt 77\r');
    await screen.expect('Invalid argument');
    await screen.expect(`vde[${path}]: `);
    type('logout\r');
    assert.deepEqual(await child.exited, { code: 0, signal: null });
  });
}

for (const server of MAKES) {
  test(`our terminals in a pipe carry out all of it before they end; switch (${server})`, async (t) => {
    if (!requirePeer(t, ...PEERS)) return;
    leakCheck(t);
    const path = await managed(t, server);
    const input = 'port/create 7\nport/create 7\n\n# comment\nport/showinfo';
    const { code, stdout } = await run(bin('vdeterm'), [path], { input });
    const prompt = `vde[${path}]: `;
    const shown = stdout.slice(stdout.indexOf(prompt)).split(prompt).slice(1);
    assert.deepEqual(shown, [
      'Success\n',
      'File exists\n',
      '',
      '',
      'Numports=32\nHUB=false\ncounters=true\nSuccess\n',
      '',
    ]);
    assert.equal(code, 0);
    const raw = await run(bin('unixterm'), [path], { input: 'port/showinfo\n' });
    assert.match(raw.stdout, /\nvde\$ 0000 DATA END WITH '\.'\nNumports=32\n[\s\S]*1000 Success\n/);
    assert.equal(raw.code, 0);
  });

  test(`our vdeterm completes arguments from what a switch (${server}) has`, async (t) => {
    if (!requirePeer(t, ...PEERS)) return;
    leakCheck(t);
    const path = await managed(t, server);
    const other = await console(t, path);
    for (const line of ['vlan/create 1234', 'port/create 17']) assert.equal((await other.command(line)).code, 1000);
    const { screen, type } = await pty(t, bin('vdeterm'), [path], { on: ['stdin', 'stdout', 'stderr'] });
    await screen.expect(`vde[${path}]:`);
    const complete = async (begin: string, whole: string) => {
      type(begin);
      await screen.expect(begin.slice(-2));
      type('\t');
      await screen.expect(whole);
      type('\x15');
      await screen.expect(`vde[${path}]:`);
    };
    await complete('vlan/addp', 'ort ');
    await complete('vlan/addport 12', '34 ');
    await complete('vlan/addport 1234 1', '7 ');
    await complete('port/print 1', '7 ');
    await complete('debug/add port/des', 'cr ');
  });
}

test('a terminal is as it was after every end of vdeterm', async (t) => {
  if (!requirePeer(t, ...PEERS, 'stty')) return;
  leakCheck(t);
  const path = await managed(t, 'ours');
  const script = '(sh -c \'echo PID=$$=; exec "$0" "$@"\' "$0" "$@"); stty -a; echo STATUS';
  for (const end of ['SIGTERM', 'SIGHUP', 'ctrl-c', 'ctrl-d', 'logout'] as const) {
    const { screen, type } = await pty(t, 'sh', ['-c', script, bin('vdeterm'), path], {
      on: ['stdin', 'stdout', 'stderr'],
      env: { NO_COLOR: '1' },
    });
    const pid = Number((await screen.expect(/PID=(\d+)=/))[1]);
    await screen.expect(`vde[${path}]: `);
    if (end === 'ctrl-c') type('\x03');
    else if (end === 'ctrl-d') type('\x04');
    else if (end === 'logout') type('logout\r');
    else process.kill(pid, end);
    const [settings] = await screen.expect(/speed[\s\S]*STATUS/);
    for (const flag of ['icanon', 'echo', 'isig', 'icrnl', 'opost']) {
      assert.match(settings, new RegExp(`[ \\n]${flag}[ ;\\r]`), `${flag} after ${end}`);
    }
  }
});

test('a vdeterm whose switch goes says so and ends', async (t) => {
  if (!requirePeer(t, ...PEERS)) return;
  leakCheck(t);
  const path = join(tmpDir(t), 'mgmt');
  const { process: sw } = await startSwitch(t, 'ours', ['-M', path]);
  await waitForSocket(path);
  const term = start(t, bin('vdeterm'), [path]);
  await term.expect(`vde[${path}]: `);
  sw.kill('SIGKILL');
  assert.equal((await term.exited).signal, null);
  assert.match(term.stderr, /^vdeterm: .*mgmt: .*\n$/);
});

test('socat is a terminal of our switch, line by line and all at once', async (t) => {
  if (!requirePeer(t, ...PEERS)) return;
  leakCheck(t);
  const path = await managed(t, 'ours');
  const { stdout } = await run('socat', ['-t', '30', '-', `UNIX-CONNECT:${path}`], {
    input: 'port/create 7\nport/showinfo\nlogout\n',
  });
  assert.match(stdout, /vde\$ 1000 Success\n\nvde\$ 0000 DATA[\s\S]*1000 Success\n\nvde\$ 9999 END OF SESSION$/);
});

test('usage: one argument; nobody there: one line, status 255, as C', async (t) => {
  if (!requirePeer(t, ...PEERS)) return;
  const missing = join(tmpDir(t), 'nosuch');
  for (const name of ['vdeterm', 'unixterm']) {
    for (const args of [[], [missing]]) {
      const [ours, theirs] = await Promise.all(MAKES.map((make) => run(command(make, name), args)));
      assert.deepEqual([ours.code, theirs.code], [255, 255]);
      assert.match(ours.stderr, new RegExp(`^${name}: [^\\n]+\\n$`));
    }
  }
  for (const args of [[], ['-x'], ['-h'], ['-s', missing, '-f', missing, 'x']]) {
    const [ours, theirs] = await Promise.all(MAKES.map((make) => run(command(make, 'unixcmd'), args)));
    assert.deepEqual([ours.code, theirs.code], [255, 255], args.join(' '));
  }
});
