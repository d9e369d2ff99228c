/** The management socket as its clients meet it: framing, sessions that misbehave, permissions, start and end. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bin } from '../support/bin.js';
import { fdCount, leakCheck, rssKb } from '../support/leaks.js';
import { command, frame, greet, MAKES, openEnd, startSwitch } from '../support/network.js';
import { requirePeer } from '../support/peers.js';
import { run, start } from '../support/proc.js';
import { tmpDir } from '../support/tmp.js';
import { managedSwitch, openRawConsole, PROMPT, rawConsole } from './raw-console.js';

const SUCCESS = '1000 Success\n';

test('the greeting and the framing of answers are those of Debian', async (t) => {
  if (!requirePeer(t, '/usr/bin/vde_switch')) return;
  for (const make of MAKES) {
    const { console: session, path } = await managedSwitch(t, make);
    assert.match(session.text, /^VDE switch V\.\d+\.\d+\.\d+\S*\n\(C\) [^\n]*\n\nvde\$ $/);
    assert.equal(
      await session.ask('port/showinfo'),
      `0000 DATA END WITH '.'\nNumports=32\nHUB=false\ncounters=true\n.\n${SUCCESS}`,
    );
    assert.equal(await session.ask('port/create 3'), SUCCESS);
    assert.equal(await session.ask('nosuch'), '1038 Function not implemented\n');
    assert.equal(await session.ask(''), '');
    assert.equal(await session.ask('# nothing'), '');
    assert.match(await session.ask('showinfo'), new RegExp(`\nmgmt ${path} perm 0600\n\\.\n1000 Success\n$`));
    session.write('logout\n');
    assert.equal(await session.end(), '9999 END OF SESSION');
  }
});

test('lines are lines: several in a packet, one in pieces, with a carriage return or a NUL behind it', async (t) => {
  const { console: session } = await managedSwitch(t);
  session.write('port/create 1\nport/create 2\n\nport/create 2\n');
  const text = await session.take((all) => all.split(PROMPT).length === 5, 'four prompts');
  assert.equal(text, [SUCCESS, SUCCESS, '', '1017 File exists\n', ''].join(PROMPT));
  // One behind the other at once: after a moment of silence what has come would stand for a line.
  for (const letter of 'port/create 3\n') session.write(letter);
  assert.equal(await session.answer(), SUCCESS);
  assert.equal(await session.ask('port/setuser 3 root\r'), SUCCESS);
  assert.equal(await session.ask('port/create 4\0 and what else was in the buffer'), SUCCESS);
  session.write('port/create 5\n\0');
  assert.equal(await session.answer(), SUCCESS);
  assert.deepEqual((await session.data('port/allprint')).filter((line) => line.startsWith('Port')).length, 5);
});

test('a command without an end of line is carried out, as C does; so is the last one before the client leaves', async (t) => {
  const { console: session, path } = await managedSwitch(t);
  session.write('port/create 7');
  assert.equal(await session.answer(), SUCCESS);
  session.write('nonsense');
  assert.equal(await session.answer(), '1038 Function not implemented\n');
  const leaving = await rawConsole(t, path);
  leaving.socket.end('port/create 8\nport/create 9');
  assert.ok((await leaving.end()).endsWith(`${PROMPT}${SUCCESS}${PROMPT}${SUCCESS}${PROMPT}`));
  const gone = await openRawConsole(t, path);
  await new Promise((done) => gone.socket.write('port/create 10\nhash/print\nport/create 11\n', done));
  gone.socket.destroy();
  while (!(await session.ask('port/allprint 11')).endsWith(SUCCESS));
  assert.equal(await session.ask('port/allprint 10').then((text) => text.endsWith(SUCCESS)), true);
});

test('each console has its own debugging messages; they are whole lines and never in a data block', async (t) => {
  const { console: first, path } = await managedSwitch(t);
  const second = await openRawConsole(t, path);
  assert.equal(await first.ask('debug/add port'), SUCCESS);
  assert.equal(await second.ask('port/create 3'), SUCCESS);
  assert.equal(await first.take((text) => text.endsWith('\n'), 'message'), '3021 port/+ 03\n');
  assert.equal(await first.ask('port/create 4'), `3021 port/+ 04\n${SUCCESS}`);
  first.write('port/create 5\nport/allprint\nport/create 6\nport/allprint\n');
  second.write('port/create 7\nport/create 8\n');
  const text = await first.take((all) => all.split(PROMPT).length === 5 && /\/\+ 08/.test(all), 'answers');
  for (const [block] of text.matchAll(/^0000 DATA[\s\S]*?^1000 Success/gm)) assert.doesNotMatch(block, /3021/);
  assert.equal(text.match(/^(vde\$ )?3021 port\/\+ 0[5-8]$/gm)?.length, 4);
});

test('long lines, binary and floods are refused line by line, and the next command works', async (t) => {
  const { console: session, process, dir } = await managedSwitch(t);
  const before = rssKb(process.pid);
  assert.equal(await session.ask('x'.repeat(1 << 20)), '1022 Invalid argument\n');
  assert.equal(await session.ask(`port/create 9${' '.repeat(5000)}`), '1022 Invalid argument\n');
  assert.equal(await session.ask(`${' '.repeat(4000)}port/create 9`), SUCCESS);
  for (let n = 0; n < 20; n++) {
    const binary = Uint8Array.from({ length: 4000 }, (_, i) => ((i * 7919 + n * 31) % 255) + 1);
    session.write(binary);
  }
  session.write('\nport/create 10\n');
  await session.take((text) => text.includes(SUCCESS) && text.endsWith(PROMPT), 'success');
  const { length } = await session.ask('ds/showinfo');
  session.write('ds/showinfo\n'.repeat(20_000));
  // Counted when most of it is there: a piece of the stream may end in the midst of a prompt.
  const most = 19_000 * (length + PROMPT.length);
  await session.take((text) => text.length > most && text.split(PROMPT).length > 20_000, 'prompts', 60_000);
  assert.ok(rssKb(process.pid) - before < 150_000);
  await greet(await openEnd(t, dir), await openEnd(t, dir));
});

test('consoles that never read, and two hundred that say nothing, cost little and hold nobody up', async (t) => {
  const { console: session, process, path, dir } = await managedSwitch(t);
  const [before, descriptors] = [rssKb(process.pid), fdCount(process.pid)];
  const deaf = await rawConsole(t, path);
  deaf.socket.pause();
  deaf.write('debug/add\n');
  for (let n = 0; n < 2000; n++) deaf.write('help\n');
  const idle = await Promise.all(Array.from({ length: 200 }, () => openRawConsole(t, path)));
  const ends = [await openEnd(t, dir), await openEnd(t, dir)];
  await greet(ends[0], ends[1]);
  // Debugging messages for the deaf one.
  for (let n = 0; n < 20; n++) {
    ends[0].send(...Array.from({ length: 200 }, (_, i) => frame({ tag: 'new', source: 100 + ((n * 200 + i) % 100) })));
    assert.equal((await session.ask('hash/setsize 64')).endsWith(SUCCESS), true);
  }
  assert.ok(rssKb(process.pid) - before < 150_000);
  for (const one of [...idle, deaf]) one.socket.destroy();
  while (fdCount(process.pid) > descriptors + 10) await session.ask('ds/showinfo');
  assert.equal(await session.ask('port/create 9'), SUCCESS);
});

test('shutdown ends the switch, all its consoles, and takes the socket with it', async (t) => {
  leakCheck(t);
  const { console: session, path, dir, process } = await managedSwitch(t);
  const other = await openRawConsole(t, path);
  session.write('shutdown\n');
  assert.equal(await session.end(), '9999 END OF SESSION');
  await other.end();
  assert.deepEqual(await process.exited, { code: 0, signal: null });
  assert.equal(process.stderr, 'vde_switch: Shutdown from mgmt command\n');
  assert.deepEqual([existsSync(path), existsSync(dir)], [false, false]);
});

test('mode and group of the socket are what was asked for', async (t) => {
  leakCheck(t);
  const group = (await run('id', ['-gn'])).stdout.trim();
  const { path, console: session } = await managedSwitch(t, 'ours', ['--mgmtmode', '660', '--mgmtgroup', group]);
  assert.equal((statSync(path).mode & 0o7777).toString(8), '660');
  assert.equal(String(statSync(path).gid), (await run('id', ['-g'])).stdout.trim());
  assert.match(await session.ask('showinfo'), /perm 0660/);
});

test('a dead socket is taken over, a living one and a file that is no socket are refused', async (t) => {
  leakCheck(t);
  const { path, process, console: session } = await managedSwitch(t);
  const refused = async (pattern: RegExp) => {
    const dir = join(tmpDir(t), 'sw');
    const { code, stdout, stderr } = await run(bin('vde_switch'), ['-s', dir, '-M', path], { input: '' });
    assert.deepEqual([code, stdout, existsSync(dir)], [1, '', false]);
    assert.match(stderr, pattern);
    assert.equal(stderr.split('\n').length, 2);
  };
  await refused(/^vde_switch: .*mgmt: somebody listens at that management socket \(.*-M\)\n$/);
  assert.equal(await session.ask('port/create 1'), SUCCESS);
  process.kill('SIGKILL');
  await process.exited;
  assert.equal(existsSync(path), true);
  const next = await startSwitch(t, 'ours', ['-M', path]);
  next.process.stdin.write('showinfo\n');
  await next.process.waitFor(`mgmt ${path} perm`);
  await openRawConsole(t, path);
  next.process.kill();
  await next.process.exited;
  assert.equal(existsSync(path), false);
  writeFileSync(path, 'precious');
  await refused(/mgmt: a file that is no socket/);
  assert.equal(readFileSync(path, 'utf8'), 'precious');
});

test('a daemon has its console; what cannot be had stops the start, and leaves nothing behind', async (t) => {
  leakCheck(t);
  const dir = tmpDir(t);
  const [sw, path] = [join(dir, 'sw'), 'mgmt'];
  const { code, stderr } = await run(bin('vde_switch'), ['-d', '-s', sw, '-M', path], { cwd: dir });
  assert.deepEqual([code, stderr], [0, '']);
  const session = await openRawConsole(t, join(dir, path));
  assert.match(await session.ask('showinfo'), new RegExp(`mgmt ${join(dir, path)} perm 0600`));
  session.write('shutdown\n');
  await session.end();
  for (const bad of [join(dir, 'no/such/mgmt'), join(dir, 'x'.repeat(120))]) {
    const failed = await run(bin('vde_switch'), ['-s', `${sw}2`, '-M', bad], { input: '' });
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /^vde_switch: [^\n]+\n$/);
    assert.equal(existsSync(`${sw}2`), false);
  }
});

test("Debian's own clients and socat drive the console", async (t) => {
  if (!requirePeer(t, 'socat', '/usr/bin/unixterm')) return;
  const { path } = await managedSwitch(t);
  const socat = await run('socat', ['-t', '30', '-', `UNIX-CONNECT:${path}`], {
    input: 'port/create 2\nport/allprint\nlogout\n',
  });
  assert.match(socat.stdout, /Port 0002 untagged_vlan=0000 INACTIVE[\s\S]*9999 END OF SESSION$/);
  const term = start(t, command('debian', 'unixterm'), [path]);
  await term.waitFor('vde$ ');
  term.stdin.write('port/create 3\n');
  await term.waitFor(/1000 Success\n\nvde\$ /);
});
